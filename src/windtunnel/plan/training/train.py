"""The question as a user asks it: how long a model trains on chips, or how many chips train it in so many days."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from windtunnel.catalog import PriceBook, price_book, system, systems
from windtunnel.catalog.model import ModelSpec
from windtunnel.catalog.models import model as read_model
from windtunnel.catalog.recipe import OPTIMIZERS, PRECISIONS, Recipe, recipe_for
from windtunnel.cost.evidence import Estimate
from windtunnel.cost.links import Links
from windtunnel.cost.model import CostModel
from windtunnel.errors import (
    DoesNotFitError,
    InfeasibleError,
    InvalidInputError,
    MissingFactError,
    UnknownNameError,
    UnsupportedError,
)
from windtunnel.plan.allowed import notes as rule_notes
from windtunnel.plan.allowed import verdicts, why_not_had
from windtunnel.plan.place import MOST_CHIPS, Place, place, price_text, priced
from windtunnel.plan.training.failures import failures
from windtunnel.plan.training.framework import DEFAULT, framework
from windtunnel.plan.training.memory import STATES
from windtunnel.plan.training.result import ChipTraining, Training, TrainingPlan
from windtunnel.plan.training.search import Fixed, Found, refusal, search
from windtunnel.plan.training.step import Run, Step, Work, sustained_share

DAY = 86_400.0
USUAL_LENGTH = 8192
"""Tokens of a sequence where nobody says. **Source:** Llama 3 (arXiv 2407.21783, section 3.4.1)."""
USUAL_TOKENS = 16 * 2**20
"""Tokens of a step where nobody says. **Source:** the same, of its main phase."""
MOST_TOKENS = 1e16
MOST_DAYS = 36_525.0
NAIVE_MFU = 0.40
"""What is guessed of a well-run training without a model of it; shown beside."""
RESIDUAL = 0.25
"""80 % of published runs lie within so much of the predicted rate (log), beyond what the operators' own errors explain."""


@dataclass(frozen=True, slots=True)
class Options:
    """What may be said of a run beyond model, chips and tokens; 0, "" and None: to be chosen, or not told.

    length: tokens of a sequence; batch_tokens: of a step; drafts: with multi-token prediction. mtbf_s: of the cluster;
    storage_bytes_per_s: at which it writes checkpoints; network_chips: how many chips its network joins.
    """

    length: int = 0
    batch_tokens: float = 0.0
    precision: str = ""
    optimizer: str = ""
    framework: str = ""
    drafts: bool | None = None
    fixed: Fixed = field(default_factory=Fixed)
    mtbf_s: float = 0.0
    storage_bytes_per_s: float = 0.0
    restart_s: float = 0.0
    every_s: float = 0.0
    network_chips: int = 0


def train(
    model: str,
    on: Sequence[str],
    tokens: float,
    *,
    days: float = 0.0,
    options: Options = Options(),
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
    _check(tokens, days, on)
    spec = read_model(model)
    book = price_book(prices or "")
    loop = framework(options.framework or DEFAULT)
    recipe = recipe_for(model)
    work, notes = _work(spec, recipe, options)
    places, comparable = priced([place(each) for each in on], book)
    ruled = verdicts(places, to, date)
    found = []
    for at, verdict in zip(places, ruled, strict=True):
        barred = why_not_had(verdict)
        if not at.most and not days:
            raise InvalidInputError("on", f"say how many {at.name}: {at.name}:1024; or --days 60, and they are counted")
        answer = ChipTraining(at.name, None, barred) if barred else _at(at, work, tokens, days, options, book)
        found.append(replace(answer, verdict=verdict))
    lines = [
        *notes,
        *_notes(found, places, options, loop.name),
        *([comparable] if comparable else []),
        *rule_notes(places, ruled),
    ]
    return TrainingPlan(
        spec.id if spec.id == model else model, tokens, work.length, work.batch, work.precision, work.optimizer, loop.id,
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


def _work(spec: ModelSpec, recipe: Recipe | None, options: Options) -> tuple[Work, list[str]]:
    """What is trained, and lines on what was taken from where."""
    notes = []
    told = recipe.source.partition(",")[0] if recipe else ""
    length, batch_tokens, precision, optimizer, drafts = (
        options.length, options.batch_tokens, options.precision, options.optimizer, options.drafts
    )  # fmt: skip
    taken = []
    if not length:
        length = recipe.length if recipe else min(USUAL_LENGTH, spec.max_context or USUAL_LENGTH)
        taken.append(f"sequences of {length:,} tokens")
    if spec.max_context and length > spec.max_context:
        raise InvalidInputError("sequence", f"{length:,} tokens are over {spec.id}'s context of {spec.max_context:,}")
    exact = bool(batch_tokens)
    if not exact:
        batch_tokens = recipe.batch_tokens if recipe else USUAL_TOKENS
        taken.append(f"{batch_tokens / 1e6:,.3g} million tokens a step")
    if not precision:
        precision = recipe.precision if recipe else "bf16"
        taken.append(precision.upper())
    if not optimizer:
        optimizer = recipe.optimizer if recipe else "adam"
        taken.append("Adam with BF16 moments" if optimizer == "adam-bf16" else "Adam in FP32")
    if drafts is None:
        drafts = recipe.drafts if recipe else False
        if drafts:
            taken.append("with multi-token prediction")
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, PRECISIONS)
    if optimizer not in OPTIMIZERS:
        raise UnknownNameError("optimizer", optimizer, OPTIMIZERS)
    if taken:
        source = (
            f"as {spec.id} was trained ({recipe.id}: {told})" if recipe else "assumed, as Llama 3 was trained (arXiv 2407.21783)"
        )
        notes.append(f"{', '.join(taken)}: {source}.")
    batch = max(round(batch_tokens / length), 1)
    return Work(spec, length, batch, precision, optimizer, drafts, exact), notes


def cost_model(at: Place) -> CostModel:
    """Prices on the place's chips, with its system's links."""
    return CostModel(at.chip, Links.of(at.chip, system(at.system) if at.system else None))


def _at(at: Place, work: Work, tokens: float, days: float, options: Options, book: PriceBook) -> ChipTraining:
    loop = framework(options.framework or DEFAULT)
    try:
        costs = cost_model(at)
        work = replace(work, precision=_runs(work.precision, costs))
        run = Run(work, costs, loop, sustained_share(at.chip.vendor))
        if days:
            found = _counted(at, run, tokens, days, options)
        else:
            _check_network(at, at.most, options)
            found = search(run, at.most, options.fixed)
            if found.best is None:
                raise refusal(found, run, at.most, options.fixed, _joined(at, options) or MOST_CHIPS)
    except (UnsupportedError, MissingFactError, DoesNotFitError, InfeasibleError) as cannot:
        return ChipTraining(at.name, None, str(cannot))
    assert found.best is not None
    return ChipTraining(at.name, training(at, run, found, tokens, options, book))


def _runs(precision: str, costs: CostModel) -> str:
    """The type of products on a chip: its own where it has the unit, else 16 bit (a note says so)."""
    if precision in ("bf16", "fp16"):
        return costs.wide
    return precision if precision in costs.chip.dtypes else costs.wide


def training(at: Place, run: Run, found: Found, tokens: float, options: Options, book: PriceBook) -> Training:
    """The fastest step as a run: days, chip-hours, failures, money and energy."""
    step = found.best
    assert step is not None
    spec, chip = run.work.spec, at.chip
    chips = step.layout.chips
    states = spec.parameters * (STATES[run.work.optimizer] + 2.0)
    failing = failures(
        chip.id, chips, states, mtbf_s=options.mtbf_s, storage_bytes_per_s=options.storage_bytes_per_s,
        restart_s=options.restart_s, every_s=options.every_s,
    )  # fmt: skip
    width = math.hypot(step.spread, RESIDUAL)
    rate = step.tokens_per_s_per_chip
    speed = Estimate(rate, rate * math.exp(-width), rate * math.exp(width), step.evidence)
    useful_s = tokens / (rate * chips)
    lasting = Estimate(
        useful_s / failing.goodput,
        useful_s * math.exp(-width) / failing.goodput_high,
        useful_s * math.exp(width) / failing.goodput_low,
        step.evidence,
    )
    hours = _scaled(lasting, chips / 3600.0)
    needed = run.flops_per_token() * rate
    wide = chip.peak(run.costs.wide).value
    own = run.costs.machine(run.costs.running(run.work.precision)).flops_per_s
    usd = _scaled(hours, at.price.fact.value) if at.price is not None else None
    power_w = at.power_w or (chip.value("tdp_w") * book.terms.load if chip.has("tdp_w") else None)
    return Training(
        chips=chips,
        step=step,
        tokens_per_s_per_chip=speed,
        mfu=needed / wide,
        mfu_own=needed / own,
        hfu=needed / wide * (1.0 + step.again_share),
        days=_scaled(lasting, 1.0 / DAY),
        chip_hours=hours,
        failures=failing,
        usd=usd,
        energy_kwh=hours.value * power_w * book.terms.pue / 1e3 if power_w else None,
        price_basis=price_text(at.price),
        searched=found.searched,
        naive_days=6.0 * spec.active_parameters * tokens / (NAIVE_MFU * wide * chips) / DAY,
    )


def _scaled(value: Estimate, factor: float) -> Estimate:
    return Estimate(value.value * factor, value.low * factor, value.high * factor, value.evidence)


def _joined(at: Place, options: Options) -> int:
    """Chips that the network of the place, or of the servers that its chip stands in, is known to join; 0: no source says."""
    if options.network_chips:
        return options.network_chips
    own = [each for each in systems() if each.id == at.system or (at.whole is None and each.chip == at.chip.id)]
    return max((int(each.value("scaleout_chips")) for each in own if each.has("scaleout_chips")), default=0)


def _check_network(at: Place, chips: int, options: Options) -> None:
    most = _joined(at, options)
    if most and chips > most:
        if options.network_chips:
            raise InfeasibleError(f"{chips:,} chips, and --network-chips says that the network joins {most:,}")
        name = at.system or at.chip.id
        raise InfeasibleError(
            f"the network of {name} is described for {most:,} chips, not {chips:,}; "
            f"--network-chips {chips} says that yours joins them"
        )


def _counted(at: Place, run: Run, tokens: float, days: float, options: Options) -> Found:
    """The fewest chips that are done in ``days``, and their layout."""
    most = min(x for x in (at.most or MOST_CHIPS, _joined(at, options) or MOST_CHIPS))
    wide = at.chip.peak(run.costs.wide).value
    guess = 6.0 * run.work.spec.active_parameters * tokens / (NAIVE_MFU * wide * days * DAY)
    chips = 1 << max(math.ceil(math.log2(max(guess, 1.0))) - 1, 0)
    states = run.work.spec.parameters * (STATES[run.work.optimizer] + 2.0)
    last: tuple[int, float] | None = None
    best: Found | None = None

    def lasting(step: Step) -> float:
        failing = failures(
            at.chip.id, step.layout.chips, states, mtbf_s=options.mtbf_s, storage_bytes_per_s=options.storage_bytes_per_s,
            restart_s=options.restart_s, every_s=options.every_s,
        )  # fmt: skip
        return tokens / step.tokens_per_s / failing.goodput / DAY if failing.goodput else math.inf

    tightest: Found | None = None
    fixed = replace(options.fixed, dp=None)
    while chips <= most:
        found = search(run, chips, fixed)
        if found.best is None:
            tightest = found
        elif lasting(found.best) <= days:
            best = found
            break
        else:
            last = (chips, lasting(found.best))
        chips *= 2
    if best is None and chips // 2 < most:
        found = search(run, most - most % max(run.costs.links.domain, 1) or most, fixed)
        if found.best is not None and lasting(found.best) <= days:
            best = found
        elif found.best is not None:
            last = (found.best.layout.chips, lasting(found.best))
    if best is None:
        if last is not None:
            took = f"{last[0]:,} chips take {last[1]:,.0f} days"
            raise InfeasibleError(f"{took}, and no more of {at.name} are joined; nearest: --days {math.ceil(last[1])}")
        if tightest is not None:
            raise refusal(tightest, run, chips // 2, fixed, most)
        raise InfeasibleError(f"no layout on up to {most:,} chips")
    return _fewer(run, best, days, lasting)


def _fewer(run: Run, found: Found, days: float, lasting: Callable[[Step], float]) -> Found:
    """The same layout with as few replicas as are done in time."""
    step = found.best
    assert step is not None
    low, high = 1, step.layout.dp
    while low < high:
        middle = (low + high) // 2
        try:
            tried = run.step(replace(step.layout, dp=middle))
            done = tried.memory.fits and lasting(tried) <= days
        except InvalidInputError:
            done = False
        if done:
            high = middle
        else:
            low = middle + 1
    return replace(found, best=run.step(replace(step.layout, dp=high))) if high != step.layout.dp else found


def _notes(found: Sequence[ChipTraining], places: Sequence[Place], options: Options, loop: str) -> list[str]:
    lines = [
        f"Framework: {loop}. MFU: six FLOPs a weight and token (embedding left out) and causal attention, over the 16-bit peak.",
        "Intervals hold in 80 % of cases.",
    ]
    for at, each in zip(places, found, strict=True):
        run = each.training
        if run is None:
            continue
        lines += [f"{at.name}: {line}." for line in run.failures.assumed]
        if not _joined(at, options) and run.chips > Links.of(at.chip).domain:
            lines.append(
                f"{at.name}: no source says how many chips its network joins; it is taken to carry {run.chips:,} at full rate."
            )
    return lines
