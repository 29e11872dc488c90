"""What an engine adds to the operators: host time, scheduling, what mixed steps save; fitted per engine."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Parameters of one engine (and version), all beyond what its operators take.

    layer_us, step_us: host and gaps in every decode step, per layer and per step. prefill: multiplies the
    operators of a prompt. mix: share by which running requests are held up of what a prompt adds to the time of their
    steps, or of its own time where it has steps of its own. host_us, latent_us: launches of a prefill step that no graph
    replays, per layer with routed experts and per layer with latent attention (plain layers are captured).
    prefill_step_us: the same per step. fixed_ms: from the socket to the first step and back. drafting: factor on the
    time per token of models that carry multi-token-prediction layers, less than one for versions that were measured with
    it on. tokens_wait: decode steps that a new prompt waits for.
    """

    prefill: float
    mix: float
    layer_us: float
    step_us: float
    host_us: float
    latent_us: float
    prefill_step_us: float
    fixed_ms: float
    tokens_wait: float
    drafting: float = 1.0
    known: str = ""


@dataclass(frozen=True, slots=True)
class Spread:
    """Where four of five measurements lie: measured / predicted between low and high, for the time named."""

    low: float
    high: float


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads((files("windtunnel.sim") / "data" / "engines.toml").read_text(encoding="utf-8"))


def behaviour(engine: str, version: str = "") -> Behaviour:
    """The parameters of an engine at a version. An engine may borrow another's and change some; one that was never
    fitted gets the middle of those that were. ``known`` names whose they are: "" its own, another engine, or "any"."""
    table = _data()
    names = {f.name for f in fields(Behaviour)}
    found: dict[str, Any] = table["engines"].get(engine, {})
    lender = str(found.get("like", ""))
    values = {**table["engines"].get(lender, {}), **found} if found else table["any"]
    own = Behaviour(**{k: v for k, v in values.items() if k in names}, known=lender if found else "any")
    versions = table.get("versions", {})
    special = versions.get(f"{engine} {version}") or versions.get(f"{lender} {version}")
    return replace(own, **{k: v for k, v in special.items() if k in names}) if special else own


def spread(metric: str) -> Spread:
    """The interval of ``ttft`` or ``tpot`` as a factor, from groups of chip and model held out of the fit."""
    row = _data()["held_out"][metric]
    return Spread(row["low"], row["high"])


def source() -> str:
    """What the behaviours were fitted on."""
    return str(_data()["source"])
