"""The [[workload]] tables of a fleet's file: what is to be served, and what trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from windtunnel.catalog.models import model as read_model
from windtunnel.catalog.store import Table
from windtunnel.errors import UnknownNameError, WindtunnelError
from windtunnel.plan.fleets import fields
from windtunnel.plan.fleets.quarter import Quarter
from windtunnel.plan.fleets.spec import ChipSpec, InferenceSpec, Series, SiteSpec, Split, TrainingSpec
from windtunnel.plan.search import LONGEST, MOST_REQUESTS_PER_S
from windtunnel.units import parse_duration_s
from windtunnel.workload.ops import BITS

_BOTH = ("name", "kind", "model", "chips", "not_chips", "sites", "precision", "weight")
_INFERENCE = ("isl", "osl", "ttft", "tpot", "requests_per_s", "growth", "penalty", "split", "engine")
_TRAINING = ("tokens", "start", "deadline", "sequence", "batch_tokens", "max_chips")
MOST_TOKENS = 1e16


def read_workloads(
    content: Table, chips: tuple[ChipSpec, ...], sites: tuple[SiteSpec, ...], start: Quarter, quarters: int, rate: float,
    folder: Path, assumed: list[str],
) -> tuple[tuple[InferenceSpec, ...], tuple[TrainingSpec, ...]]:  # fmt: skip
    """Every workload. Raises InvalidInputError that names the field."""
    inference: list[InferenceSpec] = []
    training: list[TrainingSpec] = []
    for entry in content.tables("workload"):
        name = entry.fields.get("name")
        table = Table(f"{content.where}: workload {name}", entry.fields) if isinstance(name, str) and name else entry
        if any(each.name == table.text("name") for each in (*inference, *training)):
            raise table.fail("name", "stands twice; every workload has a name of its own")
        kind = table.text("kind", choices=("inference", "training"))
        mine, other = (_INFERENCE, _TRAINING) if kind == "inference" else (_TRAINING, _INFERENCE)
        for key in table.fields:
            if key in other:
                raise table.fail(key, f'means nothing for kind = "{kind}"; it has {", ".join(mine)}')
        table.only((*_BOTH, *mine))
        shared = _shared(table, chips, sites, folder)
        if kind == "inference":
            inference.append(_inference(table, shared, quarters, rate, assumed))
        else:
            training.append(_training(table, shared, start, quarters, assumed))
    if not inference and not training:
        raise content.fail("workload", "missing; write one [[workload]] for each thing that is to be served or trained")
    return tuple(inference), tuple(training)


def _shared(table: Table, chips: tuple[ChipSpec, ...], sites: tuple[SiteSpec, ...], folder: Path) -> dict[str, Any]:
    """What every workload has."""
    known = [name for chip in chips for name in (chip.name, chip.on)]
    model = table.text("model")
    if model.endswith(".json") or (folder / model).is_dir():
        model = str(folder / model)
    try:
        read_model(model)
    except WindtunnelError as unknown:
        raise table.fail("model", str(unknown))
    precision = table.text("precision", "")
    if precision and precision not in (*BITS, "native"):
        raise table.fail("precision", str(UnknownNameError("precision", precision, BITS)))
    weight = fields.amount(table, "weight", 1.0, zero=False)
    return {
        "name": table.text("name"),
        "model": model,
        "chips": fields.names(table, "chips", known),
        "without": fields.names(table, "not_chips", known),
        "sites": fields.names(table, "sites", [site.name for site in sites]),
        "precision": "" if precision == "native" else precision or None,
        "weight": weight,
    }


def _inference(table: Table, shared: dict[str, Any], quarters: int, rate: float, assumed: list[str]) -> InferenceSpec:
    tokens: dict[str, Any] = {}
    for key in ("isl", "osl"):
        tokens[key] = table.count(key)
        if tokens[key] > LONGEST:
            raise table.fail(key, f"{tokens[key]:,} tokens; at most {LONGEST:,}")
    spec = read_model(shared["model"])
    if spec.max_context and sum(tokens.values()) > spec.max_context:
        raise table.fail("isl", f"isl + osl is {sum(tokens.values()):,}, over {spec.id}'s context of {spec.max_context:,} tokens")
    penalty = fields.amount(table, "penalty")
    split = table.text("split", "same chip", get_args(Split))
    if "split" not in table.fields:
        assumed.append('prefill and decode may run apart on instances of the same chip; split = "any chip" allows two kinds')
    return InferenceSpec(
        **shared,
        **tokens,
        ttft_s=_time(table, "ttft"),
        tpot_s=_time(table, "tpot"),
        requests_per_s=_demand(table, quarters),
        penalty_usd=penalty * rate if penalty is not None else None,
        split=next(each for each in get_args(Split) if each == split),
        engine=table.text("engine") if "engine" in table.fields else None,
    )


def _time(table: Table, key: str) -> float:
    return parse_duration_s(table.text(key), f"{table.where}: {key}") if key in table.fields else 0.0


def _demand(table: Table, quarters: int) -> Series:
    found = fields.series(table, "requests_per_s", quarters, what="requests a second")
    if found is None:
        raise table.fail("requests_per_s", "missing; a number, or a list of one for each quarter")
    if max(found) == 0:
        raise table.fail("requests_per_s", "0 in every quarter; leave the workload out")
    growth = table.fields.get("growth", 0.0)
    if isinstance(growth, bool) or not isinstance(growth, int | float) or not -1.0 < growth <= 10.0:
        raise table.fail("growth", "should be a share by which traffic grows in a quarter: 0.15")
    if growth and len(set(found)) > 1:
        raise table.fail("growth", "stands beside a list of requests_per_s; leave one of them out")
    grown = tuple(each * (1.0 + growth) ** t for t, each in enumerate(found))
    if max(grown) > MOST_REQUESTS_PER_S:
        raise table.fail("requests_per_s", f"reaches {max(grown):,.0f}; at most {MOST_REQUESTS_PER_S:,.0f}")
    return grown


def _training(table: Table, shared: dict[str, Any], start: Quarter, quarters: int, assumed: list[str]) -> TrainingSpec:
    tokens = fields.needed(table, "tokens", "the tokens of the run: 15e12")
    if tokens > MOST_TOKENS:
        raise table.fail("tokens", f"{tokens:.3g}; at most {MOST_TOKENS:.0e}")
    first = fields.quarter(table, "start", start, quarters, 0)
    if "deadline" not in table.fields:
        raise table.fail("deadline", "missing; the quarter at whose end the run is done: 2026-Q4")
    deadline = fields.quarter(table, "deadline", start, quarters, quarters - 1)
    if deadline < first:
        raise table.fail("deadline", f"{table.text('deadline')} is before the start, {start.plus(first)}")
    most = table.count("max_chips") if "max_chips" in table.fields else None
    batch = fields.amount(table, "batch_tokens", zero=False)
    return TrainingSpec(
        **shared, tokens=tokens, first=first, deadline=deadline,
        sequence=table.count("sequence") if "sequence" in table.fields else 0,
        batch_tokens=batch, most_chips=most,
    )  # fmt: skip
