"""The search over layouts: every sensible way of cutting a run over so many chips, fastest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from windtunnel.errors import DoesNotFitError, InvalidInputError, MissingFactError, ParallelismError
from windtunnel.plan import words
from windtunnel.plan.training.framework import SCHEDULES, Schedule
from windtunnel.plan.training.layout import RECOMPUTE, Layout, Recompute, below, check
from windtunnel.plan.training.run import Run
from windtunnel.plan.training.step import Step

MOST_TP = 16
"""Chips of a tensor-parallel group in domains that would allow more: no published run cuts its products further."""
MOST_PP = 64
MICRO_BATCHES = (1, 2, 4, 8)
CHUNKS = (2, 4, 8)
CONTEXTS = (1, 2, 4, 8, 16, 32)
MOST_EP = 64
"""Ranks over which experts lie, or a whole scale-up domain where that is larger: no published run spreads them further."""
RUNNERS_UP = 40
LONG = 32_768
"""Tokens of a sequence from which context parallelism is tried before memory asks for it."""
WAITING = 0.1
"""Share of a step that stages wait from which it is tried as well: fewer replicas leave more micro-batches to each."""


@dataclass(frozen=True, slots=True)
class FixedLayout:
    """What the user fixed; None: to be chosen."""

    tp: int | None = None
    cp: int | None = None
    pp: int | None = None
    ep: int | None = None
    dp: int | None = None
    micro_batch: int | None = None
    recompute: Recompute | None = None
    zero: int | None = None
    schedule: Schedule | None = None
    chunks: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The fastest step that fits, how many layouts were looked at, the smallest memory of those that do not fit, and the best
    of each way of cutting the model, fastest first."""

    best: Step | None
    searched: int
    tightest: Step | None
    next: tuple[Step, ...] = ()


def search(run: Run, chips: int, fixed: FixedLayout) -> Found:
    """The fastest layout of ``run`` on ``chips``.

    What needs more exchanges to save memory is tried where nothing less fits: splitting more over replicas, then cutting
    sequences (these also where stages would wait for long). Raises ParallelismError where what was fixed divides nothing.
    """
    _check_fixed(run, chips, fixed)
    found: list[Step] = []
    searched, tightest = 0, None
    refused: InvalidInputError | None = None
    for contexts in ((fixed.cp,),) if fixed.cp else (CONTEXTS,) if run.work.length >= LONG else ((1,), CONTEXTS[1:]):
        if found and not _waits(min(found, key=_pace)):
            break
        before = len(found)
        for zero in run.loop.zero if fixed.zero is None else (fixed.zero,):
            for shape in shapes(run, chips, fixed, contexts):
                try:
                    check(run.work.spec, shape)
                    run.micro_batches(shape)
                except InvalidInputError as error:
                    refused = refused if isinstance(refused, ParallelismError) else error
                    continue
                for schedule, chunks in _schedules(run, shape, fixed):
                    step = _fitting(run, replace(shape, schedule=schedule, chunks=chunks, zero=zero), fixed)
                    searched += 1
                    if step.memory.fits:
                        found.append(step)
                    elif tightest is None or step.memory.total < tightest.memory.total:
                        tightest = step
            if len(found) > before:
                break
    if found:
        found.sort(key=_pace)
        # of each way of cutting the model, the best
        ways = {_way(step): step for step in reversed(found)}
        others = [step for step in found if ways[_way(step)] is step]
        return Found(found[0], searched, tightest, tuple(others[:RUNNERS_UP]))
    if not searched and refused is not None:
        raise refused
    return Found(None, searched, tightest)


def _pace(step: Step) -> float:
    """Seconds a token."""
    return step.total_s / step.tokens


def _waits(step: Step) -> bool:
    return step.bubble_s > WAITING * step.accounted_s


def _way(step: Step) -> tuple[int, int, int, int]:
    return step.layout.tp, step.layout.cp, step.layout.pp, step.layout.ep


def _check_fixed(run: Run, chips: int, fixed: FixedLayout) -> None:
    """Raises ParallelismError for degrees that were fixed and cut neither the model nor the chips evenly."""
    check(
        run.work.spec, Layout(tp=fixed.tp or 1, pp=fixed.pp or 1, ep=fixed.ep or 1, dp=(fixed.ep or 1), chunks=fixed.chunks or 1)
    )
    if fixed.cp and run.work.length % fixed.cp:
        near = below(run.work.length, fixed.cp)
        told = f"{fixed.cp} does not divide sequences of {run.work.length:,} tokens; nearest that would do: {near}"
        raise ParallelismError("cp", told)
    whole = 1
    for name in ("tp", "cp", "pp", "dp"):
        degree = getattr(fixed, name) or 1
        if chips % (whole * degree):
            left = chips // whole
            near = below(left, degree)
            raise ParallelismError(name, f"{degree} does not divide {left:,} chips; nearest that would do: {near}")
        whole *= degree
    if whole != chips and fixed.tp and fixed.cp and fixed.pp and fixed.dp:
        raise ParallelismError(
            "dp", f"tp x cp x pp x dp is {whole:,}, not {chips:,} chips; nearest that would do: {chips * fixed.dp // whole}"
        )


def shapes(run: Run, chips: int, fixed: FixedLayout, contexts: tuple[int, ...]) -> Iterator[Layout]:
    """Degrees whose product is ``chips``, with each micro-batch; not yet checked against the model."""
    spec, domain = run.work.spec, run.costs.links.domain
    experts = max((layer.ffn.experts for layer in spec.layers if layer.ffn is not None), default=0)
    for tp in (fixed.tp,) if fixed.tp else _powers(min(domain, MOST_TP)):
        for cp in contexts:
            if chips % (tp * cp) or run.work.length % cp:
                continue
            rest = chips // (tp * cp)
            for pp in (fixed.pp,) if fixed.pp else _divisors(rest, min(spec.n_layers, MOST_PP)):
                if rest % pp or (fixed.dp and rest // pp != fixed.dp):
                    continue
                dp = rest // pp
                for ep in (fixed.ep,) if fixed.ep else _expert_ways(experts, tp * cp * dp, max(domain, MOST_EP)):
                    for micro_batch in (fixed.micro_batch,) if fixed.micro_batch else MICRO_BATCHES:
                        yield Layout(tp, cp, pp, ep, dp, micro_batch)


def _schedules(run: Run, shape: Layout, fixed: FixedLayout) -> Iterator[tuple[Schedule, int]]:
    if shape.pp == 1:
        yield "1f1b", 1
        return
    micro_batches = run.micro_batches(shape)
    for schedule in (fixed.schedule,) if fixed.schedule else SCHEDULES:
        if not fixed.schedule and schedule not in run.loop.schedules:
            continue
        if schedule == "interleaved":
            for chunks in (fixed.chunks,) if fixed.chunks else CHUNKS:
                if shape.pp * chunks <= run.layers and micro_batches >= shape.pp:
                    yield schedule, chunks
        elif schedule == "dualpipe":
            # micro-batches enter from both ends; worth its second copy of the weights where experts lie apart
            if shape.pp % 2 == 0 and micro_batches >= 2 * shape.pp and (shape.ep > 1 or fixed.schedule):
                yield schedule, 1
        else:
            yield schedule, 1


def _fitting(run: Run, layout: Layout, fixed: FixedLayout) -> Step:
    """The layout with as little recomputed as memory allows: more costs time and saves nothing else."""
    ways = (fixed.recompute,) if fixed.recompute else RECOMPUTE
    for recompute in ways:
        step = run.step(replace(layout, recompute=recompute))
        if step.memory.fits:
            break
    return step


def refusal(found: Found, run: Run, chips: int, fixed: FixedLayout, most: int) -> DoesNotFitError:
    """One line on what does not fit, with the nearest number of chips that would do."""
    tight = found.tightest
    if tight is None:
        return DoesNotFitError(f"no way of cutting {run.work.spec.id} over {run.told(chips)} allows what was fixed")
    of = words.memory(tight.memory.capacity)
    needs = f"needs {words.memory(tight.memory.total)} a chip of {of} at the least ({tight.layout.text})"
    where = f"{run.work.spec.id} in training does not fit on {run.told(chips)}: {needs}"
    more = chips
    while more * 2 <= most:
        more *= 2
        try:
            if search(run, more, replace(fixed, dp=None)).best is not None:
                return DoesNotFitError(f"{where}; nearest that would do: {more // run.devices:,} chips")
        except InvalidInputError:
            continue
        except MissingFactError as unknown:
            hint = "; --network-gbps says it" if unknown.field == "scaleout_bytes_per_s" else ""
            return DoesNotFitError(f"{where}; on more, {unknown}{hint}")
    return DoesNotFitError(f"{where}; nor on any number of chips that was tried, up to {run.told(more)}")


def _powers(most: int) -> list[int]:
    return [1 << i for i in range(most.bit_length()) if 1 << i <= most]


def _divisors(whole: int, most: int) -> list[int]:
    return [n for n in range(1, min(whole, most) + 1) if whole % n == 0]


def _expert_ways(experts: int, ranks: int, most: int) -> list[int]:
    if not experts:
        return [1]
    return [n for n in _powers(min(experts, ranks, most)) if experts % n == 0 and ranks % n == 0]
