"""Reports that no program made: a training with fall-backs, a whole inference, one that ran out of memory, one that was
measured, one beside a serving engine.

The launches are laid on the clock one after the other, and the break-downs are summed from them, so that the parts agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

from windtunnel.cost.evidence import Evidence
from windtunnel.run.record import (
    ComparedOperator,
    Failure,
    Holder,
    Launch,
    Measured,
    MemoryReport,
    RunReport,
    Served,
    ServedPart,
    Share,
    StandIn,
    StepTime,
    Support,
)
from windtunnel.workload.program.call import Phase, Site

EXAMPLE = Path(__file__).parent / "example"
PROGRAM = str(EXAMPLE / "train.py")
GIB = 2**30
LAYERS, TOKENS, WIDTH, VOCABULARY = 12, 12 * 1024, 768, 50257
FITTED, TRANSFERRED, DATASHEET = Evidence.FITTED, Evidence.TRANSFERRED, Evidence.DATASHEET


def at(line: int, function: str = "forward") -> Site:
    return Site(PROGRAM, line, function)


class Tape:
    """Launches on one stream of a chip: ``rate`` scales all device times, ``launch_s`` is the host's time for each."""

    def __init__(self, rate: float, launch_s: float) -> None:
        self.rate, self.launch_s = rate, launch_s
        self.host_s = self.device_s = 0.0
        self.step = 0
        self.launches: list[Launch] = []
        self.steps: list[StepTime] = []

    def put(
        self,
        op: str,
        module: str,
        line: int,
        seconds: float,
        bound: str,
        *,
        phase: Phase = "forward",
        flops: float = 0.0,
        moved: float = 0.0,
        family: str = "elementwise",
        evidence: Evidence = FITTED,
        cpu: bool = False,
        stream: int = 0,
        function: str = "forward",
    ) -> None:
        self.host_s += self.launch_s
        start = max(self.host_s, self.device_s)
        wait = max(0.0, self.host_s - self.device_s)
        end = start + seconds * (1.0 if cpu else self.rate)
        self.device_s = end
        if cpu:
            self.host_s = end  # the program waits for it
        where = "cpu" if cpu else "chip"
        self.launches.append(
            Launch(
                f"aten.{op}", family, module, at(line, function), phase, self.step, stream, start, end, wait, bound,
                flops, moved, evidence, where,  # type: ignore[arg-type]
            )
        )  # fmt: skip

    def end_step(self) -> None:
        mine = [launch for launch in self.launches if launch.step == self.step]
        start = self.steps[-1].end_s if self.steps else 0.0
        busy, wait = sum(launch.seconds for launch in mine), sum(launch.wait_s for launch in mine)
        self.host_s = max(self.host_s, self.device_s)
        self.steps.append(StepTime(start, self.device_s, busy, wait))
        self.step += 1


def linear(tape: Tape, module: str, line: int, n: int, k: int, *, phase: Phase = "forward", scale: float = 1.0) -> None:
    flops = 2.0 * TOKENS * n * k * scale
    op = "addmm.default" if phase == "forward" else "mm.default"
    bound = "matrix unit" if n * k > 1e6 else "memory"
    tape.put(
        op, module, line, flops / 190e12 + 6e-6, bound, phase=phase, flops=flops, moved=2.0 * TOKENS * (n + k), family="gemm"
    )


def block(tape: Tape, i: int, phase: Phase) -> None:
    own = f"transformer.h.{i}"
    back = phase == "backward"
    factor = 2.0 if back else 1.0
    norm = "native_layer_norm_backward.default" if back else "native_layer_norm.default"
    attention = "_scaled_dot_product_flash_attention"
    tape.put(norm, f"{own}.ln_1", 20, factor * 48e-6, "memory", phase=phase, moved=38e6, family="norm")
    linear(tape, f"{own}.attn.c_attn", 20, 3 * WIDTH, WIDTH, phase=phase, scale=factor)
    tape.put(
        f"{attention}_backward.default" if back else f"{attention}.default", f"{own}.attn", 21, factor * 290e-6, "matrix unit",
        phase=phase, flops=factor * 19.3e9, moved=75e6, family="attention",
    )  # fmt: skip
    linear(tape, f"{own}.attn.c_proj", 22, WIDTH, WIDTH, phase=phase, scale=factor)
    tape.put("add.Tensor", own, 22, 3e-6, "start", phase=phase, moved=57e6)
    tape.put(norm, f"{own}.ln_2", 23, factor * 48e-6, "memory", phase=phase, moved=38e6, family="norm")
    linear(tape, f"{own}.mlp.c_fc", 23, 4 * WIDTH, WIDTH, phase=phase, scale=factor)
    gelu = "gelu_backward.default" if back else "gelu.default"
    tape.put(gelu, f"{own}.mlp.gelu", 23, factor * 95e-6, "memory", phase=phase, moved=151e6)
    linear(tape, f"{own}.mlp.c_proj", 24, WIDTH, 4 * WIDTH, phase=phase, scale=factor)
    tape.put("add.Tensor", own, 24, 3e-6, "start", phase=phase, moved=57e6)


def forward(tape: Tape) -> None:
    tape.put("embedding.default", "transformer.wte", 35, 26e-6, "memory", moved=38e6, family="gather")
    for i in range(LAYERS):
        block(tape, i, "forward")
    linear(tape, "lm_head", 35, VOCABULARY, WIDTH)
    tape.put("_log_softmax.default", "", 35, 2.4e-3, "memory", moved=3.7e9, family="softmax")


def training_step(tape: Tape) -> None:
    forward(tape)
    linear(tape, "lm_head", 36, VOCABULARY, WIDTH, phase="backward", scale=2.0)
    for i in reversed(range(LAYERS)):
        block(tape, i, "backward")
    for _ in range(3):
        tape.put(
            "_foreach_norm.Scalar", "", 37, 1.9e-3, "host", phase="optimizer", moved=5e8, evidence=DATASHEET, cpu=True,
            function="main",
        )  # fmt: skip
    for _ in range(148):
        tape.put("_fused_adamw_.default", "", 38, 9e-6, "start", phase="optimizer", moved=9.3e6, evidence=TRANSFERRED,
                 function="main")  # fmt: skip
    tape.put("histc.default", "", 40, 4.1e-4, "host", phase="optimizer", evidence=DATASHEET, cpu=True, function="main")
    tape.end_step()


def shares(launches: list[Launch], steps: int, name: Callable[[Launch], str]) -> tuple[Share, ...]:
    groups: dict[str, list[Launch]] = {}
    for launch in launches:
        groups.setdefault(name(launch), []).append(launch)

    def longest(mine: list[Launch]) -> str:
        bounds: dict[str, float] = {}
        for launch in mine:
            bounds[launch.bound] = bounds.get(launch.bound, 0.0) + launch.seconds
        return max(bounds, key=lambda bound: bounds[bound])

    def share(key: str, mine: list[Launch]) -> Share:
        return Share(
            key,
            sum(x.seconds for x in mine) / steps,
            len(mine) / steps,
            sum(x.flops for x in mine) / steps,
            sum(x.bytes for x in mine) / steps,
            longest(mine),
            min(x.evidence for x in mine),
        )

    return tuple(sorted((share(key, mine) for key, mine in groups.items()), key=lambda s: -s.seconds))


def curve(steps: list[StepTime], base: int, top: int) -> Iterator[tuple[float, int, int]]:
    """Up while the forward pass keeps its activations, down in the backward pass."""
    yield 0.0, 0, 0
    yield 1e-4, base, base + GIB // 8
    for step in steps:
        for i in range(41):
            share = i / 40
            height = min(1.0, share / 0.38) if share < 0.42 else max(0.0, (0.9 - share) / 0.48)
            held = base + int(height * (top - base))
            yield step.start_s + 1e-4 + share * (step.seconds - 2e-4), held, max(held, base + (top - base) * (i > 15)) + GIB // 8


def summed(tape: Tape, chip: str, device: str, peak: float, capacity: int, program: str, kind: str) -> RunReport:
    """A report of what the tape holds; the break-downs leave out the first step."""
    later = [launch for launch in tape.launches if launch.step > 0]
    n = len(tape.steps) - 1
    times = [step.seconds for step in tape.steps[1:]]
    step_s = median(times)
    flops = sum(x.flops for x in later) / n
    bounds = list(shares(later, n, lambda x: x.bound))
    wait = sum(x.wait_s for x in later) / n
    bounds = [replace(b, seconds=b.seconds + wait) if b.name == "host" else b for b in bounds]
    if not any(b.name == "host" for b in bounds) and wait:
        bounds.append(Share("host", wait, 0.0))
    points = tuple(curve(tape.steps, int(1.95 * GIB), int(21.3 * GIB)))
    top = max(points, key=lambda point: point[1])
    return RunReport(
        program=program,
        chip=chip,
        device=device,
        ranks=1,
        status="finished",
        step_kind=kind,
        steps=tuple(tape.steps),
        step_s=step_s,
        interval_s=(step_s * 0.86, step_s * 1.17),
        evidence=min(x.evidence for x in later),
        flops_per_step=flops,
        peak_flops_per_s=peak,
        dtype="bf16",
        mfu=flops / step_s / peak,
        by_operator=shares(later, n, lambda x: x.op),
        by_module=shares(later, n, lambda x: x.module),
        by_line=shares(later, n, lambda x: f"{x.site.file}:{x.site.line}" if x.site else ""),
        by_bound=tuple(sorted(bounds, key=lambda b: -b.seconds)),
        memory=MemoryReport(
            capacity,
            top[1],
            max(point[2] for point in points),
            top[0],
            points,
            (
                Holder("activation", "aten._log_softmax.default", 4_940_000_000, 2, at(35)),
                Holder("activation", "aten.addmm.default", 4_530_000_000, 48, at(23)),
                Holder("activation", "aten.gelu.default", 3_620_000_000, 24, at(23)),
                Holder("activation", "aten._scaled_dot_product_flash_attention.default", 2_410_000_000, 36, at(21)),
                Holder("activation", "aten.native_layer_norm.default", 1_810_000_000, 72, at(20)),
                Holder("optimiser state", "exp_avg, exp_avg_sq", 995_000_000, 296, at(38, "main")),
                Holder("parameter", "transformer.wte.weight", 154_000_000, 1, at(30, "main")),
                Holder("parameter", "transformer.h", 340_000_000, 144, at(30, "main")),
                Holder("gradient", "transformer.h", 340_000_000, 144, at(36, "main")),
                Holder("other", "", 61_000_000, 9, None),
            ),
        ),
        support=(),
        support_source="op-plugin's operator table of torch_npu 2.13.0",
        stand_ins=(StandIn("the value of a tensor (item)", "0.0", len(tape.steps), at(40, "main")),),
        operators=len(tape.launches),
        launches=tuple(tape.launches),
        settings={"clock": "virtual", "values": "not computed", "mode": "eager"},
        notes=("The first step is left out of the break-downs: it allocates memory and compiles kernels.",),
    )


def training() -> RunReport:
    """GPT-2 training on an Ascend 910B2: two operators run on the CPU, one through another, one is not known."""
    tape = Tape(1.0, 17e-6)
    for _ in range(5):
        training_step(tape)
    report = summed(tape, "ascend-910b2", "npu", 353.9e12, 64 * GIB, f"{PROGRAM} 5", "optimizer step")
    per_step = {share.name: share for share in report.by_operator}
    return replace(
        report,
        support=(
            Support(
                "aten._foreach_norm.Scalar", "cpu fallback", 15, 5 * per_step["aten._foreach_norm.Scalar"].seconds,
                at(37, "main"), ("aten.linalg_vector_norm.default", "aten.abs.default"),
            ),
            Support("aten.histc.default", "cpu fallback", 5, 5 * per_step["aten.histc.default"].seconds, at(40, "main")),
            Support(
                "aten._fused_adamw_.default", "unknown", 740, 5 * per_step["aten._fused_adamw_.default"].seconds, at(38, "main"),
                note="the operator table has no line for it",
            ),
            Support("aten.gelu_backward.default", "composite", 60, 0.0, at(36, "main"), ("aten.mul.Tensor", "aten.erf.default")),
        ),
    )  # fmt: skip


def inference(chip: str = "h100-sxm", rate: float = 0.34, peak: float = 989.4e12, capacity: int = 80 * GIB) -> RunReport:
    """The forward pass alone, on a chip that runs all of it."""
    tape = Tape(rate, 6e-6)
    for _ in range(4):
        forward(tape)
        tape.end_step()
    report = summed(tape, chip, "cuda", peak, capacity, f"{PROGRAM} 5", "forward")
    return replace(report, support_source="operators of CUDA builds of PyTorch 2.13.0", stand_ins=())


def training_on(chip: str, rate: float, peak: float, capacity: int, launch_s: float = 6e-6) -> RunReport:
    """The same training on a chip that has a kernel for everything."""
    tape = Tape(rate, launch_s)
    for _ in range(5):
        training_step(tape)
    report = summed(tape, chip, "cuda", peak, capacity, f"{PROGRAM} 5", "optimizer step")
    launches = tuple(replace(launch, where="chip") for launch in report.launches)
    return replace(report, launches=launches, support_source="operators of CUDA builds of PyTorch 2.13.0")


def out_of_memory() -> RunReport:
    """Stopped in its first backward pass, on a chip with 16 GiB."""
    whole = training_on("v100-sxm-32gb", 2.9, 125e12, 16 * GIB)
    memory = replace(
        whole.memory,
        capacity=16 * GIB,
        peak=int(15.6 * GIB),
        reserved_peak=int(15.9 * GIB),
        peak_at_s=0.0912,
        holders=tuple(replace(h, bytes=h.bytes * 7 // 10) for h in whole.memory.holders),
        curve=tuple((s, min(a, int(15.6 * GIB)), min(r, int(15.9 * GIB))) for s, a, r in whole.memory.curve if s < 0.0912),
    )
    return replace(
        whole,
        status="failed",
        steps=(),
        step_s=float("nan"),
        interval_s=(float("nan"), float("nan")),
        mfu=float("nan"),
        flops_per_step=0.0,
        memory=memory,
        by_bound=(),
        by_operator=(),
        by_module=(),
        by_line=(),
        launches=tuple(x for x in whole.launches if x.end_s < 0.0912),
        failure=Failure(
            "OutOfMemoryError",
            "tried to allocate 2.30 GiB; 15.6 GiB of 16.0 GiB are allocated, 290 MiB reserved and free in blocks up to 66 MiB",
            at(35, "main"),
        ),
        exit_status=1,
    )


def measured() -> RunReport:
    """A prediction and what a real H100 took."""
    predicted = training_on("h100-sxm", 0.34, 989.4e12, 80 * GIB)
    off = (1.1, 0.93, 1.31, 1.02, 0.88, 1.2, 0.7)
    rows = tuple(
        ComparedOperator(share.name, share.calls, share.seconds * off[i % len(off)], share.seconds if i % 5 != 3 else None)
        for i, share in enumerate(predicted.by_operator)
    )
    return replace(
        predicted,
        measured=Measured(
            "NVIDIA H100 80GB HBM3", "h100-sxm", 20, predicted.step_s * 1.08, predicted.step_s * 1.01, int(20.7 * GIB), rows,
            "PyTorch 2.13.0, CUDA 13.0",
        ),
    )  # fmt: skip


def served() -> RunReport:
    """A language model's forwards beside what an engine would run."""
    prefill = (
        ServedPart("attention", 0.115, 0.113),
        ServedPart("experts and their router", 0.212, 0.176),
        ServedPart("output head", 0.0546, 0.000683),
        ServedPart("waiting for the host", 0.0476, 0.0),
    )
    decode = (ServedPart("attention", 0.0131, 0.00146), ServedPart("output head", 0.000683, 0.000684))
    return replace(
        inference("h20", 2.3, 148e12, 96 * GIB),
        served=(
            Served(
                "DeepseekV3ForCausalLM", "prefill", 4, 1024, 0.0, 1, 0.4292, 0.289683, 17615, 117, "bf16", TRANSFERRED, prefill
            ),
            Served(
                "DeepseekV3ForCausalLM", "decode", 4, 1, 1025.5, 4, 0.013783, 0.002144, 2749, 125, "bf16", TRANSFERRED, decode
            ),
        ),
    )
