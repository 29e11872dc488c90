"""The files beside the manifests: fleet.toml for ``windtunnel serve --fleet``, and deployment.json for ``serve --deployment``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import windtunnel
from windtunnel.catalog.models import resolve
from windtunnel.errors import UnknownNameError
from windtunnel.plan.deploy.instance import Service
from windtunnel.plan.deploy.shell import one_line

KEY = "WINDTUNNEL_API_KEY"
"""The variable that holds the key of the router, which asks for it where it is set."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI endpoint of the deployment, as the router reaches it; a pair of prefill and decode is one. patience_s: how
    long its start may take."""

    name: str
    url: str
    patience_s: int


@dataclass(frozen=True, slots=True)
class Need:
    """A variable that only the user knows, and what it is."""

    name: str
    about: str


@dataclass(frozen=True, slots=True)
class Driven:
    """The commands that drive what was written, each run in its folder. serve: what starts all but the router, and forward
    what makes the router's port one of this machine, where it is not."""

    up: Sequence[Sequence[str]]
    down: Sequence[Sequence[str]]
    status: Sequence[Sequence[str]]
    logs: Sequence[Sequence[str]]
    serve: Sequence[Sequence[str]] = ()
    wait: Sequence[Sequence[str]] = ()
    forward: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """What one way of launching adds to the folder. steps: of the README, in order; about: what each file is;
    notes: where things are from."""

    files: dict[str, str]
    steps: tuple[str, ...]
    about: dict[str, str]
    notes: tuple[str, ...] = ()


def fleet_toml(service: Service, engine: str, endpoints: Sequence[Endpoint]) -> str:
    """The fleet as ``windtunnel serve --fleet`` reads it.

    What an endpoint runs on is told where that is enough to predict it: one deployment of a model of the catalogue.
    """
    main, targets, price = service.main, service.targets, service.candidate.usd_per_hour
    lines = [
        f"# {one_line(service.model)} on {service.candidate.chips} x {service.chip.id}: windtunnel serve --fleet fleet.toml",
        "",
        "[fleet]",
    ]
    if targets.ttft_s > 0:
        lines.append(f'ttft = "{targets.ttft_s:g}s"')
    if targets.tpot_s > 0:
        lines.append(f'tpot = "{targets.tpot_s * 1e3:g}ms"')
    lines.append(f"most_in_flight = {2 * service.concurrency}")
    for endpoint in endpoints:
        lines += ["", "[[backend]]", f"name = {_text(endpoint.name)}", f"url = {_text(endpoint.url)}"]
        lines.append(f"model = {_text(service.model)}")
        if service.apart:
            lines.append("# prefill and decode: its speed is learned from its answers")
        elif on_the_hub(service.model):
            lines += [f'on = "{service.chip.id}:{main.deployment.chips}"', f'engine = "{engine}"']
        if price is not None:
            lines.append(f"price_per_h = {price / len(endpoints):.4g}")
        lines.append(f"most_in_flight = {2 * (service.concurrency if service.apart else main.sequences)}")
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """A TOML string: JSON's, but that TOML escapes one character more and takes no halves of others."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def on_the_hub(model: str) -> bool:
    """Whether engines find a model by its name: those of the catalogue are called as the hub has them."""
    try:
        resolve(model)
    except UnknownNameError:
        return False
    return True


def deployment_json(
    service: Service, way: str, driven: Driven, endpoints: Sequence[Endpoint], needs: Sequence[Need], router: str
) -> str:
    """What was written and how it is driven, for ``windtunnel serve --deployment``."""
    said = {
        "deployment": 1,
        "written_by": f"windtunnel {windtunnel.__version__}",
        "with": way,
        "model": service.model,
        "router": router,
        "needs": [{"name": need.name, "about": need.about} for need in needs],
        "endpoints": [{"name": it.name, "url": it.url, "patience_s": it.patience_s} for it in endpoints],
        "commands": {
            "up": driven.up,
            "serve": driven.serve,
            "wait": driven.wait,
            "forward": driven.forward,
            "status": driven.status,
            "logs": driven.logs,
            "down": driven.down,
        },
    }
    return json.dumps(said, indent=2, ensure_ascii=False) + "\n"
