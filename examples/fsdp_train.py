"""Fully sharded training (FSDP2): each rank holds a share of the weights, gathers a layer's before it runs.

windtunnel run --on h100-sxm:8 examples/fsdp_train.py
windtunnel run --on cloudmatrix-384 examples/fsdp_train.py --device npu
"""

import argparse
import os

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

parser = argparse.ArgumentParser()
parser.add_argument("--device", default="cuda")
parser.add_argument("--steps", type=int, default=4)
parser.add_argument("--batch_size", type=int, default=4)
parser.add_argument("--width", type=int, default=4096)
parser.add_argument("--layers", type=int, default=16)
args = parser.parse_args()

dist.init_process_group("hccl" if args.device == "npu" else "nccl")
device = f"{args.device}:{os.environ['LOCAL_RANK']}"
torch.manual_seed(0)

model = nn.Sequential(
    *(
        nn.TransformerEncoderLayer(args.width, args.width // 128, 4 * args.width, dropout=0.0, batch_first=True)
        for _ in range(args.layers)
    )
).to(device)
policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
for layer in model:
    fully_shard(layer, mp_policy=policy)
fully_shard(model, mp_policy=policy)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

for step in range(args.steps):
    tokens = torch.randn(args.batch_size, 2048, args.width, device=device)
    model(tokens).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    if dist.get_rank() == 0:
        print(f"step {step} of {dist.get_world_size()} ranks")
dist.destroy_process_group()
