"""Failures of a long run: how often, what a checkpoint and a restart cost, and the share of time that is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass

HOUR = 3600.0
RESTART_S = 15.0 * 60.0
"""From a failure until the run goes on from its checkpoint: found, rescheduled, loaded, warm. **Source:** recalled, MegaScale
(arXiv 2402.15627): within 15 minutes on 12,288 chips."""
STALL_S = 30.0
"""What a checkpoint takes from a run where nobody said how fast storage is. An assumption: a copy to the host, written in the
background."""

CHIP_MTBF_H = {"h100-sxm": 54.0 * 24.0 * 16_384.0 / 419.0}
"""Chip-hours for each unexpected interruption. **Source:** Llama 3 (arXiv 2407.21783, section 3.3.4): 419 in 54 days on 16,384
H100."""
LOW, HIGH = 0.58, 1.62
"""Between clusters, the range that holds mean times in 80 % of cases, over the H100's. **Source:** recalled, Meta's two A100
clusters (arXiv 2410.21680): 6.50 and 2.34 failures in 1,000 node-days of eight chips, 29,500 and 82,100 chip-hours."""


@dataclass(frozen=True, slots=True)
class Failures:
    """Of one run. mtbf_s: of the whole cluster, with the range between clusters; expected: interruptions while it lasts;
    checkpoint_s: what one takes, every interval_s; restart_s; goodput: useful share of the time, and its range. source:
    where the rate is from; assumed: lines on what was not told."""

    mtbf_s: float
    mtbf_low_s: float
    mtbf_high_s: float
    checkpoint_s: float
    interval_s: float
    restart_s: float
    goodput: float
    goodput_low: float
    goodput_high: float
    source: str
    assumed: tuple[str, ...] = ()

    def expected(self, wall_s: float) -> float:
        return wall_s / self.mtbf_s


def interval_s(checkpoint_s: float, mtbf_s: float) -> float:
    """Useful time between checkpoints that loses the least. **Source:** Daly 2006, equation 37 (higher-order estimate of the
    optimum checkpoint interval); beyond twice the mean time between failures it is that time."""
    if checkpoint_s >= 2.0 * mtbf_s:
        return mtbf_s
    ratio = math.sqrt(checkpoint_s / (2.0 * mtbf_s))
    return math.sqrt(2.0 * checkpoint_s * mtbf_s) * (1.0 + ratio / 3.0 + ratio * ratio / 9.0) - checkpoint_s


def goodput(mtbf_s: float, checkpoint_s: float, every_s: float, restart_s: float) -> float:
    """Useful share of the time when failures come at random (exponential) with mean ``mtbf_s``.

    Daly 2006, equation 20: a segment of ``every_s`` useful seconds and its checkpoint is repeated until it is through,
    each failure costing a restart that can fail as well.
    """
    segment = (every_s + checkpoint_s) / mtbf_s
    if segment > 500.0 or restart_s / mtbf_s > 500.0:
        return 0.0
    wall = mtbf_s * math.exp(restart_s / mtbf_s) * math.expm1(segment)
    return every_s / wall if wall > 0.0 else 1.0


def failures(
    chip: str, chips: int, states_bytes: float, *, mtbf_s: float = 0.0, storage_bytes_per_s: float = 0.0, restart_s: float = 0.0,
    every_s: float = 0.0,
) -> Failures:  # fmt: skip
    """Failures of a run on ``chips``.

    mtbf_s: of the cluster, as the user knows it; else from what is known of the chip, else of an H100. states_bytes: of a
    checkpoint; storage_bytes_per_s: at which all chips together write it. restart_s, every_s: 0 for the rule's own.
    """
    assumed: list[str] = []
    if mtbf_s:
        low = high = mtbf_s
        source = "as you said"
    else:
        known = CHIP_MTBF_H.get(chip)
        hours = known or CHIP_MTBF_H["h100-sxm"]
        mtbf_s = hours * HOUR / chips
        low, high = mtbf_s * LOW, mtbf_s * HIGH
        source = "419 interruptions in 54 days of 16,384 H100 (Llama 3, arXiv 2407.21783)"
        if known is None:
            low, high = low * LOW, high * HIGH
            source = f"not known of {chip}; as an H100: {source}"
            assumed.append(f"how often {chip} fails is not published: an H100's rate is taken; --mtbf says yours")
    if storage_bytes_per_s:
        checkpoint_s = states_bytes / storage_bytes_per_s
    else:
        checkpoint_s = STALL_S
        assumed.append(f"a checkpoint stops the run for {STALL_S:.0f} s (assumed); --checkpoint-gbps computes it")
    if not restart_s:
        restart_s = RESTART_S
        assumed.append("a restart takes 15 min (MegaScale, arXiv 2402.15627); --restart says yours")
    every = every_s or interval_s(checkpoint_s, mtbf_s)
    mean, least, most = (goodput(at, checkpoint_s, every, restart_s) for at in (mtbf_s, low, high))
    return Failures(mtbf_s, low, high, checkpoint_s, every, restart_s, mean, least, most, source, tuple(assumed))
