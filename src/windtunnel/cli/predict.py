"""``windtunnel predict MODEL --on CHIP[:N]``: one deployment under one load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from windtunnel.cli.files import check_readable
from windtunnel.cli.params import DEGREE, MOST_CHIPS, MOST_REQUESTS, OnChip, Precision, Rate, Version, json_option, load_options
from windtunnel.errors import InvalidInputError, ParallelismError
from windtunnel.sim.prediction import Deployment, Load


@click.command()
@click.argument("model")
@click.option("--on", "on", type=OnChip(), required=True, help="Chip or system, and how many chips one instance takes.")
@load_options
@click.option(
    "--concurrency", type=Rate(MOST_REQUESTS, "requests in flight"), required=True, help="Requests in flight, held constant."
)
@click.option(
    "--precision", type=Precision(), default="", help="Weights and matrix inputs: bf16, fp8, int8, w4a16, fp4 ...; native."
)
@click.option("--kv-precision", type=Precision(), default="", help="The KV cache's type, where it is not the engine's choice.")
@click.option("--tp", type=DEGREE, help="Tensor-parallel degree of attention.")
@click.option("--pp", type=DEGREE, help="Pipeline stages.")
@click.option("--dp", type=DEGREE, help="Groups of chips that share the requests (data-parallel attention).")
@click.option("--ep", "moe_ep", type=DEGREE, help="Expert-parallel groups; they cut the same chips as --tp and --dp.")
@click.option("--moe-tp", type=DEGREE, help="Ways that each expert is cut within such a group.")
@click.option("--engine", default="", metavar="NAME", help="Serving engine: vllm, vllm-ascend, sglang ...; the chip's usual one.")
@click.option("--engine-version", type=Version(), default="", help="Its version; the newest that is known.")
@click.option(
    "--prefix-hit", type=Rate(1.0, "as a share of one", zero=True), default=0.0, help="Share of the input in the prefix cache."
)
@click.option(
    "--mtp-accept", type=Rate(16.0, "tokens", zero=True), default=0.0, help="Tokens a decode step yields beyond the first."
)
@click.option(
    "--parameters",
    type=click.Path(path_type=Path),
    metavar="FILE.toml",
    help="Parameters of the chip that `windtunnel fit` wrote.",
)
@json_option
def predict(
    model: str,
    on: tuple[str, int],
    isl: int,
    osl: int,
    concurrency: float,
    precision: str,
    kv_precision: str,
    tp: int | None,
    pp: int | None,
    dp: int | None,
    moe_ep: int | None,
    moe_tp: int | None,
    engine: str,
    engine_version: str,
    prefix_hit: float,
    mtp_accept: float,
    parameters: Path | None,
    as_json: bool,
) -> None:
    """One deployment's TTFT, TPOT, tokens/s, and what bounds them.

    MODEL is a name of the catalogue (`windtunnel models`), a config.json, or a folder that holds one. Where only --on
    CHIP:N is said, the N chips are one tensor-parallel group.
    """
    name, chips = on
    degrees = attention_degrees(chips, tp, pp, dp)
    experts = expert_degrees(degrees[0] * degrees[2], moe_ep, moe_tp)
    from windtunnel.catalog.models import model as read_model
    from windtunnel.cli.checks import check_context
    from windtunnel.plan.place import stands_for
    from windtunnel.sim.predict import predict as ask

    spec = read_model(model)
    check_context(spec, isl, osl)
    if not spec.is_moe and (moe_ep or moe_tp):
        field = "--ep" if moe_ep else "--moe-tp"
        raise InvalidInputError(field, f"{spec.id} has no experts to cut; leave it out, --tp cuts its layers")
    chip, system = stands_for(name)
    deployment = Deployment(
        model=model,
        chip=chip,
        precision=precision,
        kv_precision=kv_precision,
        tp=degrees[0],
        pp=degrees[1],
        dp=degrees[2],
        moe_ep=experts[0],
        moe_tp=experts[1],
        engine=engine,
        engine_version=engine_version,
        system=system,
    )
    load = Load(isl=isl, osl=osl, concurrency=concurrency, prefix_hit=prefix_hit, mtp_accept=mtp_accept)
    result = ask(deployment, load, parameters=own_parameters(parameters, chip))
    if as_json:
        from windtunnel.cli.as_json import dumps, prediction_json

        click.echo(dumps(prediction_json(result)))
        return
    from windtunnel.cli.render_prediction import prediction_sheet

    prediction_sheet(result).show()


def own_parameters(file: Path | None, chip: str) -> Mapping[str, Any] | None:
    """What ``windtunnel fit`` wrote for this chip. Raises InvalidInputError for another chip's."""
    if file is None:
        return None
    check_readable(file, "--parameters")
    from windtunnel.catalog.chip import chip as chip_named
    from windtunnel.fit.parameter_file import applies, read_parameters

    found = read_parameters(file)
    if not applies(found, chip_named(chip)):
        raise InvalidInputError("--parameters", f"{file.name} is of {found['chip']}, not of {chip}")
    return found


def attention_degrees(chips: int, tp: int | None, pp: int | None, dp: int | None) -> tuple[int, int, int]:
    """(tp, pp, dp) of one instance; ``chips`` 0 means as many as the degrees say. Raises ParallelismError."""
    others = (pp or 1) * (dp or 1)
    if tp is None and chips:
        if chips % others:
            raise ParallelismError("--on", f"{chips} chips are not divided by --pp {pp or 1} x --dp {dp or 1} = {others}")
        tp = chips // others
    tp = tp or 1
    product = tp * others
    if product > MOST_CHIPS:
        raise ParallelismError("--tp", f"{product:,} chips in one instance; at most {MOST_CHIPS:,}")
    if chips and product != chips:
        hint = f"; --on ...:{product} would do" if chips % product else f"; --dp {chips // (tp * (pp or 1))} would do"
        raise ParallelismError("--on", f"{chips} chips, but --tp {tp} x --pp {pp or 1} x --dp {dp or 1} = {product}{hint}")
    return tp, pp or 1, dp or 1


def expert_degrees(ranks: int, ep: int | None, moe_tp: int | None) -> tuple[int, int]:
    """(moe_ep, moe_tp) that cut ``ranks`` chips between them; (0, 0) where neither was said. Raises ParallelismError."""
    if ep is None and moe_tp is None:
        return 0, 0
    said, field = (ep, "--ep") if ep is not None else (moe_tp or 1, "--moe-tp")
    if ranks % said:
        fits = [d for d in range(1, ranks + 1) if ranks % d == 0]
        near = min(fits, key=lambda d: (abs(d - said), d))
        raise ParallelismError(field, f"{said} does not divide --tp x --dp = {ranks}; nearest: {near}")
    found = (ep, moe_tp or ranks // ep) if ep is not None else (ranks // said, said)
    if found[0] * found[1] != ranks:
        raise ParallelismError("--moe-tp", f"--ep {found[0]} x --moe-tp {found[1]} is not --tp x --dp = {ranks}")
    return found
