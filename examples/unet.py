"""A diffusion model: a small U-Net learns to tell the noise in an image, then makes images out of noise.

windtunnel run --on mi300x examples/unet.py
"""

import argparse
import itertools
import math

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--device", default="cuda")
parser.add_argument("--steps", type=int, default=3, help="of training")
parser.add_argument("--samples", type=int, default=4, help="steps from noise to image; 0: train alone")
parser.add_argument("--batch_size", type=int, default=32)
parser.add_argument("--size", type=int, default=64, help="of an image, in pixels")
parser.add_argument("--width", type=int, default=128)
args = parser.parse_args()


class Residual(nn.Module):
    """Two convolutions with the time added between them."""

    def __init__(self, before: int, after: int, time: int) -> None:
        super().__init__()
        self.norm_1, self.conv_1 = nn.GroupNorm(8, before), nn.Conv2d(before, after, 3, padding=1)
        self.norm_2, self.conv_2 = nn.GroupNorm(8, after), nn.Conv2d(after, after, 3, padding=1)
        self.time = nn.Linear(time, after)
        self.skip = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        h = self.conv_1(F.silu(self.norm_1(x))) + self.time(time)[:, :, None, None]
        return self.skip(x) + self.conv_2(F.silu(self.norm_2(h)))


class Attention(nn.Module):
    """Every pixel looks at every other."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.qkv, self.out = nn.GroupNorm(8, width), nn.Conv2d(width, 3 * width, 1), nn.Conv2d(width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, C, H, W = x.shape  # batch, channels, height, width
        q, k, v = self.qkv(self.norm(x)).view(B, 3, self.heads, C // self.heads, H * W).transpose(-1, -2).unbind(1)
        y = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(y.transpose(-1, -2).reshape(B, C, H, W))


class UNet(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        time = 4 * width
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, time), nn.SiLU(), nn.Linear(time, time))
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.down = nn.ModuleList([Residual(width, width, time), Residual(width, 2 * width, time)])
        self.middle = nn.ModuleList([Residual(2 * width, 2 * width, time), Attention(2 * width)])
        self.up = nn.ModuleList([Residual(4 * width, width, time), Residual(2 * width, width, time)])
        self.last = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        scale = torch.exp(torch.arange(self.width // 2, device=x.device) * (-math.log(10_000) / (self.width // 2)))
        angle = t[:, None].float() * scale
        time = self.time(torch.cat([angle.sin(), angle.cos()], dim=1))
        x = self.first(x)
        passed = []
        for block in self.down:
            x = block(x, time)
            passed.append(x)
            x = F.avg_pool2d(x, 2)
        residual, attention = self.middle
        x = attention(residual(x, time))
        for block in self.up:
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, passed.pop()], dim=1), time)
        return self.last(x)


torch.manual_seed(0)
model = UNet(args.width).to(args.device)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), dim=0).to(args.device)  # how much of the image is left at each time

for step in range(args.steps):
    images = torch.rand(args.batch_size, 3, args.size, args.size).to(args.device) * 2 - 1
    noise = torch.randn_like(images)
    t = torch.randint(1000, (args.batch_size,), device=args.device)
    share = kept[t].view(-1, 1, 1, 1)
    loss = F.mse_loss(model(share.sqrt() * images + (1 - share).sqrt() * noise, t), noise)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    print(f"step {step}: loss {loss.item():.6f}", flush=True)

if args.samples:
    model.eval()
    x = torch.randn(args.batch_size, 3, args.size, args.size, device=args.device)
    times = torch.linspace(999, 0, args.samples + 1).long().tolist()
    with torch.no_grad():
        for now, then in itertools.pairwise(times):
            found = model(x, torch.full((args.batch_size,), now, device=args.device))
            image = (x - (1 - kept[now]).sqrt() * found) / kept[now].sqrt()
            x = kept[then].sqrt() * image + (1 - kept[then]).sqrt() * found
    print("made", tuple(x.shape))
