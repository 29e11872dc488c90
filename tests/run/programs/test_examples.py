"""The examples, in small, on virtual CUDA chips and NPUs: they finish, and their FLOPs are those of PyTorch's own counter."""

from __future__ import annotations

import re
from importlib.util import find_spec

import pytest
from torch.utils.flop_counter import FlopCounterMode

from tests.run.programs.running import Ran, run_here, run_on

SMALL = {
    "gpt2_train.py": "--layers 2 --width 64 --heads 4 --context 32 --vocabulary 101 --batch_size 2 --steps 3",
    "lstm.py": "--steps 2 --batch_size 2 --tokens 5 --width 16 --vocabulary 31",
    "unet.py": "--steps 2 --samples 2 --batch_size 2 --size 16 --width 16",
    "llama_infer.py": "--layers 1 --batch_size 2 --prompt 16 --new 2",
    "deepseek_v3.py": "--layers 4 --tokens 64",
    "timm_bench.py": "resnet18 --train --steps 2 --batch_size 2",
}
NEEDS = {"llama_infer.py": "transformers", "deepseek_v3.py": "transformers", "timm_bench.py": "timm"}
CHIPS = {"h100-sxm": "cuda", "ascend-910b2": "npu"}


def small(script: str, on: str, *more: str, **options: object) -> Ran:
    if find_spec(NEEDS.get(script, "torch")) is None:
        pytest.skip(f"{NEEDS[script]} is not installed")
    return run_on(on, script, *SMALL[script].split(), "--device", CHIPS[on], *more, **options)


def flops(ran: Ran, *operators: str) -> float:
    wanted = {f"aten.{name}.default" for name in operators}
    return sum(launch.flops for launch in ran.report.launches if launch.op in wanted)


def counted(counter: FlopCounterMode, *operators: str) -> float:
    found = {str(op).removeprefix("aten."): float(n) for op, n in counter.get_flop_counts()["Global"].items()}
    return sum(found.get(name, 0.0) for name in operators)


@pytest.mark.parametrize("on", CHIPS)
@pytest.mark.parametrize("script", SMALL)
def test_example_runs_to_its_end(script: str, on: str) -> None:
    ran = small(script, on)
    assert ran.ended.traceback == ""
    assert ran.report.status == "finished"
    assert ran.report.device == CHIPS[on]
    assert ran.report.steps
    assert ran.report.step_s > 0
    assert not [one for one in ran.report.support if one.status == "unknown"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("compiled", [False, True])
def test_gpt2_trains_in_every_precision(dtype: str, compiled: bool) -> None:
    ran = small("gpt2_train.py", "h100-sxm", "--dtype", dtype, *(["--compile"] if compiled else []))
    assert ran.report.status == "finished"
    assert ran.report.dtype == {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}[dtype]
    assert ("compiled" in ran.report.settings["launching"]) is compiled
    told = {one.what for one in ran.report.stand_ins}
    assert "a float read from the device" in told
    assert ("whether gradients are finite" in told) is (dtype == "float16")


def test_compiling_takes_launches_and_time_away() -> None:
    size = "--width 768 --heads 12 --context 1024 --batch_size 12"  # enough work that entering graphs does not weigh
    eager, compiled = (small("gpt2_train.py", "h100-sxm", *size.split(), *more) for more in ([], ["--compile"]))
    assert len(compiled.report.launches) < len(eager.report.launches)
    assert compiled.report.step_s < eager.report.step_s
    assert compiled.report.memory.peak <= eager.report.memory.peak
    assert compiled.flops() == pytest.approx(eager.flops(), rel=0.01)


def test_products_of_a_training_step_have_the_counters_flops() -> None:
    with FlopCounterMode(display=False) as counter:
        run_here("gpt2_train.py", *SMALL["gpt2_train.py"].split(), "--dtype", "float32", "--device", "cpu")
    ran = small("gpt2_train.py", "h100-sxm", "--dtype", "float32")
    assert flops(ran, "mm", "addmm") == counted(counter, "mm", "addmm") > 0


def test_flops_by_hand() -> None:
    """A step of a GPT-2: every weight of a product is used once forward and twice backward, for 2 FLOPs each a token."""
    width, vocabulary, layers, tokens, steps, batches = 64, 101, 2, 2 * 32, 3, 2
    weights = layers * 12 * width**2 + width * vocabulary
    ran = small("gpt2_train.py", "h100-sxm", "--dtype", "float32")
    assert flops(ran, "mm", "addmm") == 6 * weights * tokens * steps * batches


def test_convolutions_have_the_counters_flops() -> None:
    with FlopCounterMode(display=False) as counter:
        run_here("unet.py", *SMALL["unet.py"].split(), "--device", "cpu")
    ran = small("unet.py", "h100-sxm")
    # the counter leaves out the additions of biases: of 1 + 9 x channels a result, at most one in 27
    assert counted(counter, "convolution") < flops(ran, "convolution") < counted(counter, "convolution") * 28 / 27
    assert flops(ran, "mm", "addmm") == counted(counter, "mm", "addmm")


def test_the_programs_own_timers_read_the_chips_clock() -> None:
    ran = small("gpt2_train.py", "h100-sxm", "--accumulate", "1", virtual_clock=True)
    rates = [float(found.replace(",", "")) for found in re.findall(r"([\d,]+) tokens/s", ran.output)]
    last = ran.report.steps[-1]
    assert rates[-1] == pytest.approx(2 * 32 / last.seconds, rel=0.25)  # reading the loss comes after the step's end
    wall = small("gpt2_train.py", "h100-sxm", "--accumulate", "1")
    assert wall.report.step_s == ran.report.step_s


def test_a_program_with_cuda_on_every_line() -> None:
    ran = run_on("h20", "hard_coded_cuda.py", virtual_clock=True)
    assert ran.ended.traceback == ""
    lines = ran.output.splitlines()
    assert lines[0] == "NVIDIA H20, 96 GiB, 1 of them"
    told = re.fullmatch(r"([\d.]+) ms a pass, (\d+) TFLOP/s", lines[1])
    assert told is not None
    assert 60 < int(told[2]) < 148  # the chip's peak
    # two layers: 2 x 8192 x 4096 x 16384 FLOPs each
    assert float(told[1]) * int(told[2]) == pytest.approx(2 * 2 * 8192 * 4096 * 16384 / 1e9, rel=0.01)
    # fp32 masters are moved, then halved: peak is x, mask, the wide layer twice, its result twice; at least the two wide ones
    assert int(re.findall(r"peak (\d+) MiB", ran.output)[0]) >= 2 * 8192 * 16384 * 2 / 2**20
    assert ran.report.memory.peak // 2**20 == int(re.findall(r"peak (\d+) MiB", ran.output)[0])


def test_the_same_program_finds_no_cuda_on_an_npu() -> None:
    ran = run_on("ascend-910b2", "hard_coded_cuda.py")
    assert ran.report.status == "failed"
    assert ran.report.failure is not None
    assert ran.report.failure.message == "this program needs a GPU"


def deepseek_v3_parameters() -> int:
    """By hand, from the architecture's sizes. The router's correction biases are buffers and are not among them."""
    hidden, heads, layers, dense = 7168, 128, 61, 3
    queries = hidden * 1536 + 1536 + 1536 * heads * (128 + 64)
    keys = hidden * (512 + 64) + 512 + 512 * heads * (128 + 128)
    attention = queries + keys + heads * 128 * hidden + 2 * hidden
    experts = 256 * hidden + (256 + 1) * 3 * hidden * 2048
    return 2 * 129280 * hidden + layers * attention + dense * 3 * hidden * 18432 + (layers - dense) * experts + hidden


def test_a_whole_deepseek_v3() -> None:
    """671 billion parameters of two bytes are nine chips' memory, so the limit must be off."""
    if find_spec("transformers") is None:
        pytest.skip("transformers is not installed")
    ran = run_on("h200-sxm", "deepseek_v3.py", "--tokens", 64, limit_memory=False)
    assert ran.report.status == "finished"
    assert ran.output.startswith("671.0 billion parameters")
    held = sum(one.bytes for one in ran.report.memory.holders if one.kind == "parameter")
    assert held == 2 * deepseek_v3_parameters()
    assert held < ran.report.memory.peak < 1.02 * held

    limited = run_on("h200-sxm", "deepseek_v3.py", "--tokens", 64)
    assert limited.report.failure is not None
    assert limited.report.failure.error == "OutOfMemoryError"
    assert limited.report.exit_status == 1
    assert limited.report.memory.peak <= limited.report.memory.capacity
