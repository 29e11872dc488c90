"""``windtunnel serve MODEL``: the endpoint of a real model on what this machine has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from windtunnel.cli.door_options import door_of
from windtunnel.cli.params import TOKENS
from windtunnel.errors import InvalidInputError

if TYPE_CHECKING:
    from windtunnel.serve.engine.weights import Weights

Command = TypeVar("Command", bound=Callable[..., Any])

_FILE = click.Path(path_type=Path)
_OPTIONS = (
    click.option("--parallel", type=click.IntRange(1, 256), default=None, metavar="N", help="Its answers side by side; 8."),
    click.option("--context", type=TOKENS, default=None, help="Tokens of each, prompt and answer; the model's, or what fits."),
    click.option("--threads", type=click.IntRange(1, 1024), default=None, metavar="N", help="Its threads; a core each."),
    click.option("--chat-template", type=_FILE, metavar="FILE.jinja", help="In place of the model's own."),
    click.option("--waiting", type=click.IntRange(0, 100_000), default=256, metavar="N", help="Requests that may wait; 256."),
)


def real_options(command: Command) -> Command:
    """--parallel, --context, --threads, --chat-template, --waiting."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def serve_real(model: str, said: dict[str, Any]) -> None:
    """Serves the weights that MODEL means, until it is interrupted."""
    from windtunnel.serve.engine.choose import choose
    from windtunnel.serve.engine.weights import find_weights

    weights = find_weights(model)
    choice = choose(weights, said["engine"])
    door = door_of(said)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    _llama(weights, said, door, choice.told)


def _template(said: dict[str, Any]) -> str:
    if said["chat_template"] is None:
        return ""
    try:
        return str(said["chat_template"].read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError("--chat-template", f"{said['chat_template']}: {error}") from None


def _llama(weights: Weights, said: dict[str, Any], door: Any, told: str) -> None:
    from windtunnel.serve.api.app import Api
    from windtunnel.serve.api.metrics import Metrics
    from windtunnel.serve.engine.gguf import read_head
    from windtunnel.serve.engine.llama import LlamaBackend
    from windtunnel.serve.engine.sizes import size_for
    from windtunnel.serve.server import serve as listen

    head = read_head(weights.path)
    size = size_for(
        head,
        weights.path.stat().st_size,
        parallel=said["parallel"] or 0,
        context=int(said["context"] or 0),
        threads=said["threads"] or 0,
    )
    name = said["name"] or weights.name
    backend = LlamaBackend(weights.path, size, name=name, waiting=said["waiting"], template=_template(said))

    def ready(url: str) -> None:
        click.echo(f"{url}/v1 serves {name} by llama.cpp on {size.threads} cores: {size.parallel} x {size.context:,} tokens")
        if told:
            click.echo(f"- {told}")

    asyncio.run(listen(Api(backend, Metrics(backend.gauges)).app(), said["host"], said["port"], ready, door=door))
