"""deployment.json: what a folder holds, which commands drive it, and what only its user knows."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from windtunnel.errors import InvalidInputError

FILE = "deployment.json"
FORMAT = 1
MOST_BYTES = 4_000_000
PROGRAMS = {
    "docker": "Docker Engine with its Compose plugin",
    "kubectl": "kubectl",
    "ray": "Ray (pip install 'ray[default]')",
}
"""What may be run, and what to install where it is missing; a folder that asks for anything else is refused."""
STEPS = ("up", "serve", "wait", "forward", "status", "logs", "down")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_SERVER = re.compile(r"//server-(\d+)(?=[:/]|$)")
_LINE = re.compile(r"""^\s*(?:export\s+)?(\w+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^#\n]*?))\s*(?:#.*)?$""", re.MULTILINE)

Command = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI endpoint; patience_s: how long its start may take."""

    name: str
    url: str
    patience_s: float


@dataclass(frozen=True, slots=True)
class Deployment:
    """A folder that `windtunnel plan --deploy` wrote.

    way: compose, kubernetes or ray; router: the address at which its own router answers, empty where it has none; needs:
    variables that only the user knows, and what each is; commands: by step, each run in the folder; values: what ``.env``
    and the environment say; dotenv: what the file alone says, which is all that kubectl reads.
    """

    folder: Path
    way: str
    model: str
    router: str
    needs: Mapping[str, str]
    endpoints: tuple[Endpoint, ...]
    commands: Mapping[str, tuple[Command, ...]]
    values: Mapping[str, str]
    dotenv: Mapping[str, str]

    def missing(self) -> list[str]:
        """The needed variables that nobody has set."""
        said = self.dotenv if self.way == "kubernetes" else self.values
        return [name for name in self.needs if not said.get(name)]

    def filled(self, text: str) -> str:
        """``text`` with its ``${NAME}`` replaced. Raises InvalidInputError where nobody has said what it is."""

        def value(found: re.Match[str]) -> str:
            name = found[1]
            if not self.values.get(name):
                raise InvalidInputError(name, f"is not set; write it into {self.folder / '.env'}: {self.needs.get(name, '')}")
            return self.values[name]

        return _VARIABLE.sub(value, text)

    def reached(self, text: str) -> str:
        """``text`` with server-0, server-1 ... in its URLs replaced by the addresses of the servers."""
        return _SERVER.sub(lambda found: "//" + self.filled(f"${{SERVER_{found[1]}}}"), text)


def read_deployment(folder: Path, environment: Mapping[str, str] = os.environ) -> Deployment:
    """What ``folder`` holds. Raises InvalidInputError: one line that names the file and what is wrong with it."""
    path = folder / FILE
    if not folder.is_dir():
        raise InvalidInputError("--deployment", f"there is no folder {folder}")
    if not path.is_file():
        raise InvalidInputError(
            "--deployment",
            f"{folder} holds no {FILE}; `windtunnel plan ... --deploy DIR --deploy-with compose|kubernetes|ray` writes one",
        )
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InvalidInputError(str(path), "is larger than any that windtunnel writes")
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInputError(str(path), f"cannot be read: {error}") from None
    if not isinstance(said, dict) or said.get("deployment") != FORMAT:
        raise InvalidInputError(str(path), f"is not a deployment of format {FORMAT}; `windtunnel plan --deploy` writes it anew")
    try:
        needs = {str(need["name"]): str(need["about"]) for need in said["needs"]}
        endpoints = tuple(_endpoint(path, it) for it in said["endpoints"])
        commands = {step: _commands(path, step, said["commands"].get(step, [])) for step in STEPS}
        way, model, router = (_text(said[name]) for name in ("with", "model", "router"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInputError(str(path), f"lacks or misspells {error}") from None
    dotenv = _dotenv(folder / ".env")
    return Deployment(folder, way, model, router, needs, endpoints, commands, {**dotenv, **environment}, dotenv)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise TypeError(f"a text, where it has {value!r}")
    return value


def _endpoint(path: Path, said: Any) -> Endpoint:
    url, patience = _text(said["url"]), float(said["patience_s"])
    if urlsplit(url).scheme not in ("http", "https") or not 0 < patience < 1e6:
        raise InvalidInputError(str(path), f"{url!r} is no endpoint")
    return Endpoint(_text(said["name"]), url, patience)


def _commands(path: Path, step: str, said: Any) -> tuple[Command, ...]:
    rows = [said] if said and isinstance(said[0], str) else said
    commands = tuple(tuple(_text(word) for word in row) for row in rows)
    for command in commands:
        if not command or command[0] not in PROGRAMS:
            name = command[0] if command else ""
            raise InvalidInputError(f"{path}, {step}", f"would run '{name}'; only {', '.join(PROGRAMS)} may be")
    return commands


def _dotenv(path: Path) -> dict[str, str]:
    """NAME=value lines, as Docker Compose reads the plain ones."""
    if not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InvalidInputError(str(path), f"cannot be read: {error}") from None
    return {name: double or single or plain for name, double, single, plain in _LINE.findall(text)}
