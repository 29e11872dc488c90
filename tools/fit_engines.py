"""Fits what engines add to the operators (sim/data/engines.toml) to serving measurements, and judges it held out.

    python tools/fit_engines.py serving.csv [--held-out] [--write]

Groups of model and chip are held out in turn. Development only.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import mean, median

import numpy as np
from scipy.optimize import least_squares

from windtunnel.errors import WindtunnelError
from windtunnel.fit.serving_rows import serving_row
from windtunnel.fit.table import read_table
from windtunnel.sim.behaviour import Behaviour
from windtunnel.sim.instance import Instance, StepTime
from windtunnel.sim.loop import closed_loop
from windtunnel.sim.prediction import Load
from windtunnel.sim.working_point import Prompt, Room, prompt, room, service
from windtunnel.workload.llm import StepTokens

OUT = Path(__file__).parent.parent / "src" / "windtunnel" / "sim" / "data" / "engines.toml"
ENGINES = ("vllm", "sglang", "trtllm")
# name, centre, spread: what is believed before any measurement; operators alone should explain the decode step
SHARED = (("prefill", 1.1, 0.06), ("tokens_wait", 1.0, 0.4))
EACH = (
    ("mix", 0.95, 0.1),
    ("layer_us", 0.0, 5.0),
    ("host_us", 500.0, 500.0),
    ("latent_us", 0.0, 700.0),
    ("prefill_step_us", 2000.0, 2000.0),
    ("fixed_ms", 20.0, 15.0),
)
NAMES = [n for n, _, _ in SHARED] + [f"{n} {e}" for e in ENGINES for n, _, _ in EACH]
CENTRE = np.array([c for _, c, _ in SHARED] + [c for _ in ENGINES for _, c, _ in EACH])
SPREAD = np.array([s for _, _, s in SHARED] + [s for _ in ENGINES for _, _, s in EACH])
A_GROUP = 45
"""Rows of one group that take part in a fit, so that large groups do not drown small ones."""
NEVER_BELOW = dict.fromkeys(("host_us", "latent_us", "prefill_step_us", "tokens_wait"), 0.0)
NEVER_BELOW |= {"mix": 0.3, "fixed_ms": 1.0, "prefill": 0.5}


class Remembering(Instance):
    """An instance that prices a step once: behaviours change during a fit, operators do not."""

    def step(self, tokens: StepTokens) -> StepTime:
        known: dict[StepTokens, StepTime] = self.__dict__.setdefault("_steps", {})
        if tokens not in known:
            known[tokens] = super().step(tokens)
        return known[tokens]


@dataclass(frozen=True)
class Row:
    group: str
    engine: str
    version: str
    drafts: bool
    instance: Remembering
    load: Load
    space: Room
    prompt: Prompt
    apart: bool
    ttft_s: float
    tpot_s: float

    def errors(self, behaviours: Mapping[str, Behaviour]) -> tuple[float, float]:
        """log(predicted / measured) of TPOT and TTFT."""
        own = behaviours[self.engine]
        drafting = behaviours[self.version].drafting if self.drafts and self.version in behaviours else 1.0
        self.instance.behaviour = replace(own, drafting=drafting)
        serving, _ = service(self.instance, self.load, self.space, self.prompt)
        run = closed_loop(serving, self.load.concurrency, self.load.osl)
        tpot_s = serving.decode_s(min(self.load.concurrency, self.space.slots)) if self.apart else run.tpot_s
        return math.log(tpot_s / self.tpot_s), math.log(run.ttft_s / self.ttft_s)


def rows(path: Path) -> list[Row]:
    out = []
    for row in read_table(path).rows:
        try:
            read = serving_row(row)
            of = Remembering(read.deployment)
            space = room(of, read.load)
        except WindtunnelError:
            continue
        version = f"{of.engine} {row['engine_version']}"
        group = f"{of.spec.id} on {read.chip}"
        times = float(row["ttft_ms"]) * 1e-3, float(row["tpot_ms"]) * 1e-3
        drafts, first = of.spec.mtp_layers > 0, prompt(of, read.load)
        out.append(Row(group, of.engine, version, drafts, of, read.load, space, first, read.apart, *times))
    return out


def behaviours(vector: Iterable[float], drafting: Mapping[str, float]) -> dict[str, Behaviour]:
    values = dict(zip(NAMES, (float(v) for v in vector), strict=True))
    out = {}
    for engine in ENGINES:
        own = {n: values[n] for n, _, _ in SHARED} | {n: values[f"{n} {engine}"] for n, _, _ in EACH}
        own = {n: max(v, NEVER_BELOW.get(n, -math.inf)) for n, v in own.items()}
        out[engine] = Behaviour(known="", step_us=0.0, **own)
    for version, factor in drafting.items():
        out[version] = replace(out[version.split()[0]], drafting=factor)
    return out


def drafting_of(data: list[Row], vector: np.ndarray) -> dict[str, float]:
    """Versions whose models with multi-token prediction ran far faster than without: taken to have drafted."""
    plain = behaviours(vector, {})
    found: dict[str, list[float]] = defaultdict(list)
    for row in data:
        if row.drafts and not row.version.endswith(" "):
            found[row.version].append(row.errors(plain)[0])
    return {v: math.exp(-median(e)) for v, e in found.items() if len(e) >= 10 and median(e) > 0.2}


def fit(data: list[Row]) -> tuple[np.ndarray, dict[str, float]]:
    """Robust: an error beyond about 15 % (TPOT) or 25 % (TTFT) counts no more the larger it is, since such rows
    ran something that the columns do not say (drafting, eager mode, a cold start in the mean)."""
    counts: dict[str, list[Row]] = defaultdict(list)
    for i in np.random.default_rng(3).permutation(len(data)):
        counts[data[i].group].append(data[i])
    chosen = [row for group in counts.values() for row in group[:A_GROUP] if not row.apart]
    vector = CENTRE.copy()
    drafting: dict[str, float] = {}
    for _ in range(2):

        def residuals(z: np.ndarray, drafting: Mapping[str, float] = drafting) -> np.ndarray:
            own = behaviours(CENTRE + z * SPREAD, drafting)
            errors = np.array([row.errors(own) for row in chosen]) / np.array([0.15, 0.25])
            return np.concatenate([(np.array([2.0, 1.5]) * errors / np.sqrt(1 + errors**2)).ravel(), z])

        found = least_squares(residuals, (vector - CENTRE) / SPREAD, diff_step=0.05, max_nfev=5)
        vector = CENTRE + found.x * SPREAD
        drafting = drafting_of(data, vector)
    return vector, drafting


def told(errors: list[float]) -> str:
    share = [abs(math.expm1(e)) for e in errors]
    return f"median {100 * median(share):.1f} mean {100 * mean(share):.1f}"


def both(errors: list[tuple[float, float]]) -> str:
    return f"TPOT {told([e for e, _ in errors])}; TTFT {told([e for _, e in errors])}"


def held_out(path: Path, group: str) -> list[tuple[float, float]]:
    """Errors on one group of parameters fitted on the others."""
    data = rows(path)
    own = behaviours(*fit([row for row in data if row.group != group]))
    return [row.errors(own) for row in data if row.group == group]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measurements", type=Path)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    data = rows(args.measurements)
    vector, drafting = fit(data)
    own = behaviours(vector, drafting)
    errors = [row.errors(own) for row in data]
    print(f"{len(data)} rows; fitted on all: {both(errors)}; drafting {drafting}")
    for engine in ENGINES:
        print(own[engine])
    if args.held_out:
        groups = sorted({row.group for row in data})
        with ProcessPoolExecutor(2) as pool:
            found = list(pool.map(held_out, [args.measurements] * len(groups), groups))
        for group, e in zip(groups, found, strict=True):
            tpot, ttft = (median(pair[i] for pair in e) for i in (0, 1))
            print(f"  {group}: {len(e)} rows; {both(e)}; bias of TPOT {tpot:+.2f}, of TTFT {ttft:+.2f}")
        flat = [pair for e in found for pair in e]
        print(f"held out: {both(flat)}")
        for i, metric in enumerate(("tpot", "ttft")):
            low, high = np.exp(np.quantile([-pair[i] for pair in flat], [0.1, 0.9]))
            print(f"[held_out.{metric}]\nlow = {low:.3f}\nhigh = {high:.3f}")
    if args.write:
        for engine in ENGINES:
            b = own[engine]
            print(f"\n[engines.{engine}]")
            for n in [f.name for f in fields(Behaviour) if f.name not in ("drafting", "known")]:
                print(f"{n} = {getattr(b, n):.4g}")
        for version, factor in drafting.items():
            print(f'\n[versions."{version}"]\ndrafting = {factor:.3g}')


if __name__ == "__main__":
    main()
