"""What a run leaves behind: the launches, the memory, the steps, and what could not be told. Plain data, no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from windtunnel.cost.evidence import Evidence
from windtunnel.workload.program.call import Phase, Site

Bound = Literal["matrix unit", "memory", "link", "start", "host"]
"""What a launch's time is spent on: its start is the fixed part of a kernel, host the wait for the program to launch it."""


@dataclass(slots=True)
class Launch:
    """One kernel on the device's timeline, or (``where`` "cpu") an operator that the chip sends back to its host.

    Times are seconds of the virtual clock. wait_s: how long the stream lay idle before it because the host had not yet
    launched it. seconds: end_s - start_s. step: number of the step that it belongs to, from 0. calls: operator calls
    that a compiler fused into it (1 without).
    """

    op: str
    family: str
    module: str
    site: Site | None
    phase: Phase
    step: int
    stream: int
    start_s: float
    end_s: float
    wait_s: float
    bound: str
    flops: float
    bytes: float
    evidence: Evidence
    where: Literal["chip", "cpu"] = "chip"
    calls: int = 1

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Share:
    """One line of a break-down: seconds a step (launches and the waits before them apart), and how often a step."""

    name: str
    seconds: float
    calls: float
    flops: float = 0.0
    bytes: float = 0.0
    bound: str = ""
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """Who held memory at the peak: what it is (parameter, gradient, optimiser state, activation, other), where it was made."""

    kind: str
    name: str
    bytes: int
    count: int
    site: Site | None


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """Bytes of one chip. peak: allocated at most; reserved: what the allocator took from the device at most, fragmentation
    included; curve: (seconds, allocated, reserved) in order; holders: the peak's, largest first."""

    capacity: int
    peak: int
    reserved_peak: int
    peak_at_s: float
    curve: tuple[tuple[float, int, int], ...]
    holders: tuple[Holder, ...]


@dataclass(frozen=True, slots=True)
class Support:
    """An operator that the chip's plugin does not run as a kernel of its own, or of which that is not known.

    status: "cpu fallback", "composite" (made of others), "unknown", "no dtype". via: for an operator that ends in a
    fallback only through others, the chain of names down to it.
    """

    op: str
    status: str
    calls: int
    seconds: float
    site: Site | None
    via: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Called:
    """An operator that the program called on the chip: how often, where first, with which number types among its operands and
    results. launches: whether it starts kernels; a view does not, and its number types are not kept."""

    op: str
    calls: int
    site: Site | None
    dtypes: tuple[str, ...] = ()
    launches: bool = True


@dataclass(frozen=True, slots=True)
class StandIn:
    """A value that nothing computed and the program asked for: what it was given instead, how often, where first."""

    what: str
    given: str
    calls: int
    site: Site | None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the program did not run to its end there."""

    error: str
    message: str
    site: Site | None


@dataclass(frozen=True, slots=True)
class StepTime:
    """One step on the virtual clock: from its start to its end, device busy and waiting for the host within."""

    start_s: float
    end_s: float
    busy_s: float
    wait_s: float

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class ComparedOperator:
    """One operator on a real device beside its prediction: calls and seconds a step; None where nothing predicts it."""

    op: str
    calls: float
    measured_s: float
    predicted_s: float | None


@dataclass(frozen=True, slots=True)
class Measured:
    """What a real device took, in a report whose other times are then those of the prediction.

    device: as it calls itself; chip: the catalogue's id of it, empty where it has none and nothing is predicted.
    step_s: median over ``steps`` steps; busy_s: the device's part of it; peak: bytes allocated at most, None where the
    device does not tell. operators: longest first.
    """

    device: str
    chip: str
    steps: int
    step_s: float
    busy_s: float | None = None
    peak: int | None = None
    operators: tuple[ComparedOperator, ...] = ()
    software: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServedPart:
    """One part of a forward: seconds as the program wrote it, and as an engine would launch it."""

    name: str
    written_s: float
    served_s: float


@dataclass(frozen=True, slots=True)
class Served:
    """Forwards of one shape beside what a serving engine would launch for the same tokens on the same chip.

    model: the module's class. tokens: new ones of each of ``sequences``; context: those that each has in its cache before,
    the mean over ``forwards``. Seconds and launches are of one forward, parts sum to its seconds. precision: the number type
    in which the engine runs the matrix products ("" where they differ). evidence: of the engine's time.
    """

    model: str
    phase: Literal["prefill", "decode"]
    sequences: int
    tokens: int
    context: float
    forwards: int
    written_s: float
    served_s: float
    written_launches: float
    served_launches: float
    precision: str
    evidence: Evidence
    parts: tuple[ServedPart, ...]


@dataclass
class RunReport:
    """A program on one virtual chip (of ``ranks`` alike).

    step_kind: what a step is ("optimizer step", "forward", "program"). The break-downs are per step, over the steps
    after the first where there are more. step_s: mean seconds a step; interval_s: its 80 % interval. peak_flops_per_s:
    the matrix unit's in ``dtype``; mfu: share of it. measured: what a real device took, where the program ran on one. served:
    what an engine would run for a language model's forwards, where it was asked for. called: every operator, native ones too.
    """

    program: str
    chip: str
    device: str
    ranks: int
    status: Literal["finished", "stopped", "failed"]
    step_kind: str
    steps: tuple[StepTime, ...]
    step_s: float
    interval_s: tuple[float, float]
    evidence: Evidence
    flops_per_step: float
    peak_flops_per_s: float
    dtype: str
    mfu: float
    by_operator: tuple[Share, ...]
    by_module: tuple[Share, ...]
    by_line: tuple[Share, ...]
    by_bound: tuple[Share, ...]
    memory: MemoryReport
    support: tuple[Support, ...]
    support_source: str
    stand_ins: tuple[StandIn, ...]
    failure: Failure | None = None
    exit_status: int = 0
    operators: int = 0
    launches: tuple[Launch, ...] = ()
    dropped_launches: int = 0
    settings: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    measured: Measured | None = None
    served: tuple[Served, ...] = ()
    called: tuple[Called, ...] = ()
