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
    click.option("--parallel", type=click.IntRange(1, 256), metavar="N", help="A real model's answers side by side; 8."),
    click.option("--context", type=TOKENS, help="Tokens of each, prompt and answer; the model's own, or what memory holds."),
    click.option("--threads", type=click.IntRange(1, 1024), metavar="N", help="Of a real model on the CPU; a core each."),
    click.option(
        "--quantize", type=click.Choice(["q4_0"]), help="Write a GGUF file anew, faster and less exact, and serve that."
    ),
    click.option("--chat-template", type=_FILE, metavar="FILE.jinja", help="In place of the model's own."),
    click.option("--waiting", type=click.IntRange(0, 100_000), default=256, metavar="N", help="Requests that may wait; 256."),
)


def real_options(command: Command) -> Command:
    """--parallel, --context, --threads, --quantize, --chat-template, --waiting."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def serve_real(model: str, said: dict[str, Any]) -> None:
    """Serves the weights that MODEL means, until it is interrupted."""
    from windtunnel.cli.serve_process import choosable, device_of, serve_process, serves_apart
    from windtunnel.serve.engine.choose import EMBEDDED, choose
    from windtunnel.serve.engine.start import Wanted, start
    from windtunnel.serve.engine.weights import find_weights

    if serves_apart(said["engine"]):
        serve_process(model, said["engine"], said)
        return
    weights = find_weights(model)
    before, after = choosable(weights, said)
    choice = choose(weights, said["engine"], before, after)
    if choice.engine not in EMBEDDED:
        serve_process(model, choice.engine, said, choice.told)
        return
    device = device_of(choice.engine, said)
    template = _template(said["chat_template"])
    door = door_of(said)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    name = said["name"] or weights.name
    notes = [choice.told] if choice.told else []
    weights, more = _quantized(weights, said["quantize"])
    notes += more
    wanted = Wanted(
        name,
        parallel=said["parallel"] or 0,
        context=int(said["context"] or 0),
        threads=said["threads"] or 0,
        waiting=said["waiting"],
        template=template,
        device=device,
    )
    started = start(weights, choice.engine, wanted, lambda line: click.echo(f"- {line}"))

    def ready(url: str) -> None:
        click.echo(f"{url}/v1 serves {name} by {started.told}")
        for note in (*notes, *started.notes):
            click.echo(f"- {note}")

    from windtunnel.serve.server import serve as listen
    from windtunnel.web.serve_page import serve_page

    asyncio.run(listen(started.app(), said["host"], said["port"], ready, door=door, page=serve_page()))


def _quantized(weights: Weights, kind: str | None) -> tuple[Weights, list[str]]:
    """The weights to serve, and what the user has to know of them."""
    from dataclasses import replace

    from windtunnel.serve.engine import quantize
    from windtunnel.serve.engine.gguf import read_head
    from windtunnel.serve.engine.weights import GGUF

    if kind is None:
        if weights.form == GGUF and quantize.worth(read_head(weights.path)):
            return weights, ["--quantize q4_0 writes it anew once, for faster kernels, and costs some exactness: see the manual"]
        return weights, []
    if weights.form != GGUF:
        raise InvalidInputError("--quantize", f"writes GGUF files anew, and {weights.said} is {weights.form}")
    found = quantize.quantized(weights.path, kind)
    changed = "" if found.error is None else f", whose weights changed by {100 * found.error:.1f} % (root mean square)"
    return replace(weights, path=found.path), [f"quantised to {kind}: {found.path}{changed}"]


def _template(path: Path | None) -> str:
    try:
        return "" if path is None else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError("--chat-template", f"{path}: {error}") from None
