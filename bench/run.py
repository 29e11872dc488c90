"""Prints how accurate and how fast windtunnel is, each number beside its target and beside the best known elsewhere.

    python bench/run.py [--quick] [--json FILE]

Serving errors are held out: groups of model and chip are left out of the fit in turn. --quick leaves out what takes
minutes. The operator tables for the GEMM row (82 MB) and the packages that are scanned (155 MB) are fetched from PyPI once,
into .cache/; programs are recorded once, there too.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tools")]
os.environ.setdefault("OMP_NUM_THREADS", "1")

from bench import (  # noqa: E402
    cpu_serving,
    endpoint,
    fleet,
    gemm,
    killed,
    porting,
    programs,
    programs_run,
    router,
    serving,
    simulate,
    speed,
    steering,
    train_published,
    training,
)

SERVING = HERE / "measured" / "serving.csv"
CACHE = HERE.parent / ".cache"
PROGRAMS = HERE / "measured" / "programs.csv"
NO_PROGRAMS = "torch, transformers and timm are not installed"


@dataclass(frozen=True)
class Line:
    """One row of the table. met: None where nothing was measured."""

    what: str
    target: str
    reached: str
    elsewhere: str
    met: bool | None


def _percent(values: dict[str, float]) -> str:
    return f"{100 * values['median']:.1f} / {100 * values['mean']:.1f} %"


def accuracy() -> list[Line]:
    found = serving.held_out(SERVING)
    tpot, ttft = found.tpot, found.ttft
    both = all(0.75 <= metric["held"] <= 0.85 for metric in (tpot, ttft))
    held = f"{100 * tpot['held']:.0f} / {100 * ttft['held']:.0f} %"
    close = tpot["median"] <= 0.10 and tpot["mean"] <= 0.15
    lines = [
        Line("TPOT error, held out (median / mean)", "<= 10 / 15 %", _percent(tpot), "23.9 / 31.1 %", close),
        Line("TTFT error, held out (median)", "<= 20 %", f"{100 * ttft['median']:.1f} %", "43.0 %", ttft["median"] <= 0.20),
        Line("rows predicted, not refused", ">= 95 %", f"{100 * found.predicted:.1f} %", "70 %", found.predicted >= 0.95),
        Line("80 % intervals that hold, TPOT / TTFT", "75-85 %", held, "none stated", both),
        Line("rank correlation of TPOT in a group", ">= 0.98", f"{tpot['rank']:.3f}", "0.979", tpot["rank"] >= 0.98),
        Line("  ... along one configuration's load", "", f"{tpot['rank_along_load']:.3f}", "", None),
    ]
    print(found.by_group)
    return lines


def products() -> list[Line]:
    found = gemm.held_out(CACHE)
    if not found:
        return [Line("GEMM on a chip never fitted (mean)", "<= 15 %", "tables not to be had", "20-25 %", None)]
    mean = sum(found.values()) / len(found)
    told = ", ".join(f"{dtype} {100 * value:.1f}" for dtype, value in found.items())
    return [Line("GEMM on a chip never fitted (mean)", "<= 15 %", f"{100 * mean:.1f} % ({told})", "20-25 %", mean <= 0.15)]


def whole_programs() -> list[Line]:
    found = programs.held_out(PROGRAMS)
    targets = {"eager": 0.15, "compiled": 0.15}
    if not found:
        return [Line("programs, samples/s (median)", "<= 15 %", "torch and timm are not installed", "none stated", None)]
    lines = []
    for name, error in found.items():
        target = targets.get(name, 0.20)
        what = f"programs, {name}, model families held out" if name in targets else f"programs on {name}, from the other chip"
        reached = f"{100 * error:.1f} %"
        lines.append(Line(f"{what} (median)", f"<= {100 * target:.0f} %", reached, "none stated", error <= target))
    return lines


def published_training() -> list[Line]:
    found = training.compared()
    if not found:
        return [Line("published training, tokens/s", "within 25 %", "torch is not installed", "none stated", None)]
    within, naive = f"{100 * found['within']:.0f} %", f"{100 * found['naive_within']:.0f} %"
    middle, guess = f"{100 * found['median']:.1f} %", f"{100 * found['naive']:.1f} %"
    return [
        Line("published training rows within 25 %", "all", within, f"{naive} (40 % of peak)", found["within"] == 1.0),
        Line("  ... median error of tokens/s", "", middle, f"{guess} (40 % of peak)", None),
        Line(
            "  ... 80 % intervals that hold",
            "75-85 %",
            f"{100 * found['held']:.0f} %",
            "none stated",
            0.75 <= found["held"] <= 0.85,
        ),
    ]


def training_runs() -> list[Line]:
    found = train_published.compared()

    def pair(name: str) -> str:
        return f"{100 * found[f'{name}_median']:.1f} / {100 * found[f'{name}_mean']:.1f} %"

    close = found["stated_median"] <= 0.15 and found["stated_mean"] <= 0.20
    rows = f"{found['stated_rows']:.0f} rows"
    lines = [
        Line(f"train, tokens/s, {rows}, held out (median / mean)", "<= 15 / 20 %", pair("stated"), pair("stated_naive"), close),
        Line("  ... with those whose sequence is assumed", "", pair("all"), pair("all_naive"), None),
        Line("  ... 80 % intervals that hold", "75-85 %", f"{100 * found['held']:.0f} %", "", 0.75 <= found["held"] <= 0.85),
    ]
    for name, shown in (("deepseek-v3", "DeepSeek-V3, 2,048 H800"), ("llama-3-1-405b", "Llama 3 405B, 16,384 H100")):
        off, naive = (f"{100 * (found[key] - 1.0):+.1f} %" for key in (name, f"{name}_naive"))
        lines.append(Line(f"{shown}: chip-hours", "within 15 %", off, naive, abs(found[name] - 1.0) <= 0.15))
    spent = found["search_s"]
    return [*lines, Line("train, search, 405B on 16,384 chips", "<= 10 s CPU", f"{spent:.2f} s", "", spent <= 10.0)]


def recording() -> list[Line]:
    if not programs_run.installed():
        return [Line("DeepSeek-V3 671B, one forward, 4,096 tokens", "<= 8 s CPU, 700 MB", NO_PROGRAMS, "10.8 s", None)]
    seconds, megabytes = programs_run.deepseek_v3()
    microseconds = programs_run.recording_us()
    spent = f"{seconds:.1f} s, {megabytes:.0f} MB"
    small = seconds <= 8.0 and megabytes <= 700.0
    return [
        Line("DeepSeek-V3 671B, one forward, 4,096 tokens", "<= 8 s CPU, 700 MB", spent, "10.8 s (msmodeling)", small),
        Line("recording an operator, beyond PyTorch's own", "<= 60 us", f"{microseconds:.0f} us", "", microseconds <= 60.0),
    ]


def real_programs() -> list[Line]:
    if not programs_run.installed():
        return [Line("GPT-2 with --values: the CPU's losses", "identical", NO_PROGRAMS, "", None)]
    here, there = programs_run.gpt2_losses()
    models = programs_run.timm_models()
    stopped = {name: why for name, why in models.items() if why}
    for name, why in stopped.items():
        print(f"{name}: {why}")
    same = bool(here) and here == there
    ran = f"{len(models) - len(stopped)} of {len(models)}"
    return [
        Line("GPT-2 with --values: the CPU's losses", "identical", "identical" if same else "they differ", "", same),
        Line("models of timm that infer and train", "20", ran, "", len(models) - len(stopped) >= 20),
    ]


def scanned_and_fixed() -> list[Line]:
    packages, why = porting.sources(CACHE)
    for name, reason in why.items():
        print(f"{name}: {reason}")
    right, all_of_them = porting.verdicts()
    verdicts = Line(
        "operator verdicts as the dispatcher's table",
        "100 %",
        f"{right} of {all_of_them}",
        "wrong on 4 of 4 fall-backs",
        right == all_of_them,
    )
    if not packages:
        return [Line("binding points found and right", ">= 98 % each", "no package to be had", "80 / 93 %", None), verdicts]
    found, fixed = porting.labelled(packages, CACHE), porting.whole(packages, CACHE)
    lines = []
    for split, score in found.scores.items():
        recall, precision = (got / of if of else 0.0 for got, of in (score.recall, score.precision))
        now = f"{100 * recall:.1f} / {100 * precision:.1f} % of {score.recall[1]}"
        blind = porting.BLIND.get(split)
        if blind is None:
            lines.append(Line(f"recall / precision, {split} packages", "", now, "", None))
            continue
        said = f"{100 * blind[0]:.1f} / {100 * blind[1]:.1f} % before they were looked at; now {now}"
        lines.append(Line(f"recall / precision, {split} packages", ">= 98 % each", said, "80 / 93 %", min(blind) >= 0.98))
    taken, spelled = (sum(counts) for counts in zip(*found.spelling.values(), strict=True))
    pace, bare = found.lines / found.cpu_s, found.python_lines / found.parse_s
    whole = f"{fixed.compile} of {fixed.changed}, {fixed.changed_again} again"
    return [
        *lines,
        Line("findings of spelling that are fixed", ">= 90 %", f"{taken} of {spelled}", "vendor forks", taken >= 0.9 * spelled),
        Line(
            "fixed files compile; changed by a second fix",
            "all; none",
            whole,
            "97.5 %",
            fixed.compile == fixed.changed and not fixed.changed_again,
        ),
        Line("  ... taken back, of the files read", "", f"{fixed.taken_back} of {fixed.files}", "", None),
        Line("files changed that had no finding", "0", str(fixed.no_finding), "164 of 240", fixed.no_finding == 0),
        Line("lines scanned a second", ">= 10,000", f"{pace:,.0f}", f"{bare:,.0f} (ast.parse alone)", pace >= 10_000),
        verdicts,
    ]


def proven_programs() -> list[Line]:
    if not programs_run.installed():
        return [Line("programs that compute the same after a fix", "100 % of >= 8", NO_PROGRAMS, "forks crash", None)]
    from bench.port import proofs

    found = [proof for proof in proofs.proven(CACHE / "proofs") if proof.proven is not None]
    for proof in found:
        print(f"{proof.name}: {proof.verdict}")
    same = sum(proof.identical for proof in found)
    whole = len(found) >= 8 and same == len(found)
    told = f"{same} of {len(found)}"
    return [
        Line("programs that compute the same after a fix", "100 % of >= 8", told, "forks crash", whole),
        Line("  ... and run on virtual npu and musa", "", f"{sum(bool(p.proven) for p in found)} of {len(found)}", "", None),
    ]


def simulations() -> list[Line]:
    speed_of = simulate.pace()
    loop = simulate.closed_loop(SERVING)
    print(loop.by_engine)
    grown = f"{speed_of.megabytes:.0f}, {speed_of.megabytes_of_ten:.0f} MB"
    told, asked = endpoint.compared()
    near = [
        abs(b - a) <= max(0.05 * a, 0.005)
        for mine, theirs in ((told.ttft, asked.ttft), (told.tpot, asked.tpot))
        for a, b in zip(mine, theirs, strict=True)
    ]
    pairs = zip((*told.ttft, *told.tpot), (*asked.ttft, *asked.tpot), strict=True)
    apart = ", ".join(f"{100 * (b / a - 1.0):+.1f}" for a, b in pairs)
    fast = speed_of.requests_per_s >= 10_000
    same = speed_of.megabytes_of_ten <= 1.2 * speed_of.megabytes
    return [
        Line("requests simulated a second, one core", ">= 10,000", f"{speed_of.requests_per_s:,.0f}", "8,600; Vidur 630", fast),
        Line("memory, 20,000 and 200,000 requests", "does not grow", grown, "", same),
        Line("closed loop simulated, TTFT, held out (median)", "<= 20 %", f"{100 * loop.ttft:.1f} %", "43.0 %", loop.ttft <= 0.2),
        Line("closed loop simulated, TPOT, held out (median)", "<= 10 %", f"{100 * loop.tpot:.1f} %", "23.9 %", loop.tpot <= 0.1),
        Line("endpoint beside its simulation, TTFT and TPOT, p50 and p99", "5 % or 5 ms", f"{apart} %", "", all(near)),
    ]


def served_on_cpu() -> list[Line]:
    why = cpu_serving.missing()
    if why:
        return [Line("SmolLM2-135M over HTTP on the CPU", ">= 0.95 of the best raw engine", f"{why} is not installed", "", None)]
    found = cpu_serving.compared()
    lines = []
    for load, elsewhere in cpu_serving.ELSEWHERE.items():
        what = "prefill" if load == "prefill" else f"{load} stream{'s' * (load != '1')}"
        beside = ", ".join(f"{name} {median(figures[load]):,.0f}" for name, figures in found.raw.items())
        reached = f"{found.ratio(load):.3f}: {median(found.served[load]):,.0f} tokens/s"
        said = f"here {beside}; {elsewhere}"
        lines.append(Line(f"SmolLM2-135M over HTTP, {what}", ">= 0.95 of the best", reached, said, found.ratio(load) >= 0.95))
    megabytes, seconds = cpu_serving.installed()
    up_s = cpu_serving.up_s()
    size = f"{megabytes:.0f} MB, {seconds:.1f} s"
    small = megabytes <= 130.0 and seconds <= 5.0
    return [
        *lines,
        Line("the extra cpu, installed from pip's cache", "<= 130 MB, 5 s", size, "vLLM 3,498 MB, 113 s", small),
        Line("endpoint up with a local GGUF", "<= 2 s", f"{up_s:.2f} s", "", up_s <= 2.0),
    ]


def fleets() -> list[Line]:
    ours, theirs = router.measured(), router.of_litellm(CACHE)
    lines = []
    for stream, of in ours.items():
        other = (
            theirs if isinstance(theirs, str) else f"LiteLLM {_added(theirs[stream])}" if stream in theirs else "LiteLLM: none"
        )
        what = "streamed" if stream else "not streamed"
        met = of.first[1] <= 0.005 and of.whole[1] <= 0.005 and not of.failed
        lines.append(Line(f"router adds, {what}, p50 / p99", "p99 <= 5 ms at 500/s", _added(of), other, met))
    lost = killed.survived()
    kept = lost.lost == 0 and lost.grown <= 0.05 * lost.rss and lost.files <= 16
    reached = f"{lost.lost} lost of {lost.requests:,}, {lost.told} broken under way; {lost.grown / 1e6:+.1f} MB"
    what = f"fleet at 50 requests/s, {lost.kills} kills in {killed.SECONDS:.0f} s (for an hour's 60)"
    return [*lines, Line(what, "none lost, no growth", reached, "", kept)]


def _added(of: router.Added) -> str:
    first, whole = (f"{1e3 * x[0]:.1f} / {1e3 * x[1]:.1f} ms" for x in (of.first, of.whole))
    return f"{whole} at {of.rate:g}/s" if of.first == of.whole else f"first token {first}, whole {whole} at {of.rate:g}/s"


def steered() -> list[Line]:
    cells = list(steering.compared())
    for found in cells:
        print(steering.told(found))
    lines = []
    fixed, most = [x.gain for x in cells], [x.gain_of_most for x in cells]
    for what, gains in (("at a fixed load", fixed), ("at 90 % within targets", most)):
        mean, reached = steering.mean(gains), sum(gain >= 1.25 for gain in gains)
        told = f"{mean:.2f} x (geometric mean), worst {min(gains):.2f} x, {reached} of {len(gains)} at 1.25 x"
        lines.append(Line(f"goodput of an unlike fleet {what}", ">= 1.25 x the best of three", told, "", mean >= 1.25))
    return lines


def fleet_plans() -> list[Line]:
    found = fleet.timed()
    worst = max(each.seconds for each in found)
    told = ", ".join(f"{each.seconds:.1f}" for each in found)
    done = worst <= 10.0 and all(each.proven for each in found)
    free = [each for each in found if each.whole is not None]
    beyond = ", ".join("none" if each.whole is None else f"{100 * each.whole:.1f} %" for each in found)
    gap = max(each.gap for each in found)
    return [
        Line("fleet of 12 chips, 20 workloads, 8 quarters: proven", "<= 10 s CPU", f"{told} s", "none known", done),
        Line("  ... relative gap that is proven", "", f"{100 * gap:.3f} %", "", None),
        Line("  ... what whole instances everywhere add", "", f"{beyond} ({len(free)} of {len(found)} found)", "", None),
    ]


def pace() -> list[Line]:
    warm = speed.warm_prediction_ms()
    seconds, megabytes = speed.search()
    started = speed.started_s("--help")
    ruled = speed.started_s("rules", "check", "h20", "--to", "CN", "--date", "2025-04-20")
    small = seconds <= 5.0 and megabytes <= 300.0
    searched = f"{seconds:.2f} s, {megabytes:.0f} MB"
    return [
        Line("one warm prediction", "<= 5 ms", f"{warm:.1f} ms", "0.8 s", warm <= 5.0),
        Line("search, DeepSeek-V3 on 32 chips", "<= 5 s CPU, 300 MB", searched, "24-81 s", small),
        Line("windtunnel --help", "<= 0.3 s", f"{started:.2f} s", "", started <= 0.3),
        Line("windtunnel rules check", "<= 0.3 s", f"{ruled:.2f} s", "", ruled <= 0.3),
    ]


PARTS: dict[str, Callable[[], list[Line]]] = {
    part.__name__: part
    for part in (
        accuracy,
        products,
        whole_programs,
        published_training,
        training_runs,
        real_programs,
        recording,
        scanned_and_fixed,
        proven_programs,
        simulations,
        served_on_cpu,
        fleets,
        steered,
        fleet_plans,
        pace,
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="speed alone")
    parser.add_argument("--only", nargs="+", default=[], choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--json", type=Path, help="also write the lines to this file")
    args = parser.parse_args()
    lines = []
    for part in [PARTS[name] for name in args.only] or ([recording, pace] if args.quick else PARTS.values()):
        begun = time.perf_counter()
        lines += part()
        print(f"{part.__name__}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    verdict = {True: "met", False: "MISSED", None: ""}
    rows = [("", "target", "reached", "best elsewhere", "")]
    rows += [(x.what, x.target, x.reached, x.elsewhere, verdict[x.met]) for x in lines]
    widths = [max(len(r[i]) for r in rows) for i in range(5)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if args.json:
        args.json.write_text(json.dumps([asdict(line) for line in lines], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
