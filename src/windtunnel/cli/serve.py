"""``windtunnel serve MODEL --on CHIP[:N]``: an OpenAI-compatible endpoint of a deployment that is not there."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import click

from windtunnel.cli.fleet_options import check_on, fleet_of, fleet_options, on_options
from windtunnel.cli.params import TOKENS, Rate, json_option
from windtunnel.errors import InvalidInputError, UnsupportedError

MOST_SPEED = 10_000.0
ISL, OSL = 1024, 256


@click.command()
@click.argument("model", required=False, default="")
@click.option("--doctor", is_flag=True, help="In place of MODEL: what accelerators are here, and which versions go together.")
@on_options
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="Where to listen; 127.0.0.1: this machine alone.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, metavar="N", help="8000; 0 takes any that is free.")
@click.option("--name", default="", help="What clients call the model; as MODEL is given.")
@click.option("--speed", type=Rate(MOST_SPEED, "times"), default=1.0, help="2: twice as fast as the deployment; 0.5: half; 1.")
@click.option("--isl", type=TOKENS, default=ISL, help="Input tokens for which the caches are laid out; 1,024.")
@click.option("--osl", type=TOKENS, default=OSL, help="Output tokens likewise, and of answers whose length is left open; 256.")
@click.option(
    "--text",
    type=click.Path(path_type=Path),
    metavar="FILE.gguf",
    help="A small real model that writes the text; filler without.",
)
@click.option("--seed", type=int, default=0, help="Of failures; 0.")
@fleet_options
@json_option
def serve(model: str, doctor: bool, as_json: bool, **said: Any) -> None:
    """An OpenAI-compatible endpoint of a deployment that is not there.

    MODEL is a name of the catalogue (`windtunnel models`), a config.json, or a folder that holds one. All live requests share
    one simulated engine: tokens come when that deployment would give them under the load that is really there. The text is
    filler, a word a token, or that of a small real model (--text). Serves /v1/chat/completions, /v1/completions, /v1/models,
    /health and /metrics until it is interrupted. With --doctor: what this machine has, which versions of its software go
    together, and what does not; the exit status is 1 unless all is well.
    """
    if doctor:
        from windtunnel.cli.doctor import print_doctor

        if model:
            raise InvalidInputError("--doctor", "looks at this machine, whatever the model; leave MODEL out")
        sys.exit(print_doctor(as_json))
    if as_json:
        raise InvalidInputError("--json", "is for --doctor")
    if not model:
        raise InvalidInputError("model", "is missing: which one to serve; `windtunnel models` lists what is known")
    if importlib.util.find_spec("aiohttp") is None or importlib.util.find_spec("prometheus_client") is None:
        raise UnsupportedError("serve needs aiohttp and prometheus-client; install them with: pip install 'windtunnel[serve]'")
    if not (said["on"] or said["prefill"] or said["decode"]):
        raise InvalidInputError("--on", "say on what the model is simulated: --on CHIP:N")
    check_on(said)
    from windtunnel.catalog.models import model as read_model

    fleet, notes = fleet_of(model, read_model(model), said)
    _serve(fleet, model, notes, said)


def _serve(fleet: Any, model: str, notes: list[str], said: dict[str, Any]) -> None:
    import asyncio
    import logging

    from windtunnel.cli.render_simulation import place_of
    from windtunnel.serve.api.app import Api
    from windtunnel.serve.api.metrics import Metrics
    from windtunnel.serve.server import serve as listen
    from windtunnel.serve.virtual.backend import VirtualBackend
    from windtunnel.serve.virtual.small_model import SmallModel

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

    asyncio.run(listen(Api(backend, Metrics(backend.gauges)).app(), said["host"], said["port"], ready))


def _at_speed(speed: float) -> str:
    return "" if speed == 1.0 else f", at {speed:g} times its speed"
