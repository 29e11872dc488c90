"""Options that say what is served: chips, pools, degrees, engine settings; and the fleet that they make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from windtunnel.cli.params import DEGREE, INSTANCES, MOST_REQUESTS, TOKENS, Count, Duration, OnChip, Precision, Rate, Version
from windtunnel.errors import InvalidInputError, UnsupportedError
from windtunnel.sim.prediction import Deployment

if TYPE_CHECKING:
    from windtunnel.catalog.model import ModelSpec
    from windtunnel.sim.serving.fleet import Fleet

Command = TypeVar("Command", bound=Callable[..., Any])

REPAIR_S = 600.0


class Long(Duration):
    """A time that may be more than a day: ``500h``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from windtunnel.units import parse_duration_s

        return value if isinstance(value, float) else parse_duration_s(str(value), param.opts[-1] if param else "time")


_WHERE = (
    click.option("--on", "on", type=OnChip(), help="Chip or system, and how many chips one instance takes."),
    click.option(
        "--prefill", "prefill", type=OnChip(), help="In place of --on: what prefills, and how many chips one instance takes."
    ),
    click.option("--decode", "decode", type=OnChip(), help="With --prefill: what decodes."),
    click.option("--replicas", type=INSTANCES, default=1, help="Instances of --on or --decode; 1."),
    click.option("--prefill-replicas", type=INSTANCES, default=1, help="Instances of --prefill; 1."),
)
_HOW = (
    click.option(
        "--router", default="least-loaded", metavar="NAME", help="least-loaded, round-robin, or prefix (the fullest cache)."
    ),
    click.option(
        "--precision", type=Precision(), help="Weights: bf16, fp8, int8 ...; native. As stored, or the nearest that runs."
    ),
    click.option(
        "--kv-precision", type=Precision(), default="", help="The KV cache's type, where it is not the engine's choice."
    ),
    click.option("--tp", type=DEGREE, help="Tensor-parallel degree of attention."),
    click.option("--pp", type=DEGREE, help="Pipeline stages."),
    click.option("--dp", type=DEGREE, help="Groups of chips that share the requests (data-parallel attention)."),
    click.option("--ep", "moe_ep", type=DEGREE, help="Expert-parallel groups; they cut the same chips as --tp and --dp."),
    click.option("--moe-tp", type=DEGREE, help="Ways that each expert is cut within such a group."),
    click.option("--prefill-tp", type=DEGREE, help="--tp of --prefill; likewise --prefill-pp, --prefill-dp, --prefill-ep."),
    click.option("--prefill-pp", type=DEGREE, hidden=True),
    click.option("--prefill-dp", type=DEGREE, hidden=True),
    click.option("--prefill-ep", type=DEGREE, hidden=True),
    click.option(
        "--kv-link", type=Rate(1e6, "GB/s"), help="Link of one device that moves the KV cache, GB/s; the chips' network."
    ),
    click.option(
        "--engine", default="", metavar="NAME", help="Serving engine: vllm, vllm-ascend, sglang ...; the chip's usual one."
    ),
    click.option("--engine-version", type=Version(), default="", help="Its version; the newest that is known."),
    click.option("--chunk-tokens", type=TOKENS, help="Tokens that a step takes in; the engine's own."),
    click.option("--max-running", type=Count(MOST_REQUESTS, "requests"), help="Requests that run at once; the engine's own."),
    click.option(
        "--kv-tokens", type=Count(1 << 40, "tokens"), help="Tokens that an instance's KV cache holds; what memory leaves."
    ),
    click.option(
        "--prefix-cache/--no-prefix-cache", default=None, help="Whether prompts that begin alike share; the engine's own."
    ),
    click.option(
        "--mtp-accept", type=Rate(15.0, "tokens", zero=True), default=0.0, help="Tokens a decode step yields beyond the first."
    ),
    click.option("--mtbf", type=Long(), default=0.0, help="Mean time between failures of an instance: 500h."),
    click.option("--repair", type=Long(), default=REPAIR_S, help="Time until it is back; 10min."),
    click.option(
        "--parameters", type=click.Path(path_type=Path), metavar="FILE.toml", help="Parameters that `windtunnel fit` wrote."
    ),
)


def on_options(command: Command) -> Command:
    """--on, or --prefill and --decode, and how many of each."""
    return _with(_WHERE, command)


def fleet_options(command: Command) -> Command:
    """The router, the degrees, the engine and its settings, failures."""
    return _with(_HOW, command)


def _with(options: tuple[Callable[[Command], Command], ...], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def check_on(said: dict[str, Any]) -> None:
    """Raises InvalidInputError unless it is said on what, once."""
    if (said["on"] is None) == (said["prefill"] is None) or (said["prefill"] is None) != (said["decode"] is None):
        raise InvalidInputError("--on", "say on what: --on CHIP:N, or --prefill CHIP:N with --decode CHIP:N")
    if said["prefill"] is None:
        check_moot(said, "--prefill", prefill_replicas=1, prefill_tp=None, prefill_pp=None, prefill_dp=None, prefill_ep=None,
                   kv_link=None)  # fmt: skip
    if not said["mtbf"]:
        check_moot(said, "--mtbf", repair=REPAIR_S)


def check_moot(said: dict[str, Any], without: str, **defaults: Any) -> None:
    """Raises InvalidInputError for an option that was set and changes nothing, since ``without`` is not given."""
    for name, default in defaults.items():
        if said[name] != default:
            raise InvalidInputError(f"--{name.replace('_', '-')}", f"changes nothing without {without}; leave it out")


def fleet_of(model: str, spec: ModelSpec, said: dict[str, Any]) -> tuple[Fleet, list[str]]:
    """The fleet, and lines on what was chosen where the options say nothing."""
    from windtunnel.cli.predict import own_parameters
    from windtunnel.sim.serving.fleet import Failures, Fleet
    from windtunnel.sim.serving.settings import Options

    if not spec.is_moe and (said["moe_ep"] or said["moe_tp"]):
        field = "--ep" if said["moe_ep"] else "--moe-tp"
        raise InvalidInputError(field, f"{spec.id} has no experts to cut; leave it out, --tp cuts its layers")
    notes: list[str] = []
    main = _deployment(model, spec, said["on"] or said["decode"], said, "", notes)
    before = _deployment(model, spec, said["prefill"], said, "prefill_", notes) if said["prefill"] else None
    options = Options(
        chunk_tokens=said["chunk_tokens"],
        max_running=said["max_running"],
        kv_tokens=said["kv_tokens"],
        prefix_caching=said["prefix_cache"],
        mtp_accept=said["mtp_accept"],
    )
    fleet = Fleet(
        main,
        said["replicas"],
        before,
        said["prefill_replicas"] if before is not None else 0,
        router=said["router"],
        options=options,
        failures=Failures(said["mtbf"], said["repair"]) if said["mtbf"] else None,
        kv_link_bytes_per_s=(said["kv_link"] or 0.0) * 1e9,
        parameters=own_parameters(said["parameters"], main.chip),
    )
    return fleet, notes


def _deployment(
    model: str, spec: ModelSpec, on: tuple[str, int], said: dict[str, Any], pool: str, notes: list[str]
) -> Deployment:
    """One instance on a place; ``pool`` begins the names of its options."""
    from windtunnel.catalog import chip as chip_named
    from windtunnel.cli.predict import attention_degrees, expert_degrees
    from windtunnel.plan.place import stands_for
    from windtunnel.plan.precision import chosen_precision

    name, chips = on
    tp, pp, dp = attention_degrees(chips, said[f"{pool}tp"], said[f"{pool}pp"], said[f"{pool}dp"])
    experts = expert_degrees(tp * dp, said["prefill_ep" if pool else "moe_ep"], None if pool else said["moe_tp"])
    chip, system = stands_for(name)
    try:
        precision, note = chosen_precision(spec, chip_named(chip), said["precision"])
    except UnsupportedError as cannot:
        raise UnsupportedError(f"{cannot}; --precision says another") from None
    if note:
        notes.append(note)
    return Deployment(
        model=model, chip=chip, precision=precision, kv_precision=said["kv_precision"], tp=tp, pp=pp, dp=dp,
        moe_ep=experts[0], moe_tp=experts[1], engine=said["engine"], engine_version=said["engine_version"], system=system,
    )  # fmt: skip
