"""One point of a sweep, in whatever process: what `windtunnel simulate` is told, read by its own options, and simulated."""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from windtunnel import __version__
from windtunnel.cli.simulate import asked
from windtunnel.cli.simulate import simulate as command
from windtunnel.errors import InvalidInputError, WindtunnelError
from windtunnel.sweep.columns import INPUTS, inputs
from windtunnel.sweep.journal import Row
from windtunnel.sweep.point import MODEL, Kind, Value, file_of
from windtunnel.sweep.program import digest

_CHIPS = ("on", "prefill", "decode")


def kinds() -> Mapping[str, Kind]:
    """Options of `windtunnel simulate` that a sweep may set, and what each takes."""
    return {name: _kind(name, param) for name, param in _params().items()}


def _params() -> Mapping[str, click.Parameter]:
    """By name; what is written beside the numbers, and how, is no part of a point."""
    named = {param.opts[0].lstrip("-"): param for param in command.params}
    return {name: named[name] for name in INPUTS}


def _kind(name: str, param: click.Parameter) -> Kind:
    if name == MODEL:
        return "model"
    if name in _CHIPS:
        return "chip"
    if isinstance(param.type, click.Path):
        return "file"
    return "switch" if getattr(param, "is_flag", False) else "value"


def check(name: str, value: Value) -> None:
    """Raises WindtunnelError for a value that the option does not take."""
    param = _params()[name]
    if not isinstance(value, bool):
        try:
            param.type.convert(str(value), param, None)
        except click.ClickException as error:
            raise InvalidInputError(param.opts[0], error.message.rstrip("."))


def check_known(name: str, value: Value, folder: Path) -> None:
    """Raises WindtunnelError for a model or a chip that neither the catalogue nor ``folder`` holds."""
    kind = kinds()[name]
    if kind in ("model", "chip") and file_of(name, value, kind, folder)[0] is None:
        from windtunnel.catalog.models import resolve
        from windtunnel.plan.place import stands_for

        resolve(str(value)) if kind == "model" else stands_for(str(value).rpartition(":")[0] or str(value))


def _said(args: tuple[str, ...]) -> dict[str, Any]:
    """What the options say, by the names that the command has for them."""
    found: dict[str, Any] = command.make_context("simulate", list(args)).params
    return found


def inputs_of(args: tuple[str, ...]) -> Row:
    """The input columns of a point, and who computes it."""
    said = _said(args)
    row = inputs({name: said[param.name] for name, param in _params().items() if param.name})
    return row | {"windtunnel_version": __version__, "windtunnel_digest": digest()}


def answer(args: tuple[str, ...]) -> Row:
    """The row of one point; where it cannot be, the reason."""
    row = inputs_of(args)
    try:
        row |= _simulated(_said(args))
    except WindtunnelError as error:
        row |= {"outcome": "refused", "reason": str(error)}
    except Exception as error:  # a bug of one point must not take the others along
        last = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno})"
        row |= {"outcome": "failed", "reason": " ".join(told.split())}
    return {name: value if not isinstance(value, float) or math.isfinite(value) else None for name, value in row.items()}


def _simulated(said: dict[str, Any]) -> Row:
    from windtunnel.sim.serving.simulate import simulate
    from windtunnel.sweep.row import outputs, resolved

    arrivals, fleet, notes = asked(said[MODEL], said)
    row = resolved(fleet)
    stop_at = said["duration"] or math.inf
    targets = {"ttft_s": said["ttft"], "tpot_s": said["tpot"]}
    result = simulate(fleet, arrivals, seed=said["seed"], arrive_until=stop_at, **targets)
    row |= outputs(result)
    row["notes"] = "; ".join((*notes, *result.notes)) or None
    if result.arrived and sum(result.refused.values()) == result.arrived:
        return row | {"outcome": "refused", "reason": f"every request was refused: {', '.join(result.refused)}"}
    if not result.saturated:
        return row | {"outcome": "simulated"}
    told = f"{result.offered_per_s:.4g} requests/s arrive, {result.carried_requests_per_s:.3g} can be carried"
    return row | {"outcome": "saturated", "reason": told}
