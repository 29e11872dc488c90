"""A benchmark as people write it for their own card, "cuda" spelled out on every line.

windtunnel run --on h20 --clock virtual examples/hard_coded_cuda.py
"""

import torch
from torch import nn

assert torch.cuda.is_available(), "this program needs a GPU"
torch.backends.cuda.matmul.allow_tf32 = True
torch.backends.cudnn.benchmark = True
torch.cuda.manual_seed_all(0)
torch.cuda.set_device(0)
properties = torch.cuda.get_device_properties(0)
print(f"{torch.cuda.get_device_name(0)}, {properties.total_memory / 2**30:.0f} GiB, {torch.cuda.device_count()} of them")

model = nn.Sequential(nn.Linear(4096, 16384), nn.ReLU(), nn.Linear(16384, 4096)).cuda().half()
x = torch.randn(8192, 4096, dtype=torch.float16, device="cuda:0")
mask = torch.cuda.BoolTensor(8192, 1).fill_(True)

with torch.no_grad(), torch.cuda.amp.autocast():
    for _ in range(3):  # warm up
        model(x)
    torch.cuda.synchronize()

    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    for _ in range(10):
        y = model(x) * mask
    end.record()
    torch.cuda.synchronize()
    seconds = begin.elapsed_time(end) / 10 / 1e3
    print(f"{1e3 * seconds:.2f} ms a pass, {2 * 8192 * 2 * 4096 * 16384 / seconds / 1e12:.0f} TFLOP/s")

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        z = y.float().pow(2).mean()
    torch.cuda.current_stream().wait_stream(side)

assert y.is_cuda
assert y.get_device() == 0
print(f"mean square {z.item():.3f}, peak {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB")
del y, z
torch.cuda.empty_cache()
free, total = torch.cuda.mem_get_info()
print(f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free")
