"""Trains a GPT-2 on random tokens: AdamW, mixed precision, gradient accumulation; prints its own loss and tokens/s.

windtunnel run --on h100-sxm --clock virtual examples/gpt2_train.py --compile
windtunnel run --on ascend-910b2 examples/gpt2_train.py --device npu
"""

import argparse
import time

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--device", default="cuda")
parser.add_argument("--steps", type=int, default=5)
parser.add_argument("--batch_size", type=int, default=12)
parser.add_argument("--accumulate", type=int, default=2, help="batches of one optimiser step")
parser.add_argument("--layers", type=int, default=12)
parser.add_argument("--heads", type=int, default=12)
parser.add_argument("--width", type=int, default=768)
parser.add_argument("--context", type=int, default=1024)
parser.add_argument("--vocabulary", type=int, default=50304)
parser.add_argument("--dropout", type=float, default=0.0)
parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="bfloat16")
parser.add_argument("--compile", action="store_true")
args = parser.parse_args()


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        width = args.width
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(args.dropout))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, T, C = x.shape  # batch, tokens, width
        q, k, v = (t.view(B, T, args.heads, -1).transpose(1, 2) for t in self.c_attn(self.ln_1(x)).split(C, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=args.dropout if self.training else 0.0, is_causal=True)
        x = x + self.c_proj(y.transpose(1, 2).reshape(B, T, C))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(args.vocabulary, args.width), nn.Embedding(args.context, args.width)
        self.h = nn.ModuleList(Block() for _ in range(args.layers))
        self.ln_f = nn.LayerNorm(args.width)
        self.lm_head = nn.Linear(args.width, args.vocabulary, bias=False)
        self.lm_head.weight = self.wte.weight
        nn.init.normal_(self.wte.weight, std=0.02)

    def forward(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.size(1), device=tokens.device))
        for block in self.h:
            x = block(x)
        return F.cross_entropy(self.lm_head(self.ln_f(x)).flatten(0, 1), targets.flatten())


torch.manual_seed(1337)
text = torch.randint(args.vocabulary, (100_000,))


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    starts = torch.randint(len(text) - args.context, (args.batch_size,)).tolist()
    x = torch.stack([text[i : i + args.context] for i in starts])
    y = torch.stack([text[i + 1 : i + 1 + args.context] for i in starts])
    return x.to(args.device, non_blocking=True), y.to(args.device, non_blocking=True)


model = GPT().to(args.device)
optimizer = torch.optim.AdamW(model.parameters(), lr=6e-4, betas=(0.9, 0.95), weight_decay=0.1)
scaler = torch.amp.GradScaler(args.device, enabled=args.dtype == "float16")
mixed = torch.autocast(args.device, dtype=getattr(torch, args.dtype), enabled=args.dtype != "float32")
forward = torch.compile(model) if args.compile else model

for step in range(args.steps):
    start = time.perf_counter()
    for _ in range(args.accumulate):
        x, y = batch()
        with mixed:
            loss = forward(x, y) / args.accumulate
        scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    value = args.accumulate * loss.item()  # waits for the device
    rate = args.accumulate * args.batch_size * args.context / (time.perf_counter() - start)
    print(f"step {step}: loss {value:.6f}, {rate:,.0f} tokens/s", flush=True)
