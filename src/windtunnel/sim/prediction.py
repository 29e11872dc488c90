"""What a prediction is: one deployment, one load, and the times, memory and energy that follow."""

from __future__ import annotations

from dataclasses import dataclass, field

from windtunnel.cost.evidence import Estimate, Evidence

__all__ = ["Deployment", "Estimate", "Evidence", "Load", "MemoryUse", "OperatorRow", "Prediction"]


@dataclass(frozen=True, slots=True)
class Deployment:
    """One model instance on ``chips`` equal chips.

    precision: weights and matrix inputs (bf16, fp8, fp4, int8, w4a16 ...), empty: as the checkpoint is stored.
    tp, pp, dp: attention is cut tp ways, layers pp ways, and dp groups share the requests; the experts'
    chips are the same tp * dp, cut moe_tp ways in each of moe_ep groups. chips = tp * pp * dp.
    chip: catalogue id; system: catalogue id of the system whose links are used, or "" for the chip's own server.
    """

    model: str
    chip: str
    precision: str = ""
    kv_precision: str = ""
    tp: int = 1
    pp: int = 1
    dp: int = 1
    moe_tp: int = 0
    moe_ep: int = 0
    engine: str = ""
    engine_version: str = ""
    system: str = ""

    @property
    def chips(self) -> int:
        return self.tp * self.pp * self.dp


@dataclass(frozen=True, slots=True)
class Load:
    """A closed loop: ``concurrency`` requests in flight over the whole instance, each isl tokens in, osl out.

    prefix_hit: share of the input that a prefix cache already holds. mtp_accept: tokens that a decode step
    yields beyond the first, 0 without multi-token prediction.
    """

    isl: float
    osl: float
    concurrency: float
    prefix_hit: float = 0.0
    mtp_accept: float = 0.0


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """One line of the per-operator table of a step; time_s is the sum over ``count`` launches on one rank."""

    phase: str
    name: str
    family: str
    count: float
    time_s: float
    flops: float
    bytes: float
    bound: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Bytes of one chip at the load's working point."""

    capacity: float
    weights: float
    kv_cache: float
    activations: float
    reserved: float

    @property
    def used(self) -> float:
        return self.weights + self.kv_cache + self.activations + self.reserved

    @property
    def headroom(self) -> float:
        return self.capacity - self.used


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a deployment does under a load.

    ttft, tpot: means over the requests of a run (``predict``) or of the steady state (``plan``), in seconds;
    output_tokens_per_s: of the whole instance;
    bound: what bounds the decode step most (matrix unit, memory, host, link); energy_j_per_token: of output
    tokens, chips alone, None where no power figure is known; notes: what was assumed, one line each.
    """

    deployment: Deployment
    load: Load
    ttft: Estimate
    tpot: Estimate
    output_tokens_per_s: Estimate
    memory: MemoryUse
    decode_step_s: float
    prefill_s: float
    batch: float
    queued: float
    bound: str
    operators: tuple[OperatorRow, ...]
    evidence: Evidence
    power_w: float | None = None
    energy_j_per_token: float | None = None
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def output_tokens_per_s_per_chip(self) -> float:
        return self.output_tokens_per_s.value / self.deployment.chips
