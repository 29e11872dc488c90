"""A prediction and a plan that no cost model made: every field set, so that what shows them can be tested alone."""

from __future__ import annotations

from dataclasses import replace

from windtunnel.plan.result import Candidate, ChipPlan, Plan, Targets
from windtunnel.sim.prediction import Deployment, Estimate, Evidence, Load, MemoryUse, OperatorRow, Prediction

FITTED, DATASHEET = Evidence.FITTED, Evidence.DATASHEET


def around(value: float, evidence: Evidence = FITTED, spread: float = 0.2) -> Estimate:
    return Estimate(value, value * (1 - spread), value * (1 + spread), evidence)


def prediction(
    chip: str = "h20", *, tp: int = 8, dp: int = 1, moe_ep: int = 0, tpot_s: float = 0.0421, ttft_s: float = 1.42
) -> Prediction:
    batch = 48.0
    return Prediction(
        deployment=Deployment(
            "deepseek-ai/DeepSeek-R1", chip, precision="fp8", tp=tp, dp=dp, moe_ep=moe_ep, engine="vllm", engine_version="0.11"
        ),
        load=Load(isl=4096, osl=1024, concurrency=64),
        ttft=around(ttft_s),
        tpot=around(tpot_s, spread=0.1),
        output_tokens_per_s=around(batch / tpot_s),
        memory=MemoryUse(96e9, 85.2e9, 5.1e9, 1.2e9, 2.5e9),
        decode_step_s=tpot_s * 0.97,
        prefill_s=0.61,
        batch=batch,
        queued=16.0,
        bound="memory",
        operators=(
            OperatorRow("prefill", "moe.experts", "moe", 58, 0.310, 1.1e14, 4.0e11, "compute", FITTED),
            OperatorRow("prefill", "attention", "mla_prefill", 61, 0.200, 0.9e14, 2.0e11, "compute", FITTED),
            OperatorRow("prefill", "all_reduce", "collective", 122, 0.100, 0.0, 7.0e9, "link", DATASHEET),
            OperatorRow("decode", "moe.experts", "moe", 58, 0.0210, 2.2e12, 8.1e10, "memory", FITTED),
            OperatorRow("decode", "attention", "mla_decode", 61, 0.0118, 4.0e11, 2.0e10, "memory", FITTED),
            OperatorRow("decode", "attention.o_proj", "gemm", 61, 0.0042, 1.0e11, 1.0e10, "memory", FITTED),
            OperatorRow("decode", "all_reduce", "collective", 122, 0.0036, 0.0, 8.4e7, "link", DATASHEET),
            OperatorRow("decode", "norm", "elementwise", 122, 0.0001, 0.0, 1.0e6, "host", FITTED),
            OperatorRow("decode", "rope", "elementwise", 61, 0.00005, 0.0, 1.0e6, "host", FITTED),
        ),
        evidence=DATASHEET,
        power_w=2960.0,
        energy_j_per_token=2.6,
        notes=(
            "The links between chips were never measured on this chip; their time comes from the data sheet, "
            "and so does the interval's width.",
        ),
    )


def candidate(chip: str, replicas: int, usd_per_mtok: float | None, **changes: object) -> Candidate:
    one = prediction(chip, **changes)  # type: ignore[arg-type]
    chips = one.deployment.chips * replicas
    return Candidate(
        prediction=one,
        replicas=replicas,
        requests_per_s=20.4,
        usd_per_hour=None if usd_per_mtok is None else chips * 1.9,
        usd_per_mtok=usd_per_mtok,
        price_basis="" if usd_per_mtok is None else "rental, 2026-09",
        power_kw=chips * 0.37,
        joules_per_token=2.6,
    )


def apart(chip: str) -> Candidate:
    """Prefill and decode on instances of their own."""
    decode = candidate(chip, 1, None, tp=4, dp=8, moe_ep=32, tpot_s=0.031)
    return replace(decode, prefill=prediction(chip, tp=16, ttft_s=0.9), prefill_replicas=4, kv_transfer_s=0.05)


def plan() -> Plan:
    targets = Targets(isl=4096, osl=1024, ttft_s=2.0, tpot_s=0.05, requests_per_s=20.0)
    h20 = candidate("h20", 18, 0.412)
    front = tuple(candidate("h20", 18, 0.412, tpot_s=t) for t in (0.049, 0.042, 0.035, 0.028, 0.021, 0.014))
    return Plan(
        model="deepseek-ai/DeepSeek-R1",
        targets=targets,
        chips=(
            ChipPlan("h20", h20, pareto=front, searched=412),
            ChipPlan("h100-sxm", candidate("h100-sxm", 10, 0.655, tp=16, tpot_s=0.022), searched=388),
            ChipPlan(
                "ascend-910b2",
                None,
                why_not="it cannot compute fp8, and as int8 the shortest time per output token of all that was searched is 61 ms",
                searched=120,
            ),
            ChipPlan("cloudmatrix-384", apart("ascend-910c"), searched=512),
        ),
        notes=("Prices are of 2026-09 and do not include the network; --prices FILE takes yours.",),
    )
