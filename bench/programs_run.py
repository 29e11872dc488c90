"""What running a program on a virtual chip costs, whether its numbers are the CPU's, and which models of timm run."""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"

TIMM = (
    "resnet50", "vit_base_patch16_224", "convnext_tiny", "efficientnet_b0", "mobilenetv3_large_100",
    "swin_tiny_patch4_window7_224", "regnety_016", "densenet121", "mixer_b16_224", "deit3_small_patch16_224",
    "beit_base_patch16_224", "maxvit_tiny_tf_224", "coatnet_0_rw_224", "edgenext_small", "xcit_tiny_12_p8_224", "levit_128",
    "poolformer_s12", "cait_xxs24_224", "volo_d1_224", "hrnet_w18", "eva02_tiny_patch14_224", "fastvit_t8", "inception_v3",
    "vgg16", "dla34", "repvgg_a2", "nfnet_l0", "ghostnet_100", "mobilevit_s", "efficientformer_l1", "pvt_v2_b0",
    "twins_svt_small", "visformer_small", "tresnet_m", "davit_tiny", "hiera_tiny_224", "tiny_vit_5m_224", "rexnet_100",
    "gcvit_xxtiny", "focalnet_tiny_srf",
)  # fmt: skip
"""Forty models of as many families."""

_SPENT = """
import json, resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""
"""Runs a command and prints the CPU seconds and the peak megabytes of all its processes; small itself, so that what a fork
inherits does not count."""

GPT2 = "--layers 4 --width 128 --heads 4 --context 64 --vocabulary 307 --batch_size 4 --steps 5 --dtype float32 --dropout 0.1"


def installed() -> bool:
    """Whether the programs can run at all."""
    return all(importlib.util.find_spec(name) is not None for name in ("torch", "transformers", "timm"))


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])}


def _windtunnel(*args: str) -> list[str]:
    return [sys.executable, "-m", "windtunnel", "run", *args]


def deepseek_v3(runs: int = 3) -> tuple[float, float]:
    """CPU seconds and peak megabytes of the whole command that runs DeepSeek-V3 once over 4,096 tokens: median of ``runs``."""
    command = _windtunnel("--on", "h200-sxm", "--no-memory-limit", str(EXAMPLES / "deepseek_v3.py"))
    found = []
    for _ in range(runs):
        out = subprocess.run(
            [sys.executable, "-c", _SPENT, *command], check=True, capture_output=True, text=True, env=_environment()
        ).stdout
        found.append(json.loads(out.splitlines()[-1]))
    return median(seconds for seconds, _ in found), median(megabytes for _, megabytes in found)


def recording_us(runs: int = 9) -> float:
    """Microseconds of CPU that recording adds to an operator: the forward pass of a Llama of 32 layers, so narrow that nearly all
    of its time goes to PyTorch's dispatch, on the virtual chip and on the CPU; medians, one thread."""
    import torch

    from windtunnel.run.virtual import virtual
    from windtunnel.workload.program.vision import declare_torchvision

    declare_torchvision()
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    config = LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=32, num_attention_heads=2, num_key_value_heads=2, vocab_size=64
    )

    def forward(device: str) -> float:
        model = LlamaForCausalLM(config).to(device).eval()
        tokens = torch.ones(1, 8, dtype=torch.long, device=device)
        times = []
        with torch.inference_mode():
            for _ in range(runs + 1):
                gc.collect()
                start = time.process_time()
                model(tokens, use_cache=False)
                times.append(time.process_time() - start)
        return median(times[1:])  # the first sees every shape for the first time

    with virtual("h200-sxm") as chip:
        recorded_s = forward("cuda")
        operators = chip.machine.operators / (runs + 1)
    return 1e6 * (recorded_s - forward("cpu")) / operators


def gpt2_losses() -> tuple[str, str]:
    """What the GPT-2 example prints on the CPU, and on a virtual chip with values; times taken out."""
    script, args = str(EXAMPLES / "gpt2_train.py"), GPT2.split()
    commands = (
        [sys.executable, script, *args, "--device", "cpu"],
        _windtunnel("--on", "h100-sxm", "--values", "--json", script, *args),
    )
    here = subprocess.run(commands[0], check=True, capture_output=True, text=True).stdout
    there = subprocess.run(commands[1], check=True, capture_output=True, text=True, env=_environment()).stderr
    losses = [re.findall(r"step \d+: loss [\d.]+", text) for text in (here, there)]
    return "\n".join(losses[0]), "\n".join(losses[1])


def timm_models() -> dict[str, str]:
    """Each model of TIMM with what stopped it, empty where it was inferred and trained."""
    import torch

    from windtunnel.run.virtual import virtual
    from windtunnel.workload.program.vision import declare_torchvision

    declare_torchvision()
    import timm

    torch.set_num_threads(1)
    found = {}
    for name in TIMM:
        try:
            with virtual("h100-sxm"):
                _infer_and_train(timm.create_model(name).cuda())
            found[name] = ""
        except Exception as problem:
            found[name] = repr(problem)[:200]
    return found


def _infer_and_train(model: Any) -> None:
    import torch

    images = torch.randn(8, *model.pretrained_cfg["input_size"], device="cuda")
    model.eval()
    with torch.inference_mode():
        model(images)
    optimizer = torch.optim.SGD(model.train().parameters(), lr=0.1, momentum=0.9)
    with torch.autocast("cuda", dtype=torch.float16):
        answer = model(images)
        logits = answer[0] if isinstance(answer, tuple) else answer
    torch.nn.functional.cross_entropy(logits, torch.randint(10, (8,), device="cuda")).backward()
    optimizer.step()
