"""Keys and values of YAML, JSON, TOML and INI with their places, read line by line without a parser of others.

Enough for what rules ask: which key, below which keys, has which value, and where both stand. Templates (Helm, Jinja) are
read as far as they look like YAML. Anchors, tags and quotes are taken off; merge keys and aliases are not followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from windtunnel.port.rules._code import code
from windtunnel.port.source import Source


@dataclass(frozen=True, slots=True)
class Entry:
    """A key with a scalar value, or an item of a list (its key is empty).

    path: the keys above it, "[]" for a list's item. value: without quotes; of a block scalar its text; empty where there is
    none or where more keys follow. key_start, key_end, start, end: characters of the key and of the value (quotes left out).
    """

    path: tuple[str, ...]
    key: str
    value: str
    key_start: int
    key_end: int
    start: int
    end: int
    document: int = 0
    block: bool = False


def entries(source: Source) -> tuple[Entry, ...]:
    """The entries of a file in their order, by what its name says it is."""
    name = source.path.lower().rsplit("/", 1)[-1]
    if name.endswith((".json", ".json5", ".jsonc")) or name == "pipfile.lock":
        return json_entries(code(source))
    if name.endswith((".toml", ".lock", ".ini", ".cfg", ".conf", ".properties", ".env")) or name in ("pipfile", ".env"):
        return toml_entries(code(source))
    return yaml_entries(code(source))


_KEY = re.compile(
    r"""(?P<quote>["'])(?P<quoted>(?:(?!(?P=quote)).)*)(?P=quote)\s*:(?=\s|$)|(?P<plain>[^\s\-?#&*!|>@%"'\[\]{},:][^\n]*?|-[^\s][^\n]*?)\s*:(?=\s|$)"""
)
_BLOCK = re.compile(r"[|>][+\-\d]*\s*$")
_PROPERTY = re.compile(r"(?:[&!][^\s\[\]{},]*(?:\s+|$))+")


@lru_cache(maxsize=4)
def yaml_entries(text: str) -> tuple[Entry, ...]:
    """The entries of YAML documents, comments already blanked."""
    return tuple(_yaml(text))


def _yaml(text: str) -> Iterator[Entry]:
    # open levels: (indentation, key); an item of a list opens a level of its own
    open_levels: list[tuple[int, str]] = []
    document = 0
    position = 0
    while position < len(text):
        start = position
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        position = end + 1
        line = text[start:end].rstrip()
        if line.startswith(("---", "...")):
            document += line.startswith("---")
            open_levels = []
            continue
        stripped = line.lstrip(" ")
        if not stripped.strip() or stripped.startswith(("{{", "{%", "%")):
            continue
        at = len(line) - len(stripped)
        while True:  # the dashes of list items, then a key or a value
            is_item = stripped == "-" or stripped.startswith("- ")
            # a list may stand at the indentation of its key
            while open_levels and (
                open_levels[-1][0] > at or (open_levels[-1][0] == at and (not is_item or open_levels[-1][1] == "[]"))
            ):
                open_levels.pop()
            if not is_item:
                break
            open_levels.append((at, "[]"))
            rest = stripped[1:].lstrip(" ")
            at += len(stripped) - len(rest)
            stripped = rest
            if not stripped:
                break
        if not stripped:
            continue
        path = tuple(name for _, name in open_levels)
        key = _KEY.match(stripped) if stripped[0] not in "[{" else None
        if key is None:
            if path and path[-1] == "[]":
                position, found = _value(text, start + at, end, path, "", start + at, start + at, open_levels[-1][0], document)
                yield from found
            continue
        name = key["quoted"] if key["quoted"] is not None else key["plain"]
        offset = key.start("quoted") if key["quoted"] is not None else key.start("plain")
        key_start = start + at + offset
        value_at = start + at + key.end()
        position, found = _value(text, value_at, end, path, name, key_start, key_start + len(name), at, document)
        open_levels.append((at, name))
        yield from found


def _value(
    text: str, at: int, end: int, path: tuple[str, ...], key: str, key_start: int, key_end: int, indent: int, document: int
) -> tuple[int, list[Entry]]:
    """Where reading goes on, and the entries of the value that begins at ``at`` on a line that ends at ``end``."""
    while at < end and text[at] in " \t":
        at += 1
    properties = _PROPERTY.match(text, at, end)
    if properties:
        at = properties.end()
    line = text[at:end].rstrip()
    if _BLOCK.fullmatch(line):
        stop = _block_end(text, end + 1, indent)
        return stop, [Entry(path, key, text[end + 1 : stop], key_start, key_end, min(end + 1, len(text)), stop, document, True)]
    if line[:1] in ("[", "{") and not line.startswith("{{"):
        above = (*path, key) if key else path
        stop, found = _flow(text, at, above, document)
        if not found or key:
            found.insert(0, Entry(path, key, "", key_start, key_end, at, at, document))
        line_end = text.find("\n", stop)
        return (len(text) if line_end < 0 else line_end + 1), found
    value_start, value_end = at, at + len(line)
    if len(line) > 1 and line[0] in "\"'" and line[-1] == line[0]:
        value_start, value_end = value_start + 1, value_end - 1
    return end + 1, [Entry(path, key, text[value_start:value_end], key_start, key_end, value_start, value_end, document)]


def _block_end(text: str, at: int, indent: int) -> int:
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        line = text[at:end]
        if line.strip() and len(line) - len(line.lstrip(" ")) <= indent:
            return at
        at = end + 1
    return len(text)


_DEEPEST = 200
"""Collections within collections beyond which nobody wrote the file by hand; what follows is not read."""
_TOKEN = re.compile(r"""[\[\]{},]|:(?=[\s"'\[{]|$)|"(?:\\.|[^"\\])*"|'[^']*'|[^\s\[\]{},:"'](?:[^\[\]{},:\n]|:(?!\s))*|:""")


def _flow(text: str, at: int, path: tuple[str, ...], document: int = 0) -> tuple[int, list[Entry]]:
    """Where the flow collection (or JSON) that begins at ``at`` ends, and its entries."""
    found: list[Entry] = []
    levels: list[tuple[str, str]] = []  # (opening bracket, the key that is being filled)
    key: re.Match[str] | None = None
    last: re.Match[str] | None = None
    where: list[tuple[str, ...]] = []

    def close(value: re.Match[str] | None) -> None:
        nonlocal key, last
        if levels and (value is not None or key is not None):
            above = where[-1] if levels[-1][0] == "{" else (*where[-1], "[]")
            k_start, k_end = _bare(key) if key else (0, 0)
            v_start, v_end = _bare(value) if value else (k_end, k_end)
            if not key:
                k_start = k_end = v_start
            found.append(Entry(above, text[k_start:k_end], text[v_start:v_end], k_start, k_end, v_start, v_end, document))
        key = last = None

    for token in _TOKEN.finditer(text, at):
        mark = token.group()
        if mark in ("[", "{"):
            if len(levels) == _DEEPEST:
                return len(text), found
            if not levels:
                where.append(path)
            else:
                inner = _text_of(key) if key else "[]"
                where.append((*where[-1], inner) if levels[-1][0] == "{" or not key else (*where[-1], "[]", inner))
                if key:
                    k_start, k_end = _bare(key)
                    found.append(Entry(where[-2], inner, "", k_start, k_end, token.start(), token.start(), document))
            levels.append((mark, ""))
            key = last = None
        elif mark in ("]", "}"):
            close(last)
            if levels:
                levels.pop()
                where.pop()
            if not levels:
                return token.end(), found
        elif mark == ",":
            close(last)
        elif mark == ":":
            key, last = last, None
        else:
            last = token
    return len(text), found


def _bare(token: re.Match[str]) -> tuple[int, int]:
    mark = token.group()
    if len(mark) > 1 and mark[0] in "\"'" and mark[-1] == mark[0]:
        return token.start() + 1, token.end() - 1
    return token.start(), token.start() + len(mark.rstrip())


def _text_of(token: re.Match[str]) -> str:
    start, end = _bare(token)
    return token.string[start:end]


@lru_cache(maxsize=4)
def json_entries(text: str) -> tuple[Entry, ...]:
    """The entries of a JSON document (comments already blanked); none where it is neither an object nor a list."""
    at = len(text) - len(text.lstrip())
    return tuple(_flow(text, at, ())[1]) if text[at : at + 1] in ("{", "[") and at < len(text) else ()


_TABLE = re.compile(r"\s*\[{1,2}\s*([^\[\]]+?)\s*\]{1,2}\s*$")
_PAIR = re.compile(r"""\s*(?:export\s+)?(?P<quote>["']?)(?P<key>[^\s=:\["'#;]+?)(?P=quote)\s*[=:]\s*(?P<value>.*?)\s*$""")


@lru_cache(maxsize=4)
def toml_entries(text: str) -> tuple[Entry, ...]:
    """The entries of TOML, INI and files of variables; of a value that spans lines, its first; of an inline
    table, its text."""
    found = []
    table: tuple[str, ...] = ()
    start = 0
    for line in text.split("\n"):
        header = _TABLE.match(line)
        pair = None if header else _PAIR.match(line)
        if header:
            table = tuple(part.strip("\"' ") for part in header.group(1).split("."))
        elif pair:
            value_start, value_end = pair.span("value")
            value = pair["value"]
            if len(value) > 1 and value[0] in "\"'" and value[-1] == value[0]:
                value_start, value_end = value_start + 1, value_end - 1
            k_start, k_end = pair.span("key")
            found.append(
                Entry(
                    table, pair["key"], line[value_start:value_end],
                    start + k_start, start + k_end, start + value_start, start + value_end,
                )
            )  # fmt: skip
        start += len(line) + 1
    return tuple(found)
