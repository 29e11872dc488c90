"""``windtunnel plan MODEL --on CHIP,CHIP ...``: which accelerators, how many, how fast, at what cost."""

from __future__ import annotations

from pathlib import Path

import click

from windtunnel.cli.files import check_new_folder, check_readable, check_writable
from windtunnel.cli.params import CHIPS, Duration, OnChips, Precision, Rate, json_option, load_options
from windtunnel.errors import InfeasibleError, InvalidInputError, UnknownNameError
from windtunnel.plan.result import Candidate, Plan, Targets

MOST_REQUESTS_PER_S = 1e6


@click.command()
@click.argument("model")
@click.option("--on", "on", type=OnChips(), required=True, help="Chips and systems to compare; CHIP:N allows at most N chips.")
@load_options
@click.option("--ttft", type=Duration(), default=0.0, help="Longest mean time to the first token: 2s, 500ms.")
@click.option("--tpot", type=Duration(), default=0.0, help="Longest mean time per output token: 50ms.")
@click.option("--requests-per-s", type=Rate(MOST_REQUESTS_PER_S, "requests/s"), default=0.0, help="Traffic to carry in all.")
@click.option(
    "--precision",
    type=Precision(),
    help="Weights: bf16, fp8, int8, w4a16, fp4 ...; native. As stored, or the nearest the chip computes.",
)
@click.option("--engine", metavar="NAME", help="Serving engine: vllm, vllm-ascend, sglang ...; the chip's usual one.")
@click.option("--max-chips", type=CHIPS, help="Most chips of one kind.")
@click.option("--to", metavar="PLACE", help="Chips that export rules keep from there drop out: CN, D:4 ...; see `rules`.")
@click.option("--date", metavar="YYYY-MM-DD", help="The day of those rules; today.")
@click.option("--prices", type=click.Path(path_type=Path), metavar="FILE", help="Your prices and power tariff, in TOML.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Also write a self-contained report.")
@click.option(
    "--deploy", type=click.Path(path_type=Path), metavar="DIR", help="Also write the launch commands of the best deployment."
)
@click.option(
    "--deploy-with",
    metavar="LAUNCHER",
    help="What launches it: shell, compose (Docker), kubernetes, ray (vLLM on Ray); shell.",
)
@click.option("--deploy-chip", metavar="NAME", help="Write them for this chip instead.")
@json_option
def plan(
    model: str,
    on: tuple[str, ...],
    isl: int,
    osl: int,
    ttft: float,
    tpot: float,
    requests_per_s: float,
    precision: str | None,
    engine: str | None,
    max_chips: int | None,
    to: str | None,
    date: str | None,
    prices: Path | None,
    html: Path | None,
    deploy: Path | None,
    deploy_with: str | None,
    deploy_chip: str | None,
    as_json: bool,
) -> None:
    """The cheapest deployment on each chip that meets targets.

    MODEL is a name of the catalogue (`windtunnel models`), a config.json, or a folder that holds one. For each chip or
    system: chips, precision, parallelism, batch and engine; tokens/s, TTFT and TPOT with the interval that holds them in
    80 % of cases; memory, money, energy; then the Pareto front, and for a chip that fails, why. The exit status is 2
    where no chip meets the targets.
    """
    _check_files(html, deploy, deploy_with, deploy_chip, prices)
    if date is not None and to is None:
        raise InvalidInputError("--date", "says on which day export rules are held against chips; add --to CN")
    from windtunnel.catalog.models import model as read_model
    from windtunnel.cli.checks import check_context
    from windtunnel.plan.search import plan as search

    spec = read_model(model)
    check_context(spec, isl, osl)
    targets = Targets(isl=isl, osl=osl, ttft_s=ttft, tpot_s=tpot, requests_per_s=requests_per_s)
    # what was not asked for is not passed on: the question stays as short as it was typed
    ruled = {key: value for key, value in (("to", to), ("date", date)) if value is not None}
    result = search(model, on, targets, precision=precision, engine=engine, max_chips=max_chips, prices=prices, **ruled)
    # files first: where one cannot be written, the error is all that is said
    written: list[Path] = []
    if deploy is not None and result.ranked:
        from windtunnel.plan.deploy import write_deployment

        written += write_deployment(chosen_for_deployment(result, deploy_chip), spec, targets, deploy, deploy_with or "shell")
    if html is not None:
        from windtunnel.cli.report import write_html

        write_html(result, html)
        written.append(html)
    if as_json:
        from windtunnel.cli.as_json import dumps, plan_json

        click.echo(dumps(plan_json(result)))
    else:
        from windtunnel.cli.render_plan import plan_sheet

        plan_sheet(result).show()
    for path in written:
        click.echo(f"wrote {path}", err=True)
    if not result.ranked:
        raise InfeasibleError(_nothing_meets(result) + ("; nothing to deploy" if deploy is not None else ""))


def _nothing_meets(result: Plan) -> str:
    """One line: why, where one chip was asked about; the table has said it of several."""
    why = [chip.why_not for chip in result.chips if chip.why_not]
    return f"no chip meets the targets: {why[0]}" if len(why) == 1 else "no chip meets the targets"


def _check_files(
    html: Path | None, deploy: Path | None, deploy_with: str | None, deploy_chip: str | None, prices: Path | None
) -> None:
    if prices is not None:
        check_readable(prices, "--prices")
    if html is not None:
        check_writable(html, "--html")
    if deploy_with is not None:
        from windtunnel.plan.deploy import LAUNCHERS

        if deploy_with not in LAUNCHERS:
            raise UnknownNameError("launcher", deploy_with, LAUNCHERS)
        if deploy_with in ("compose", "kubernetes"):
            from windtunnel.plan.deploy.yaml_text import check_yaml

            check_yaml()
    if deploy is not None:
        check_new_folder(deploy, "--deploy")
    elif deploy_with is not None:
        raise InvalidInputError("--deploy-with", "says what --deploy DIR writes for; add --deploy DIR")
    elif deploy_chip is not None:
        raise InvalidInputError("--deploy-chip", "says for which chip --deploy DIR writes; add --deploy DIR")


def chosen_for_deployment(result: Plan, name: str | None) -> Candidate:
    """The candidate that --deploy writes: the best of all, or that of the chip ``name``."""
    if name is None:
        best = result.ranked[0].best
        assert best is not None  # ranked holds only chips that have one
        return best
    for chip in result.chips:
        if chip.name == name or chip.name.partition(":")[0] == name:
            if chip.best is None:
                raise InfeasibleError(f"--deploy-chip {name}: {chip.why_not or 'nothing that was searched meets the targets'}")
            return chip.best
    raise UnknownNameError("chip of the plan", name, [chip.name for chip in result.chips])
