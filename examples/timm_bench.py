"""Any model of timm, trained or inferred: images a second.

pip install timm
windtunnel run --on rtx-4090 --clock virtual examples/timm_bench.py vit_base_patch16_224 --train
"""

import argparse
import time

import timm
import torch
import torch.nn.functional as F

parser = argparse.ArgumentParser()
parser.add_argument("model", nargs="?", default="resnet50")
parser.add_argument("--device", default="cuda")
parser.add_argument("--train", action="store_true")
parser.add_argument("--batch_size", type=int, default=64)
parser.add_argument("--steps", type=int, default=5)
parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="float16")
parser.add_argument("--channels_last", action="store_true")
args = parser.parse_args()

layout = torch.channels_last if args.channels_last else torch.contiguous_format
model = timm.create_model(args.model).to(args.device, memory_format=layout).train(args.train)
images = torch.randn(args.batch_size, *model.pretrained_cfg["input_size"], device=args.device).to(memory_format=layout)
labels = torch.randint(model.num_classes, (args.batch_size,), device=args.device)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
scaler = torch.amp.GradScaler(args.device, enabled=args.dtype == "float16")
mixed = torch.autocast(args.device, dtype=getattr(torch, args.dtype), enabled=args.dtype != "float32")


def infer() -> None:
    with torch.inference_mode(), mixed:
        model(images)


def train() -> None:
    with mixed:
        found = model(images)
        logits = found[0] if isinstance(found, tuple) else found  # some models give a second head's answer too
        loss = F.cross_entropy(logits, labels)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()


step = train if args.train else infer
for i in range(args.steps):
    start = time.perf_counter()
    step()
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    print(f"step {i}: {args.batch_size / (time.perf_counter() - start):,.0f} images/s")
