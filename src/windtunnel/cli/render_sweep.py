"""What came of a sweep: its best points, why others could not be, and where all of them are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from windtunnel.cli.as_json import Json
from windtunnel.cli.render import UNKNOWN, Sheet, count, number, time_text
from windtunnel.sweep.best import Best
from windtunnel.sweep.columns import COLUMNS, INPUTS
from windtunnel.sweep.file import Sweep
from windtunnel.sweep.journal import Row

REASONS = 5


def sweep_sheet(asked: Sweep, best: Best) -> Sheet:
    sheet = Sheet()
    points = sum(best.outcomes.values())
    counted = ", ".join(f"{n:,} {outcome}" for outcome, n in best.outcomes.items())
    told = count(points, "point") if points == asked.count else f"{points:,} of {count(asked.count, 'point')}"
    sheet.line(f"{told}: {counted}" if points else f"none of {count(asked.count, 'point')} is done")
    varied = [name for name in asked.varied if name in INPUTS]
    sheet.table(
        f"Best by {best.measure.told}",
        ["point", "with", "chips", "TTFT p99", "TPOT p50", "goodput/s", "tokens/s", "USD/Mtok"],
        ([f"{row['point']:,}", _told(row, varied), *_outputs(row)] for row in best.rows),
        fold=["with"],
    )
    if best.reasons:
        sheet.line()
        sheet.line("Without a result")
        most = sorted(best.reasons.items(), key=lambda item: -item[1])
        for reason, n in most[:REASONS]:
            sheet.bullet(f"{count(n, 'point')}: {reason}")
        if len(most) > REASONS:
            sheet.bullet(f"{count(len(most) - REASONS, 'more reason')}: column reason")
    if best.note:
        sheet.bullet(best.note)
    return sheet


def reading(out: Path, best: Best) -> str:
    """One line of Python that shows the best points of the file."""
    order = f"{best.measure.column}{' DESC' if best.measure.most else ''}"
    return f"""duckdb.sql("SELECT * FROM '{out}' WHERE outcome = 'simulated' ORDER BY {order}")"""


def _told(row: Row, varied: Sequence[str]) -> str:
    """``on h20, tp 8``: what tells the point from others."""
    said = ((name, row.get(INPUTS[name][0])) for name in varied)
    return ", ".join(f"{name} {_value(value)}" for name, value in said if value is not None)


def _value(value: str | float | bool) -> str:
    return (
        {True: "yes", False: "no"}[value] if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
    )


def _outputs(row: Row) -> list[str]:
    times = [row.get(name) for name in ("ttft_p99_s", "tpot_p50_s")]
    rates = [row.get(name) for name in ("goodput_requests_per_s", "output_tokens_per_s", "usd_per_mtok")]
    return [
        f"{row['chips']:,}",
        *(time_text(value) if value is not None else UNKNOWN for value in times),
        *(number(value, counted=False) for value in rates),
    ]


def sweep_json(asked: Sweep, out: Path, best: Best) -> Json:
    return {
        "file": str(out),
        "points": asked.count,
        "outcomes": best.outcomes,
        "reasons": best.reasons,
        "measure": best.measure.column,
        "best": [{name: row.get(name) for name, _ in COLUMNS} for row in best.rows],
        "note": best.note or None,
    }
