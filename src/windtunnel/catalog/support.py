"""What a PyTorch plugin does with each operator: a kernel of its own, others in its place, or the host's CPU.

``support_table("torch_npu").of("aten.median.default")`` tells it for one plugin version, ``support_for(chip)`` for the
plugin that a chip is used through, and ``SupportTable.census`` for everything that a program called. What no table
says is "unknown", and unknown never reads as fine.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal

from windtunnel.catalog.chip import Chip
from windtunnel.catalog.composite import parts_of
from windtunnel.catalog.engine import version_key
from windtunnel.catalog.overload import full_name, split_overload
from windtunnel.catalog.store import Shelf, Table, name_key
from windtunnel.errors import InvalidInputError, UnknownNameError

Status = Literal["native", "composite", "cpu fallback", "unknown"]
"""native: a kernel of the plugin. composite: made of other operators, all of which are native in the end. cpu fallback:
tensors travel to the host and back, for itself or for an operator that it is made of. unknown: no table tells."""

STATUSES: tuple[Status, ...] = ("native", "composite", "cpu fallback", "unknown")

WORDS: Mapping[str, Status] = {
    "native": "native",
    "native_via_out": "native",
    "listed": "native",
    "composite_implicit": "composite",
    "composite_explicit": "composite",
    "cpu_fallback": "cpu fallback",
    "cpu_fallback_via_out": "cpu fallback",
}
"""What a table may say of an overload itself, before the operators that it is made of are looked at. ``listed``: the
plugin's own list names it; ``via_out``: through its variant that writes into a given tensor."""

shelf = Shelf("support", "plugin version")


@dataclass(frozen=True, slots=True)
class OperatorStatus:
    """What becomes of one operator overload.

    op: its full name, as ``aten.mm.default``. word: what the table says of the overload itself (a key of WORDS; empty
    where it says nothing). via: the operators from this one's first part down to the one that decides, empty where it
    is this one itself. always: False where that happens for some arguments only. note: why, in one line. source: who
    says so.
    """

    op: str
    status: Status
    source: str
    word: str = ""
    via: tuple[str, ...] = ()
    always: bool = True
    note: str = ""


@dataclass(frozen=True)
class SupportTable:
    """One version of one plugin: what it does with each overload.

    words: overload (``mm.out``; without ``aten`` and ``default``) -> a key of WORDS. custom: operators that the plugin
    adds, under its own ``namespace``. complete: whether the dispatcher itself was asked about every overload of that
    PyTorch; else an overload that is missing is one that a list does not name. upstream: whether it is PyTorch's own
    backend, so that its composites need no proof.
    """

    plugin: str
    version: str
    source: str
    words: Mapping[str, str]
    custom: frozenset[str] = frozenset()
    namespace: str = ""
    complete: bool = False
    upstream: bool = False
    notes: tuple[str, ...] = ()
    _known: dict[str, OperatorStatus] = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        return f"{self.plugin} {self.version}".strip()

    def of(self, overload: str) -> OperatorStatus:
        """What becomes of an operator, by any of PyTorch's spellings of it (``aten.mm.default``, ``aten::mm.out``, ``mm``)."""
        if overload not in self._known:
            self._known[overload] = self._find(*split_overload(overload))
        return self._known[overload]

    def _find(self, space: str, name: str) -> OperatorStatus:
        if space == "aten":
            return self._through_parts(name)
        if space and space == self.namespace and name in self.custom:
            return OperatorStatus(full_name(space, name), "native", self.source, "listed")
        where = f"the namespace '{space}'" if space else "what is no operator's name"
        return OperatorStatus(full_name(space, name), "unknown", self.source, note=f"no table of {self.name} covers {where}")

    def _itself(self, name: str) -> OperatorStatus:
        """One ATen overload by what the table says of it alone; "composite" is not resolved yet."""
        op, word, made_of = full_name("aten", name), self.words.get(name, ""), parts_of(name)
        if not self.words:
            return OperatorStatus(op, "unknown", self.source, note=f"no table of {self.name}")
        if word and WORDS[word] != "composite":
            via: tuple[str, ...] = ()
            if word.endswith("_via_out") and made_of is not None:
                via = tuple(full_name("aten", part.name) for part in made_of.parts if part.name in self.words)
            return OperatorStatus(op, WORDS[word], self.source, word, via)
        if not word and (made_of is None or self.complete):
            return OperatorStatus(op, "unknown", self.source, note=f"the table of {self.name} does not name it")
        if self.upstream:
            return OperatorStatus(op, "composite", self.source, word, note="PyTorch's own, on its own backend")
        if made_of is None or not made_of.recorded:
            return OperatorStatus(op, "unknown", self.source, word, note="made of others that were not recorded")
        return OperatorStatus(op, "composite", f"{self.source}; {made_of.source}", word)

    def _through_parts(self, name: str) -> OperatorStatus:
        """One ATen overload by the worst that it ends in: a certain fall-back, then the unknown, then a fall-back for some
        arguments. Breadth first, so that ``via`` is the shortest way there."""
        top = self._itself(name)
        if top.status != "composite" or self.upstream:
            return top
        worst: tuple[int, OperatorStatus] | None = None
        queue: deque[tuple[str, tuple[str, ...], bool]] = deque([(name, (), True)])
        seen = {(name, True), (name, False)}
        while queue:
            at, chain, always = queue.popleft()
            made_of = parts_of(at)
            for part in made_of.parts if made_of else ():
                key = (part.name, always and part.always)
                if key in seen:
                    continue
                seen.add(key)
                found, via = self._itself(part.name), (*chain, full_name("aten", part.name))
                if found.status == "composite":
                    queue.append((part.name, via, key[1]))
                elif (badness := _badness(found.status, key[1])) > (worst[0] if worst else 0):
                    worst = badness, self._blamed(top, found, (*via, *found.via), key[1])
        return worst[1] if worst else replace(top, note="made of operators that are native")

    def _blamed(self, top: OperatorStatus, part: OperatorStatus, via: tuple[str, ...], always: bool) -> OperatorStatus:
        """A composite that ends as one of its parts does."""
        note = part.note or "an operator that it is made of runs on the CPU"
        return replace(top, status=part.status, via=via, always=always, note=note + ("" if always else "; for some arguments"))

    def overloads(self) -> Iterator[str]:
        """Every overload of which the table itself says something, in full, in order of name."""
        yield from (full_name("aten", name) for name in sorted(self.words))
        yield from (full_name(self.namespace, name) for name in sorted(self.custom))

    def census(self, calls: Mapping[str, int]) -> Census:
        """What becomes of everything that a program called: overload -> number of calls."""
        return Census(self, tuple((self.of(op), n) for op, n in sorted(calls.items())))


@dataclass(frozen=True, slots=True)
class Census:
    """The operators of a program on one plugin: each with its status and how often it was called."""

    table: SupportTable
    rows: tuple[tuple[OperatorStatus, int], ...]

    def operators(self, status: Status) -> tuple[OperatorStatus, ...]:
        """The operators of one status, most called first."""
        return tuple(o for o, _ in sorted(self.rows, key=lambda row: -row[1]) if o.status == status)

    @property
    def counts(self) -> dict[Status, int]:
        """Status -> operators that have it, all four in order."""
        found = Counter(o.status for o, _ in self.rows)
        return {status: found[status] for status in STATUSES}

    @property
    def calls(self) -> dict[Status, int]:
        """Status -> calls of such operators, all four in order."""
        found: Counter[Status] = Counter()
        for row, n in self.rows:
            found[row.status] += n
        return {status: found[status] for status in STATUSES}

    @property
    def all_known(self) -> bool:
        return not self.counts["unknown"]

    @property
    def all_on_chip(self) -> bool:
        """Whether every operator is known to run on the chip: none falls back, and none is unknown."""
        return bool(self.rows) and not (self.counts["unknown"] or self.counts["cpu fallback"])

    @property
    def verdict(self) -> str:
        """One line; it says that all have kernels only where that is known of every one."""
        counts, total = self.counts, len(self.rows)
        of = f"of {total} operators with {self.table.name}"
        if not total:
            return "no operator was called, so nothing is known"
        told = [f"{counts['cpu fallback']} {of} fall back to the CPU"] if counts["cpu fallback"] else []
        if counts["unknown"]:
            told.append(f"{counts['unknown']} are unknown" if told else f"{counts['unknown']} {of} are unknown")
        return "; ".join(told) or f"all {total} operators have kernels in {self.table.name}"


def _badness(status: Status, always: bool) -> int:
    return {"native": 0, "composite": 0, "unknown": 2, "cpu fallback": 3 if always else 1}[status]


def parse_support(table: Table) -> SupportTable:
    """A table from its record. Raises InvalidInputError that names the field."""
    table.only(("plugin", "version", "source", "complete", "upstream", "namespace", "notes", "overloads", "custom"))
    lists = table.table("overloads")
    lists.only(WORDS)
    words: dict[str, str] = {}
    for word in lists.fields:
        for name in lists.text(word).split():
            if words.setdefault(name, word) != word:
                raise lists.fail(word, f"'{name}' is under {words[name]} too")
    if not words:
        raise table.fail("overloads", "missing; a table says something of at least one operator")
    return SupportTable(
        plugin=table.text("plugin"),
        version=table.text("version"),
        source=table.text("source"),
        words=words,
        custom=frozenset(table.text("custom", "").split()),
        namespace=table.text("namespace", ""),
        complete=table.flag("complete", False),
        upstream=table.flag("upstream", False),
        notes=table.texts("notes"),
    )


@cache
def _load(record: str) -> SupportTable:
    return shelf.load(record, parse_support)


@cache
def _versions() -> Mapping[str, Mapping[str, str]]:
    """Plugin -> version -> record, from the heads of the records."""
    found: dict[str, dict[str, str]] = {}
    for record in shelf.ids():
        head = shelf.head(record)
        found.setdefault(head.text("plugin"), {})[head.text("version")] = record
    return found


def plugins() -> Mapping[str, tuple[str, ...]]:
    """Every plugin that has a table, and its versions, newest first."""
    return {plugin: tuple(sorted(of, key=_order, reverse=True)) for plugin, of in sorted(_versions().items())}


def _order(version: str) -> tuple[object, ...]:
    """Releases as releases are ordered; what is dated instead, by its text."""
    return (version_key(version) or (), version)


_ALSO = {"torch-xpu-ops": "xpu", "npu": "torch_npu", "musa": "torch_musa", "mlu": "torch_mlu", "torch": "cuda"}


def support_table(plugin: str, version: str | None = None) -> SupportTable:
    """The table of a plugin (``torch_npu`` or ``npu``, ``torch_musa``, ``torch_mlu``, ``xpu``, ``cuda``); where no version is
    named, of the newest that a dispatcher was asked about, else of the newest that has a list.

    Raises UnknownNameError with the nearest names.
    """
    known = plugins()
    name = re.sub(r"-", "_", plugin.strip().lower())
    name = {**{name_key(a).replace("-", "_"): p for a, p in _ALSO.items()}, **{p: p for p in known}}.get(name, name)
    if name not in known:
        raise UnknownNameError("plugin", plugin, [*known])
    if version is None:
        tables = [_load(_versions()[name][v]) for v in known[name]]
        return next((table for table in tables if table.complete), tables[0])
    wanted = version.strip().lower().removeprefix("v")
    if wanted not in known[name]:
        raise UnknownNameError(f"version of {name}", version, known[name])
    return _load(_versions()[name][wanted])


def support_for(chip: Chip, version: str | None = None) -> SupportTable:
    """The table of the plugin that a chip is used through; one that knows nothing, where there is no table of it.

    ``device="cuda"`` is not enough: AMD's, Hygon's, MetaX's, Iluvatar's, Kunlun's and T-Head's wheels use that word as
    well, and none of them has been read. Raises UnknownNameError for a version that no table is of.
    """
    plugin = chip.plugin.partition(" (")[0].strip()
    if chip.vendor == "Nvidia" and chip.device == "cuda" and plugin == "torch":
        return support_table("cuda", version)
    if plugin != "torch" and plugin in plugins():
        return support_table(plugin, version)
    told = chip.plugin or f"the plugin of {chip.id}"
    if version is not None:
        raise InvalidInputError("plugin version", f"no table of {told} is known, so of no version either")
    return SupportTable(told, "", f"no source tells what {told} does with PyTorch's operators", {})
