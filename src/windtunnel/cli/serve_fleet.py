"""``windtunnel serve --fleet FILE.toml``: one endpoint over many back ends, of any maker, real or virtual."""

from __future__ import annotations

import asyncio
import gc
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from windtunnel.cli.door_options import door_of
from windtunnel.cli.fleet_options import fleet_of
from windtunnel.cli.params import OnChip
from windtunnel.cli.sections import given
from windtunnel.cli.serve_kinds import check_kind
from windtunnel.errors import InvalidInputError, UnsupportedError, WindtunnelError

if TYPE_CHECKING:
    from windtunnel.serve.fleet.file import BackendEntry
    from windtunnel.serve.steer.speed import Speed

OWN = ("host", "port", "keys", "new_key", "tls_cert", "tls_key", "cors", "accounts", "fleet")
"""Options of serve that go with --fleet; what the others say stands in the file."""


def serve_fleet(model: str, said: dict[str, Any]) -> None:
    """Serves the fleet that the file says, until it is interrupted."""
    if model:
        raise InvalidInputError("--fleet", f"serves what its file says; leave '{model}' out, or write it there as a [[backend]]")
    _check_alone()
    from windtunnel.serve.fleet.file import read_fleet_file
    from windtunnel.serve.fleet.loop import new_event_loop
    from windtunnel.serve.fleet.router import Router
    from windtunnel.serve.server import serve as listen
    from windtunnel.web.serve_page import serve_page

    path: Path = said["fleet"]
    file = read_fleet_file(path)
    speeds = {entry.name: speed for entry in file.backends if (speed := speed_of(path.name, entry)) is not None}
    door = door_of(said, list(file.keys) or None, path.name)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    router = Router(file.backends, file.limits, speeds, tell=_told)

    def ready(url: str) -> None:
        gc.collect()
        gc.freeze()  # the catalogue stays: looking through it again and again would hold up every stream
        names = ", ".join(router.served()) or "what its back ends say that they have"
        click.echo(f"{url}/v1 serves {names} on {len(file.backends)} back end{'s' * (len(file.backends) > 1)}")
        for endpoint in router.endpoints.values():
            entry, state = endpoint.entry, endpoint.state()
            why = f": {endpoint.why}" if endpoint.why and state != "up" else ""
            place = f", {entry.place}" if entry.place and entry.kind == "url" else ""
            shown = {"url": entry.where, "virtual": f"virtual {entry.where}", "serve": f"serve {entry.where}"}[entry.kind]
            predicted = "" if entry.name in speeds else "; its speed is learned from its answers alone"
            click.echo(f"- {entry.name}: {shown}{place}; {state}{why}{predicted}")

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(
            listen(router.app(), said["host"], said["port"], ready, door=door, page=serve_page(), grace_s=file.limits.drain)
        )


def speed_of(file: str, entry: BackendEntry) -> Speed | None:
    """The predicted speed of a back end; None where the file does not say what it is. Raises the errors that the command has for
    the same words, with the file and the back end before them."""
    from windtunnel.serve.fleet.file import about

    try:
        context = _made(entry)
        said = context.params
        if entry.kind != "url":
            check_kind(context, simulated=entry.kind == "virtual")
        if entry.kind == "serve" and not said.get("engine"):
            from windtunnel.serve.engine.weights import find_weights

            find_weights(entry.where)
        return _speed(entry, said) if entry.place else None
    except WindtunnelError as error:
        raise about(file, entry, error) from None
    except click.ClickException as error:
        raise about(file, entry, UnsupportedError(error.format_message())) from None


def _made(entry: BackendEntry) -> click.Context:
    """The options of ``serve`` for the back end: those of its process, or none where it is elsewhere."""
    from windtunnel.serve.fleet.children import arguments

    return _context().command.make_context("serve", [] if entry.kind == "url" else list(arguments(entry)))


def _speed(entry: BackendEntry, said: dict[str, Any]) -> Speed:
    from windtunnel.catalog.models import model as read_model
    from windtunnel.serve.steer.table import table_of

    if entry.kind != "virtual":
        said = {**_context().command.make_context("serve", []).params, "on": OnChip().convert(entry.place, None, None)}
        said |= {"engine": entry.engine, "engine_version": entry.engine_version}
    known = entry.model or entry.called
    try:
        spec = read_model(known)
    except WindtunnelError:
        if not entry.alias or entry.kind == "virtual":
            raise
        known, spec = entry.alias, read_model(entry.alias)  # a path of its own, under a name that everybody knows
    fleet, _ = fleet_of(known, spec, said)
    return table_of(fleet, said["isl"], said["osl"])


def _context() -> click.Context:
    return click.get_current_context()


def _check_alone() -> None:
    """Raises InvalidInputError for an option that the file says, or that changes nothing."""
    for name, option in given(_context()):
        if name not in OWN:
            raise InvalidInputError(option, "does not go with --fleet, whose file says what is served and where")


def _told(line: str) -> None:
    click.echo(line, err=True)
