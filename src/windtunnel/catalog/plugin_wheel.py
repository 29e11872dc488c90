"""Reads a plugin's own list of operators out of its wheel.

A torch_npu wheel carries the list from which its kernels' registrations were generated: a YAML file of a few plain forms,
which are read line by line here; anything else is refused.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path

from windtunnel.catalog.support import SupportTable
from windtunnel.errors import InvalidInputError

LIST = "torch_npu/csrc/aten/npu_native_functions_by_codegen.yaml"
MAX_BYTES = 20_000_000
"""A hundred times what such a list is; a larger one is something else."""

ATEN_SECTIONS = ("supported", "autograd")
"""Sections that name PyTorch's own operators for plain tensors (``quant``: for quantised ones; ``symint``: some again)."""
CUSTOM_SECTIONS = ("custom", "custom_autograd")
"""Sections that name the plugin's own operators."""

_NAME = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)?"
_SECTION = re.compile(r"([A-Za-z_]+):\s*(.*)")
_FIELD = re.compile(r"(?: *-)? +([A-Za-z_][A-Za-z0-9_]*):(?: +(.*))?")
_BARE = re.compile(rf" *- +({_NAME})")
_SCHEMA = re.compile(rf"({_NAME})\s*(?:\(.*)?")

CAVEATS = (
    "a registration is not a promise: some kernels fall back inside, and number types differ by chip",
    "an overload that the list does not name may still work through others that it is made of, as PyTorch 2.13 has it",
)


def parse_list(text: str, where: str) -> dict[str, list[str]]:
    """Section -> the overloads that it names for dense tensors, in order. Raises InvalidInputError with the first line that
    does not fit."""
    found: dict[str, list[dict[str, str]]] = {}
    entries: list[dict[str, str]] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        body = line.split(" #")[0].rstrip()
        if not body.strip() or body.startswith("#"):
            continue
        if head := _SECTION.fullmatch(body):
            entries = None if head[2] else found.setdefault(head[1], [])
        elif entries is not None and (bare := _BARE.fullmatch(body)):
            entries.append({"func": bare[1]})
        elif entries is not None and (given := _FIELD.fullmatch(body)):
            if body.lstrip().startswith("-"):
                entries.append({})
            if not entries:
                raise InvalidInputError(f"{where}, line {number}", f"'{body.strip()[:60]}' belongs to no entry")
            entries[-1].setdefault(given[1], (given[2] or "").strip("\"'"))
        else:
            raise InvalidInputError(f"{where}, line {number}", f"'{body.strip()[:60]}' is no line of a list of operators")
    names = {section: [_overload(e, where) for e in rows if not _sparse_only(e)] for section, rows in found.items()}
    if not any(names.get(section) for section in ATEN_SECTIONS):
        raise InvalidInputError(where, "not a plugin's list of operators: no section 'supported' that names any")
    return names


def _overload(entry: dict[str, str], where: str) -> str:
    schema = _SCHEMA.fullmatch(entry.get("func", ""))
    if schema is None:
        raise InvalidInputError(where, f"'{entry.get('func', next(iter(entry)))[:60]}' is no operator's schema")
    return schema[1]


def _sparse_only(entry: dict[str, str]) -> bool:
    """An entry that names an implementation for sparse tensors and none for dense ones."""
    return "sparse" in entry and "impl_ns" not in entry


def read_wheel(path: str | Path) -> SupportTable:
    """The table of the torch_npu wheel in a file: what its list names is native, the rest unknown unless it is made of
    operators that are. Raises InvalidInputError."""
    name = Path(path).name
    try:
        with zipfile.ZipFile(path) as wheel:
            text = _member(wheel, LIST, name)
            metadata = next((m for m in wheel.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", m)), "")
            head = _member(wheel, metadata, name) if metadata else ""
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError) as problem:
        reason = getattr(problem, "strerror", None) or "not a wheel (a ZIP archive)"
        raise InvalidInputError(str(path), f"cannot be read: {reason}") from None
    version = re.search(r"^Version: *(\S{1,60})$", head, re.MULTILINE)
    if version is None:
        raise InvalidInputError(name, "not a wheel of torch_npu: its METADATA names no version")
    return table_of(parse_list(text, LIST), version[1])


def table_of(sections: dict[str, list[str]], version: str) -> SupportTable:
    """A list's sections as a table. What ``supported`` names beside ATen (the plugin's own) is custom."""
    custom = {name for section in CUSTOM_SECTIONS for name in sections.get(section, [])}
    listed = {name for section in ATEN_SECTIONS for name in sections.get(section, [])} - custom
    return SupportTable(
        plugin="torch_npu",
        version=version,
        source=f"torch_npu {version} (BSD-3-Clause), {LIST} of its wheel",
        words=dict.fromkeys(sorted(listed), "listed"),
        custom=frozenset(custom),
        namespace="npu",
        notes=CAVEATS,
    )


def _member(wheel: zipfile.ZipFile, member: str, name: str) -> str:
    """One file of a wheel as text. Raises InvalidInputError where there is none, or none that could be a list."""
    try:
        if wheel.getinfo(member).file_size > MAX_BYTES:
            raise InvalidInputError(name, f"{member} is larger than {MAX_BYTES:,} bytes, which no such list is")
        return wheel.read(member).decode("utf-8")
    except KeyError:
        raise InvalidInputError(name, f"not a wheel of torch_npu: it holds no {member}") from None
    except UnicodeDecodeError:
        raise InvalidInputError(name, f"{member} is not a text in UTF-8") from None
