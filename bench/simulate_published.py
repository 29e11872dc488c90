"""Published runs of DeepSeek and Qwen on CloudMatrix 384, H20 and H800, simulated; nothing here was fitted on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from windtunnel.sim.prediction import Deployment
from windtunnel.sim.serving.arrivals import AtRandom, ClosedLoop, Lengths
from windtunnel.sim.serving.fleet import Fleet
from windtunnel.sim.serving.result import Result
from windtunnel.sim.serving.settings import Options
from windtunnel.sim.serving.simulate import simulate

R1 = "deepseek-ai/DeepSeek-R1"


@dataclass(frozen=True)
class Published:
    """One figure of one run. read: the same figure of a simulation."""

    what: str
    metric: str
    value: float
    fleet: Fleet
    arrivals: AtRandom | ClosedLoop
    read: Callable[[Result], float]


def _tokens_per_s(result: Result) -> float:
    return result.output_tokens_per_s


def _decode_cloudmatrix(a_package: int, isl: int, value: float) -> Published:
    """256 of the 320 ranks that were published, since 256 experts divide no further without copies; the same load on each.

    Prompts are prefilled apart, by as many instances as keep up.
    """
    packages = 128
    main = Deployment(R1, "ascend-910c", "w8a8_dynamic", dp=packages, moe_ep=packages, system="cloudmatrix-384")
    before = Deployment(R1, "ascend-910c", "w8a8_dynamic", dp=16, moe_ep=16, system="cloudmatrix-384")
    options = Options(mtp_accept=0.7, max_running=a_package * packages, chunk_tokens=16384)
    fleet = Fleet(main, 1, before, 60, options=options)
    loop = ClosedLoop(int(a_package * packages * 1.3), Lengths(isl), Lengths(256), 5 * a_package * packages)
    what = f"CloudMatrix 384, R1, decode, {a_package} a package, {isl} in"
    # the most that runs is what was published as the batch: the time per token is that batch over the rate
    return Published(
        what, "TPOT, ms", value, fleet, loop, lambda r: 1e3 * r.pool.running / (r.output_tokens * 255 / 256 / r.seconds)
    )


def _static(batch: int, value: float, fleet: Fleet) -> Published:
    loop = ClosedLoop(batch, Lengths(128), Lengths(1024), batch)
    shape = "DP32 EP32" if fleet.deployment.dp > 1 else "TP8 PP2"
    return Published(f"H20, R1, {shape}, batch {batch}, 128 in, 1,024 out", "tokens/s", value, fleet, loop, _tokens_per_s)


def _prefill(chip: str, precision: str, system: str, chips: int, value: float, what: str) -> Published:
    fleet = Fleet(Deployment(R1, chip, precision, dp=chips, moe_ep=chips, system=system), options=Options(chunk_tokens=16384))
    loop = ClosedLoop(chips * 8, Lengths(4096), Lengths(1), chips * 80)
    return Published(what, "tokens/s a chip", value, fleet, loop, lambda r: r.input_tokens / r.seconds / chips)


def runs() -> list[Published]:
    """The rows of the table.

    **Source:** CloudMatrix384 (arXiv 2506.12708), Chitu's PERFORMANCE.md, DeepSeek's profile data, vLLM Ascend's documentation.
    """
    together = Fleet(Deployment(R1, "h20", tp=8, pp=2))
    apart = Fleet(Deployment(R1, "h20", dp=32, moe_ep=32))
    qwen = Fleet(Deployment("Qwen/Qwen3-235B-A22B", "ascend-910c", "w8a8_dynamic", tp=2, dp=4, moe_ep=8))
    qwen_load = ClosedLoop(144, Lengths(3584), Lengths(1536), 720)
    return [
        _prefill("ascend-910c", "w8a8_dynamic", "cloudmatrix-384", 16, 5655, "CloudMatrix 384, R1, prefill of 4,096, EP32"),
        _prefill("h800-sxm", "", "", 32, 62_713 / 8, "H800, V3, prefill of 4,096, EP32"),
        _decode_cloudmatrix(96, 4096, 49.4),
        _decode_cloudmatrix(24, 4096, 24.6),
        _decode_cloudmatrix(8, 4096, 14.9),
        *(_static(n, v, together) for n, v in ((1, 57.74), (16, 420.13), (128, 1862.98))),
        *(_static(n, v, apart) for n, v in ((128, 2374.99), (512, 7458.43), (2048, 16022.6))),
        Published("910C x 8, Qwen3-235B, 144 in flight, 3,584 in", "tokens/s", 2761.7, qwen, qwen_load, _tokens_per_s),
        Published("  the same", "TPOT, ms", 48.7, qwen, qwen_load, lambda r: 1e3 * r.tpot.mean_s),
        Published("  the same", "TTFT, ms", 4717.0, qwen, qwen_load, lambda r: 1e3 * r.ttft.mean_s),
    ]


def main() -> None:
    print(f"{'published run':56} {'':16} {'published':>10} {'simulated':>10} {'ratio':>6}")
    known: dict[int, Result] = {}
    for run in runs():
        key = hash((run.fleet, run.arrivals))
        if key not in known:
            known[key] = simulate(run.fleet, run.arrivals)
        value = run.read(known[key])
        print(f"{run.what:56} {run.metric:16} {run.value:10,.1f} {value:10,.1f} {value / run.value:6.2f}")


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent.parent)]
    main()
