"""Options that say who may come in to an endpoint, and the door that they make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from windtunnel.errors import InvalidInputError

if TYPE_CHECKING:
    from windtunnel.serve.door.door import Door

Command = TypeVar("Command", bound=Callable[..., Any])

_FILE = click.Path(path_type=Path)
_OPTIONS = (
    click.option("--keys", type=_FILE, metavar="FILE.toml", help="Who may ask and how much: [[key]] tables."),
    click.option("--new-key", metavar="NAME", help="In place of MODEL: show a fresh key, and print the table that lets it in."),
    click.option("--tls-cert", type=_FILE, metavar="FILE.pem", help="HTTPS with this certificate; with --tls-key."),
    click.option("--tls-key", type=_FILE, metavar="FILE.pem", help="The certificate's private key, not encrypted."),
    click.option("--cors", multiple=True, metavar="ORIGIN", help="Let pages of https://chat.example.com ask; * every page."),
    click.option("--accounts", type=_FILE, metavar="FILE.jsonl", help="Append one line of JSON for each request."),
)


def door_options(command: Command) -> Command:
    """--keys, --new-key, --tls-cert, --tls-key, --cors, --accounts."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def print_new_key(name: str) -> None:
    """``serve --new-key NAME``"""
    from windtunnel.serve.door.keys import new_key

    key, table = new_key(name)
    click.echo(f"{key}\nThat is the key: it is shown this once and kept nowhere. What --keys FILE.toml needs of it:", err=True)
    click.echo(table, nl=False)


def door_of(said: dict[str, Any], tables: object = None, where: str = "") -> Door:
    """The door that the options make. tables: ``[[key]]`` of the file ``where``, beside those of --keys.

    Raises InvalidInputError for what is malformed, and where the address is open to the network and there is no key.
    """
    from windtunnel.serve.door.accounts import Accounts
    from windtunnel.serve.door.address import is_loopback
    from windtunnel.serve.door.browser import read_origins
    from windtunnel.serve.door.door import Door
    from windtunnel.serve.door.keys import VARIABLE, all_keys
    from windtunnel.serve.door.tls import tls_of

    keys = all_keys(said["keys"], tables, where)
    loopback = is_loopback(said["host"], said["port"])
    if not (loopback or keys):
        host = said["host"] or "every address"
        raise InvalidInputError("--host", f"{host} is open to the network and asks for a key: --keys FILE.toml, or {VARIABLE}")
    certificate, private = said["tls_cert"], said["tls_key"]
    if (certificate is None) != (private is None):
        given, missing = ("--tls-cert", "--tls-key") if private is None else ("--tls-key", "--tls-cert")
        raise InvalidInputError(given, f"needs {missing} too")
    notes, tls = [], None
    if certificate is not None:
        tls, remark = tls_of(certificate, private)
        notes = [remark] if remark else []
    elif not loopback:
        notes = ["plain HTTP: keys and texts can be read on the network; --tls-cert and --tls-key encrypt them"]
    for note in notes:
        click.echo(f"windtunnel: {note}", err=True)
    origins = read_origins(said["cors"])
    return Door(
        keys, loopback=loopback, origins=origins, tls=tls, accounts=Accounts(said["accounts"]) if said["accounts"] else None
    )
