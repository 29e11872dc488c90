"""Keys: who may ask. Their digests are kept, never they themselves.

A key that is made here is 256 random bits, so its SHA-256 tells nobody anything: there is nothing to guess from, and a slow hash
with a salt, which protects passwords that people choose, would protect nothing more and cost every request its time.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from windtunnel.errors import InvalidInputError, UnknownNameError
from windtunnel.serve.door.limits import LIMITS, Limits

VARIABLE = "WINDTUNNEL_API_KEY"
"""Holds the one key where there is no file of them."""
LEAST_CHARACTERS = 16
"""Of a key that somebody else has made: shorter ones are found by trying."""
MOST_LIMIT = 10**15
NO_LIMITS = Limits()
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_FIELDS = ("name", "sha256", "env", "admin", *LIMITS)


@dataclass(frozen=True, slots=True)
class Key:
    """Who asks. admin: may drain and resume backends of a fleet too."""

    name: str
    sha256: bytes
    limits: Limits = NO_LIMITS
    admin: bool = False


def digest(key: str) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def find(keys: Iterable[Key], given: str) -> Key | None:
    """Whose key was given. It takes as long whichever it is, and whether it is one."""
    wanted, found = digest(given), None
    for key in keys:
        if hmac.compare_digest(key.sha256, wanted):
            found = key
    return found


def new_key(name: str) -> tuple[str, str]:
    """A fresh key and the table that lets it in. Raises InvalidInputError where the name is none."""
    _check_name(name, "--new-key")
    key = f"wt-{secrets.token_urlsafe(32)}"
    return key, f'[[key]]\nname = "{name}"\nsha256 = "{digest(key).hex()}"\n'


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys of a TOML file that holds ``[[key]]`` tables and nothing else. Raises InvalidInputError."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInputError("--keys", f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(str(path), f"is not TOML: {error}") from None
    for name in tables:
        if name != "key":
            raise InvalidInputError(str(path), f"[{name}] is not a table of keys; they are written [[key]]")
    keys = keys_of(tables.get("key"), str(path))
    if not keys:
        raise InvalidInputError(str(path), "holds no [[key]]; `windtunnel serve --new-key NAME` makes one")
    return keys


def keys_of(tables: object, where: str) -> tuple[Key, ...]:
    """The keys of the ``[[key]]`` tables of a file. Raises InvalidInputError that names the file, the table and the field."""
    if tables is None:
        return ()
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InvalidInputError(where, "keys are tables: [[key]]")
    keys: dict[str, Key] = {}
    for number, table in enumerate(tables, 1):
        key = _key(table, f"{where}: [[key]] {number}")
        for other in keys.values():
            if other.name == key.name:
                raise InvalidInputError(where, f"two keys are called '{key.name}'")
            if hmac.compare_digest(other.sha256, key.sha256):
                raise InvalidInputError(where, f"'{other.name}' and '{key.name}' are the same key")
        keys[key.name] = key
    return tuple(keys.values())


def all_keys(file: Path | None, tables: object, where: str) -> tuple[Key, ...]:
    """Those of --keys, of the tables of another file, and of WINDTUNNEL_API_KEY. Raises InvalidInputError."""
    keys = [*(read_keys(file) if file else ()), *keys_of(tables, where)]
    own = key_of_environment()
    keys += [own] if own is not None else []
    for i, key in enumerate(keys):
        for other in keys[:i]:
            if other.name == key.name or hmac.compare_digest(other.sha256, key.sha256):
                raise InvalidInputError("keys", f"'{other.name}' and '{key.name}' have the same name or are the same key")
    return tuple(keys)


def key_of_environment() -> Key | None:
    """The one that WINDTUNNEL_API_KEY holds: it may do everything. Raises InvalidInputError where it is too short."""
    return Key("default", digest(_from(VARIABLE, VARIABLE)), admin=True) if os.environ.get(VARIABLE) else None


def _key(table: Mapping[str, object], where: str) -> Key:
    for field in table:
        if field not in _FIELDS:
            raise UnknownNameError(f"field of {where}", field, _FIELDS)
    name = _check_name(table.get("name"), where)
    hashed, variable = table.get("sha256"), table.get("env")
    if (hashed is None) == (variable is None):
        raise InvalidInputError(where, f"'{name}' needs either sha256 or env, the variable that holds the key")
    if hashed is not None:
        if not isinstance(hashed, str) or not _SHA256.fullmatch(hashed):
            raise InvalidInputError(where, f"sha256 of '{name}' has to be 64 hexadecimal digits, as --new-key prints them")
        kept = bytes.fromhex(hashed)
    else:
        kept = digest(_from(str(variable), where))
    admin = table.get("admin", False)
    if not isinstance(admin, bool):
        raise InvalidInputError(where, f"admin of '{name}' has to be true or false")
    return Key(name, kept, Limits(**{limit: _limit(table, limit, name, where) for limit in LIMITS}), admin)


def _check_name(name: object, where: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidInputError(where, "name has to be up to 64 letters, digits, '.', '_' and '-'")
    return name


def _limit(table: Mapping[str, object], field: str, name: str, where: str) -> int | None:
    value = table.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_LIMIT:
        raise InvalidInputError(where, f"{field} of '{name}' has to be a whole number from 1 on")
    return value


def _from(variable: str, where: str) -> str:
    key = os.environ.get(variable, "")
    if not key:
        raise InvalidInputError(where, f"the variable {variable} is not set")
    if len(key) < LEAST_CHARACTERS or not key.isascii() or not key.isprintable() or " " in key:
        raise InvalidInputError(where, f"the key in {variable} needs {LEAST_CHARACTERS} or more ASCII characters, no spaces")
    return key
