"""What a serving engine would run, beside the forwards of a language model as a program wrote them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from windtunnel.cli.render import UNKNOWN, Sheet, count, number, time_text
from windtunnel.run import words
from windtunnel.run.record import RunReport, Served

NOTHING = 5e-4
"""Share of a forward's time below which a difference is not shown."""


def add_served(sheet: Sheet, report: RunReport, top: int) -> None:
    """A language model's forwards as the program wrote them, beside an engine's."""
    longest = sorted(report.served, key=lambda forward: -forward.written_s * forward.forwards)[:top]
    sheet.table(
        "Served: each forward as the program wrote it, and as an engine would run it here",
        ["forward", "times", "as written", "served", "as fast", "launches", "precision"],
        (
            [
                words.forward(one),
                f"{one.forwards:,}",
                time_text(one.written_s),
                time_text(one.served_s),
                f"{one.written_s / one.served_s:.1f} x" if one.served_s > 0 else UNKNOWN,
                f"{number(one.written_launches)} > {number(one.served_launches)}",
                one.precision,
            ]
            for one in report.served
            if one in longest
        ),
        fold=["launches", "precision"],
    )
    if len(report.served) > top:
        sheet.line(f"and {count(len(report.served) - top, 'more kind')} of forwards", style="dim")
    for one in _of_each_phase(longest):
        sheet.table(
            f"Where that comes from: {words.forward(one)}",
            ["part", "as written", "served", "difference"],
            (
                [part.name, time_text(part.written_s), time_text(part.served_s), _difference(part.served_s - part.written_s, one)]
                for part in one.parts
            ),
        )


def _of_each_phase(forwards: Sequence[Served]) -> Iterator[Served]:
    """The first prefill and the first decode."""
    seen: set[str] = set()
    for one in forwards:
        if one.phase not in seen:
            seen.add(one.phase)
            yield one


def _difference(seconds: float, of: Served) -> str:
    """What a part adds or saves; nothing where that is too little to show in the whole."""
    return "" if abs(seconds) < NOTHING * of.written_s else ("+" if seconds > 0 else "") + time_text(seconds)
