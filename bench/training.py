"""Published training throughput beside examples/llm_pretrain.py on the same virtual chips.

Which rows, and what is assumed where they are silent, is decided before anything is predicted: see docs/accuracy.md.
"""

from __future__ import annotations

import csv
import importlib.util
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel.run.record import RunReport

HERE = Path(__file__).parent
PROGRAM = HERE.parent / "examples" / "llm_pretrain.py"
TABLE = HERE / "measured" / "training.csv"

SETTINGS = {
    "megatron": ("--fuse",),
    "deepspeed": (),
    "modellink": ("--fuse",),
    "ascendspeed": ("--no_overlap",),
}
"""What a framework's training loop of that date did, as options of the program.

megatron, modellink (2024): norms, rotary positions and SwiGLU are a kernel each; products and collectives overlap in the
backward pass. ModelLink's rows were measured with MC2 (products that communicate); a fused product and all-reduce on a 910B was
measured to hide 31 %, and the program's own overlap hides about as much of all collectives. ascendspeed (2023): before those
kernels and MC2: nothing is fused, nothing overlaps. deepspeed: the model as its authors publish it in plain PyTorch, nothing
fused; the optimiser is split.
"""

USUAL_TOKENS = 4 * 2**20
"""Tokens of an optimiser's step where a row does not say: Llama 2's (arXiv 2307.09288, section 2.2)."""
MICRO_BATCHES = (4, 2, 1)
"""Sequences of a micro-batch that are tried, in this order, until one fits into the memory."""
NAIVE_MFU = 0.40


@dataclass(frozen=True)
class Row:
    """One published row that the program stands for; tokens_per_s: of one chip. assumed: what the row does not say.

    sequences: of a step (0: not told). recompute: whether activations are, None where the row does not tell.
    """

    id: str
    model: str
    program: str
    framework: str
    on: str
    chips: int
    tp: int
    pp: int
    sequence: int
    sequences: int
    precision: str
    settings: str
    recompute: bool | None
    parameters: float
    tokens_per_s: float
    assumed: tuple[str, ...]

    @property
    def replicas(self) -> int:
        return self.chips // (self.tp * self.pp)


@dataclass(frozen=True)
class Predicted:
    """tokens_per_s: of one chip, with its 80 % interval. micro_batch: sequences; recompute: activations, as memory asks."""

    tokens_per_s: float
    interval: tuple[float, float]
    micro_batch: int
    micro_batches: int
    recompute: bool
    fits: bool
    evidence: str
    naive_tokens_per_s: float
    communication: str


def rows() -> tuple[list[Row], Counter[str]]:
    """The rows that the program stands for, and why the others are left out."""
    found, left_out = [], Counter[str]()
    with TABLE.open(newline="", encoding="utf-8") as file:
        for r in csv.DictReader(file):
            if r["excluded"]:
                left_out[r["excluded"]] += 1
                continue
            found.append(
                Row(
                    r["id"], r["model"], r["program"], r["framework"], r["on"], int(r["n_chips"]), int(r["tp"]), int(r["pp"]),
                    int(r["sequence"]), int(r["sequences"] or 0), r["precision"], r["settings"],
                    {"yes": True, "no": False}.get(r["recompute"]), float(r["parameters"]),
                    float(r["published_tokens_per_s"]), tuple(r["assumed"].split()),
                )
            )  # fmt: skip
    return found, left_out


def predict(row: Row) -> Predicted:
    """Run the program for a row: the first and the last stage, with two numbers of micro-batches.

    A step of m micro-batches takes what the slowest stage takes for m of them, what the first takes for the pp - 1 by which
    the last one starts later (the bubble), and the rest (gradients' sum, optimiser), which does not grow with m.
    """
    micro_batch, recompute, fits, first = _fitting(row)
    again = _run(row, micro_batch, recompute, row.pp + 1, limit=fits)
    each_first = again.step_s - first.step_s
    rest, slowest, report = first.step_s - row.pp * each_first, each_first, again
    if row.pp > 1:
        few, more = (_run(row, micro_batch, recompute, row.pp + n, limit=False, last=True) for n in (0, 1))
        each_last = more.step_s - few.step_s
        rest = max(rest, few.step_s - row.pp * each_last)
        if each_last > each_first:
            slowest, report = each_last, more
    sequences = row.sequences or USUAL_TOKENS // row.sequence
    micro_batches = max(round(sequences / (micro_batch * row.replicas)), 1)
    step_s = micro_batches * slowest + (row.pp - 1) * each_first + max(rest, 0.0)
    rate = micro_batches * micro_batch * row.sequence / (step_s * row.tp * row.pp)
    low, high = (bound / report.step_s for bound in report.interval_s)
    naive = NAIVE_MFU * report.peak_flops_per_s / (6.0 * row.parameters)
    told = next((note for note in report.notes if note.startswith("communication")), "")
    return Predicted(
        rate, (rate / high, rate / low), micro_batch, micro_batches, recompute, fits, report.evidence.name.lower(), naive, told
    )


def _fitting(row: Row) -> tuple[int, bool, bool, RunReport]:
    """(micro-batch, recompute, whether it fits, the run): the largest micro-batch that fits.

    Where a row does not tell, activations are recomputed only if not even one sequence fits otherwise, and then for one.
    """
    ways = (False, True) if row.recompute is None else (row.recompute,)
    for recompute in ways:
        for micro_batch in MICRO_BATCHES if recompute is ways[0] else MICRO_BATCHES[-1:]:
            report = _run(row, micro_batch, recompute, row.pp)
            if report.status == "finished":
                return micro_batch, recompute, True, report
            if report.failure is None or "OutOfMemory" not in report.failure.error:
                raise RuntimeError(f"{row.id}: {report.failure}")
    return 1, ways[-1], False, _run(row, 1, ways[-1], row.pp, limit=False)


def _run(row: Row, micro_batch: int, recompute: bool, micro_batches: int, *, limit: bool = True, last: bool = False) -> RunReport:
    from windtunnel.run.launch import run_program

    dtype = "float16" if row.precision.startswith("FP16") else "bfloat16"
    told = {"model": row.program, "tp": row.tp, "pp": row.pp, "sequence": row.sequence, "dtype": dtype, "steps": 2}
    told |= {"micro_batch": micro_batch, "micro_batches": micro_batches}
    args = [f"--{name}={value}" for name, value in told.items()]
    args += [*SETTINGS[row.settings], *(["--recompute"] if recompute else []), *(["--last_first"] if last else [])]
    with _silent():
        return run_program(str(PROGRAM), args, on=row.on, keep_launches=False, limit_memory=limit)


@contextmanager
def _silent() -> Iterator[None]:
    """What the program prints goes nowhere."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream in (1, 2):
            os.dup2(nowhere, stream)
        yield
    finally:
        for stream, before in zip((1, 2), kept, strict=True):
            os.dup2(before, stream)
            os.close(before)
        os.close(nowhere)


def compared(only: str = "") -> dict[str, float]:
    """Print the table; errors as shares: median, naive (the guess from peak FLOP/s), within (25 %), held (of the intervals).

    Empty without PyTorch.
    """
    if importlib.util.find_spec("torch") is None:
        return {}
    found, left_out = rows()
    found = [row for row in found if not only or row.id in only.split(",")]
    print("| row | model | chips | framework | layout | batch | published | predicted | ratio | 80 % interval | naive |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    ratios, naive, held = [], [], []
    for row in found:
        p = predict(row)
        ratios.append(p.tokens_per_s / row.tokens_per_s)
        naive.append(p.naive_tokens_per_s / row.tokens_per_s)
        held.append(p.interval[0] <= row.tokens_per_s <= p.interval[1])
        layout = " ".join(f"{kind}{n}" for kind, n in (("TP", row.tp), ("PP", row.pp), ("DP", row.replicas)) if n > 1)
        layout += "*" if "layout" in row.assumed else ""
        length = f"{row.sequence}{'*' if 'sequence' in row.assumed else ''}"
        batch = f"{p.micro_batches} x {p.micro_batch} x {length}" + (", recompute" if p.recompute else "")
        batch += "" if p.fits else ", does not fit"
        print(
            f"| {row.id} | {row.model} | {row.on} | {row.framework} | {layout} | {batch} | {row.tokens_per_s:,.0f} | "
            f"{p.tokens_per_s:,.0f} | {ratios[-1]:.2f} | {p.interval[0]:,.0f} to {p.interval[1]:,.0f} ({p.evidence}) | "
            f"{naive[-1]:.2f} |",
            flush=True,
        )
        if only:
            print("   ", p.communication)
    print("left out:", ", ".join(f"{reason} {n}" for reason, n in left_out.most_common()))
    errors = [abs(r - 1.0) for r in ratios]
    within = sum(error <= 0.25 for error in errors) / len(errors)
    return {
        "rows": float(len(errors)),
        "median": median(errors),
        "within": within,
        "naive": median(abs(r - 1.0) for r in naive),
        "naive_within": sum(abs(r - 1.0) <= 0.25 for r in naive) / len(naive),
        "held": sum(held) / len(held),
    }


if __name__ == "__main__":
    print(compared(*sys.argv[1:2]))
