"""``windtunnel serve MODEL --engine vllm``: a model by an engine in a process of its own, behind a router with one back end."""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from windtunnel.cli.door_options import door_of
from windtunnel.errors import EngineError, InvalidInputError, UnknownNameError

if TYPE_CHECKING:
    from windtunnel.serve.engine.choose import Candidate as Choosable
    from windtunnel.serve.engine.weights import Weights
    from windtunnel.serve.fleet.file import Limits
    from windtunnel.serve.process.candidates import Candidate
    from windtunnel.serve.process.launch import Wish

Command = TypeVar("Command", bound=Callable[..., Any])

MOST_DEVICES = 1024
CALLED = {"both": "llama.cpp with OpenVINO", "openvino": "OpenVINO"}
"""Engines in this process, where their own name would read oddly."""


class DeviceNumbers(click.ParamType):  # type: ignore[type-arg]  # generic only in click 8.4 and later
    """Numbers of devices with commas between."""

    name = "N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        numbers = str(value).split(",")
        if not all(number.strip().isdecimal() and int(number) < MOST_DEVICES for number in numbers):
            raise InvalidInputError("--devices", f"'{value}' should be numbers of devices with commas between: 0,1")
        found = tuple(int(number) for number in numbers)
        if len(set(found)) < len(found):
            raise InvalidInputError("--devices", f"'{value}' names a device twice")
        return found


_OPTIONS = (
    click.option("--python", type=click.Path(), default="", metavar="FILE", help="The Python whose vLLM or SGLang serves; this."),
    click.option("--devices", type=DeviceNumbers(), default=(), help="Numbers of the devices that may be used: 0,1; all."),
    click.option("--engine-flags", default="", metavar="TEXT", help="More flags of vLLM or SGLang, as they take them."),
)


def process_options(command: Command) -> Command:
    """--python, --devices, --engine-flags."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def serves_apart(engine: str) -> bool:
    """Whether an engine serves as a process of its own; not, where none is named. Raises UnknownNameError."""
    from windtunnel.serve.engine.choose import EMBEDDED

    if not engine or engine in EMBEDDED:
        return False
    from windtunnel.serve.process.candidates import engine_names

    if engine not in engine_names():
        raise UnknownNameError("engine", engine, (*EMBEDDED, *engine_names()))
    return True


def device_of(engine: str, said: dict[str, Any]) -> str:
    """The device of an engine in this process, as PyTorch names it; "" where it finds one itself.

    Raises InvalidInputError for options that change nothing for it.
    """
    from windtunnel.serve.engine.choose import TRANSFORMERS

    called = CALLED.get(engine, engine)
    for name in ("python", "engine_flags", "tp", "pp", "dp", "moe_ep"):
        if said[name]:
            option = f"--{name.removeprefix('moe_').replace('_', '-')}"
            raise InvalidInputError(option, f"is for vLLM and SGLang, and {called} serves here; leave it out")
    devices: tuple[int, ...] = said["devices"]
    if not devices:
        return ""
    if engine != TRANSFORMERS or len(devices) > 1:
        what = "takes one device" if engine == TRANSFORMERS else "serves on the CPU"
        raise InvalidInputError("--devices", f"{called} {what}; " + ("name one" if engine == TRANSFORMERS else "leave it out"))
    from windtunnel.serve.engine.transformers.loaded import best_device

    kind = best_device()
    if kind == "cpu":
        raise InvalidInputError("--devices", "PyTorch has no accelerator here; leave it out")
    return f"{kind}:{devices[0]}"


def choosable(weights: Weights, said: dict[str, Any]) -> tuple[tuple[Choosable, ...], tuple[Choosable, ...]]:
    """The engines in processes that come before those in this process, an accelerator's, and those that come after."""
    from windtunnel.serve.engine.choose import Candidate as Choosable
    from windtunnel.serve.engine.weights import SAFETENSORS
    from windtunnel.serve.process.candidates import candidates

    if said["engine"] or weights.form != SAFETENSORS:
        return (), ()  # one is chosen; or GGUF, of which they say themselves that it is experimental
    found = candidates(python=said["python"])
    before = tuple(Choosable(one.engine, one.why_not) for one in found if one.stack.id != "cpu")
    return before, tuple(Choosable(one.engine, one.why_not) for one in found if one.stack.id == "cpu")


def serve_process(model: str, engine: str, said: dict[str, Any], told: str = "") -> None:
    """Serves MODEL by the engine of that name, until it is interrupted. told: why better ones were not taken.

    Raises EngineError where the engine does not start, or is given up.
    """
    from windtunnel.serve.process.candidates import chosen

    _check(said)
    candidate = chosen(engine, python=said["python"])
    wish, experts = _wish(model, candidate, said)
    door = door_of(said)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    for line in (*([told] if told else []), *(f"not known: {text}" for text in candidate.unsure)):
        click.echo(f"- {line}")
    asyncio.run(_serve(candidate, wish, experts, door, said))


def _check(said: dict[str, Any]) -> None:
    for name in ("threads", "chat_template", "quantize"):
        if said[name] is not None:
            option = f"--{name.replace('_', '-')}"
            raise InvalidInputError(option, "is for engines in this process; --engine-flags passes what vLLM or SGLang take")


def _wish(model: str, candidate: Candidate, said: dict[str, Any]) -> tuple[Wish, bool]:
    """What is asked of the engine, and whether the model has experts."""
    from windtunnel.serve.engine.weights import SAFETENSORS, find_weights
    from windtunnel.serve.process.launch import Wish
    from windtunnel.serve.process.sizes import Facts, read_facts, tensor_parallel

    facts, path, name = Facts(0, 0, False), model, model
    try:
        weights = find_weights(model)
    except InvalidInputError:
        if Path(model).exists() or model.count("/") != 1:
            raise
        click.echo(f"- {model} is not on this disk: {candidate.engine} fetches it itself, if it can")
    else:
        if weights.form != SAFETENSORS:
            raise InvalidInputError(model, f"is {weights.form}, and {candidate.engine} is given safetensors")
        facts, path, name = read_facts(weights.path), str(weights.path), weights.name
    try:
        flags = tuple(shlex.split(said["engine_flags"]))
    except ValueError as error:
        raise InvalidInputError("--engine-flags", f"'{said['engine_flags']}' cannot be read: {str(error).lower()}") from None
    devices: tuple[int, ...] = said["devices"]
    here = [one.memory_bytes for at, one in enumerate(candidate.devices) if not devices or at in devices]
    pp, dp = said["pp"] or 1, said["dp"] or 1
    tp = said["tp"] or tensor_parallel(facts, here, pp * dp)
    return Wish(
        path, said["name"] or name, tp, pp, dp, said["moe_ep"] or 1, devices, int(said["context"] or 0), said["parallel"] or 0,
        flags,
    ), facts.experts  # fmt: skip


def one_engine(waiting: int) -> Limits:
    """A fleet's limits where there is one back end: trying again would ask the same engine for the same work, and a first token
    takes as long as its queue and the prompt do."""
    from windtunnel.serve.fleet.file import Limits

    return Limits(queue=waiting, retries=0, first_token=Limits().whole)


async def _serve(candidate: Candidate, wish: Wish, experts: bool, door: Any, said: dict[str, Any]) -> None:
    from windtunnel.serve.fleet.file import BackendEntry
    from windtunnel.serve.fleet.router import Router
    from windtunnel.serve.process.process import State
    from windtunnel.serve.server import serve as listen
    from windtunnel.web.serve_page import serve_page

    stop = asyncio.Event()
    async with candidate.process(wish, _told, experts=experts) as engine:
        entry = BackendEntry(candidate.engine, "url", engine.url, model=wish.name, key=engine.key)
        router = Router([entry], one_engine(said["waiting"]))
        engine.up = router.endpoints[entry.name].at

        def ready(url: str) -> None:
            cut = f", tensor parallel over {wish.tp}" if wish.tp > 1 else ""
            click.echo(f"{url}/v1 serves {wish.name} by {candidate.name}{cut}")

        async def watch() -> None:
            await engine.given_up()
            stop.set()

        watching = asyncio.create_task(watch())
        try:
            await listen(router.app(), said["host"], said["port"], ready, door=door, stop=stop, page=serve_page())
        finally:
            watching.cancel()
        if engine.state is State.GIVEN_UP:
            raise EngineError(engine.ill(), engine.last_lines)


def _told(line: str) -> None:
    click.echo(line, err=True)
