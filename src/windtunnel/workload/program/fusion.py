"""Calls grouped into the kernels that a compiler would make of them, as TorchInductor does on GPUs.

Chains of passes over the same elements become one kernel: what never leaves it is neither written nor read. Products,
convolutions and attention stay kernels of their libraries, and the passes before and after them kernels of their own.
A region is known as a whole before it runs, so nothing here depends on the order of calls that do not need each other.

**Source:** PyTorch 2 (ASPLOS 2024, doi 10.1145/3620665.3640366), section 4.4, on what Inductor's scheduler fuses: nodes that
share reads or feed each other, over the same or a reduced range, without making a circle.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from windtunnel.workload.ops import Convolution, Op, Pass, PassKind
from windtunnel.workload.program.call import Call, Step
from windtunnel.workload.program.work import work
from windtunnel.workload.program.work.convolution import BIAS

JOINS = frozenset({"pointwise", "copy", "transpose", "norm", "softmax", "reduction", "random", "other"})
"""Kinds of passes that become part of a kernel with what feeds them."""
FEEDS = JOINS | {"pool", "gather", "resample"}
"""Kinds that a pass after them can join: they walk their result element by element."""
FOLDS = frozenset({"norm", "softmax", "reduction"})
_KINDS: tuple[PassKind, ...] = (
    "norm", "softmax", "reduction", "pool", "resample", "gather", "random", "transpose", "other", "copy", "pointwise",
)  # fmt: skip
"""Which kind a kernel of several is taken to be: the first of these."""

CALLS_A_CONVOLUTION, SMALL_CHANNELS = 300, 64
"""Inductor keeps the layout of programs with so many calls to each convolution, or with no more channels than these."""


@dataclass(frozen=True, slots=True)
class Fused:
    """One kernel (or one call of a library) of a compiled region. calls: places in the region of what it does; ops: what
    is to be priced; name: of the call that moves most."""

    calls: tuple[int, ...]
    ops: tuple[Op, ...]
    name: str


@dataclass(slots=True)
class _Group:
    """A kernel while it grows. numel: elements that it walks; before: bits of all groups that must run before it."""

    numel: float
    open: bool
    before: int
    calls: list[int] = field(default_factory=list)
    passes: list[Pass] = field(default_factory=list)
    library: tuple[Op, ...] = ()


@dataclass(slots=True)
class _Region:
    steps: Sequence[Step]
    worked: dict[int, tuple[Op, ...]] = field(default_factory=dict)
    """What each call that launches something does."""
    groups: list[_Group] = field(default_factory=list)
    maker: dict[int, int] = field(default_factory=dict)
    """The group that made each value."""
    readers: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    """The groups that read each value."""
    whole: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    """Bytes of each value, as far as anyone sees it."""


def fuse(steps: Sequence[Step], price: Callable[[Call], tuple[Op, ...]] = work) -> list[Fused]:
    """The kernels of a region, in an order in which they can run. Calls that launch nothing are in none of them."""
    region = _Region(steps)
    last = channels_go_last(steps, price)
    for i, step in enumerate(steps):
        for spec, value in (*zip(step.call.inputs, step.reads, strict=False), *zip(step.call.outputs, step.writes, strict=False)):
            region.whole[value] = max(region.whole[value], float(spec.bytes))
        ops = price(step.call)
        if ops:
            region.worked[i] = ops
            _add(region, i, ops)
    order = sorted(range(len(region.groups)), key=lambda g: region.groups[g].before.bit_count())
    return [_finished(region, g, last) for g in order]


def _add(region: _Region, i: int, ops: tuple[Op, ...]) -> None:
    step = region.steps[i]
    passes = [op for op in ops if isinstance(op, Pass)]
    g = _place(region, step, passes if len(passes) == len(ops) else [])
    group = region.groups[g]
    group.calls.append(i)
    if len(passes) == len(ops):
        group.passes += passes
    else:
        # what a library adds as it goes, compilers fold into its call or into the pass that follows
        group.library = tuple(op for op in ops if op.name != BIAS)
    for value in step.reads:
        region.readers[value].add(g)
    for value in step.writes:
        region.maker[value] = g


def _place(region: _Region, step: Step, passes: list[Pass]) -> int:
    """The group that the call joins; a new one where it can join none of those that feed it."""
    groups = region.groups
    feeding = {region.maker[v] for v in step.reads if v in region.maker}
    before = 0
    for g in feeding:
        before |= groups[g].before | 1 << g
    kinds = {p.kind for p in passes}
    walked = _walked(step, kinds)
    if passes and kinds <= JOINS:
        for g in sorted(feeding, reverse=True):
            group = groups[g]
            over_result = walked < group.numel and feeding == {g} and any(p.kind in FOLDS for p in group.passes)
            circle = any(groups[other].before >> g & 1 for other in feeding if other != g)
            if group.open and (walked == group.numel or over_result) and not circle:
                _grow(groups, g, before & ~(1 << g))
                return g
    open_ = bool(passes) and kinds <= FEEDS
    groups.append(_Group(walked, open_, before))
    return len(groups) - 1


def _walked(step: Step, kinds: set[PassKind]) -> float:
    """Elements that a pass goes over: of its results, or where it folds, of what it reads."""
    made = max((s.numel for s in step.call.outputs), default=0)
    read = max((s.numel for s in step.call.inputs), default=0)
    return float(max(made, read) if kinds & FOLDS or not made else made)


def _grow(groups: list[_Group], g: int, before: int) -> None:
    """What must now run before a group must run before all that come after it."""
    if before & ~groups[g].before:
        groups[g].before |= before
        for group in groups:
            if group.before >> g & 1:
                group.before |= before


def _finished(region: _Region, g: int, last: bool) -> Fused:
    group = region.groups[g]
    calls = tuple(group.calls)
    if group.library:
        ops = tuple(replace(op, channels_last=True) if last and isinstance(op, Convolution) else op for op in group.library)
        return Fused(calls, ops, region.steps[calls[0]].call.name)
    if len(group.passes) == 1:
        return Fused(calls, tuple(group.passes), region.steps[calls[0]].call.name)
    kinds = {p.kind for p in group.passes}
    kind = next((k for k in _KINDS if k in kinds), group.passes[0].kind)
    heaviest = max(group.passes, key=lambda p: p.bytes)
    made = Pass(
        heaviest.name, kind, _read(region, calls), _written(region, g), group.numel, heaviest.dtype,
        max(p.row for p in group.passes), all(p.contiguous for p in group.passes), sum(p.flops for p in group.passes),
    )  # fmt: skip
    return Fused(calls, (made,), heaviest.name)


def _read(region: _Region, calls: tuple[int, ...]) -> float:
    """Bytes that enter a kernel: a value seen whole once, parts of one until they make the whole; what rows too long to be kept
    on the chip are read again for."""
    inside = {v for i in calls for v in region.steps[i].writes}
    parts: dict[int, float] = defaultdict(float)
    again = 0.0
    for i in calls:
        step = region.steps[i]
        folded = sum(op.read_bytes for op in region.worked[i] if isinstance(op, Pass) and op.kind in FOLDS)
        again += max(folded - sum(spec.bytes for spec in step.call.inputs), 0.0)
        for spec, value in zip(step.call.inputs, step.reads, strict=False):
            if value not in inside:
                parts[value] = min(parts[value] + spec.bytes, region.whole[value])
    return sum(parts.values()) + again


def _written(region: _Region, g: int) -> float:
    """Bytes that leave it: what another kernel reads, and what nobody reads but the caller (the first result of a call)."""
    total = 0.0
    for i in region.groups[g].calls:
        step = region.steps[i]
        for place, (spec, value) in enumerate(zip(step.call.outputs, step.writes, strict=False)):
            readers = region.readers.get(value)
            if (readers and readers != {g}) or (not readers and place == 0):
                total += spec.bytes
    return total


def channels_go_last(steps: Sequence[Step], price: Callable[[Call], tuple[Op, ...]] = work) -> bool:
    """Whether the compiler turns images so that channels lie innermost, for the whole region.

    **Source:** the rule of ``decide_layout_opt`` in torch/_inductor/graph.py (PyTorch 2.4 to 2.13). Without gradients it weighs
    the FLOPs of four classes by how much faster or slower each ran so; with gradients it refuses groups of several channels,
    windows onto far fewer channels, and few channels throughout.
    """
    convolutions = [op for step in steps if "conv" in step.call.name for op in price(step.call) if isinstance(op, Convolution)]
    if not convolutions or len(steps) >= CALLS_A_CONVOLUTION * len(convolutions):
        return False
    classes = [_layout_class(c) for c in convolutions]
    if any(c.direction != "forward" for c in convolutions):
        return not ({"grouped", "narrowing"} & set(classes) or set(classes) == {"small"})
    gained = sum(c.flops * (LAYOUT_GAIN[kind] - 1.0) for c, kind in zip(convolutions, classes, strict=True))
    return gained <= 0.0


LAYOUT_GAIN = {"grouped": 1.358, "small": 0.783, "narrowing": 0.725, "plain": 0.823}
"""Time with channels innermost over time without, as ``decide_layout_opt`` has it."""


def _layout_class(c: Convolution) -> str:
    within = c.in_channels / c.groups
    if c.groups > 1 and within > 1:
        return "grouped"
    if within <= SMALL_CHANNELS and c.out_channels <= SMALL_CHANNELS:
        return "small"
    return "narrowing" if 2 * c.out_channels <= within and max(c.kernel) > 1 else "plain"
