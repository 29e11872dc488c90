"""``windtunnel train MODEL --on CHIP:N --tokens X``: days, chip-hours, MFU, memory, money and failures of a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from windtunnel.cli.files import check_readable, check_writable
from windtunnel.cli.fleet_options import Long
from windtunnel.cli.params import CHIPS, DEGREE, TOKENS, OnChips, Rate, json_option
from windtunnel.errors import InfeasibleError, InvalidInputError

MOST_TRAINED = 1e16
MOST_DAYS = 36_525.0
BIGGEST_BATCH = 1e10


@click.command()
@click.argument("model")
@click.option(
    "--on", "on", type=OnChips(), required=True, help="Chips and systems, with how many: h800:2048,cloudmatrix-384:768."
)
@click.option("--tokens", type=Rate(MOST_TRAINED, "tokens"), required=True, help="Tokens to train on: 15.6e12.")
@click.option("--days", type=Rate(MOST_DAYS, "days"), default=0.0, help="Done in so many days: how many chips that takes.")
@click.option("--sequence", type=TOKENS, help="Tokens of a sequence; the model's published recipe, or 8192.")
@click.option("--batch-tokens", type=Rate(BIGGEST_BATCH, "tokens"), help="Tokens of an optimiser step; likewise, or 16 Mi.")
@click.option("--precision", metavar="TYPE", help="Of products: bf16, fp16, fp8, fp4; likewise, or bf16.")
@click.option("--optimizer", metavar="NAME", help="States: adam (FP32), adam-bf16 (BF16 moments), sgd; likewise, or adam.")
@click.option("--mtp/--no-mtp", "drafts", default=None, help="With the model's multi-token prediction; likewise, or without.")
@click.option("--framework", metavar="NAME", help="Training loop: megatron, megatron-2024, modellink, torchtitan ...")
@click.option("--tp", type=DEGREE, help="Tensor-parallel degree. This and the next eight: else the fastest is searched for.")
@click.option("--pp", type=DEGREE, help="Pipeline stages.")
@click.option("--cp", type=DEGREE, help="Ways that sequences are cut (context parallel).")
@click.option("--ep", type=DEGREE, help="Ranks over which a stage's experts lie.")
@click.option("--dp", type=DEGREE, help="Replicas.")
@click.option("--micro-batch", type=DEGREE, help="Sequences of a micro-batch.")
@click.option("--recompute", metavar="NAME", help="none, selective (norms, activations, MLA's up-projections), full.")
@click.option(
    "--zero", type=click.IntRange(0, 3), help="Split over replicas: 1 optimiser, 2 gradients too, 3 weights too (FSDP)."
)
@click.option("--schedule", metavar="NAME", help="1f1b, interleaved, zero-bubble, dualpipe.")
@click.option("--chunks", type=DEGREE, help="Parts of a stage under interleaved.")
@click.option("--mtbf", type=Long(), default=0.0, help="Mean time between failures of the cluster: 8h; from published runs.")
@click.option("--checkpoint-gbps", type=Rate(1e6, "GB/s"), help="At which the cluster writes checkpoints, GB/s; 30 s each.")
@click.option("--checkpoint-every", type=Long(), default=0.0, help="Between checkpoints: 30min; what loses the least.")
@click.option("--restart", type=Long(), default=0.0, help="From a failure until the run goes on; 15min.")
@click.option("--network-chips", type=CHIPS, help="Chips that your network joins, where sources describe fewer.")
@click.option("--network-gbps", type=Rate(1e5, "GB/s"), help="Network of one chip, GB/s, one direction; as sources have it.")
@click.option("--to", metavar="PLACE", help="Chips that export rules keep from there drop out: CN, D:4 ...; see `rules`.")
@click.option("--date", metavar="YYYY-MM-DD", help="The day of those rules; today.")
@click.option("--prices", type=click.Path(path_type=Path), metavar="FILE", help="Your prices and power tariff, in TOML.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Also write a page with plots.")
@json_option
def train(model: str, on: tuple[str, ...], tokens: float, days: float, html: Path | None, as_json: bool, **said: Any) -> None:
    """How long a model trains on chips, in which layout, at what cost.

    MODEL is a name of the catalogue (`windtunnel models`), a config.json, or a folder that holds one. For each chip or
    system: the fastest way to cut the run that fits, its step by part, memory, MFU, failures, days, money and energy, with
    the interval that holds in 80 % of cases. With --days, how many chips it takes. What is not said is taken from the
    model's own published recipe where there is one, and named. The exit status is 2 where no chip can.
    """
    if said["date"] is not None and said["to"] is None:
        raise InvalidInputError("--date", "says on which day export rules are held against chips; add --to CN")
    if said["prices"] is not None:
        check_readable(said["prices"], "--prices")
    if html is not None:
        check_writable(html, "--html")
    from windtunnel.plan.training.train import train as asked

    ruled = {key: said[key] for key in ("to", "date") if said[key] is not None}
    result = asked(model, on, tokens, days=days, options=options(said), prices=said["prices"], **ruled)
    if html is not None:
        from windtunnel.web.train_report import write_training

        write_training(result, html)
    if as_json:
        from windtunnel.cli.as_json import dumps
        from windtunnel.cli.train_json import training_json

        click.echo(dumps(training_json(result)))
    else:
        from windtunnel.cli.render_train import training_sheet

        training_sheet(result).show()
    if html is not None:
        click.echo(f"wrote {html}", err=True)
    if not result.ranked:
        why = [chip.why_not for chip in result.chips]
        raise InfeasibleError(f"no chip trains it: {why[0]}" if len(why) == 1 else "no chip trains it")


def options(said: dict[str, Any]) -> Any:
    """The options of ``plan.training`` from those of the command. Raises UnknownNameError with the nearest names."""
    from windtunnel.errors import UnknownNameError
    from windtunnel.plan.training.framework import SCHEDULES
    from windtunnel.plan.training.layout import RECOMPUTE
    from windtunnel.plan.training.options import TrainingOptions
    from windtunnel.plan.training.search import FixedLayout

    for name, known in (("recompute", RECOMPUTE), ("schedule", SCHEDULES)):
        if said[name] is not None and said[name] not in known:
            raise UnknownNameError(name, said[name], known)
    if said["chunks"] and said["schedule"] != "interleaved":
        raise InvalidInputError("--chunks", "changes nothing without --schedule interleaved; leave it out")
    degrees = ("tp", "cp", "pp", "ep", "dp", "micro_batch", "recompute", "zero", "schedule", "chunks")
    return TrainingOptions(
        length=said["sequence"] or 0,
        batch_tokens=said["batch_tokens"] or 0.0,
        precision=(said["precision"] or "").lower(),
        optimizer=(said["optimizer"] or "").lower(),
        framework=said["framework"] or "",
        drafts=said["drafts"],
        fixed=FixedLayout(**{name: said[name] for name in degrees}),
        mtbf_s=said["mtbf"],
        storage_bytes_per_s=(said["checkpoint_gbps"] or 0.0) * 1e9,
        restart_s=said["restart"],
        every_s=said["checkpoint_every"],
        network_chips=said["network_chips"] or 0,
        network_bytes_per_s=(said["network_gbps"] or 0.0) * 1e9,
    )
