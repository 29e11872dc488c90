"""``windtunnel rules timeline --chips a,b,c``: one line for each span of days with one verdict, and the plot."""

from __future__ import annotations

from pathlib import Path

import click

from windtunnel.cli.files import check_writable
from windtunnel.cli.params import json_option
from windtunnel.cli.rules.options import hanging, names, plot_options, to_option, write_plot
from windtunnel.rules.timeline import ItemTimeline
from windtunnel.rules.verdict import NO_ADVICE


@click.command()
@click.option("--chips", "which", required=True, metavar="A,B,...", help="Chips and systems, one band each.")
@to_option
@plot_options
@json_option
def timeline(which: str, to: str, plot: Path | None, html: Path | None, as_json: bool) -> None:
    """How verdicts changed from 2022 on.

    One line for each span of days with one verdict, from the first rule of the record to its last day.
    """
    for path, field in ((plot, "--plot"), (html, "--html")):
        if path is not None:
            check_writable(path, field)
    from windtunnel.rules.timeline import timeline as follow

    found = follow(names(which, "--chips"), to)
    text = "\n".join(timeline_lines(found))
    if plot is not None or html is not None:
        from windtunnel.web.rules_plot import timeline_svg
        from windtunnel.web.svg import page

        write_plot(plot, timeline_svg(found))
        write_plot(html, page("Export rules over time", lambda width: timeline_svg(found, width), text) if html else "")
    if as_json:
        import json

        click.echo(json.dumps({"timelines": [_json(each) for each in found]}, indent=2, ensure_ascii=False))
    else:
        click.echo(text)


def timeline_lines(found: tuple[ItemTimeline, ...]) -> list[str]:
    last = found[0].spans[0].verdict
    lines = [f"To {last.destination.name}; each verdict from its day on"]
    for each in found:
        of = each.spans[0].verdict
        told = f"launched {each.launch.text}" if each.launch else "no launch date in the record"
        lines += ["", f"{each.item}, {told}" + ("; no US item, the limits as if it were" if of.origin == "CN" else "")]
        for span in each.spans:
            verdict = span.verdict
            lines += hanging(f"  {span.start}", f"{verdict.plain}; {verdict.clause}", 14)
    return [*lines, "", f"{NO_ADVICE} The record goes up to {last.known_until}."]


def _json(each: ItemTimeline) -> dict[str, object]:
    from windtunnel.cli.rules.check import verdict_json

    return {
        "item": each.item,
        "launched": each.launch.text if each.launch else None,
        "spans": [{"start": str(s.start), "end": str(s.end), "verdict": verdict_json(s.verdict)} for s in each.spans],
    }
