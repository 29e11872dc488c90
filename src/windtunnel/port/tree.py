"""The files of a repository: what is read, as what, and what is passed over and why."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from windtunnel.errors import InvalidInputError
from windtunnel.port import git, languages
from windtunnel.port.finding import Skipped
from windtunnel.port.notebook import cells_of
from windtunnel.port.rule import Language
from windtunnel.port.source import BOM, Source

SKIPPED_FOLDERS = {
    ".git": "version control", ".hg": "version control", ".svn": "version control", ".bzr": "version control",
    "node_modules": "installed packages", "site-packages": "installed packages", "__pypackages__": "installed packages",
    ".tox": "virtual environments", ".nox": "virtual environments", ".eggs": "build output",
    "__pycache__": "caches", ".mypy_cache": "caches", ".pytest_cache": "caches", ".ruff_cache": "caches",
    ".hypothesis": "caches", ".ipynb_checkpoints": "caches", ".cache": "caches",
}  # fmt: skip
"""Folders that hold nobody's sources, by name. Only a root that is named so itself is read."""
_BUILD_FOLDERS = {"build", "dist", "_build", "cmake-build-debug", "cmake-build-release", "_skbuild"}
_PROJECT_FILES = {"pyproject.toml", "setup.py", "setup.cfg", "CMakeLists.txt", "package.json", "meson.build"}

MOST_BYTES = 8_000_000
"""Larger files are data."""
LONGEST_LINE = 500_000
"""Bytes of one line beyond which nobody wrote the file by hand."""
IGNORED = "ignored by git"
_LINE_END = re.compile(rb"[\r\n]")


@dataclass(frozen=True, slots=True)
class File:
    """A file that rules may read: its path from the root with forward slashes, and where it lies."""

    path: str
    where: Path


def walk(root: Path) -> Iterator[File | Skipped]:
    """The files below ``root`` (or ``root`` itself, where it is a file), in order of their names.

    Links are not followed: one that stays in the tree is read where it points to. In a git repository, neither what git
    ignores nor other repositories within it (submodules) are entered. Nothing is opened here. Raises InvalidInputError where
    there is nothing at ``root``, or nothing that can be read.
    """
    _check_root(root)
    if not root.is_dir():
        yield File(root.name, Path(os.path.realpath(root)))
        return
    top = os.path.realpath(root)
    of_git = git.in_repository(root)
    ignored = git.ignored(root) if of_git else frozenset()
    pending: list[tuple[str, str]] = [(str(root), "")]
    while pending:
        folder, prefix = pending.pop()
        try:
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            yield Skipped(_shown(prefix) or ".", f"cannot be read: {error.strerror}")
            continue
        names = {entry.name for entry in entries}
        below = []
        for entry in entries:
            path = prefix + entry.name
            try:
                if entry.is_dir(follow_symlinks=False):
                    reason = _not_entered(entry, names, of_git, path + "/" in ignored)
                    if reason:
                        yield Skipped(_shown(path) + "/", reason)
                    else:
                        below.append((entry.path, path + "/"))
                else:
                    found = _file(entry, path, top, path in ignored)
                    if found:
                        yield found
            except OSError as error:
                yield Skipped(_shown(path), f"cannot be read: {error.strerror}")
        pending.extend(reversed(below))


def _check_root(root: Path) -> None:
    """Raises InvalidInputError where there is nothing to read at ``root``."""
    if not root.exists():
        raise InvalidInputError("PATH", f"there is no file or folder {root}")
    if not root.is_dir() and not root.is_file():
        raise InvalidInputError("PATH", f"{root} is neither a file nor a folder")
    if not os.access(root, os.R_OK):
        raise InvalidInputError("PATH", f"{root} cannot be read: permission denied")


def _shown(path: str) -> str:
    """Names that are not UTF-8 come as lone surrogates, which no report could print."""
    return path.encode("utf-8", "replace").decode()


def _file(entry: os.DirEntry[str], path: str, top: str, ignored: bool) -> File | Skipped | None:
    """What is made of an entry that is no folder; None where it is of no kind that anybody would read."""
    known = languages.by_name(path) is not None
    if ignored:
        return Skipped(_shown(path), IGNORED) if known else None
    if entry.is_symlink():
        return Skipped(_shown(path), _link(entry.path, top)) if known or Path(entry.path).is_dir() else None
    if not entry.is_file():
        return Skipped(_shown(path), "no regular file") if known else None
    return File(path, Path(entry.path)) if _shown(path) == path else Skipped(_shown(path), "its name is not UTF-8")


def _not_entered(entry: os.DirEntry[str], beside: set[str], of_git: bool, ignored: bool) -> str:
    """Why a folder is not entered; empty for one that is. of_git: it lies in a git repository, which may ignore it."""
    if entry.name in SKIPPED_FOLDERS:
        return SKIPPED_FOLDERS[entry.name]
    if entry.name.endswith(".egg-info"):
        return "build output"
    if entry.name in _BUILD_FOLDERS and beside & _PROJECT_FILES:
        return "build output"
    if (Path(entry.path) / "pyvenv.cfg").exists() or (Path(entry.path) / "conda-meta").is_dir():
        return "virtual environment"
    if ignored:
        return IGNORED
    if of_git and (Path(entry.path) / ".git").exists():
        return "another git repository (a submodule, say), to be asked about by itself"
    return ""


def _link(path: str, top: str) -> str:
    try:
        target = os.path.realpath(path, strict=True)
    except OSError as error:
        return "link in a loop" if "loop" in str(error).lower() or "symbolic links" in str(error) else "link to nothing"
    inside = os.path.commonpath([target, top]) == top if target.startswith(top[:1]) else False
    if not inside:
        return "link that leaves the tree"
    if os.path.commonpath([target, os.path.realpath(os.path.dirname(path))]) == target:  # noqa: PTH120
        return "link in a loop"
    return "link within the tree, read where it points to"


def read(file: File) -> bytes | Skipped | None:
    """The file's bytes; None for one that no rule reads; Skipped where it cannot or should not be read."""
    path = file.path
    if languages.by_name(path) is None and not languages.may_tell(path):
        return None
    try:
        # a pipe or a device that came to lie here since would block
        descriptor = os.open(file.where, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                return Skipped(path, "no regular file")
            if status.st_size > MOST_BYTES and languages.by_name(path) != "notebook":
                return Skipped(path, f"larger than {MOST_BYTES // 1_000_000} MB") if languages.by_name(path) else None
            if languages.by_name(path) is None and not stream.peek(2)[:2].startswith(b"#!"):
                return None
            return stream.read()
    except OSError as error:
        return Skipped(path, f"cannot be read: {error.strerror}")


def source_of(path: str, raw: bytes, language: Language) -> Source:
    """The source with this content. Raises InvalidInputError, whose message is the reason, where it cannot be read as that."""
    text = text_of(path, raw, language)
    bom = text.startswith(BOM)
    if bom:
        text = text[1:]
    if language != "notebook":
        return Source(path, language, text, raw, bom)
    cells: list[Source] = []
    for cell in cells_of(text):
        cells.extend(_cell_sources(path, cell.number, cell.source))
    together = tuple(cell for cell in cells if cell.language == "python")
    for cell_source in together:
        cell_source.siblings = together
    return Source(path, language, text, raw, bom, cells=tuple(cells))


def text_of(path: str, raw: bytes, language: Language) -> str:
    """The text of the bytes, newlines kept. Raises InvalidInputError with the reason where there is none."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InvalidInputError(path, "not UTF-8 (UTF-16)")
    if b"\0" in raw[: languages.HEAD_BYTES] or (language == "python" and b"\0" in raw):
        raise InvalidInputError(path, "not text (it has zero bytes)")
    if language != "notebook" and len(raw) > LONGEST_LINE and _longest_line(raw) > LONGEST_LINE:
        raise InvalidInputError(path, f"a line of more than {LONGEST_LINE // 1000} kB")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInputError(path, f"not UTF-8 (byte {error.start})")


def _longest_line(raw: bytes) -> int:
    longest, last = 0, 0
    for match in _LINE_END.finditer(raw):
        longest, last = max(longest, match.start() - last), match.end()
    return max(longest, len(raw) - last)


_MAGIC = re.compile(r"^([ \t]*)([%!?][^\n]*|[^\n#'\"]*\?{1,2}[ \t]*)$", re.M)
# files = !ls: what is assigned is no Python either
_ASSIGNED_MAGIC = re.compile(r"^([ \t]*[A-Za-z_][\w, ]*=[ \t]*)(![^\n]*|%(?:sx|system|env|pwd|timeit|sql)\b[^\n]*)$", re.M)
# !command and %pip install ..., whose rest is told to a shell; %env NAME=value stays whole: a shell would assign otherwise
_SHELL_LINE = re.compile(
    r"^[ \t]*(?:"
    r"(?:(?:[A-Za-z_][\w, ]*=[ \t]*)?!{1,2}|%(?:sx|system|sh)[ \t]|%(?=(?:pip|conda|mamba|micromamba|uv)[ \t]))(?P<told>[^\n]*)"
    r"|(?P<set>%(?:set_)?env[ \t][^\n]*))$",
    re.M,
)


def _cell_sources(path: str, number: int, text: str) -> Iterator[Source]:
    """The sources of one cell: Python with the notebook's own commands blanked, and what is meant for a shell."""
    first = text.lstrip().split("\n", 1)[0]
    if first.startswith(("%%bash", "%%sh", "%%script bash", "%%script sh", "%%!")):
        yield Source(path, "shell", text, text.encode("utf-8", "replace"), cell=number)
        return
    if first.startswith("%%") and not first.startswith(("%%time", "%%capture", "%%prun", "%%py")):
        return  # another language, a file that is written, ...
    shell = list(_SHELL_LINE.finditer(text))
    if shell:
        kept = [" " if c != "\n" else c for c in text]
        for match in shell:
            start, end = match.span("told" if match["told"] is not None else "set")
            kept[start:end] = text[start:end]
        commands = "".join(kept)
        yield Source(path, "shell", commands, commands.encode("utf-8", "replace"), cell=number)
    text = _ASSIGNED_MAGIC.sub(lambda m: m.group(1) + "0".ljust(len(m.group(2))), text)
    blanked = _MAGIC.sub(lambda m: m.group(1) + "pass".ljust(len(m.group(2)))[: len(m.group(2))], text)
    yield Source(path, "python", blanked, blanked.encode("utf-8", "replace"), cell=number)
