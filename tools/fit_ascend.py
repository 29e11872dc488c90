"""Fits the Ascend 910B2 on the published summary of an operator sweep; writes its parameter file.

    python tools/fit_ascend.py

Reads tools/ascend_summary.csv, writes src/windtunnel/cost/data/ascend-910b2.toml. Development only.

**Source:** the summary (medians and floors, not the sweep's rows) of hudingyi688/aiconfigurator-npu@90d7765: vLLM-Ascend
0.18, CANN 8.5, graph replay, one 910B whose best matrix product (327 TFLOPS) only the 376T bin can reach. A single author,
not replicated; the peak agrees with FlagPerf's. The summary gives rates for classes of shapes; the rows are one or a few
shapes of each class, chosen here:

- products at M = 128 ... 4096: N = K = 7168, of the medians over N, K >= 4096; W8A8 includes quantising the activations;
- products bound by memory (weights over 40 MB, 1.21 TB/s): M = 1 and 16 at three shapes of BF16, two of W8A8;
- floors of graph replay: 5.1 us (BF16) and 12.7 us (W8A8) at 1 x 256 x 256; attention 37-60 us, so 37 and 48.5 us at the
  smallest caches and 48.5 us for a prompt of 128 tokens;
- causal prefill at 1K, 2K, 4K, 8K tokens, head width 128: one sequence, 32 query and 8 key-value heads;
- decode attention: 32 query heads, 8 key-value heads at 1.0 TB/s and 32 at 1.14 TB/s, caches of 0.5 GB and more;
- DeepSeek-V3's experts at EP 8, 128 tokens, as given.

Two rows come from other authors' published tables: a copy of 128 MiB at 1,447 GB/s on a 910B2 (GroundUpScale, median
185.56 us, eager), and an all-reduce of 15.25 MB among eight 910B: 743 us for it after a product of 5416 x 1408 x 6144 in FP16
(PTO-ISA's gemm_ar, in sequence), less 337 us that the fitted products give that one.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent
OUT = ROOT / "src" / "windtunnel" / "cost" / "data" / "ascend-910b2.toml"
SOURCE = (
    "published summary of the operator sweep in hudingyi688/aiconfigurator-npu@90d7765: vLLM-Ascend 0.18, CANN 8.5, graph replay"
)


def main() -> None:
    OUT.unlink(missing_ok=True)  # else the fit would be drawn towards what it said last time
    from windtunnel.fit.fitting import fit

    report = fit(ROOT / "tools" / "ascend_summary.csv", chip="ascend-910b2")
    lines = report.toml["ascend-910b2"].splitlines()
    told = f'source = "{SOURCE}; a copy (GroundUpScale) and an all-reduce (PTO-ISA); {report.used} points"'
    OUT.write_text("\n".join(told if line.startswith("source = ") else line for line in lines) + "\n")
    for f in report.families:
        held = "-" if f.held_out is None else f"{f.held_out:.1f} %"
        print(f"{f.family}: {f.points} points, error {f.before:.1f} -> {f.after:.1f} %, held out {held}")


if __name__ == "__main__":
    main()
