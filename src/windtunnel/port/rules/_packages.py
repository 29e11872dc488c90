"""Packages that a file asks for: requirements, locks, project files, conda environments, commands that install."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from windtunnel.port.rules._code import code
from windtunnel.port.rules._entries import entries
from windtunnel.port.source import Source


@dataclass(frozen=True, slots=True)
class Package:
    """name: lower case, with hyphens. start, end: characters of the name as written. extras: the brackets after it."""

    name: str
    start: int
    end: int
    extras: str = ""


_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[\w.\-]*[A-Za-z0-9])?)\s*(?P<extras>\[[\w\s,.\-]*\])?(?=\s*(?:[=<>!~@;,(\"'#]|$|\s))"
)
_CONDA = re.compile(r"(?:[\w\-./]+::)?" + _REQUIREMENT.pattern)
_GIT = re.compile(r"(?:git\+)?(?:https?|ssh|git)://[^\s\"'#]*?/(?P<name>[\w.\-]+?)(?:\.git)?(?=[@#\s\"']|$)")
_WHEEL = re.compile(r"https?://[^\s\"']*/(?P<name>[A-Za-z][\w.]*?)-\d[^\s\"'/]*\.(?:whl|tar\.gz)")
_REPOSITORIES = {
    "flash-attention": "flash-attn", "transformerengine": "transformer-engine", "mamba": "mamba-ssm", "autogptq": "auto-gptq",
    "tiny-cuda-nn": "tiny-cuda-nn", "flashinfer": "flashinfer-python",
}  # fmt: skip
_INSTALL = re.compile(
    r"\b(?:(?:pip[\d.]*|uv(?:[ \t]+pip)?|conda|mamba|micromamba|pipx|uv[ \t]+tool)[ \t]+install"
    r"|(?:uv|poetry|pdm|pixi|hatch|rye)[ \t]+add"
    r"|git[ \t]+clone|uvx|conda[ \t]+create)\b(?P<arguments>(?:\\\r?\n|[^\n;&|)`])*)"
)
_ARGUMENT = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|[^\s\"'\\]+(?:\"[^\"\n]*\"[^\s\"'\\]*)*")
_WITH_VALUE = re.compile(
    r"-[rcifteEnp]|--(?:requirement|constraint|index-url|extra-index-url|find-links|target|prefix|name|channel|index|python)"
)


def packages(source: Source) -> Iterator[Package]:
    """The packages in their order. Of a lock file each locked package once; generated metadata (PKG-INFO) has none."""
    name = source.path.lower().rsplit("/", 1)[-1]
    if source.language != "requirements":
        yield from _commands(code(source))
    elif name == "pkg-info":
        return
    elif name == "pipfile.lock":
        for entry in entries(source):
            if len(entry.path) == 1 and entry.path[0] in ("default", "develop"):
                yield Package(_normal(entry.key), entry.key_start, entry.key_end)
    elif name.endswith((".yml", ".yaml")):
        yield from _conda(source)
    elif name.endswith((".toml", ".lock")) or name == "pipfile":
        yield from _toml(code(source), name)
    elif name.endswith(".cfg"):
        yield from _setup_cfg(code(source))
    else:
        yield from _lines(code(source))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _package(match: re.Match[str], offset: int = 0) -> Package:
    start, end = match.span("name")
    name = _normal(match["name"])
    extras = match.groupdict().get("extras") or ""
    return Package(_REPOSITORIES.get(name, name), offset + start, offset + end, extras)


def _lines(text: str) -> Iterator[Package]:
    start = 0
    for line in text.split("\n"):
        body = line.lstrip()
        at = len(line) - len(body)
        if body and body[0] not in "-[":
            match = _WHEEL.match(body) or _GIT.match(body) or _REQUIREMENT.match(body)
            if match:
                yield _package(match, start + at)
        elif body.startswith(("-e ", "--editable ")):
            match = _GIT.search(body)
            if match:
                yield _package(match, start + at)
        start += len(line) + 1


def _commands(text: str) -> Iterator[Package]:
    for command in _INSTALL.finditer(text):
        offset = command.start("arguments")
        takes_value = False
        cloned = False
        clones = command.group().lstrip().startswith("git")
        for argument in _ARGUMENT.finditer(command["arguments"]):
            word = argument.group()
            if takes_value or word.startswith("-"):
                takes_value = not takes_value and _WITH_VALUE.fullmatch(word) is not None
                continue
            at = offset + argument.start()
            if word[0] in "\"'":
                word, at = word[1:-1], at + 1
            if clones and cloned:
                break  # the folder that it goes to
            match = _WHEEL.match(word) or _GIT.match(word) or _CONDA.match(word)
            cloned = True
            if match:
                yield _package(match, at)


def _conda(source: Source) -> Iterator[Package]:
    for entry in entries(source):
        if entry.key == "name" and entry.path[:2] == ("package", "[]"):
            yield Package(_normal(entry.value), entry.start, entry.end)
            continue
        if entry.key or entry.path[-1:] != ("[]",) or not {"dependencies", "requirements", "pip"} & set(entry.path):
            continue
        match = _GIT.match(entry.value) or _CONDA.match(entry.value)
        if match:
            yield _package(match, entry.start)


_HEADER = re.compile(r"\s*\[{1,2}(?P<name>[^\[\]]+)\]{1,2}\s*$")
_NAMES_AS_KEYS = re.compile(
    r"(?:^|\.)(?:dev-)?(?:dependencies|packages)$|^dev-packages$|\.source\.|^tool\.poetry\.group\..*\.dependencies$"
)
_ARRAYS_OF_REQUIREMENTS = re.compile(
    r"^(?:project\.optional-dependencies|dependency-groups|tool\.pdm\.dev-dependencies|.*\.optional-dependencies)$"
)
_ARRAY_KEYS = {
    "dependencies",
    "requires",
    "dev-dependencies",
    "constraint-dependencies",
    "override-dependencies",
    "extra-dependencies",
}
_KEY = re.compile(r"\s*[\"']?(?P<name>[\w.\-]+)[\"']?\s*=\s*(?P<value>.*)")
_STRING = re.compile(r"\"(?P<double>[^\"\n]*)\"|'(?P<single>[^'\n]*)'")


def _toml(text: str, name: str) -> Iterator[Package]:
    table = ""
    in_array = False  # of requirements, which may span lines
    start = 0
    locked = name.endswith(".lock")
    for line in text.split("\n"):
        header = None if in_array else _HEADER.match(line)
        if header:
            table = header["name"].replace('"', "").strip()
        elif locked:
            key = _KEY.match(line)
            if key and key["name"] == "name" and table == "package":
                string = _STRING.match(key["value"])
                if string:
                    at = start + key.start("value") + 1
                    written = string["double"] or string["single"] or ""
                    yield Package(_normal(written), at, at + len(written))
        else:
            key = None if in_array else _KEY.match(line)
            opens = False
            if key:
                last = key["name"].rsplit(".", 1)[-1]
                whole = f"{table}.{key['name']}".rpartition(".")[0]  # optional-dependencies.gpu = [...] within [project]
                opens = _ARRAYS_OF_REQUIREMENTS.search(whole) is not None or last in _ARRAY_KEYS
                opens = opens and key["value"].startswith("[")
                if (
                    not opens
                    and "." not in key["name"]
                    and _NAMES_AS_KEYS.search(table)
                    and not table.startswith("tool.setuptools")
                ):
                    yield Package(_normal(key["name"]), start + key.start("name"), start + key.end("name"))
            if in_array or opens:
                at = key.start("value") if key else 0
                for string in _STRING.finditer(line, at):
                    group = "double" if string["double"] is not None else "single"
                    match = _REQUIREMENT.match(string[group])
                    if match:
                        yield _package(match, start + string.start(group))
                # brackets within strings are extras
                bare = _STRING.sub("", line[at:])
                in_array = bare.rstrip(" \r,").count("]") < bare.count("[") + in_array
        start += len(line) + 1


def _setup_cfg(text: str) -> Iterator[Package]:
    table = key = ""
    start = 0
    for line in text.split("\n"):
        header = _HEADER.match(line)
        if header:
            table, key = header["name"], ""
        elif line[:1].strip():
            key = line.split("=", 1)[0].strip() if "=" in line else ""
        wanted = (table == "options" and key in ("install_requires", "setup_requires", "tests_require")) or (
            table == "options.extras_require" and key
        )
        if wanted and not header:
            at = line.find("=") + 1 if line[:1].strip() else 0
            at += len(line[at:]) - len(line[at:].lstrip())
            match = _REQUIREMENT.match(line, at)
            if match:
                yield _package(match, start)
        start += len(line) + 1
