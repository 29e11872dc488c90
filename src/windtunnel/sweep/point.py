"""One simulation of a sweep: what is asked, where its files are, and by what it is known again."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from windtunnel.catalog.models import resolve
from windtunnel.errors import InvalidInputError, UnknownNameError
from windtunnel.sweep import program

Value = str | int | float | bool
Settings = Mapping[str, Value]
Kind = Literal["value", "switch", "file", "chip", "model"]
"""What an option takes: a value; yes or no; a file; a name of the catalogue that may be a file too."""

MODEL = "model"


@dataclass(frozen=True, slots=True)
class Point:
    """One simulation. number: its place in the sweep, from 1; settings: option -> value as the file has them.

    args: what ``windtunnel simulate`` is told, with the paths of files from the root; key: a digest of the settings, of what is
    in the files that they name, and of the program itself. It is the same wherever the sweep lies.
    """

    number: int
    settings: Settings
    args: tuple[str, ...]
    key: str

    @property
    def command(self) -> str:
        """The point alone, to be typed in the folder of the sweep's file."""
        return shlex.join(["windtunnel", "simulate", *_args(self.settings)])


def point(number: int, settings: Settings, kinds: Mapping[str, Kind], folder: Path) -> Point:
    """Raises InvalidInputError for a file that is not there."""
    found = {name: file_of(name, value, kinds[name], folder) for name, value in settings.items()}
    digests = {name: _digest(path) for name, (path, _) in found.items() if path is not None}
    asked = {"windtunnel": program.digest(), "settings": dict(settings), "files": digests}
    key = hashlib.blake2b(json.dumps(asked, sort_keys=True).encode(), digest_size=16).hexdigest()
    return Point(number, settings, tuple(_args({name: value for name, (_, value) in found.items()})), key)


def _args(settings: Settings) -> list[str]:
    """The settings as they are typed, the model last."""
    args = []
    for name in sorted(settings):
        value = settings[name]
        if name == MODEL:
            continue
        if isinstance(value, bool):
            args.append(f"--{name}" if value else f"--no-{name}")
        else:
            args.append(f"--{name}={value}")
    return [*args, str(settings[MODEL])] if MODEL in settings else args


def file_of(name: str, value: Value, kind: Kind, folder: Path) -> tuple[Path | None, Value]:
    """The file or folder that a setting names, None where it names none; and the setting with its path from the root."""
    text, count = str(value), ""
    if kind in ("value", "switch"):
        return None, value
    if kind == "chip":
        if ":" in text:
            text, _, count = text.rpartition(":")
        if not text.lower().endswith(".toml"):
            return None, value
    if kind == MODEL and not _is_path(text, folder):
        return None, value
    path = (folder / Path(text).expanduser()).absolute()
    if not path.exists():
        raise InvalidInputError(name, f"there is no file {path}")
    return path, f"{path}:{count}" if count else str(path)


def _is_path(text: str, folder: Path) -> bool:
    """What the catalogue would take for a path, seen from ``folder``."""
    if text.startswith((".", "/", "~")) or text.lower().endswith(".json"):
        return True
    if not text.strip() or "\0" in text or not (folder / text).exists():
        return False
    try:
        resolve(text)
    except UnknownNameError:
        return True
    return False


@lru_cache(maxsize=4096)
def _digest(path: Path) -> str:
    """Of a file's content; of a folder, of the configurations in it."""
    found = hashlib.blake2b(digest_size=16)
    try:
        for part in sorted(path.glob("*.json")) if path.is_dir() else [path]:
            with part.open("rb") as file:
                found.update(hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest())
    except OSError as error:
        raise InvalidInputError(path.name, f"cannot be read: {error.strerror}")
    return found.hexdigest()
