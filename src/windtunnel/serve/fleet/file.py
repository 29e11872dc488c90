"""fleet.toml: the fleet's limits, its back ends, and the keys that open it."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from windtunnel.errors import InvalidInputError, UnknownNameError, WindtunnelError
from windtunnel.serve.fleet.table import Table, said

Kind = Literal["url", "virtual", "serve"]
KINDS: tuple[Kind, ...] = ("url", "virtual", "serve")

MOST_BYTES = 4_000_000
MOST_BACKENDS = 1024
MOST_IN_FLIGHT = 256
"""Requests of one back end at once, where the file does not say: as many as vLLM runs at once of its own accord."""
TABLES = ("fleet", "backend", "key")
PURCHASES = ("chip", "workload", "training")
"""Tables of the file of ``windtunnel fleet``."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HEADER = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Limits:
    """The table ``[fleet]``. Times in seconds.

    ttft, tpot: what each request should meet. retries: further tries of a request; retry_share: of them among all requests,
    beyond a few a second. connect, first_token, between_tokens, whole: how long each may take. most_in_flight: requests under
    way in the whole fleet; queue: requests that wait beyond it, and queue_time how long. health_every: between two looks at a
    back end. break_after: failures in a row, and break_share of the recent ones, that open a back end's circuit; break_for:
    the first time that it stays open. drain: how long requests under way are waited for at the end.
    """

    ttft: float = 2.0
    tpot: float = 0.05
    retries: int = 2
    retry_share: float = 0.2
    connect: float = 2.0
    first_token: float = 120.0
    between_tokens: float = 30.0
    whole: float = 1800.0
    most_in_flight: int = 4096
    queue: int = 256
    queue_time: float = 30.0
    health_every: float = 2.0
    break_after: int = 5
    break_share: float = 0.5
    break_for: float = 1.0
    drain: float = 30.0


@dataclass(frozen=True, slots=True)
class BackendEntry:
    """A table ``[[backend]]``.

    where: its URL, ``CHIP[:N]`` of a virtual one, or what ``windtunnel serve`` takes. model: what the back end calls it, empty
    for all that it says it has; alias: what clients call it. key: what is sent to it, never shown. on, engine: for the
    prediction. options: of the child that serves it.
    """

    name: str
    kind: Kind
    where: str
    model: str = ""
    alias: str = ""
    key: str = field(default="", repr=False)
    on: str = ""
    engine: str = ""
    engine_version: str = ""
    price_per_h: float | None = None
    most_in_flight: int = MOST_IN_FLIGHT
    options: tuple[str, ...] = ()

    @property
    def called(self) -> str:
        """What clients call its model; empty where the back end says so itself."""
        return self.alias or self.model

    @property
    def place(self) -> str:
        """What it runs on, where that was told."""
        return self.where if self.kind == "virtual" else self.on


@dataclass(frozen=True, slots=True)
class FleetFile:
    """What a file says. keys: the tables ``[[key]]`` as they stand, for the door."""

    path: Path
    limits: Limits
    backends: tuple[BackendEntry, ...]
    keys: tuple[Mapping[str, Any], ...] = ()


def read_fleet_file(path: Path, environment: Mapping[str, str] = os.environ) -> FleetFile:
    """The fleet of a TOML file; environment holds the back ends' keys.

    Raises InvalidInputError or UnknownNameError, one line that names the file, the table and the key.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InvalidInputError(path.name, f"is larger than {MOST_BYTES / 1e6:.0f} MB; no fleet's file is")
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise InvalidInputError(path.name, f"is not TOML: {error}")
    except OSError as error:
        raise InvalidInputError(str(path), f"cannot be read: {error.strerror or error}")
    except (UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError(path.name, f"cannot be read: {error}")
    if "backend" not in content and any(table in content for table in PURCHASES):
        found = next(table for table in PURCHASES if table in content)
        raise InvalidInputError(
            path.name, f"has [[{found}]] and no [[backend]]: it is a file for `windtunnel fleet`; serve --fleet reads [[backend]]"
        )
    for table in content:
        if table not in TABLES:
            raise UnknownNameError(f"table in {path.name}", table, TABLES)
    return _Reader(path.name, environment).read(path, content)


LIMITS = tuple(f.name for f in fields(Limits))
BACKEND = (
    "name", "url", "virtual", "serve", "key_env", "model", "as", "on", "engine", "engine_version", "price_per_h",
    "most_in_flight", "options",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Reader:
    file: str
    environment: Mapping[str, str]

    def read(self, path: Path, content: dict[str, Any]) -> FleetFile:
        limits = self.limits(content.get("fleet", {}))
        tables = content.get("backend")
        if not isinstance(tables, list) or not tables:
            raise InvalidInputError(self.file, 'names no back end; write [[backend]] with name = "..." and url = "http://..."')
        if len(tables) > MOST_BACKENDS:
            raise InvalidInputError(self.file, f"has {len(tables):,} back ends; at most {MOST_BACKENDS:,}")
        backends: dict[str, BackendEntry] = {}
        for number, table in enumerate(tables, 1):
            entry = self.backend(number, table)
            if entry.name in backends:
                raise InvalidInputError(f"{self.file}, [[backend]] {number} name", f"'{entry.name}' is taken by one before it")
            backends[entry.name] = entry
        keys = content.get("key", [])
        if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
            raise InvalidInputError(self.file, "a key is a table; write [[key]]")
        return FleetFile(path, limits, tuple(backends.values()), tuple(keys))

    def limits(self, table: Any) -> Limits:
        t, d = Table(self.file, "[fleet]", table, LIMITS), Limits()
        share = t.number("break_share", d.break_share, 1.0)
        return Limits(
            ttft=t.time("ttft", d.ttft),
            tpot=t.time("tpot", d.tpot),
            retries=t.count("retries", d.retries, 0, 16),
            retry_share=t.number("retry_share", d.retry_share, 16.0) or 0.0,
            connect=t.time("connect", d.connect),
            first_token=t.time("first_token", d.first_token),
            between_tokens=t.time("between_tokens", d.between_tokens),
            whole=t.time("whole", d.whole),
            most_in_flight=t.count("most_in_flight", d.most_in_flight, 1, 1_000_000),
            queue=t.count("queue", d.queue, 0, 1_000_000),
            queue_time=t.time("queue_time", d.queue_time),
            health_every=t.time("health_every", d.health_every),
            break_after=t.count("break_after", d.break_after, 1, 1_000_000),
            break_share=share or d.break_share,
            break_for=t.time("break_for", d.break_for),
            drain=t.time("drain", d.drain),
        )

    def backend(self, number: int, table: Any) -> BackendEntry:
        name = table.get("name") if isinstance(table, dict) else None
        place = f"[[backend]] {name!r}" if isinstance(name, str) and _NAME.fullmatch(name) else f"[[backend]] {number}"
        t = Table(self.file, place, table, BACKEND)
        if "name" not in t.table:
            raise t.wrong("name", 'is missing; write name = "h20", for metrics and accounts')
        if not _NAME.fullmatch(t.text("name")):
            raise t.wrong("name", f"{said(t.table['name'])} has to be of letters, digits, '.', '_' and '-', at most 64")
        kinds = [kind for kind in KINDS if kind in t.table]
        if len(kinds) != 1:
            both = f"has {' and '.join(kinds)}; it is one of them" if kinds else "says not what it is"
            raise t.wrong("", f'{both}: url = "http://...", virtual = "CHIP:N", or serve = "MODEL"')
        kind = kinds[0]
        where = t.text(kind)
        entry = BackendEntry(
            name=t.text("name"),
            kind=kind,
            where=_url(t, where) if kind == "url" else where,
            model=t.text("model"),
            alias=t.text("as"),
            key=self.key(t),
            on=t.text("on"),
            engine=t.text("engine"),
            engine_version=t.text("engine_version"),
            price_per_h=t.number("price_per_h", None, 1e9),
            most_in_flight=t.count("most_in_flight", MOST_IN_FLIGHT, 1, 1_000_000),
            options=t.texts("options"),
        )
        return self.fitting(t, entry)

    def fitting(self, t: Table, entry: BackendEntry) -> BackendEntry:
        """Keys that do not go with the kind."""
        if entry.kind != "url" and entry.key:
            raise t.wrong("key_env", "is for a back end with a url; those that are started here need no key")
        if entry.kind == "url" and entry.options:
            raise t.wrong("options", "are for back ends that are started here; whoever started this one chose its options")
        if entry.kind == "virtual" and not entry.model:
            raise t.wrong("model", "is missing: which one to simulate; `windtunnel models` lists what is known")
        if entry.kind == "virtual" and entry.on:
            raise t.wrong("on", "says again what virtual says; leave it out")
        if entry.alias and not entry.model and entry.kind == "url":
            raise t.wrong("model", "is missing: what the back end calls the model that clients call by `as`")
        if entry.kind == "serve" and entry.model:
            raise t.wrong("model", "is what serve says; the name for clients is `as`")
        if entry.on and not entry.called and entry.kind == "url":
            raise t.wrong("model", "is missing: `on` tells the speed of a model, so name it")
        own = {"--port", "--host", "--name", "--fleet", "--doctor", "--on", "--accounts", "--keys", "--tls-cert", "--tls-key"}
        for option in entry.options:
            if option.split("=")[0] in own:
                raise t.wrong("options", f"'{option}' is set by the fleet itself; leave it out")
        return entry

    def key(self, t: Table) -> str:
        variable = t.text("key_env")
        if not variable:
            return ""
        key = self.environment.get(variable, "").strip()
        if not key:
            raise t.wrong("key_env", f"the environment has no {variable}; set it to the back end's key")
        if not _HEADER.fullmatch(key):
            raise t.wrong("key_env", f"what {variable} holds is no key: it has spaces or characters that no header carries")
        return key


def _url(t: Table, text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise t.wrong("url", f"{said(text)} is no URL; write it as http://h20:8000/v1")
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or any(c.isspace() for c in text):
        raise t.wrong("url", f"{said(text)} is no URL of an endpoint; write it as http://h20:8000/v1")
    if parts.username or parts.password:
        raise t.wrong("url", 'holds a password; put the key into a variable and name it: key_env = "NAME"')
    if parts.query or parts.fragment:
        raise t.wrong("url", f"{said(text)} has more than a path; write it as http://h20:8000/v1")
    return text.rstrip("/").removesuffix("/v1")


def about(file: str, entry: BackendEntry, error: WindtunnelError) -> InvalidInputError:
    """The same error, with the file and the back end it is about."""
    return InvalidInputError(f"{file}, [[backend]] '{entry.name}'", str(error))
