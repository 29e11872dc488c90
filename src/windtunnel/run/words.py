"""How a run is said, in the terminal and in the report alike: whether it runs there, where a line is, which modules are alike."""

from __future__ import annotations

import linecache
import math
import re
from collections.abc import Iterable
from pathlib import Path

from windtunnel.run.record import Holder, RunReport, Served, Share, Support
from windtunnel.workload.program.call import Site

FALLBACK, UNKNOWN, NO_DTYPE, COMPOSITE = "cpu fallback", "unknown", "no dtype", "composite"
"""The statuses of ``Support``: what matters most first."""

_LINE = re.compile(r"^(?P<file>.+?):(?P<line>\d+)(?:\s+(?P<function>\S.*))?$")


def with_status(report: RunReport, *statuses: str) -> tuple[Support, ...]:
    """The operators of these statuses, in their order, the longest first within each."""
    found = [entry for entry in report.support if entry.status in statuses]
    return tuple(sorted(found, key=lambda entry: (statuses.index(entry.status), -entry.seconds, entry.op)))


def no_kernel(report: RunReport) -> tuple[Support, ...]:
    """Operators that do not simply run there: fall-backs first, then missing types, then what is not known."""
    rank = (FALLBACK, NO_DTYPE)
    found = [entry for entry in report.support if entry.status != COMPOSITE]
    return tuple(sorted(found, key=lambda s: (rank.index(s.status) if s.status in rank else 2, -s.seconds, s.op)))


def label(report: RunReport) -> str:
    """The chip or system as it was asked for (``h20:8``); a real device that the catalogue lacks by its own name."""
    return report.chip or (report.measured.device if report.measured is not None else report.device)


def verdict(report: RunReport) -> str:
    """Whether the program runs there: ``yes``, ``yes, with 2 operators on the CPU``, ``no: ... at train.py:35``."""
    if report.status == "failed":
        return f"no: {failed_at(report)}"
    exceptions = _exceptions(report)
    start = "as far as is known" if with_status(report, UNKNOWN) else "yes"
    if report.status == "stopped":
        start += f", until it was stopped {stopped_after(report)}"
    return f"{start}, with {_listed(exceptions)}" if exceptions else start


def failed_at(report: RunReport) -> str:
    """``OutOfMemoryError at train.py:35``."""
    if report.failure is None:
        return f"it ended with exit status {report.exit_status}"
    at = place(report.failure.site)
    return report.failure.error + (f" at {at}" if at else "")


def stopped_after(report: RunReport) -> str:
    """``after 3 steps``, and at which line, where the report knows it."""
    at = place(report.failure.site) if report.failure is not None else ""
    return f"after {_counted(len(report.steps), 'step')}" + (f" at {at}" if at else "")


def _exceptions(report: RunReport) -> list[str]:
    said = []
    fallbacks, unknown, lacking = (len(with_status(report, s)) for s in (FALLBACK, UNKNOWN, NO_DTYPE))
    if fallbacks:
        said.append(f"{_counted(fallbacks, 'operator')} on the CPU")
    if lacking:
        said.append(f"{_counted(lacking, 'operator')} in a type that the chip lacks")
    if unknown:
        said.append(f"{_counted(unknown, 'operator')} of unknown support")
    return said


def _counted(count: int, one: str) -> str:
    return f"{count:,} {one}" if count == 1 else f"{count:,} {one}s"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def known(value: float | None) -> bool:
    """Whether a figure was told at all: a run that failed has no time of a step."""
    return value is not None and math.isfinite(value)


def has_steps(report: RunReport) -> bool:
    """Whether there is a time of a step to speak of."""
    return known(report.step_s) and report.step_s > 0


def mfu(report: RunReport) -> float | None:
    """The program's FLOPs as a share of the matrix unit's, over the measured time where there is one."""
    if not has_steps(report) or not known(report.mfu) or report.peak_flops_per_s <= 0:
        return None
    if report.measured is None:
        return report.mfu
    took = report.measured.step_s
    return report.flops_per_step / took / report.peak_flops_per_s if took > 0 else None


def evidence_text(report: RunReport) -> str:
    """``datasheet alone for 41 % of it``: the weakest evidence, and how much of the step rests on it."""
    weak = sum(share.seconds for share in report.by_operator if share.evidence == report.evidence)
    part = weak / report.step_s if has_steps(report) else 1.0
    told = f"{max(100 * part, 1):.0f}" if part >= 0.01 else "less than 1"
    return report.evidence.label + (f" for {told} % of it" if part < 0.95 and report.by_operator else "")


def busy_share(report: RunReport) -> float | None:
    """Share of the steps' time in which the device works; the first step counts only where it is alone."""
    steps = report.steps[1:] or report.steps
    total = sum(step.seconds for step in steps)
    return min(1.0, sum(step.busy_s for step in steps) / total) if total > 0 else None


def main_bound(report: RunReport) -> str:
    """What takes most of a step; empty where nothing was recorded."""
    return max(report.by_bound, key=lambda share: share.seconds).name if report.by_bound else ""


def times_as_fast(first: RunReport, other: RunReport) -> float | None:
    """How many times as fast as ``first`` the ``other`` is; None where they did not do the same work."""
    if not (has_steps(first) and has_steps(other)) or first.step_kind != other.step_kind:
        return None
    return first.step_s / other.step_s


def operator(op: str) -> str:
    """``addmm`` of ``aten.addmm.default``, ``add.Tensor`` of ``aten.add.Tensor``; other namespaces stay."""
    return op.removeprefix("aten.").removesuffix(".default")


def place(site: Site | None) -> str:
    """``train.py:35``; empty where it is not known."""
    return f"{short_path(site.file)}:{site.line}" if site is not None else ""


def short_path(file: str) -> str:
    """A file as one would name it: from the working folder, or from the packages' folder."""
    for folder in ("site-packages", "dist-packages"):
        _, found, inner = file.replace("\\", "/").rpartition(f"/{folder}/")
        if found:
            return inner
    path = Path(file)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        return path.relative_to(Path.cwd()).as_posix()
    return file


def forward(one: Served) -> str:
    """``prefill of 4 x 1,024 tokens``, ``decode of 4 sequences at 1,030 tokens``."""
    if one.phase == "decode":
        sequences = f"{one.sequences:,} sequence" + ("" if one.sequences == 1 else "s")
        return f"decode of {sequences} at {one.context + one.tokens:,.0f} tokens"
    behind = f" behind {one.context:,.0f}" if one.context else ""
    return f"prefill of {one.sequences:,} x {one.tokens:,} tokens{behind}"


def line_of(name: str) -> Site | None:
    """The place that a line's share is named after: ``FILE:LINE``, perhaps with the function behind."""
    found = _LINE.match(name)
    return Site(found["file"], int(found["line"]), found["function"] or "") if found else None


def code(site: Site | None) -> str:
    """The text of that line, or nothing where the file cannot be read."""
    return linecache.getline(site.file, site.line).strip() if site is not None else ""


def fold_modules(shares: Iterable[Share]) -> tuple[Share, ...]:
    """Layers that repeat made one: ``h.0.attn``, ``h.1.attn`` ... are ``h.*.attn``, with the sum of their times.

    A number stands for a repeated layer where modules of a name lie below it; the parts of a plain sequence stay apart.
    """
    shares = tuple(shares)
    above = _above(share.name for share in shares)
    groups: dict[str, list[Share]] = {}
    for share in shares:
        groups.setdefault(_folded(share.name, above), []).append(share)
    return tuple(sorted((_sum(name, mine) for name, mine in groups.items()), key=lambda s: -s.seconds))


def fold_holders(holders: Iterable[Holder]) -> tuple[Holder, ...]:
    """What the layers of one place hold made one, as ``fold_modules`` does for time; largest first."""
    holders = tuple(holders)
    above = _above(holder.name for holder in holders)
    groups: dict[tuple[str, str, Site | None], list[Holder]] = {}
    for holder in holders:
        groups.setdefault((holder.kind, _folded(holder.name, above), holder.site), []).append(holder)
    folded = (
        Holder(kind, name, sum(h.bytes for h in mine), sum(h.count for h in mine), site)
        for (kind, name, site), mine in groups.items()
    )
    return tuple(sorted(folded, key=lambda holder: -holder.bytes))


def _above(names: Iterable[str]) -> set[str]:
    """Every name that others lie below."""
    return {name[:i] for name in names for i, letter in enumerate(name) if letter == "."}


def _folded(name: str, above: set[str]) -> str:
    parts = name.split(".")
    return ".".join("*" if part.isdigit() and ".".join(parts[: i + 1]) in above else part for i, part in enumerate(parts))


def _sum(name: str, shares: list[Share]) -> Share:
    if len(shares) == 1:
        return shares[0]
    longest = max(shares, key=lambda share: share.seconds)
    told = [share.evidence for share in shares if share.evidence is not None]
    return Share(
        name,
        sum(share.seconds for share in shares),
        sum(share.calls for share in shares),
        sum(share.flops for share in shares),
        sum(share.bytes for share in shares),
        longest.bound,
        min(told) if told else None,
    )
