"""``windtunnel serve MODEL --on CHIP[:N]``: the endpoint of a deployment that is not there."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import click

from windtunnel.cli.door_options import door_of
from windtunnel.cli.fleet_options import check_on, fleet_of


def serve_virtual(model: str, said: dict[str, Any]) -> None:
    """Serves the simulated deployment that the options say, until it is interrupted."""
    from windtunnel.catalog.models import model as read_model
    from windtunnel.cli.render_simulation import place_of
    from windtunnel.serve.api.app import Api
    from windtunnel.serve.api.metrics import Metrics
    from windtunnel.serve.server import serve as listen
    from windtunnel.serve.virtual.backend import VirtualBackend
    from windtunnel.serve.virtual.small_model import SmallModel
    from windtunnel.web.serve_page import serve_page

    check_on(said)
    door = door_of(said)
    fleet, notes = fleet_of(model, read_model(model), said)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    name = said["name"] or model
    backend = VirtualBackend(
        fleet,
        isl=said["isl"],
        osl=said["osl"],
        name=name,
        speed=said["speed"],
        seed=said["seed"],
        answer_tokens=said["osl"],
        author=SmallModel(said["text"]) if said["text"] else None,
    )

    def ready(url: str) -> None:
        click.echo(f"{url}/v1 serves {name}, simulated: {place_of(fleet)}" + _at_speed(said["speed"]))
        for note in (*notes, *backend.notes):
            click.echo(f"- {note}")

    api = Api(backend, Metrics(backend.gauges), place=f"{place_of(fleet)}, simulated")
    asyncio.run(listen(api.app(), said["host"], said["port"], ready, door=door, page=serve_page()))


def _at_speed(speed: float) -> str:
    return "" if speed == 1.0 else f", at {speed:g} times its speed"
