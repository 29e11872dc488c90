"""Published training throughput beside `windtunnel train`: tokens/s of one chip, and the hours of two whole runs.

Which rows, and what is assumed where they are silent, is decided before anything is predicted: see docs/accuracy.md.
"""

from __future__ import annotations

import csv
import math
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

from bench.train_models import sized
from windtunnel.catalog.recipe import recipes
from windtunnel.plan.place import place
from windtunnel.plan.training.beyond import beyond
from windtunnel.plan.training.cluster import Cluster
from windtunnel.plan.training.framework import framework
from windtunnel.plan.training.options import TrainingOptions
from windtunnel.plan.training.run import Run
from windtunnel.plan.training.search import FixedLayout, search
from windtunnel.plan.training.step import Step, Work
from windtunnel.plan.training.train import train

TABLE = Path(__file__).parent / "measured" / "train_published.csv"
USUAL_TOKENS = 4 * 2**20
"""Tokens of an optimiser's step where a row does not say: Llama 2's (arXiv 2307.09288, section 2.2)."""
NAIVE_MFU = 0.40
NOISE, APART, ROUNDS = 0.15, 0.10, 200
"""Of logs: how far rows of one framework scatter, how far frameworks differ (both set before the fit; it hardly depends on them),
and rounds until it stands."""
PARAMETERS = Path(__file__).parents[1] / "src" / "windtunnel" / "plan" / "training" / "data" / "beyond.toml"


@dataclass(frozen=True)
class Row:
    """One published row. tokens_per_s: of one chip. assumed: what the row does not say."""

    id: str
    on: str
    model: str
    framework: str
    precision: str
    fixed: FixedLayout
    sequence: int
    sequences: int
    tokens_per_s: float
    assumed: tuple[str, ...]

    @property
    def chip(self) -> str:
        return self.on.partition(":")[0]

    @property
    def group(self) -> str:
        """Chip and model, which are held out together."""
        return f"{self.chip} {self.model}"

    @property
    def states_all(self) -> bool:
        """Whether chips, model and sequence are the row's own."""
        return "sequence" not in self.assumed


@dataclass(frozen=True)
class Predicted:
    row: Row
    step: Step
    naive: float

    @property
    def ratio(self) -> float:
        return self.step.tokens_per_s_per_chip / self.row.tokens_per_s


def rows() -> tuple[list[Row], Counter[str]]:
    """The rows that are compared, and why the others are left out."""
    found, left_out = [], Counter[str]()
    with TABLE.open(newline="", encoding="utf-8") as file:
        for r in csv.DictReader(file):
            if r["excluded"]:
                left_out[r["excluded"]] += 1
                continue
            fixed = FixedLayout(
                tp=_count(r["tp"]),
                pp=_count(r["pp"]),
                ep=_count(r["ep"]),
                cp=1 if r["tp"] else None,
                recompute=r["recompute"] or None,  # type: ignore[arg-type]
            )
            sequence = int(r["sequence"])
            found.append(
                Row(
                    r["id"], r["on"], r["model"], r["framework"], r["precision"], fixed, sequence,
                    int(r["sequences"] or 0), float(r["published_tokens_per_s"]), tuple(r["assumed"].split()),
                )
            )  # fmt: skip
    return found, left_out


def _count(text: str) -> int | None:
    return int(text) if text else None


def predict(row: Row) -> Predicted:
    """The fastest layout that fits with what the row says fixed, by its operators alone; where none fits, the one that
    needs the least memory."""
    at = place(row.on)
    spec, costs = sized(row.model), Cluster.of(at).costs
    batch = row.sequences or max(USUAL_TOKENS // row.sequence, 1)
    for optimizer in ("adam", "adam-bf16"):
        work = Work(spec, row.sequence, batch, row.precision, optimizer, exact=bool(row.sequences))
        run = Run(work, costs, framework(row.framework), 0.0)
        found = search(run, at.most, row.fixed)
        if found.best is not None:
            break
    step = found.best or found.tightest
    assert step is not None
    naive = NAIVE_MFU * at.chip.peak(costs.wide).value / (6.0 * spec.active_parameters)
    return Predicted(row, step, naive)


def fit(found: Sequence[Predicted]) -> tuple[float, dict[str, float]]:
    """(time beyond the operators' of any framework, of each that has rows), as logs: a mean, and differences from it that are
    drawn to it; rows far off count less (Huber)."""
    logs = [math.log(p.ratio) for p in found]
    loops = [p.row.framework for p in found]
    mean_log, own, weights = 0.0, dict.fromkeys(loops, 0.0), [1.0] * len(logs)
    for _ in range(ROUNDS):
        mean_log = sum(w * (y - own[f]) for w, y, f in zip(weights, logs, loops, strict=True)) / sum(weights)
        for name in own:
            mine = [(w, y - mean_log) for w, y, f in zip(weights, logs, loops, strict=True) if f == name]
            own[name] = sum(w * y for w, y in mine) / (sum(w for w, _ in mine) + (NOISE / APART) ** 2)
        off = (abs(y - mean_log - own[f]) for y, f in zip(logs, loops, strict=True))
        weights = [1.0 / max(1.0, each / (1.5 * NOISE)) for each in off]
    return mean_log, {name: mean_log + value for name, value in own.items()}


def held_out(found: Sequence[Predicted]) -> list[float]:
    """Ratio of predicted to published of each row, its group of chip and model left out of the fit."""
    left: dict[str, tuple[float, dict[str, float]]] = {}
    for group in {p.row.group for p in found}:
        left[group] = fit([p for p in found if p.row.group != group])
    ratios = []
    for p in found:
        any_loop, by_loop = left[p.row.group]
        ratios.append(p.ratio / math.exp(by_loop.get(p.row.framework, any_loop)))
    return ratios


def write_fit(found: Sequence[Predicted]) -> None:
    """The packaged parameters, fitted on all rows."""
    any_loop, by_loop = fit(found)
    off = sorted(abs(math.log(r)) for r in held_out(found))
    spread = off[math.ceil(0.8 * len(off)) - 1]
    lines = [
        "# What published runs take beyond what their operators take: `python bench/train_published.py --fit` writes this.",
        f"# Fitted on {len(found)} rows; spread: 80 % of log errors, groups of chip and model held out.",
        f"share = {math.expm1(any_loop):.4f}",
        f"spread = {spread:.4f}",
        f'source = "{len(found)} published training rows (bench/measured/train_published.csv)"',
        "",
        "[frameworks]",
        *(f"{name} = {math.expm1(value):.4f}" for name, value in sorted(by_loop.items())),
    ]
    PARAMETERS.write_text("\n".join(lines) + "\n", encoding="utf-8")


def table(found: Sequence[Predicted], ratios: Sequence[float]) -> None:
    """ratio: predicted over published, the row's group held out; operators: the same before the fit; naive: 40 % of the peak."""
    print("| row | model | chips | framework | layout | published | ratio | operators | naive |")
    print("|---|---|---|---|---|---|---|---|---|")
    for p, ratio in zip(found, ratios, strict=True):
        row, step = p.row, p.step
        star = "" if row.states_all else "*"
        layout = f"{step.layout.text}, {step.micro_batches} x {step.layout.micro_batch} x {row.sequence}{star}, "
        layout += f"{step.layout.recompute}, {step.layout.schedule} {step.layout.chunks}" + (
            "" if step.memory.fits else ", does not fit"
        )
        print(
            f"| {row.id} | {row.model} | {row.on} {row.precision} | {row.framework} | {layout} | {row.tokens_per_s:,.0f} | "
            f"{ratio:.2f} | {p.ratio:.2f} | {p.naive / row.tokens_per_s:.2f} |"
        )


def errors(ratios: Iterable[float]) -> tuple[float, float]:
    """(median, mean) of the absolute relative errors."""
    found = [abs(r - 1.0) for r in ratios]
    return median(found), mean(found)


@dataclass(frozen=True)
class Whole:
    """A published run as a whole. hours: chip-hours that were published, and those that are predicted."""

    model: str
    on: str
    published: float
    predicted: float
    naive: float
    mfu: float
    of: str


def whole_runs() -> list[Whole]:
    """The recipes of the catalogue that say their cluster and its hours, as `windtunnel train` answers for them unaided: with
    failures, in the fastest layout, and no row of them in the fit."""
    found = []
    for recipe in recipes():
        if not recipe.chip_hours:
            continue
        on = f"{recipe.chip}:{recipe.chips}"
        run = train(recipe.models[0], [on], recipe.tokens).chips[0].training
        assert run is not None
        naive = run.naive_days * 24.0 * run.chips
        found.append(Whole(recipe.models[0], on, recipe.chip_hours, run.chip_hours.value, naive, run.mfu, recipe.hours_of))
    return found


LLAMA_3 = ((8_192, 64, 1, 8_192, 0.43), (16_384, 128, 1, 8_192, 0.41), (16_384, 8, 16, 131_072, 0.38))
"""Llama 3 405B as it was cut, TP8 and PP16: chips, replicas, context parallelism, tokens of a sequence, share of the peak.
**Source:** arXiv 2407.21783, table 4 (recalled)."""


def published_shares() -> list[tuple[float, float]]:
    """(predicted, published) share of the peak of each of LLAMA_3; not in the fit."""
    found = []
    for chips, dp, cp, length, published in LLAMA_3:
        cut = TrainingOptions(length=length, batch_tokens=2.0**24, fixed=FixedLayout(tp=8, pp=16, cp=cp, dp=dp))
        run = train("meta-llama/Llama-3.1-405B", [f"h100-sxm:{chips}"], 1e12, options=cut).chips[0].training
        assert run is not None
        found.append((run.mfu, published))
    return found


def search_s() -> float:
    """CPU seconds of the search for Llama 3.1 405B on 16,384 chips."""
    start = time.process_time()
    train("meta-llama/Llama-3.1-405B", ["h100-sxm:16384"], 15.6e12)
    return time.process_time() - start


def compared() -> dict[str, float]:
    """Print the tables; errors as shares: of rows that state chips, model and sequence, and of all; groups held out."""
    found, left_out = rows()
    done = [predict(row) for row in found]
    ratios = held_out(done)
    table(done, ratios)
    print("left out:", ", ".join(f"{reason} {n}" for reason, n in left_out.most_common()))
    stated = [i for i, p in enumerate(done) if p.row.states_all]
    values: dict[str, float] = {"search_s": search_s()}
    for name, part in (("stated", stated), ("all", list(range(len(done))))):
        values[f"{name}_rows"] = float(len(part))
        values[f"{name}_median"], values[f"{name}_mean"] = errors(ratios[i] for i in part)
        values[f"{name}_alone_median"], values[f"{name}_alone_mean"] = errors(done[i].ratio for i in part)
        guesses = [done[i].naive / done[i].row.tokens_per_s for i in part]
        values[f"{name}_naive_median"], values[f"{name}_naive_mean"] = errors(guesses)
    spread = beyond().spread
    values["held"] = sum(abs(math.log(ratios[i])) <= spread for i in stated) / len(stated)
    for run in whole_runs():
        values[run.model] = run.predicted / run.published
        values[f"{run.model}_naive"] = run.naive / run.published
        print(f"{run.model} on {run.on}: {run.predicted:,.0f} chip-hours predicted, {run.published:,.0f} published ({run.of})")
    for (chips, _, _, length, _), (mfu, published) in zip(LLAMA_3, published_shares(), strict=True):
        print(f"Llama 3 405B on {chips:,} H100, {length:,} tokens: {mfu:.3f} of the peak predicted, {published} published")
    return values


if __name__ == "__main__":
    if "--fit" in sys.argv:
        write_fit([predict(row) for row in rows()[0]])
    for key, value in compared().items():
        print(f"{key}: {value:.3f}")
