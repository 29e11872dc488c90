"""The search: every sensible deployment on every chip asked about, and the cheapest that meets the targets.

For each chip or system: the precision (``plan.precision``), every way of cutting the model (``plan.shapes``), aggregated
and, where the engine can, prefill and decode apart. Of each the largest load that meets TTFT and TPOT in a steady state
(``sim.steady``; means, arrivals at random), then as many instances as the traffic needs.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from windtunnel.catalog import Chip, engines_for, price_book
from windtunnel.catalog import engine as engine_named
from windtunnel.catalog.model import ModelSpec
from windtunnel.catalog.models import model as read_model
from windtunnel.errors import (
    InvalidInputError,
    MissingFactError,
    UnknownNameError,
    UnsupportedError,
    WindtunnelError,
)
from windtunnel.plan import reasons
from windtunnel.plan.allowed import notes as rule_notes
from windtunnel.plan.allowed import verdicts, why_not_had
from windtunnel.plan.carry import candidate
from windtunnel.plan.check import SEEN, cheapest
from windtunnel.plan.front import predicted
from windtunnel.plan.option import Option
from windtunnel.plan.place import Place, place, priced
from windtunnel.plan.precision import chosen_precision
from windtunnel.plan.result import ChipPlan, Plan, Targets
from windtunnel.plan.services import filled, front, services
from windtunnel.plan.shapes import shapes
from windtunnel.sim.prediction import Deployment
from windtunnel.workload.ops import BITS

LONGEST = 10_000_000
MOST_REQUESTS_PER_S = 1e6


def plan(
    model: str,
    on: Sequence[str],
    targets: Targets,
    *,
    precision: str | None = None,
    engine: str | None = None,
    max_chips: int | None = None,
    prices: str | Path | None = None,
    to: str | None = None,
    date: str | datetime.date | None = None,
) -> Plan:
    """The cheapest deployment that meets ``targets`` on each of ``on``, the trade-offs, and why a chip will not do.

    on: chips, systems, or paths of a user's own chips, each ``NAME`` or ``NAME:N`` for at most N chips. precision: a
    number type, "" as the checkpoint is stored, None to choose; engine: one engine, None for the first that serves the
    chip; max_chips: of each kind; prices: a user's own file. to: a destination, for which chips drop out that
    the export rules of ``date`` (today where it is not given) keep from it. Raises UnknownNameError and InvalidInputError
    for a request that is malformed; a chip that merely cannot do it says so in its ``why_not``.
    """
    _check(targets)
    spec = read_model(model)
    if spec.max_context and targets.isl + targets.osl > spec.max_context:
        total = targets.isl + targets.osl
        raise InvalidInputError("isl", f"isl + osl is {total:,}, over {spec.id}'s context of {spec.max_context:,} tokens")
    if precision and precision not in BITS:
        raise UnknownNameError("precision", precision, BITS)
    asked = _engine_id(engine)
    book = price_book(prices or "")
    if not on:
        raise InvalidInputError("on", "names no chip; write it as h20 or h20,ascend-910c")
    places, comparable = priced([place(each, max_chips) for each in on], book)
    ruled = verdicts(places, to, date)
    found = []
    for each, verdict in zip(places, ruled, strict=True):
        barred = why_not_had(verdict)
        answer, note = (ChipPlan(each.name, None, barred), "") if barred else _at(model, spec, each, targets, precision, asked)
        found.append((replace(answer, verdict=verdict), note))
    notes = [line for _, line in found if line]
    return Plan(
        spec.id if spec.id == model else model,
        targets,
        tuple(chip for chip, _ in found),
        (*dict.fromkeys(notes), *_notes(places, [chip for chip, _ in found], comparable), *rule_notes(places, ruled)),
        *((ruled[0].destination.id, ruled[0].date.isoformat()) if ruled[0] is not None else ()),
    )


def _check(targets: Targets) -> None:
    for field in ("isl", "osl"):
        value = getattr(targets, field)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LONGEST:
            raise InvalidInputError(field, f"{value} is not a whole number of tokens from 1 to {LONGEST:,}")
    for field in ("ttft_s", "tpot_s", "requests_per_s"):
        value = getattr(targets, field)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= MOST_REQUESTS_PER_S:
            raise InvalidInputError(field, f"{value} is not a number from 0 (no target) to {MOST_REQUESTS_PER_S:,.0f}")


def _engine_id(name: str | None) -> str:
    """The catalogue's id of an engine that was asked for. Raises UnknownNameError."""
    return engine_named(name).id if name else ""


def _engine(on: Chip, asked: str) -> str:
    """The engine that serves: the one asked for, or its extension for this chip, else the first that serves the chip."""
    served = engines_for(on)
    if not asked:
        if not served:
            raise UnsupportedError(f"no serving engine is known for {on.id}; name one with --engine")
        return served[0].id
    for each in served:
        if asked in (each.id, each.based_on):
            return each.id
    if not served:
        return asked
    raise UnsupportedError(f"{asked} does not serve {on.id}; what does: {', '.join(e.id for e in served)}")


def _at(model: str, spec: ModelSpec, at: Place, targets: Targets, precision: str | None, asked: str) -> tuple[ChipPlan, str]:
    """The plan of one place, and a line about its precision."""
    try:
        built = deployments(model, spec, at, targets, precision, asked)
    except (UnsupportedError, MissingFactError) as cannot:
        return ChipPlan(at.name, None, str(cannot)), ""
    at, options, refused, note = built.at, built.options, built.refused, built.note
    if not options:
        return ChipPlan(at.name, None, built.why_not, searched=len(refused)), note
    points = predicted(candidate(s, at) for s in front(options, at, targets))
    searched = len(options) + len(refused)
    found = services(options, at, targets)
    allowed = [s for s in found if not at.most or s.chips <= at.most]
    if allowed and not targets.requests_per_s:
        best = candidate(min(allowed, key=lambda s: s.cost), at, operators=True)
        return ChipPlan(at.name, best, "", points, searched), note
    kept = cheapest(allowed, targets, at.most)
    if kept is not None:
        return ChipPlan(at.name, candidate(kept[0], at, operators=True, seen=kept[1]), "", points, searched), note
    if allowed:
        why = reasons.waits_too_long(min(allowed, key=lambda s: s.cost), targets, at.most)
    elif found:
        small = [s for s in services(options, at, replace(targets, requests_per_s=0.0)) if s.chips <= at.most]
        most = max((filled(s, at.most) for s in small), key=lambda s: s.capacity, default=None)
        why = reasons.too_few(min(found, key=lambda s: s.cost), most, at, targets)
    else:
        why = reasons.nothing_meets(options, targets)
    return ChipPlan(at.name, None, why, points, searched), note


@dataclass(frozen=True, slots=True)
class Deployments:
    """What can be built at a place, and why the rest cannot. note: a line about precision, or ""; why_not: where nothing can."""

    at: Place
    options: list[Option]
    refused: list[WindtunnelError]
    note: str
    why_not: str = ""


def deployments(
    model: str, spec: ModelSpec, at: Place, targets: Targets, precision: str | None = None, engine: str = ""
) -> Deployments:
    """Every deployment at a place, of larger instances where the usual ones do not hold the model. engine: its id, "" for the
    chip's usual one. Raises UnsupportedError and MissingFactError where the chip cannot do it however it is cut."""
    runs, note = chosen_precision(spec, at.chip, precision)
    base = Deployment(model, at.chip_name, precision=runs, engine=_engine(at.chip, engine), system=at.system)
    options, refused = _options(spec, at, base, targets)
    if not options and at.wider.largest > at.largest:
        at = at.wider
        options, refused = _options(spec, at, base, targets)
    return Deployments(
        at, options, refused, note, "" if options else reasons.nothing_runs(spec, at, base, targets, refused)
    )  # fmt: skip


def _options(spec: ModelSpec, at: Place, base: Deployment, targets: Targets) -> tuple[list[Option], list[WindtunnelError]]:
    """Every deployment that can be built, and why the others cannot; layers are cut only where one domain is too small."""
    options: list[Option] = []
    refused: list[WindtunnelError] = []
    for stages in (False, True):
        for shape in shapes(spec, at.domain, at.largest, stages=stages):
            if stages == (shape.pp == 1):
                continue
            try:
                options.append(Option(shape.on(base), targets))
            except WindtunnelError as error:
                refused.append(error)
        if any(option.chips <= at.domain for option in options):
            break
    timed: list[Option] = []
    for option in options:
        try:
            option.steady().running(1.0)
        except (MissingFactError, UnsupportedError) as error:  # such as a link that nobody published
            refused.append(error)
        else:
            timed.append(option)
    return timed, refused


def _notes(places: Sequence[Place], found: Sequence[ChipPlan], comparable: str) -> list[str]:
    """What the numbers of all chips rest on."""
    lines = [
        "TTFT and TPOT are means over the requests of a steady state, with requests coming at random; "
        "multi-token prediction and prefix-cache hits are not assumed."
    ]
    if any(chip.best is not None and chip.best.simulated is not None for chip in found):
        lines.append(
            f"Those of the cheapest deployments are simulated, {SEEN:,} requests or more in full flow, each sent to the instance "
            "that has least to do; each deployment has as many instances as that takes."
        )
    for at, chip in zip(places, found, strict=True):
        if at.whole is None and at.system:
            lines.append(
                f"{at.chip.id} stands in servers of {at.domain} ({at.system}); ask for a system by name to use its links."
            )
        if at.whole is not None and chip.best is not None:
            best = chip.best
            sizes = [best.prediction.deployment.chips] * best.replicas
            sizes += [best.prefill.deployment.chips] * best.prefill_replicas if best.prefill else []
            count = at.systems(sizes)
            if count > 1:
                lines.append(
                    f"{at.name}: {best.chips:,} chips are in {count} systems of {at.whole.chips}; the chips used are paid."
                )
    if any(chip.best is not None and chip.best.power_kw is not None for chip in found):
        bare = [at.name for at in places if at.power_w is None]
        whole = [at.name for at in places if at.power_w is not None]
        if bare:
            lines.append("kW and J/token of a bare chip are the chips' alone, at 80 % of their power limit.")
        if whole:
            lines.append(f"Those of {', '.join(whole)} include hosts and network.")
    if comparable:
        lines.append(comparable)
    return lines
