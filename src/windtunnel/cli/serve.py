"""``windtunnel serve MODEL --on CHIP[:N]``: an OpenAI-compatible endpoint of a deployment that is not there."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import click

from windtunnel.cli.deployment_options import deployment_options, serve_deployment_if_asked
from windtunnel.cli.door_options import door_options, print_new_key
from windtunnel.cli.fleet_options import fleet_options, on_options
from windtunnel.cli.params import TOKENS, Rate, json_option
from windtunnel.cli.sections import Sectioned
from windtunnel.cli.serve_kinds import SECTIONS, check_kind
from windtunnel.cli.serve_process import process_options
from windtunnel.cli.serve_real import real_options
from windtunnel.errors import InvalidInputError, UnsupportedError

MOST_SPEED = 10_000.0
ISL, OSL = 1024, 256


@click.command(cls=Sectioned, sections=SECTIONS)
@click.argument("model", required=False, default="")
@click.option("--doctor", is_flag=True, help="In place of MODEL: what accelerators are here, and which versions go together.")
@click.option(
    "--fleet",
    type=click.Path(path_type=Path),
    metavar="FILE.toml",
    help="In place of MODEL: one endpoint over the back ends of this file.",
)
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
@real_options
@process_options
@door_options
@deployment_options
@fleet_options
@json_option
def serve(model: str, doctor: bool, as_json: bool, **said: Any) -> None:
    """An OpenAI-compatible endpoint of a real model, or of a deployment that is not there.

    MODEL is a .gguf file, a folder with config.json and .safetensors, an installed package that carries a GGUF file, or a model
    in the Hugging Face cache: it runs on what this machine has.

    With --on, MODEL is a name of the catalogue (`windtunnel models`), a config.json, or a folder that holds one, and nothing
    runs: all live requests share one simulated engine, and tokens come when that deployment would give them under the load that
    is really there. The text is filler, a word a token, or that of a small real model (--text).

    Serves /v1/chat/completions, /v1/completions, /v1/models, /health and /metrics until it is interrupted. With --doctor: what
    this machine has, which versions of its software go together, and what does not; the exit status is 1 unless all is well.
    """
    if doctor:
        from windtunnel.cli.doctor import print_doctor

        if model:
            raise InvalidInputError("--doctor", "looks at this machine, whatever the model; leave MODEL out")
        sys.exit(print_doctor(as_json))
    if said["new_key"]:
        if model:
            raise InvalidInputError("--new-key", f"makes a key and serves nothing; leave '{model}' out")
        print_new_key(said["new_key"])
        return
    if as_json:
        raise InvalidInputError("--json", "is for --doctor")
    status = serve_deployment_if_asked(model, said)
    if status is not None:
        sys.exit(status)
    if said["fleet"]:
        _needs_http()
        from windtunnel.cli.serve_fleet import serve_fleet

        serve_fleet(model, said)
        return
    if not model:
        raise InvalidInputError("model", "is missing: which one to serve; `windtunnel models` lists what is known")
    simulated = bool(said["on"] or said["prefill"] or said["decode"])
    check_kind(click.get_current_context(), simulated=simulated)
    _needs_http()
    if not simulated:
        from windtunnel.cli.serve_real import serve_real

        serve_real(model, said)
        return
    from windtunnel.cli.serve_virtual import serve_virtual

    serve_virtual(model, said)


def _needs_http() -> None:
    if importlib.util.find_spec("aiohttp") is None or importlib.util.find_spec("prometheus_client") is None:
        raise UnsupportedError("serve needs aiohttp and prometheus-client; install them with: pip install 'windtunnel[serve]'")
