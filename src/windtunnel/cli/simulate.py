"""``windtunnel simulate MODEL --on CHIP[:N] --requests-per-s X``: requests through engines, event by event."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from windtunnel.cli.as_typed import AsTyped, typed
from windtunnel.cli.files import check_readable, check_writable
from windtunnel.cli.fleet_options import check_moot, check_on, fleet_of, fleet_options, on_options
from windtunnel.cli.params import (
    MOST_REQUESTS,
    TOKENS,
    Count,
    Duration,
    Rate,
    json_option,
)
from windtunnel.errors import InfeasibleError, InvalidInputError

if TYPE_CHECKING:
    from windtunnel.catalog.model import ModelSpec
    from windtunnel.sim.serving.arrivals import Arrivals, Sharing
    from windtunnel.sim.serving.fleet import Fleet

MOST_RATE = 1e6
MOST_SIMULATED = 1_000_000_000
DEFAULT_REQUESTS = 10_000
WAVES = 10
FEWEST_IN_LOOP = 200


@click.command(cls=AsTyped)
@click.argument("model")
@on_options
@click.option(
    "--trace", type=click.Path(path_type=Path), metavar="FILE", help="Requests: Azure, Mooncake, BurstGPT, or your own CSV."
)
@click.option("--requests-per-s", type=Rate(MOST_RATE, "requests/s"), help="Requests that come at random, at this mean rate.")
@click.option("--burstiness", type=Rate(100.0, "as a CV"), default=1.0, help="CV of the time between them; 1 is Poisson.")
@click.option("--concurrency", type=Count(MOST_REQUESTS, "requests in flight"), help="Requests in flight, held constant.")
@click.option("--isl", default="", metavar="N", help="Input tokens: 1024, 512-2048 (evenly), 1024~0.8 (log-normal, CV 0.8).")
@click.option("--osl", default="", metavar="N", help="Output tokens, likewise.")
@click.option("--prefix-tokens", type=TOKENS, help="Tokens at the start of every input that others share.")
@click.option("--prefixes", type=Count(MOST_SIMULATED, "prefixes"), default=1, help="Different shared starts; 1.")
@click.option(
    "--requests", type=Count(MOST_SIMULATED, "requests"), help="How many; 10,000, in a closed loop 10 for each in flight."
)
@click.option("--duration", type=Duration(), default=0.0, help="In place of --requests: how long they come.")
@click.option("--ttft", type=Duration(), default=0.0, help="Goodput counts requests whose first token took no longer: 2s, 500ms.")
@click.option(
    "--tpot", type=Duration(), default=0.0, help="Goodput counts requests whose later tokens took no longer each: 50ms."
)
@click.option("--seed", type=int, default=0, help="Of all chance; 0.")
@fleet_options
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Also write a self-contained report.")
@json_option
def simulate(model: str, html: Path | None, as_json: bool, **said: Any) -> None:
    """Requests through serving engines, event by event.

    MODEL is a name of the catalogue (`windtunnel models`), a config.json, or a folder that holds one. Requests come at random
    (--requests-per-s), in a closed loop (--concurrency) or from a file (--trace), and wait, are batched, prefilled in
    chunks and decoded by equal instances behind a router, or by instances that prefill and others that decode.
    p50, p90 and p99 of the time to the first token, per later token and to the end, with the samples behind them; goodput;
    queues; caches. The exit status is 2 where the load cannot be carried.
    """
    if html is not None:
        check_writable(html, "--html")
    arrivals, fleet, notes = asked(model, said)
    from windtunnel.cli.progress import watched
    from windtunnel.sim.serving.simulate import simulate as ask

    stop_at = said["duration"] or math.inf
    with watched(0 if stop_at < math.inf else arrivals.requests) as progress:
        result = ask(
            fleet, arrivals, seed=said["seed"], arrive_until=stop_at, ttft_s=said["ttft"], tpot_s=said["tpot"], progress=progress
        )
    from dataclasses import replace

    result = replace(result, notes=(*notes, *result.notes))
    if result.arrived and sum(result.refused.values()) == result.arrived:
        raise InfeasibleError(f"every request was refused: {', '.join(result.refused)}")
    if html is not None:  # before anything is said: where the file cannot be written, the error is all there is
        from windtunnel.web.simulate_data import Asked
        from windtunnel.web.simulate_report import write_simulation_report

        write_simulation_report(Asked(fleet, arrivals, said["ttft"], said["tpot"], typed()), result, html)
    if as_json:
        from windtunnel.cli.as_json import dumps
        from windtunnel.cli.simulation_json import simulation_json

        click.echo(dumps(simulation_json(fleet, result)))
    else:
        from windtunnel.cli.render_simulation import simulation_sheet

        simulation_sheet(fleet, arrivals, result).show()
    if html is not None:
        click.echo(f"wrote {html}", err=True)
    if result.partial:
        raise click.Abort
    if result.saturated:
        from windtunnel.cli.render import number

        come, carried = number(result.offered_per_s), number(result.carried_requests_per_s)
        raise InfeasibleError(f"saturated: {come} requests/s arrive, {carried} can be carried; use more chips or --replicas")


def asked(model: str, said: dict[str, Any]) -> tuple[Arrivals, Fleet, list[str]]:
    """What the options say; lines on what was chosen where they say nothing."""
    ways = [name for name, given in (("--trace", said["trace"]), ("--requests-per-s", said["requests_per_s"]),
                                     ("--concurrency", said["concurrency"])) if given]  # fmt: skip
    if len(ways) != 1:
        told = f"not {' and '.join(ways)}" if ways else "none is given"
        raise InvalidInputError("requests", f"say how they come with one of --requests-per-s, --concurrency, --trace; {told}")
    check_on(said)
    if said["trace"] is None:
        for field in ("isl", "osl"):
            if not said[field]:
                raise InvalidInputError(f"--{field}", f"is missing: tokens {'in' if field == 'isl' else 'out'} of a request")
    elif said["isl"] or said["osl"]:
        raise InvalidInputError("--isl", "the trace says how long its requests are; leave --isl and --osl out")
    elif said["prefix_tokens"]:
        raise InvalidInputError("--prefix-tokens", "the trace says how its prompts begin; leave it out")
    if not said["requests_per_s"]:
        check_moot(said, "--requests-per-s", burstiness=1.0)
    if not said["prefix_tokens"]:
        check_moot(said, "--prefix-tokens", prefixes=1)
    if said["requests"] and said["duration"]:
        raise InvalidInputError("--duration", "stands in place of --requests; give one of them")
    from windtunnel.catalog.models import model as read_model

    spec = read_model(model)
    arrivals = _arrivals(spec, said)
    fleet, notes = fleet_of(model, spec, said)
    if getattr(arrivals, "skipped", 0):
        notes.append(f"{said['trace'].name}: left out {arrivals.skipped:,} rows without tokens, which it records as failed")  # type: ignore[attr-defined]
    return arrivals, fleet, notes


def _arrivals(spec: ModelSpec, said: dict[str, Any]) -> Arrivals:
    from windtunnel.cli.checks import check_context
    from windtunnel.sim.serving.arrivals import AtRandom, ClosedLoop, Sharing, parse_lengths

    if said["trace"] is not None:
        from windtunnel.sim.serving.trace import First, read_trace

        check_readable(said["trace"], "--trace")
        trace = read_trace(said["trace"])
        return First(trace, said["requests"]) if said["requests"] else trace
    read, write = parse_lengths(said["isl"], "--isl"), parse_lengths(said["osl"], "--osl")
    check_context(spec, max(read.low, int(read.mean)) if read.cv else read.most, int(write.mean) if write.cv else write.most)
    sharing: Sharing | None = Sharing(said["prefix_tokens"], said["prefixes"]) if said["prefix_tokens"] else None
    if sharing is not None and not read.cv and sharing.tokens > (read.low or read.mean):
        raise InvalidInputError("--prefix-tokens", f"{sharing.tokens:,} tokens are more than the input of {said['isl']}")
    forever = MOST_SIMULATED if said["duration"] else 0
    if said["concurrency"]:
        n = said["concurrency"]
        return ClosedLoop(n, read, write, said["requests"] or forever or max(WAVES * n, FEWEST_IN_LOOP), sharing)
    requests = said["requests"] or forever or DEFAULT_REQUESTS
    return AtRandom(said["requests_per_s"], read, write, requests, said["burstiness"], sharing)
