"""Data-parallel training: each rank holds the whole model, gradients are averaged while the backward pass still runs.

windtunnel run --on h100-sxm:8 examples/ddp_train.py
windtunnel run --on ascend-910c:8 examples/ddp_train.py --device npu
"""

import argparse
import os

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

parser = argparse.ArgumentParser()
parser.add_argument("--device", default="cuda")
parser.add_argument("--steps", type=int, default=4)
parser.add_argument("--batch_size", type=int, default=16)
parser.add_argument("--width", type=int, default=2048)
parser.add_argument("--layers", type=int, default=8)
args = parser.parse_args()

dist.init_process_group("hccl" if args.device == "npu" else "nccl")
device = f"{args.device}:{os.environ['LOCAL_RANK']}"
torch.manual_seed(0)

layer = nn.TransformerEncoderLayer(args.width, args.width // 64, 4 * args.width, dropout=0.0, batch_first=True)
model = nn.TransformerEncoder(layer, args.layers, enable_nested_tensor=False).to(device)
model = DistributedDataParallel(model, device_ids=[int(os.environ["LOCAL_RANK"])])
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

for step in range(args.steps):
    tokens = torch.randn(args.batch_size, 1024, args.width, device=device)
    with torch.autocast(args.device, dtype=torch.bfloat16):
        loss = model(tokens).square().mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    if dist.get_rank() == 0:
        print(f"step {step} of {dist.get_world_size()} ranks")
dist.destroy_process_group()
