"""DeepSeek-V3, all 671 billion parameters: one forward pass of 4,096 tokens.

    pip install transformers
    windtunnel run --on h200-sxm --no-memory-limit examples/deepseek_v3.py
    windtunnel run --on ascend-910c --no-memory-limit examples/deepseek_v3.py --device npu

No chip holds it alone: without --no-memory-limit it ends where the memory does.
"""

import argparse

import torch
from transformers import AutoModelForCausalLM, DeepseekV3Config

parser = argparse.ArgumentParser()
parser.add_argument("--device", default="cuda")
parser.add_argument("--tokens", type=int, default=4096)
parser.add_argument("--layers", type=int, default=61)
args = parser.parse_args()

with torch.device(args.device):
    model = AutoModelForCausalLM.from_config(
        DeepseekV3Config(num_hidden_layers=args.layers),
        dtype=torch.bfloat16,
        experts_implementation="grouped_mm",  # the experts as one grouped product, as inference engines run them
    ).eval()
print(f"{sum(p.numel() for p in model.parameters()) / 1e9:.1f} billion parameters")

tokens = torch.randint(1000, (1, args.tokens), device=args.device)
with torch.inference_mode():
    logits = model(tokens, use_cache=False).logits
print(tuple(logits.shape))
