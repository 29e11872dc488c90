"""The question as a user asks it: how long a model trains on chips, or how many chips train it in so many days."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from windtunnel.catalog import PriceBook, price_book
from windtunnel.catalog.models import model as read_model
from windtunnel.catalog.recipe import recipe_for
from windtunnel.cost.evidence import Estimate
from windtunnel.cost.model import CostModel
from windtunnel.errors import (
    DoesNotFitError,
    InfeasibleError,
    InvalidInputError,
    MissingFactError,
    UnsupportedError,
)
from windtunnel.plan.allowed import notes as rule_notes
from windtunnel.plan.allowed import verdicts, why_not_had
from windtunnel.plan.place import MOST_CHIPS, Place, place, price_text, priced
from windtunnel.plan.training.beyond import beyond
from windtunnel.plan.training.cluster import Cluster
from windtunnel.plan.training.count import counted
from windtunnel.plan.training.failures import Failures, failures
from windtunnel.plan.training.framework import Framework, framework, usual
from windtunnel.plan.training.memory import STATES
from windtunnel.plan.training.options import TrainingOptions, work_told
from windtunnel.plan.training.parts import hours_text
from windtunnel.plan.training.result import ChipTraining, Training, TrainingPlan
from windtunnel.plan.training.run import Run
from windtunnel.plan.training.search import Found, refusal, search
from windtunnel.plan.training.step import Step, Work
from windtunnel.plan.training.told import told

DAY = 86_400.0
MOST_TOKENS = 1e16
MOST_DAYS = 36_525.0
NAIVE_MFU = 0.40
"""What is guessed of a well-run training without a model of it; shown beside."""
LEAST_USEFUL = 0.01
"""Share of the time below which a run is refused rather than told in years."""
UNKNOWN_LOOP = 0.13
"""What is added to the spread (log) for a framework of which no run was published: how far those that were differ."""


def train(
    model: str,
    on: Sequence[str],
    tokens: float,
    *,
    days: float = 0.0,
    options: TrainingOptions | None = None,
    prices: str | Path | None = None,
    to: str | None = None,
    date: str | datetime.date | None = None,
) -> TrainingPlan:
    """How long ``model`` trains for ``tokens`` on each of ``on``, in which layout, with what memory, money and failures.

    on: chips and systems, ``NAME:N`` for N chips; with ``days``, as many as the run then needs (at most N where N is given).
    What ``options`` leaves open is the model's published recipe where there is one, else the usual. Raises
    UnknownNameError and InvalidInputError for a request that is malformed; a chip that merely cannot do it says so in its
    ``why_not``.
    """
    options = options or TrainingOptions()
    _check(tokens, days, on)
    spec = read_model(model)
    book = price_book(prices or "")
    if options.framework:
        framework(options.framework)
    recipe = recipe_for(model)
    work, notes = work_told(spec, recipe, options)
    places, comparable = priced([place(each) for each in on], book)
    ruled = verdicts(places, to, date)
    found = []
    for at, verdict in zip(places, ruled, strict=True):
        barred = why_not_had(verdict)
        if not at.most and not days:
            raise InvalidInputError("on", f"say how many {at.name}: {at.name}:1024; or --days 60, and they are counted")
        try:
            answer = ChipTraining(at.name, None, barred) if barred else _at(at, work, tokens, days, options, book)
        except InvalidInputError as refused:
            if len(places) == 1:
                raise
            answer = ChipTraining(at.name, None, str(refused))
        found.append(replace(answer, verdict=verdict))
    lines = [
        *notes,
        *told(work.precision, found, [_cluster(at, options) for at in places], [_loop(at, options) for at in places]),
        *([comparable] if comparable else []),
        *rule_notes(places, ruled),
    ]
    return TrainingPlan(
        spec.id if spec.id == model else model, tokens, work.length, work.batch, work.precision, work.optimizer,
        tuple(found), days, tuple(dict.fromkeys(lines)),
        *((ruled[0].destination.id, ruled[0].date.isoformat()) if ruled[0] is not None else ()),
    )  # fmt: skip


def _check(tokens: float, days: float, on: Sequence[str]) -> None:
    if isinstance(tokens, bool) or not isinstance(tokens, int | float) or not 0 < tokens <= MOST_TOKENS:
        raise InvalidInputError("tokens", f"{tokens} is not a number of tokens above 0 and up to {MOST_TOKENS:.0e}")
    if isinstance(days, bool) or not isinstance(days, int | float) or not 0 <= days <= MOST_DAYS:
        raise InvalidInputError("days", f"{days} is not a number of days above 0 and up to {MOST_DAYS:,.0f}")
    if not on:
        raise InvalidInputError("on", "names no chip; write it as h100-sxm:1024")


def _loop(at: Place, options: TrainingOptions) -> Framework:
    return framework(options.framework) if options.framework else usual(at.chip.vendor)


def _cluster(at: Place, options: TrainingOptions) -> Cluster:
    return Cluster.of(at, network_chips=options.network_chips, network_bytes_per_s=options.network_bytes_per_s)


def _at(at: Place, work: Work, tokens: float, days: float, options: TrainingOptions, book: PriceBook) -> ChipTraining:
    loop = _loop(at, options)
    try:
        cluster = _cluster(at, options)
        n, costs = cluster.devices, cluster.costs
        work = replace(work, precision=_runs(work.precision, costs))
        run = Run(work, costs, loop, name=at.chip.id, devices=n)
        joined = (cluster.joined or MOST_CHIPS) * n
        if days:
            most = min(at.most * n or joined, joined)
            found = counted(run, tokens, most, days, options.fixed, lambda step: _lasting_s(at, run, step, tokens, options) / DAY)
        else:
            cluster.check(at.most)
            found = search(run, at.most * n, options.fixed)
            if found.best is None:
                raise refusal(found, run, at.most * n, options.fixed, joined)
    except MissingFactError as unknown:
        hint = "; --network-gbps says it" if unknown.field == "scaleout_bytes_per_s" else ""
        return ChipTraining(at.name, None, f"{unknown}{hint}")
    except (UnsupportedError, DoesNotFitError, InfeasibleError) as cannot:
        return ChipTraining(at.name, None, str(cannot))
    assert found.best is not None
    failing = _failing(at, run, found.best, options)
    if failing.goodput < LEAST_USEFUL:
        every = hours_text(failing.mtbf_s)
        stop = f"a checkpoint takes {hours_text(failing.checkpoint_s)}, a restart {hours_text(failing.restart_s)}"
        return ChipTraining(at.name, None, f"it fails every {every} and hardly gets on: {stop}")
    return ChipTraining(at.name, training(at, run, found, tokens, options, book))


def _runs(precision: str, costs: CostModel) -> str:
    """The type of products on a chip: its own where it has the unit, else 16 bit (a note says so)."""
    if precision in ("bf16", "fp16"):
        return costs.wide
    return precision if precision in costs.chip.dtypes else costs.wide


def _failing(at: Place, run: Run, step: Step, options: TrainingOptions) -> Failures:
    states = run.work.spec.parameters * (STATES[run.work.optimizer] + 2.0)
    return failures(
        at.chip.id, step.layout.chips // run.devices, states, mtbf_s=options.mtbf_s,
        storage_bytes_per_s=options.storage_bytes_per_s, restart_s=options.restart_s, every_s=options.every_s,
    )  # fmt: skip


def _lasting_s(at: Place, run: Run, step: Step, tokens: float, options: TrainingOptions) -> float:
    """Of the whole run, with its failures; without end where it fails more often than it gets on."""
    useful = _failing(at, run, step, options).goodput
    return tokens / step.tokens_per_s / useful if useful else math.inf


def training(at: Place, run: Run, found: Found, tokens: float, options: TrainingOptions, book: PriceBook) -> Training:
    """The fastest step as a run: days, chip-hours, failures, money and energy."""
    step = found.best
    assert step is not None
    spec = run.work.spec
    ranks, chips = step.layout.chips, step.layout.chips // run.devices
    failing = _failing(at, run, step, options)
    # not less than published runs were off by; wider where the operators are known less well than those of these runs
    width = max(math.hypot(beyond().spread, 0.0 if beyond().knows(run.loop.id) else UNKNOWN_LOOP), step.spread)
    rate = step.tokens_per_s / chips
    speed = Estimate(rate, rate * math.exp(-width), rate * math.exp(width), step.evidence)
    useful_s = tokens / (rate * chips)
    lasting = Estimate(
        useful_s / failing.goodput,
        useful_s * math.exp(-width) / failing.goodput_high,
        useful_s * math.exp(width) / failing.goodput_low if failing.goodput_low else math.inf,
        step.evidence,
    )
    hours = _scaled(lasting, chips / 3600.0)
    needed = run.flops_per_token() * step.tokens_per_s / ranks
    wide = run.costs.machine(run.costs.wide).flops_per_s
    own = run.costs.machine(run.costs.running(run.work.precision)).flops_per_s
    usd = _scaled(hours, at.price.fact.value) if at.price is not None else None
    power = _cluster(at, options).power_w
    return Training(
        chips=chips,
        framework=run.loop.id,
        precision=run.work.precision,
        step=step,
        tokens_per_s_per_chip=speed,
        mfu=needed / wide,
        mfu_own=needed / own,
        hfu=needed / wide * (1.0 + step.again_share),
        days=_scaled(lasting, 1.0 / DAY),
        chip_hours=hours,
        failures=failing,
        usd=usd,
        energy_kwh=hours.value * power[0] * book.terms.load * book.terms.pue / 1e3 if power else None,
        price_basis=price_text(at.price),
        searched=found.searched,
        naive_days=6.0 * spec.active_parameters * tokens / (NAIVE_MFU * wide * ranks) / DAY,
    )


def _scaled(value: Estimate, factor: float) -> Estimate:
    return Estimate(value.value * factor, value.low * factor, value.high * factor, value.evidence)
