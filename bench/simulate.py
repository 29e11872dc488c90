"""How fast the simulator is, whether its memory stays, and how far its closed loop is from measurements and from predict."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

_RUN = """
import json, sys, time
from windtunnel.sim.prediction import Deployment
from windtunnel.sim.serving.arrivals import AtRandom, Lengths
from windtunnel.sim.serving.fleet import Fleet
from windtunnel.sim.serving.simulate import simulate
from pathlib import Path
import re
fleet = Fleet(Deployment("Qwen/Qwen3-8B", "h100-sxm"), replicas=4)
requests = int(sys.argv[1])
start = time.process_time()
found = simulate(fleet, AtRandom(60.0, Lengths(1024.0), Lengths(256.0), requests))
spent = time.process_time() - start
assert found.answered == requests and not found.saturated
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(json.dumps([spent, int(peak.group(1)) / 1024]))
"""


@dataclass(frozen=True)
class Pace:
    """requests_per_s of one core, tables of step times filled on the way; peak megabytes of a run, and of one ten times it."""

    requests_per_s: float
    megabytes: float
    megabytes_of_ten: float


def pace(requests: int = 20_000) -> Pace:
    """Four replicas, 1,024 tokens in and 256 out, requests at random at two thirds of what they carry."""
    short, first = _run(requests)
    long, second = _run(10 * requests)
    return Pace(10 * requests / long, first, second) if long else Pace(requests / short, first, second)


def _run(requests: int) -> tuple[float, float]:
    out = subprocess.run([sys.executable, "-c", _RUN, str(requests)], check=True, capture_output=True, text=True).stdout
    seconds, megabytes = json.loads(out)
    return seconds, megabytes


@dataclass(frozen=True)
class ClosedLoop:
    """Median errors of TTFT and TPOT against measurements, and medians of the simulation's distance from ``predict``."""

    ttft: float
    tpot: float
    ttft_from_predict: float
    tpot_from_predict: float
    rows: int
    by_engine: str


def closed_loop(path: Path, *, held_out: bool = True, every: int = 1) -> ClosedLoop:
    """Every row of serving measurements as a closed loop of ten requests a slot.

    held_out: with engines' times that were fitted without the row's group of model and chip, as ``bench.serving`` has it;
    else with those that are shipped. every: only each so many-th row of a group.
    """
    import fit_engines

    groups = sorted({row.group for row in fit_engines.rows(path)})
    with ProcessPoolExecutor(2) as pool:
        many = len(groups)
        found = [error for part in pool.map(_group, [path] * many, groups, [held_out] * many, [every] * many) for error in part]
    lines = [f"{'closed loop':10} {'rows':>5} {'TTFT':>7} {'TPOT':>7}   (median error, %)"]
    for engine in sorted({engine for engine, *_ in found}):
        own = [row[1:] for row in found if row[0] == engine]
        lines.append(f"{engine:10} {len(own):5d} {_middle(r[0] for r in own):7.1f} {_middle(r[1] for r in own):7.1f}")
    ttft, tpot, from_ttft, from_tpot = (_middle(row[i] for row in found) / 100.0 for i in (1, 2, 3, 4))
    return ClosedLoop(ttft, tpot, from_ttft, from_tpot, len(found), "\n".join(lines) + "\n")


def _middle(logs: Iterable[float]) -> float:
    """Median of |ratio - 1|, in percent."""
    return 100.0 * median(abs(math.expm1(value)) for value in logs)


def _group(path: Path, group: str, held_out: bool, every: int) -> list[tuple[str, float, float, float, float]]:
    """Of each row of a group: engine, and log ratios of simulated to measured TTFT and TPOT, and to predicted ones."""
    import fit_engines

    data = fit_engines.rows(path)
    behaviours: Mapping[str, fit_engines.Behaviour] | None = None
    if held_out:
        behaviours = fit_engines.behaviours(*fit_engines.fit([row for row in data if row.group != group]))
    return [_simulated(row, behaviours) for row in [row for row in data if row.group == group and not row.apart][::every]]


def _simulated(row, behaviours) -> tuple[str, float, float, float, float]:  # type: ignore[no-untyped-def]
    from dataclasses import replace

    from windtunnel.sim.loop import closed_loop as predicted_loop
    from windtunnel.sim.serving.arrivals import ClosedLoop as Loop
    from windtunnel.sim.serving.arrivals import Lengths
    from windtunnel.sim.serving.fleet import Fleet, Pool
    from windtunnel.sim.serving.settings import settings_of
    from windtunnel.sim.serving.simulation import Simulation
    from windtunnel.sim.serving.step_times import StepTimes
    from windtunnel.sim.working_point import service

    of, load = row.instance, row.load
    if behaviours is not None:
        own = behaviours[row.engine]
        drafting = behaviours[row.version].drafting if row.drafts and row.version in behaviours else 1.0
        of.behaviour = replace(own, drafting=drafting)
    n = max(round(load.concurrency), 1)
    osl = load.osl
    settings = settings_of(of, load.isl, osl)
    pool = Pool(of, settings, StepTimes(of, chunk_tokens=settings.chunk_tokens), 1)
    run = Simulation(Fleet(of.deployment), load.isl, osl, built=(pool, None))
    loop = Loop(n, Lengths(load.isl), Lengths(osl, max(round(0.9 * osl), 1), round(1.1 * osl)), 10 * n)
    run.run(loop.source(0))
    ttft, tpot = run.tally.ttft.mean, run.tally.tpot.mean
    serving, _ = service(of, load, row.space, row.prompt)
    told = predicted_loop(serving, load.concurrency, osl)
    return (
        row.engine,
        math.log(ttft / row.ttft_s),
        math.log(tpot / row.tpot_s),
        math.log(ttft / told.ttft_s),
        math.log(tpot / told.tpot_s),
    )


def main() -> None:
    here = Path(__file__).parent
    sys.path[:0] = [str(here.parent), str(here.parent / "tools")]
    told = pace()
    print(f"{told.requests_per_s:,.0f} requests/s of one core (4 replicas, 1,024 in, 256 out; target 10,000)")
    print(f"peak memory {told.megabytes:.0f} MB for 20,000 requests, {told.megabytes_of_ten:.0f} MB for 200,000")
    for held_out in (False, True):
        found = closed_loop(here / "measured" / "serving.csv", held_out=held_out)
        what = "groups held out" if held_out else "as shipped"
        print(f"\n{what}, {found.rows} rows: TTFT {100 * found.ttft:.1f} %, TPOT {100 * found.tpot:.1f} % (median errors)")
        print(f"from predict: TTFT {100 * found.ttft_from_predict:.1f} %, TPOT {100 * found.tpot_from_predict:.1f} % (medians)")
        print(found.by_engine)


if __name__ == "__main__":
    main()
