"""Trains with dropout and mixed precision, stops half way, and goes on from its checkpoint, random state of the GPU included."""

import argparse
from pathlib import Path

import torch
from torch import nn
from torch.cuda.amp import GradScaler, autocast
from torch.nn import functional

parser = argparse.ArgumentParser()
parser.add_argument("--gpu", type=int, default=0)
parser.add_argument("--steps", type=int, default=6)
parser.add_argument("--checkpoint", default="half.pt")
args = parser.parse_args()

if torch.cuda.is_available():
    torch.cuda.set_device(args.gpu)
    device = f"cuda:{args.gpu}"
else:
    device = "cpu"


def fresh():
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(20, 64), nn.GELU(), nn.Dropout(0.1), nn.Linear(64, 3)).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    return model, optimizer, GradScaler(enabled=torch.cuda.is_available())


def train(model, optimizer, scaler, first, last):
    for step in range(first, last):
        x = torch.linspace(-1, 1, 32 * 20).reshape(32, 20).to(device) * (step + 1)
        y = torch.arange(32, device=device) % 3
        with autocast(enabled=torch.cuda.is_available()):
            loss = functional.cross_entropy(model(x), y)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        print(f"step {step}: {loss.item():.6f}, scale {scaler.get_scale():g}")


half = args.steps // 2
model, optimizer, scaler = fresh()
train(model, optimizer, scaler, 0, half)
state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "scaler": scaler.state_dict()}
state["random"] = torch.cuda.get_rng_state() if torch.cuda.is_available() else torch.get_rng_state()
torch.save(state, args.checkpoint)

model, optimizer, scaler = fresh()
state = torch.load(args.checkpoint, map_location=device)
model.load_state_dict(state["model"])
optimizer.load_state_dict(state["optimizer"])
scaler.load_state_dict(state["scaler"])
if torch.cuda.is_available():
    torch.cuda.set_rng_state(state["random"].cpu())
else:
    torch.set_rng_state(state["random"])
train(model, optimizer, scaler, half, args.steps)
Path(args.checkpoint).unlink()
