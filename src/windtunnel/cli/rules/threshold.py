"""``windtunnel rules threshold --best-of A,B --buffer 0.5``: what a limit above the best of a set would let pass."""

from __future__ import annotations

import click

from windtunnel.cli.params import json_option
from windtunnel.cli.rules.options import columns, figure, hanging, names, to_option
from windtunnel.errors import InvalidInputError
from windtunnel.rules.threshold import Best, ThresholdReport, YearLimit
from windtunnel.rules.verdict import NO_ADVICE


@click.command()
@click.option("--best-of", required=True, metavar="A,B,...", help="The chips whose best sets the limit.")
@click.option("--buffer", type=float, required=True, metavar="SHARE", help="How far above: 0.5 is half again.")
@click.option(
    "--metric", default="tpp", show_default=True, metavar="NAME", help="tpp, pd, dram (GB/s), io (GB/s) or memory (GB)."
)
@click.option("--date", metavar="YYYY-MM-DD", help="One day; the end of every year.")
@to_option
@json_option
def threshold(best_of: str, buffer: float, metric: str, date: str | None, to: str, as_json: bool) -> None:
    """What a limit above the best of a set of chips would let pass.

    A rule that is not there: all US chips on sale, held against (1 + buffer) times the best of the set on that day, beside
    what the rules in force say.
    """
    if buffer < 0:
        raise InvalidInputError("--buffer", f"{buffer:g} is negative; half again above the best is 0.5")
    from windtunnel.rules.threshold import threshold as hold

    report = hold(names(best_of, "--best-of"), buffer, metric, date, to)
    if as_json:
        import json

        click.echo(json.dumps(_json(report), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(threshold_lines(report)))


def threshold_lines(report: ThresholdReport) -> list[str]:
    lines = [f"{report.metric} up to {1 + report.buffer:g} x the best of {', '.join(report.best_of)}"]
    for year in report.years:
        lines += ["", f"{year.day}{' (from roadmaps)' if year.planned else ''}: {_limit(year, report.unit)}"]
        passing = [h.chip for h in year.held if h.passes]
        lines += hanging("  passes", _listed(passing), 12)
        perhaps = [h.chip for h in year.held if h.passes is None]
        if perhaps:
            lines += hanging("  perhaps", f"{', '.join(perhaps)} (as the best of the set was launched sooner or later)", 12)
        lines += hanging("  fails", _listed([h.chip for h in year.held if h.passes is False]), 12)
    last = report.years[-1]
    rows = [
        [
            h.chip,
            figure(h.value),
            {True: "passes", False: "fails", None: "perhaps"}[h.passes],
            str(h.status or "before the rules"),
        ]
        for h in last.held
    ]
    lines += ["", f"On {last.day}, beside the rules in force", ""]
    lines += columns(["chip", report.unit, "this limit", "rules in force"], rows, right=(1,), last=False)
    lines += ["", *(line for note in report.notes for line in hanging("-", note, 2)), f"{NO_ADVICE}"]
    return lines


def _listed(chips: list[str]) -> str:
    return ", ".join(chips) if chips else "none"


def _limit(year: YearLimit, unit: str) -> str:
    if not year.best_high.chip:
        return "no chip of the set on sale"
    sure = f"limit {figure(year.low, unit)}, from {_best(year.best_low)}" if year.best_low.chip else "no limit for certain"
    if year.high > year.low:
        return f"{sure}; perhaps {figure(year.high, unit)}, from {_best(year.best_high)}"
    return sure


def _best(best: Best) -> str:
    return f"{best.chip} ({figure(best.value)})"


def _json(report: ThresholdReport) -> dict[str, object]:
    return {
        "metric": report.metric,
        "unit": report.unit,
        "best_of": list(report.best_of),
        "buffer": report.buffer,
        "years": [
            {
                "day": str(year.day),
                "planned": year.planned,
                "limit": {"low": year.low, "high": year.high},
                "best": {"low": year.best_low.chip or None, "high": year.best_high.chip or None},
                "chips": [
                    {"chip": h.chip, "value": h.value, "passes": h.passes, "status": str(h.status) if h.status else None}
                    for h in year.held
                ],
            }
            for year in report.years
        ],
        "notes": list(report.notes),
    }
