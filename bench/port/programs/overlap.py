"""Copies batches on a stream of their own while the last one is computed, times it with events and reports the memory."""

import torch
from torch import nn

use_cuda = torch.cuda.is_available()
device = torch.device("cuda:0" if use_cuda else "cpu")
torch.manual_seed(7)
torch.cuda.manual_seed_all(7)

model = nn.Sequential(
    nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)
)
model = model.to(device, memory_format=torch.channels_last).eval()
batches = [torch.randn(4, 3, 32, 32) for _ in range(5)]


def copied(batch):
    if not use_cuda:
        return batch
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        there = batch.pin_memory().cuda(non_blocking=True)
    torch.cuda.current_stream().wait_stream(side)
    there.record_stream(torch.cuda.current_stream())
    return there


with torch.inference_mode():
    if use_cuda:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
    for batch in batches:
        scores = model(copied(batch))
        print(scores.argmax(dim=1).tolist())
    if use_cuda:
        end.record()
        torch.cuda.synchronize()
        print("timed:", start.elapsed_time(end) >= 0)
        print("memory seen:", torch.cuda.max_memory_allocated() > 0)
        torch.cuda.empty_cache()
