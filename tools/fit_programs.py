"""Fits convolutions, passes, attention and products to measured programs; writes the parameters of their chips and the prior.

    python tools/fit_programs.py [bench/measured/programs.csv]

Records every program of the table once (kept in .cache/programs, some 20 minutes the first time), fits, prints held-out
errors, and writes the families' tables into src/windtunnel/cost/data/{chip}.toml and prior.toml. Development only.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import sys
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.catalog.chip import chip
from windtunnel.cost.model import CostModel
from windtunnel.errors import WindtunnelError
from windtunnel.fit.program_rows import ProgramRow, program_row
from windtunnel.fit.programs import FREE, Builder, Measured, Programs, errors, fit_programs
from windtunnel.fit.table import read_table
from windtunnel.workload.program.call import Step
from windtunnel.workload.program.fusion import fuse
from windtunnel.workload.program.work import work

ROOT = Path(__file__).parent.parent
DATA = ROOT / "src" / "windtunnel" / "cost" / "data"
CACHE = ROOT / ".cache" / "programs"
TABLE = ROOT / "bench" / "measured" / "programs.csv"
FOLDS = 5
START = {
    "convolution": {
        "compute": 0.9, "memory": 0.85, "start_us": 3.0, "sharpness": 3.0, "fill": 32.0, "pad": 8.0, "window": 0.0,
        "planar_compute": 0.1, "grouped": 0.3, "planar_grouped": 0.3, "turn": 0.3, "turn_window": 1.0, "cache_gain": 3.0,
        "cache_share": 0.5,
    },
    "depthwise": {
        "compute": 0.25, "memory": 0.7, "start_us": 3.0, "sharpness": 2.0, "planar": 0.1, "planar_compute": 0.1,
        "cache_gain": 3.0, "cache_share": 0.5,
    },
    "attention_full": {
        "compute": 0.8, "memory": 0.8, "start_us": 4.0, "sharpness": 2.0, "pad_queries": 32.0, "pad_keys": 32.0,
        "narrow_head": 8.0,
    },
    "pass": {
        "memory": 0.88, "start_us": 1.5, "cache_gain": 3.0, "cache_share": 0.5, "strided": 1.3, "copy": 1.0, "transpose": 1.5,
        "reduction": 1.1, "norm": 1.1, "softmax": 1.2, "pool": 1.3, "gather": 1.5, "scatter": 3.0, "resample": 1.5, "sort": 8.0,
        "random": 1.2, "optimizer": 1.1, "scan": 2.0, "spectral": 3.0, "other": 1.5,
    },
}  # fmt: skip
"""Where fits begin and what they are drawn to: what kernels of these kinds are expected to reach before anything was measured.
Kinds that no measured program holds keep these values."""
NO_BALANCE = "balance = 0\n"
"""These families' ``compute`` is no share of a datasheet's peak, so it does not move with a chip's FLOP a byte."""
OWN_STRAY, POOL_STRAY = 0.25, 0.7
"""How far a chip's parameters may stray from the pool's, and the pool's from where they started, for one error's worth."""
SOURCE = (
    "timm's benchmark tables for RTX 3090 and RTX 4090 (results/benchmark-infer-amp-*.csv, Apache-2.0): whole programs, "
    "inference under autocast in FP16, PyTorch 2.4 and 2.9, eager and compiled"
)


@dataclass(frozen=True)
class Table:
    """Measured programs: their operators, and by row the chip, how it ran, which family the model is of, which program it is."""

    programs: Programs
    rows: list[ProgramRow]
    which: Any
    seconds: Any
    families: Any
    refused: int

    def measured(self, name: str, chosen: Any = None) -> Measured:
        here = np.array([row.chip.id == name for row in self.rows])
        chosen = here if chosen is None else here & chosen
        return Measured(chip(name), self.which[chosen], self.seconds[chosen])


def family_of(program: str) -> str:
    """What a model's name begins with, so that models of one design are left out together: resnet50d -> resnet."""
    found = re.match(r"(?:tf_)?([a-z]+)", program.partition(":")[2])
    return found.group(1) if found else program


def recorded(row: ProgramRow) -> tuple[Step, ...] | None:
    """The program's calls, recorded once and kept; None where it cannot be recorded."""
    from windtunnel.run.programs import BATCH, at_batch, can_fold, record_program

    name = f"{row.program.partition(':')[2]}.{row.image_size}.{row.layout}{'.folded' if row.folded else ''}.pkl"
    file = CACHE / name
    if not file.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        try:
            if row.folded and not can_fold(row.program):
                file.write_bytes(zlib.compress(pickle.dumps("plain"), 1))
                return recorded(replace(row, folded=False))
            steps: Any = record_program(row.program, row.image_size, BATCH, row.precision, row.layout, folded=row.folded)
        except WindtunnelError as problem:
            print(f"{name}: {problem}", flush=True)
            steps = None
        file.write_bytes(zlib.compress(pickle.dumps(steps), 1))
    steps = pickle.loads(zlib.decompress(file.read_bytes()))  # our own file
    if steps == "plain":
        return recorded(replace(row, folded=False))
    return None if steps is None else at_batch(steps, row.batch)


def load(path: Path = TABLE) -> Table:
    """The table's programs as arrays, kept until the table or what tells calls' work changes. Recordings are kept until they are
    removed from .cache/programs."""
    key = hashlib.sha256(path.read_bytes())
    workload = ROOT / "src" / "windtunnel" / "workload"
    told = (workload / "ops.py", workload / "program" / "fusion.py", *sorted((workload / "program" / "work").glob("*.py")))
    for source in told:
        key.update(source.read_bytes())
    kept = CACHE / f"rows-{key.hexdigest()[:16]}.pkl"
    if not kept.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(pickle.dumps(vars(_load(path))))
    return Table(**pickle.loads(kept.read_bytes()))  # our own file


def _load(path: Path) -> Table:
    groups: dict[Any, list[tuple[ProgramRow, float]]] = defaultdict(list)
    refused = 0
    for raw in read_table(path).rows:
        row = program_row(raw)
        groups[row.program, row.image_size, row.layout, row.folded, row.batch].append((row, float(raw["samples_per_s"])))
    builder, rows, which, seconds = Builder(), [], [], []
    for members in groups.values():
        steps = recorded(members[0][0])
        if steps is None:
            refused += len(members)
            continue
        numbers: dict[bool, int] = {}
        for row, samples_per_s in members:
            if row.compiled not in numbers:
                numbers[row.compiled] = _add(builder, steps, row.compiled)
            rows.append(row)
            which.append(numbers[row.compiled])
            seconds.append(row.batch / samples_per_s)
    families = np.array([family_of(row.program) for row in rows])
    return Table(builder.done(), rows, np.array(which), np.array(seconds), families, refused)


def _add(builder: Builder, steps: tuple[Step, ...], compiled: bool) -> int:
    if compiled:
        kernels = fuse(steps)
        return builder.add([op for kernel in kernels for op in kernel.ops], len(kernels), 0, True)
    worked = [work(step.call) for step in steps]
    launches = sum(1 for ops in worked if ops)
    return builder.add([op for ops in worked for op in ops], launches, len(steps) - launches, False)


def folds(families: Any) -> Iterator[Any]:
    """Which rows are left out together, whole families at a time."""
    names = sorted(set(families))
    order = np.random.default_rng(7).permutation(len(names))
    fold = {names[i]: place % FOLDS for place, i in enumerate(order)}
    place = np.array([fold[name] for name in families])
    for k in range(FOLDS):
        yield place == k


def families_held_out(table: Table, chips: list[str]) -> Any:
    """Log error of every row, its model's family left out of every fit that predicts it."""
    out = np.full(len(table.rows), np.nan)
    for left_out in folds(table.families):
        pool = fit_programs(table.programs, [table.measured(c, ~left_out) for c in chips], _start(chips), POOL_STRAY)
        for c in chips:
            mine = fit_programs(table.programs, [table.measured(c, ~left_out)], pool, OWN_STRAY, most=6)
            here = left_out & np.array([row.chip.id == c for row in table.rows])
            out[here] = errors(table.programs, table.measured(c, left_out), mine)
    return out


def chip_held_out(table: Table, name: str, chips: list[str]) -> Any:
    """Log error of one chip's rows from its datasheet and the other chips' fit."""
    others = [c for c in chips if c != name]
    pool = fit_programs(table.programs, [table.measured(c) for c in others], _start(others), POOL_STRAY)
    return errors(table.programs, table.measured(name), pool)


def _start(chips: list[str]) -> dict[str, dict[str, float]]:
    """Where a fit begins: START, and products as workstation cards of the operator tables have them."""
    products = CostModel(chip("rtx-5090")).family("gemm", "fp16").values
    return {**START, "gemm_wide": {**products, "compute": 0.95}}


def show(values: Any) -> str:
    return "{ " + ", ".join(f"{k} = {v:.4g}" for k, v in values.items()) + " }"


def replace_tables(file: Path, tables: dict[str, str], head: str = "") -> None:
    """Put the tables into a parameter file in place of those of the same name, the rest untouched."""
    text = file.read_text() if file.exists() else head
    for name, body in tables.items():
        block = f"[{name}]\n{body}\n"
        found = re.search(rf"^\[{re.escape(name)}\]\n(?:(?!\[).*\n?)*", text, re.MULTILINE)
        if found:
            text = text[: found.start()] + block + ("\n" if found.end() < len(text) else "") + text[found.end() :]
        else:
            text = text.rstrip("\n") + "\n\n" + block
    file.write_text(text)


def quantile(log_errors: Any) -> float:
    return float(np.quantile(np.abs(log_errors), 0.8))


def main(path: Path) -> None:
    table = load(path)
    chips = sorted({row.chip.id for row in table.rows})
    print(f"{len(table.rows)} rows, {len(table.programs)} programs, {table.refused} rows refused", flush=True)
    held = families_held_out(table, chips)
    report(table, held, "families held out")
    across = {c: chip_held_out(table, c, chips) for c in chips}
    for c, found in across.items():
        print(f"{c} from the other: median {100 * np.median(np.abs(np.expm1(-found))):.1f} %", flush=True)
    pool = fit_programs(table.programs, [table.measured(c) for c in chips], _start(chips), POOL_STRAY)
    strange = max(quantile(found) for found in across.values())
    # passes on stacked memory: none of these cards has it, but fitted chips do, and tell what share of it one pass reaches
    stacked = CostModel(chip("h100-sxm")).parameters.prior("elementwise").values["memory"]
    over = {"gddr": pool, "hbm": {**pool, "pass": {**pool["pass"], "memory": stacked}}}
    told = f'source = "{SOURCE}"\nspread = {strange:.3f}\n{NO_BALANCE}'
    shared = {f"{g}.{f}": f"{told}values = {show(p[f])}" for g, p in over.items() for f in FREE if f != "gemm_wide"}
    replace_tables(DATA / "prior.toml", shared)
    for c in chips:
        mine = fit_programs(table.programs, [table.measured(c)], pool, OWN_STRAY)
        here = np.array([row.chip.id == c for row in table.rows])
        told = f"points = {int(here.sum())}\nspread = {quantile(held[here]):.3f}\n"
        body = {f: f"{told}{'' if f == 'gemm_wide' else NO_BALANCE}values = {show(mine[f])}" for f in FREE}
        legend = "points: measured programs; spread: 80 % of log errors, families held out."
        replace_tables(DATA / f"{c}.toml", body, f'# Fitted parameters of {c}. {legend}\nsource = "{SOURCE}"\n')


def report(table: Table, log_errors: Any, title: str) -> None:
    shares = np.abs(np.expm1(-log_errors))
    print(title)
    for key in sorted({(row.chip.id, row.compiled) for row in table.rows}):
        here = np.array([(row.chip.id, row.compiled) == key for row in table.rows])
        median, mean, p90 = (100 * x for x in (np.median(shares[here]), shares[here].mean(), np.quantile(shares[here], 0.9)))
        mode = "compiled" if key[1] else "eager"
        print(f"  {key[0]} {mode}: {here.sum()} rows, median {median:.1f} %, mean {mean:.1f} %, p90 {p90:.1f} %", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TABLE)
