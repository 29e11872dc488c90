"""A plan of five chips: a cheapest, one apart, one without a price, one that fails, one on a system; and a hostile one."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from windtunnel.plan.result import Candidate, ChipPlan, Plan, Targets
from windtunnel.sim.prediction import Deployment, Estimate, Evidence, Load, MemoryUse, OperatorRow, Prediction
from windtunnel.web.peaks import ChipPeaks

PEAKS = {
    "h20": ChipPeaks("h20", {"bf16": 148e12, "fp8": 296e12, "int8": 296e12}, 4.0e12),
    "h100-sxm": ChipPeaks("h100-sxm", {"bf16": 989e12, "fp8": 1979e12, "int8": 1979e12}, 3.35e12),
    "ascend-910b2": ChipPeaks("ascend-910b2", {"bf16": 354e12, "int8": 708e12}, 1.6e12),
    "ascend-910c": ChipPeaks("ascend-910c", {"bf16": 752e12, "int8": 1504e12}, 3.2e12),
}


def estimate(value: float, spread: float, evidence: Evidence) -> Estimate:
    return Estimate(value, value / (1 + spread), value * (1 + spread), evidence)


def operators(chip: str, scale: float, batch: float, evidence: Evidence) -> tuple[OperatorRow, ...]:
    """Rows of a mixture of experts whose rates stay under the chip's roofs."""
    peak = PEAKS[chip]
    top = max(peak.flops_per_s.values())
    table = [
        ("decode", "MoE experts", "moe", 58, 0.36, 24.0, 0.72),
        ("decode", "attention (MLA)", "mla_decode", 61, 0.24, 210.0, 0.55),
        ("decode", "query and latent projections", "gemm", 183, 0.11, 2 * batch, 0.6),
        ("decode", "output projection", "gemm", 61, 0.07, 2 * batch, 0.6),
        ("decode", "shared experts", "gemm", 116, 0.04, 1.6 * batch, 0.45),
        ("decode", "norms and rotary", "elementwise", 366, 0.05, 0.6, 0.35),
        ("decode", "head", "gemm", 1, 0.02, 1.8 * batch, 0.7),
        ("prefill", "MoE experts", "moe", 58, 0.48, 900.0, 0.58),
        ("prefill", "attention (MLA)", "mla_prefill", 61, 0.18, 2600.0, 0.47),
        ("prefill", "query and latent projections", "gemm", 183, 0.13, 1500.0, 0.66),
        ("prefill", "norms and rotary", "elementwise", 366, 0.04, 0.8, 0.5),
    ]
    rows = []
    for phase, name, family, count, share, intensity, efficiency in table:
        time = scale * share * (6 if phase == "prefill" else 1)
        rate = efficiency * min(intensity * peak.bytes_per_s, top)
        bound = "memory" if intensity * peak.bytes_per_s < top else "compute"
        rows.append(OperatorRow(phase, name, family, count, time, rate * time, rate * time / intensity, bound, evidence))
    for phase, name, share in (
        ("decode", "dispatch and combine", 0.08),
        ("decode", "all-reduce", 0.03),
        ("prefill", "dispatch and combine", 0.17),
    ):
        rows.append(
            OperatorRow(
                phase,
                name,
                "collective",
                116,
                scale * share * (6 if phase == "prefill" else 1),
                0,
                2e8,
                "link",
                Evidence.TRANSFERRED,
            )
        )
    return tuple(rows)


def prediction(
    deployment: Deployment, tpot: float, yield_: float, evidence: Evidence, spread: float, memory: MemoryUse, ttft: float
) -> Prediction:
    per_user = 1 / tpot
    concurrency = max(1.0, round(yield_ * deployment.chips / per_user))
    return Prediction(
        deployment,
        Load(4096, 1024, concurrency),
        estimate(ttft, spread * 1.5, evidence),
        estimate(tpot, spread, evidence),
        estimate(yield_ * deployment.chips, spread, evidence),
        memory,
        tpot * 0.93,
        ttft * 0.7,
        concurrency,
        0.0,
        "memory",
        operators(deployment.chip, tpot, max(2.0, concurrency / deployment.chips), evidence),
        evidence,
        notes=("Experts are routed as unevenly as measured on DeepSeek-R1.", "No prefix-cache hits, no multi-token prediction."),
    )


def front(candidate: Candidate, most: float, knee: float, points: int = 11) -> tuple[Candidate, ...]:
    """Points on most / (1 + (x / knee)²): more for the user, less for the chip."""
    found = []
    for i in range(points):
        x = 8 + i * (knee * 2.6 - 8) / (points - 1)
        y = most / (1 + (x / knee) ** 2.2)
        own = candidate.prediction
        chips = own.deployment.chips
        out = Estimate(y * chips, y * chips * 0.9, y * chips * 1.1, own.evidence)
        tpot = Estimate(1 / x, 0.92 / x, 1.09 / x, own.evidence)
        found.append(
            replace(
                candidate,
                prediction=replace(
                    own, tpot=tpot, output_tokens_per_s=out, load=replace(own.load, concurrency=round(y * chips / x) or 1)
                ),
            )
        )
    return tuple(found)


SLOW = "the fastest of 962 deployments needs 71 ms a token (TP 8, EP 32, int8); the target is 50 ms"


def realistic() -> Plan:
    gb = 1e9
    model = "deepseek-ai/DeepSeek-R1"
    h20 = Deployment(model, "h20", "fp8", "fp8", tp=8, dp=2, moe_tp=1, moe_ep=16, engine="sglang", engine_version="0.5.9")
    h20_best = Candidate(
        prediction(h20, 0.0427, 515, Evidence.FITTED, 0.11, MemoryUse(96 * gb, 44e9, 31e9, 4.5e9, 9.6e9), 1.42),
        3,
        24.6,
        None,
        0,
        0.0,
        62.4,
        0.701,
        "USD 1.30 per chip and hour, rented by the month in China, 2026-08",
        26.9,
        1.09,
    )
    h100 = Deployment(model, "h100-sxm", "fp8", "", tp=8, dp=2, moe_ep=16, engine="sglang", engine_version="0.5.9")
    pre = prediction(
        replace(h100, tp=8, dp=1, moe_ep=8), 0.02, 300, Evidence.MEASURED, 0.08, MemoryUse(80 * gb, 62e9, 4e9, 6.5e9, 6e9), 0.61
    )
    h100_best = Candidate(
        prediction(h100, 0.0361, 1490, Evidence.MEASURED, 0.08, MemoryUse(80 * gb, 46e9, 21e9, 3e9, 6e9), 0.6),
        1,
        21.0,
        pre,
        1,
        0.085,
        57.6,
        0.82,
        "USD 2.40 per chip and hour, on demand, 2026-09",
        15.8,
        0.66,
    )
    a910c = Deployment(model, "ascend-910c", "int8", "", tp=4, dp=4, moe_ep=16, engine="vllm-ascend", engine_version="0.23.0")
    a910c_best = Candidate(
        prediction(a910c, 0.0456, 690, Evidence.TRANSFERRED, 0.21, MemoryUse(128 * gb, 47e9, 48e9, 6e9, 12e9), 1.71),
        2,
        21.5,
        None,
        0,
        0.0,
        60.8,
        0.88,
        "CNY 1.75 million a server over five years at 70 % use, 2025-12",
        21.4,
        0.97,
    )
    cm = replace(a910c, system="cloudmatrix-384", dp=8, moe_ep=32, engine_version="0.23.0")
    cm_best = Candidate(
        prediction(cm, 0.0493, 1020, Evidence.DATASHEET, 0.34, MemoryUse(128 * gb, 25e9, 66e9, 6e9, 12e9), 1.2),
        1,
        31.9,
        power_kw=41.0,
        joules_per_token=1.26,
    )
    a910b = replace(a910c_best, prediction=replace(a910c_best.prediction, deployment=replace(a910c, chip="ascend-910b2")))
    return Plan(
        model,
        Targets(4096, 1024, 2.0, 0.05, 20.0),
        (
            ChipPlan("h20", h20_best, "", front(h20_best, 1180, 21), 1324),
            ChipPlan("h100-sxm", h100_best, "", front(h100_best, 2550, 33), 1410),
            ChipPlan("ascend-910b2", None, SLOW, front(a910b, 510, 7.2, 7), 962),
            ChipPlan("ascend-910c", a910c_best, "", front(a910c_best, 1500, 21), 1180),
            ChipPlan("cloudmatrix-384", cm_best, "", front(cm_best, 2100, 20.5), 2204),
        ),
        (
            "Prices and exchange rates are those of 2026-10-01; edit the table to use your own.",
            "A 910C is counted as a package of two dies.",
        ),
    )


HOSTILE = "</script><script>document.body.dataset.hacked='yes'</script><img src=x onerror=\"document.body.dataset.hacked='yes'\">"


def hostile() -> Plan:
    """The same, with markup wherever a name, a reason or a note is shown, and numbers that JSON cannot hold."""
    plan = realistic()
    chips = []
    for i, chip in enumerate(plan.chips):
        best = chip.best
        if best is not None:
            own = best.prediction
            rows = tuple(replace(row, name=HOSTILE, bound=HOSTILE) for row in own.operators)
            bad = replace(own.tpot, low=math.nan, high=math.inf)
            own = replace(
                own,
                deployment=replace(own.deployment, engine=HOSTILE, precision="<b>"),
                operators=rows,
                notes=(HOSTILE,),
                bound=HOSTILE,
                tpot=bad,
            )
            best = replace(best, prediction=own, price_basis=HOSTILE)
        chips.append(replace(chip, name=f"{HOSTILE}{i}", best=best, why_not=HOSTILE))
    return replace(plan, model=HOSTILE, chips=tuple(chips), notes=(HOSTILE, "<!-- & \u2028"))


@pytest.fixture
def plan() -> Plan:
    return realistic()


@pytest.fixture
def hostile_plan() -> Plan:
    return hostile()


@pytest.fixture
def peaks() -> dict[str, ChipPeaks]:
    return PEAKS
