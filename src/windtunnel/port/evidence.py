"""Two runs of a program held side by side: what is the same, what differs and where first, what varies by itself."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Status = Literal["same", "different", "varies", "none"]
"""varies: two runs of the program as it was differ in it too, so that nothing can be told of it. none: neither has any."""

VALUES = (
    ("losses", "values that backward began from"),
    ("outputs", "results of models"),
    ("gradients", "gradients at optimizer steps"),
    ("parameters", "parameters at the end"),
    ("random", "states of random generators"),
)
"""Keys of a record, and what they are in words."""

_DIGITS = re.compile(r"\d+")
_UNITS = frozenset(unit.encode() for unit in ("ns", "us", "\N{MICRO SIGN}s", "\N{GREEK SMALL LETTER MU}s", "ms", "s", "min"))


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that was compared. count: how many of it. detail: the first difference, or what was left out."""

    name: str
    status: Status
    count: int
    detail: str = ""


@dataclass(frozen=True)
class Run:
    """What one run left. record: of ``windtunnel.run.observed``, empty where there is none. written: path -> hash of the files
    that it made or changed. timed_out_s: the limit that it ran into."""

    status: int
    stdout: bytes
    stderr: str
    record: dict[str, Any] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    timed_out_s: float | None = None

    def complaint(self, *, place: bool = True) -> str:
        """Why it ended as it did, in one line, with the place of the failure."""
        if self.timed_out_s is not None:
            return f"ended after {self.timed_out_s:g} s"
        failure = self.record.get("failure")
        if failure:
            error, message, site = failure
            return f"{error}: {message}" + (f" ({_short(site)})" if site and place else "")
        said = [line for line in self.stderr.strip().splitlines() if line.strip()]
        return said[-1].strip() if said else f"exit status {self.status}"

    @property
    def stopped_at(self) -> str:
        """The kind of the failure with its place, without what it says."""
        failure = self.record.get("failure")
        if self.timed_out_s is not None or not failure:
            return self.complaint()
        return f"{_short(failure[2])}, {failure[0]}" if failure[2] else str(failure[0])

    @property
    def failed(self) -> bool:
        """Whether it broke off: an exception that nobody caught, a signal, a time limit, or an exit status other than zero before
        anything was computed. A program that has done its work may leave with whatever status it likes."""
        if self.timed_out_s is not None or self.status < 0 or not self.record or self.record.get("failure"):
            return True
        did = any(self.record.get(key) for key in ("losses", "outputs", "gradients", "operators"))
        return self.status != 0 and not did

    def loaded(self, tree: Path) -> list[str]:
        """Files of a tree that the program loaded, relative to it."""
        top = os.path.realpath(tree) + os.sep
        files = [*self.record.get("modules", ()), *([self.record["script"]] if "script" in self.record else [])]
        return sorted({Path(file[len(top) :]).as_posix() for file in files if file.startswith(top)})


def compared(before: Run, after: Run, again: Sequence[Run] = ()) -> tuple[Item, ...]:
    """Every item of two runs. again: more runs of the program as it was before, where the two differ: what differs among those
    varies by itself. Lines of standard output that do so are left out of the comparison, and said."""
    items = [_status(before, after), _output(before, after, again)]
    for key, words in VALUES:
        items.append(_values(key, words, before, after, again))
    files = [_files(before, after, run) for run in again or (None,)]
    items.append(next((item for item in files if item.status != "different"), files[-1]))
    return tuple(items)


def _status(before: Run, after: Run) -> Item:
    same = before.status == after.status
    return Item(
        "exit status", "same" if same else "different", 1, f"{before.status}" if same else _both(before.status, after.status)
    )


def _both(before: object, after: object) -> str:
    return f"{before} before, {after} after"


def _output(before: Run, after: Run, again: Sequence[Run]) -> Item:
    name = "lines of standard output"
    old, new = before.stdout.splitlines(keepends=True), after.stdout.splitlines(keepends=True)
    if before.stdout == after.stdout:
        return Item(name, "same" if old else "none", len(old))
    repeated = [run.stdout.splitlines(keepends=True) for run in again]
    for lines in repeated:
        if len(lines) != len(old):
            return Item(name, "varies", len(old), f"the program as it was printed {len(old)} lines once and {len(lines)} once")
    if len(old) != len(new):
        return Item(name, "different", len(old), f"{_both(len(old), len(new))} lines")
    varying = 0
    for i, (a, b) in enumerate(zip(old, new, strict=True)):
        others = [lines[i] for lines in repeated if lines[i] != a]
        varying += bool(others)
        if a != b and not (others and _same_words(a, b, others)):
            return Item(name, "different", len(old), f"line {i + 1}: {_line(a)} before, {_line(b)} after")
    return Item(name, "same", len(old), f"but for what varies from run to run, as times do, in {varying} of them")


def _same_words(before: bytes, after: bytes, again: Sequence[bytes]) -> bool:
    """Whether a line that varies from run to run is the same in those of its words that do not."""
    one, two, others = before.split(), after.split(), [line.split() for line in again]
    if any(len(words) != len(one) for words in others):
        return True
    if len(one) != len(two):
        return False
    varied = False
    for a, b, *c in zip(one, two, *others, strict=True):
        unit = varied and {a, b, *c} <= _UNITS  # 1.14 ms may be 837 us in the next run
        varied = any(word != a for word in c)
        if a != b and not varied and not unit:
            return False
    return True


def _line(text: bytes) -> str:
    shown = text.decode("utf-8", "replace").rstrip("\r\n")
    return repr(shown if len(shown) <= 60 else shown[:57] + "...")


def _values(key: str, name: str, before: Run, after: Run, again: Sequence[Run]) -> Item:
    old, new = before.record.get(key, []), after.record.get(key, [])
    if old == new:
        return Item(name, "same" if old else "none", len(old))
    if any(run.record.get(key, []) != old for run in again):
        return Item(name, "varies", len(old), "two runs of the program as it was differ in them as well")
    return Item(name, "different", len(old), _first(old, new))


def _first(old: Sequence[Sequence[str]], new: Sequence[Sequence[str]]) -> str:
    for i, (a, b) in enumerate(zip(old, new, strict=False)):
        if a != b:
            return f"number {i + 1}: {_both(a[1], b[1]) if a[1] != b[1] else f'{a[1]}, other bits'}"
    return _both(len(old), len(new))


def _files(before: Run, after: Run, again: Run | None) -> Item:
    name = "files written"
    old, new = before.written, after.written
    if old == new:
        return Item(name, "same" if old else "none", len(old))
    repeated = again.written if again is not None else old
    varying = {path for path in {*old, *repeated} if old.get(path) != repeated.get(path)}
    renamed = _renamed(old, repeated)
    if renamed and renamed == _renamed(old, new):
        known = {*old, *new} - (old.keys() ^ new.keys())  # the names of the others hold a time or a process number
    else:
        renamed, known = Counter(), {*old, *new}
    for path in sorted(known):
        if path in varying and path in old and path in new:
            continue
        if old.get(path) != new.get(path):
            told = "is written only after" if path not in old else "is written only before" if path not in new else "differs"
            return Item(name, "varies" if path in varying else "different", len(old), f"{path} {told}")
    contents = len(varying & old.keys() & repeated.keys())
    parts = [f"the names and contents of {renamed.total():,}"] if renamed else []
    parts += [f"the contents of {contents:,}"] if contents else []
    return Item(name, "same", len(old), f"but for {' and '.join(parts)}, which vary from run to run")


def _renamed(one: Mapping[str, str], other: Mapping[str, str]) -> Counter[str]:
    """Files that are only in one of two runs, known by their paths without the digits; empty where the runs do not have the
    same of them, so that a file is missing, and not only named otherwise."""
    gone = Counter(_DIGITS.sub("0", path) for path in one.keys() - other.keys())
    come = Counter(_DIGITS.sub("0", path) for path in other.keys() - one.keys())
    return gone if gone == come else Counter()


def _short(site: str) -> str:
    """The last two parts of a path with its line."""
    return "/".join(site.replace("\\", "/").split("/")[-2:])
