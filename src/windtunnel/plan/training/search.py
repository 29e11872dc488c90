"""The search over layouts: every sensible way of cutting a run over so many chips, fastest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from windtunnel.errors import DoesNotFitError, InvalidInputError, ParallelismError
from windtunnel.plan import words
from windtunnel.plan.training.framework import SCHEDULES, Schedule
from windtunnel.plan.training.layout import RECOMPUTE, Layout, Recompute, check
from windtunnel.plan.training.step import Run, Step

MOST_TP = 16
"""Chips of a tensor-parallel group in domains that would allow more: no published run cuts its products further."""
MOST_PP = 64
MICRO_BATCHES = (1, 2, 4, 8)
CHUNKS = (2, 4, 8)
CONTEXTS = (1, 2, 4, 8, 16, 32)
LONG = 32_768
"""Tokens of a sequence from which context parallelism is tried before memory asks for it."""


@dataclass(frozen=True, slots=True)
class Fixed:
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
    """The fastest step that fits, how many layouts were looked at, and the smallest memory of those that do not fit."""

    best: Step | None
    searched: int
    tightest: Step | None


def search(run: Run, chips: int, fixed: Fixed) -> Found:
    """The fastest layout of ``run`` on ``chips``. Raises ParallelismError where what was fixed divides nothing."""
    searched, best, tightest = 0, None, None
    refused: InvalidInputError | None = None
    contexts = (fixed.cp,) if fixed.cp else CONTEXTS if run.work.length >= LONG else (1,)
    for context in (contexts, CONTEXTS[1:]):
        for shape in shapes(run, chips, fixed, context):
            try:
                check(run.work.spec, shape)
                run.micro_batches(shape)
            except InvalidInputError as error:
                refused = refused if isinstance(refused, ParallelismError) else error
                continue
            for schedule, chunks in _schedules(run, shape, fixed):
                for step in _fitting(run, replace(shape, schedule=schedule, chunks=chunks), fixed):
                    searched += 1
                    if step.memory.fits and (best is None or step.total_s / step.tokens < best.total_s / best.tokens):
                        best = step
                    if not step.memory.fits and (tightest is None or step.memory.total < tightest.memory.total):
                        tightest = step
        if best is not None or fixed.cp:
            break
    if not searched and refused is not None:
        raise refused
    return Found(best, searched, tightest)


def shapes(run: Run, chips: int, fixed: Fixed, contexts: tuple[int, ...]) -> Iterator[Layout]:
    """Degrees whose product is ``chips``, with each micro-batch; not yet checked against the model."""
    spec, domain = run.work.spec, run.costs.links.domain
    experts = max((layer.ffn.experts for layer in spec.layers if layer.ffn is not None), default=0)
    for tp in (fixed.tp,) if fixed.tp else _powers(min(domain, MOST_TP)):
        for cp in contexts:
            if chips % (tp * cp):
                continue
            rest = chips // (tp * cp)
            for pp in (fixed.pp,) if fixed.pp else _divisors(rest, min(spec.n_layers, MOST_PP)):
                if rest % pp or (fixed.dp and rest // pp != fixed.dp):
                    continue
                dp = rest // pp
                for ep in (fixed.ep,) if fixed.ep else _expert_ways(experts, tp * cp * dp):
                    for micro_batch in (fixed.micro_batch,) if fixed.micro_batch else MICRO_BATCHES:
                        yield Layout(tp, cp, pp, ep, dp, micro_batch)


def _schedules(run: Run, shape: Layout, fixed: Fixed) -> Iterator[tuple[Schedule, int]]:
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


def _fitting(run: Run, layout: Layout, fixed: Fixed) -> Iterator[Step]:
    """The layout with as little split and recomputed as memory allows: each more costs time and saves nothing else."""
    for zero in (fixed.zero,) if fixed.zero is not None else (1, 3) if layout.alike > 1 else (1,):
        for recompute in (fixed.recompute,) if fixed.recompute else RECOMPUTE:
            step = run.step(replace(layout, zero=zero, recompute=recompute))
            yield step
            if step.memory.fits:
                return


def refusal(found: Found, run: Run, chips: int, fixed: Fixed, most: int) -> DoesNotFitError:
    """One line on what does not fit, with the nearest number of chips that would do."""
    tight = found.tightest
    assert tight is not None
    of = words.memory(tight.memory.capacity)
    needs = f"needs {words.memory(tight.memory.total)} a chip of {of} at the least ({tight.layout.text})"
    where = f"{run.work.spec.id} in training does not fit on {chips:,} {run.costs.chip.id}: {needs}"
    more = chips
    while more * 2 <= most:
        more *= 2
        try:
            if search(run, more, replace(fixed, dp=None)).best is not None:
                return DoesNotFitError(f"{where}; nearest that would do: {more:,} chips")
        except InvalidInputError:
            continue
    return DoesNotFitError(f"{where}; nor on any number of chips that was tried, up to {more:,}")


def _powers(most: int) -> list[int]:
    return [1 << i for i in range(most.bit_length()) if 1 << i <= most]


def _divisors(whole: int, most: int) -> list[int]:
    return [n for n in range(1, min(whole, most) + 1) if whole % n == 0]


def _expert_ways(experts: int, ranks: int) -> list[int]:
    if not experts:
        return [1]
    return [n for n in _powers(min(experts, ranks)) if experts % n == 0 and ranks % n == 0]
