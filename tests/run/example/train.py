"""The program that the reports made by hand are about; only its text is read."""

from __future__ import annotations

import sys

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.c_fc, self.out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.heads = heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.c_attn(self.ln_1(x)).unflatten(-1, (3 * self.heads, -1)).transpose(1, 2).chunk(3, 1)
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(y.transpose(1, 2).flatten(2))
        h = nn.functional.gelu(self.c_fc(self.ln_2(x)))
        out: torch.Tensor = x + self.out(h)
        return out


def main() -> None:
    torch.manual_seed(1337)
    model = nn.Sequential(*(Block(768, 12) for _ in range(12))).to("npu")
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)
    for _ in range(int(sys.argv[-1])):
        x = torch.randn(12, 1024, 768, device="npu")
        with torch.autocast("npu", dtype=torch.bfloat16):
            loss = model(x).square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        sys.stdout.write(f"{loss.item():.4f}\n")


if __name__ == "__main__":
    main()
