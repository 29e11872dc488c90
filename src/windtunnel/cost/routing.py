"""How uneven routing loads experts: how many are touched, and how much more than the mean the hottest rank gets."""

from __future__ import annotations

from typing import Any

from windtunnel.cost.formulas import PLAIN, Numbers


def touched_experts(xp: Numbers, tokens: Any, topk: Any, experts: Any, evenness: float) -> Any:
    """Experts that get at least one of tokens * topk copies.

    evenness 1 is independent even routing; below it, popularity is spread as a power law whose exponent is near
    one (loads log-uniform over [1, 0.8 tokens]), which is how the published operator sweeps draw it, and the two
    are mixed. Never more than there are copies, nor fewer than one token reaches.
    **Source:** aiconfigurator-core 0.12.0, MoE tables with distribution power_law_1.01; expectation derived here.
    """
    even = experts * (1.0 - (1.0 - xp.minimum(topk / experts, 0.999999)) ** tokens)
    spread = xp.maximum(0.8 * tokens, 1.5)
    span = xp.log(spread)
    unit = tokens * topk / experts * span / (spread - 1.0)
    # mean over experts of the chance of at least one copy, loads being unit * spread ** u with u even over [0, 1]
    missed = sum(xp.exp(-unit * spread**u) for u in (0.1, 0.3, 0.5, 0.7, 0.9)) / 5.0
    mixed = evenness * even + (1.0 - evenness) * experts * (1.0 - missed)
    return xp.minimum(xp.maximum(mixed, xp.minimum(topk, tokens * topk)), xp.maximum(tokens * topk, 1e-9))


def hottest_rank(xp: Numbers, tokens: Any, experts: Any, ranks: Any) -> Any:
    """The expected load of the fullest of ``ranks`` expert groups over the mean, under the power law above.

    Loads of experts are log-uniform; a group sums experts / ranks of them, and the largest of ``ranks`` normal
    sums lies sqrt(2 ln ranks) deviations out.
    """
    span = xp.log(xp.maximum(0.8 * tokens, 2.0))
    deviation = xp.sqrt(xp.maximum(span / 2.0 - 1.0, 0.05) * ranks / experts)
    return xp.minimum(1.0 + deviation * xp.sqrt(2.0 * xp.log(xp.maximum(ranks, 1.0000001))), ranks)


__all__ = ["PLAIN", "hottest_rank", "touched_experts"]
