"""``windtunnel rules crossover``: when one maker's best passes what another may sell."""

from __future__ import annotations

from pathlib import Path

import click

from windtunnel.cli.files import check_writable
from windtunnel.cli.params import json_option
from windtunnel.cli.rules.options import columns, figure, hanging, plot_options, to_option, write_plot
from windtunnel.rules.crossover import Crossover
from windtunnel.rules.threshold import Best
from windtunnel.rules.verdict import NO_ADVICE


@click.command()
@click.option("--maker", default="Huawei", show_default=True, help="The maker who catches up.")
@click.option("--seller", default="Nvidia", show_default=True, help="The maker whose sales the rules bound.")
@to_option
@click.option(
    "--metric", default="tpp", show_default=True, metavar="NAME", help="tpp, pd, dram (GB/s), io (GB/s) or memory (GB)."
)
@click.option("--datacenter", is_flag=True, help="Only chips that are marketed for datacenters.")
@plot_options
@json_option
def crossover(
    maker: str, seller: str, to: str, metric: str, datacenter: bool, plot: Path | None, html: Path | None, as_json: bool
) -> None:
    """When one maker's best passes what another may sell.

    By one number of one chip, from launch dates as intervals, roadmaps too, and from the rules; once against what needs no
    licence, once also against what an exception or a licence reviewed case by case may allow.
    """
    for path, field in ((plot, "--plot"), (html, "--html")):
        if path is not None:
            check_writable(path, field)
    from windtunnel.rules.crossover import crossover as cross

    found = cross(maker, seller, to, metric, datacenter=datacenter)
    text = "\n".join(crossover_lines(found))
    if plot is not None or html is not None:
        from windtunnel.web.rules_plot import crossover_svg
        from windtunnel.web.svg import page

        write_plot(plot, crossover_svg(found))
        write_plot(
            html, page("Who is ahead, under export rules", lambda width: crossover_svg(found, width), text) if html else ""
        )
    if as_json:
        import json

        click.echo(json.dumps(_json(found), indent=2, ensure_ascii=False))
    else:
        click.echo(text)


def crossover_lines(found: Crossover) -> list[str]:
    lines = [f"{found.maker}'s best {found.metric} against what {found.seller} may sell to {found.destination}"]
    for track in found.tracks:
        lines += ["", f"{found.seller}'s chips {track.name}"]
        told = [crossing.text(found) for crossing in track.crossings]
        lines += [line for each in told or ["no change of leader"] for line in hanging("  ", each, 4)]
        rows: list[list[str]] = []
        for step in track.steps:
            row = [_best(step.maker_low, step.maker_high), _best(step.seller_low, step.seller_high)]
            if not rows or rows[-1][1:] != row:
                rows.append([str(step.start), *row])
        lines += ["", *columns(["from", f"{found.maker} ({found.unit})", f"{found.seller} ({found.unit})"], rows)]
    lines += ["", *(line for note in found.notes for line in hanging("-", note, 2)), NO_ADVICE]
    return lines


def _best(low: Best, high: Best) -> str:
    sure = f"{low.chip} {figure(low.value)}" if low.chip else "none"
    return f"{sure}, perhaps {high.chip} {figure(high.value)}" if high.value > low.value else sure


def _json(found: Crossover) -> dict[str, object]:
    return {
        "maker": found.maker,
        "seller": found.seller,
        "destination": found.destination,
        "metric": found.metric,
        "unit": found.unit,
        "tracks": [
            {
                "name": track.name,
                "crossings": [
                    {
                        "leader": found.maker if c.leader == "maker" else found.seller,
                        "first": str(c.first),
                        "last": str(c.last),
                        "planned": c.planned,
                        "maker_best": {"chip": c.maker.chip or None, "value": c.maker.value},
                        "seller_best": {"chip": c.seller.chip or None, "value": c.seller.value},
                    }
                    for c in track.crossings
                ],
            }
            for track in found.tracks
        ],
        "notes": list(found.notes),
    }
