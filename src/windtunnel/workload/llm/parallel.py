"""How a model is cut over chips, checked against what it is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from windtunnel.catalog.model import AttentionSpec, FfnSpec, Layer, ModelSpec
from windtunnel.errors import ParallelismError

MOST_CHIPS = 1 << 20
"""Degrees beyond this are typing errors, not machines."""


class Degrees(Protocol):
    """What says how a model is to be cut: a Deployment, or anything with its degrees (0: to be chosen)."""

    @property
    def tp(self) -> int: ...
    @property
    def pp(self) -> int: ...
    @property
    def dp(self) -> int: ...
    @property
    def moe_tp(self) -> int: ...
    @property
    def moe_ep(self) -> int: ...


@dataclass(frozen=True, slots=True)
class ParallelPlan:
    """Attention is cut tp ways, layers pp ways, dp groups share the requests, and the experts of one stage
    live on the same tp * dp chips: moe_ep groups of experts, each expert cut moe_tp ways.

    For a model without experts moe_tp and moe_ep are 1 and mean nothing.
    """

    tp: int = 1
    pp: int = 1
    dp: int = 1
    moe_tp: int = 1
    moe_ep: int = 1

    @property
    def stage_chips(self) -> int:
        """Chips that one pipeline stage runs on."""
        return self.tp * self.dp

    @property
    def chips(self) -> int:
        return self.tp * self.pp * self.dp


def parallel_plan(spec: ModelSpec, deployment: Degrees) -> ParallelPlan:
    """The deployment's parallelism, with the experts' share filled in where it was left 0.

    One data-parallel group cuts experts as it cuts attention (moe_tp = tp); several spread whole experts as
    far as their number divides. Raises ParallelismError, naming the field and the nearest value that would do.
    """
    for field in ("tp", "pp", "dp"):
        _check_degree(field, getattr(deployment, field), least=1)
    for field in ("moe_tp", "moe_ep"):
        _check_degree(field, getattr(deployment, field), least=0)
    tp, pp, dp = deployment.tp, deployment.pp, deployment.dp
    _check_tp(spec, tp)
    if pp > spec.n_layers:
        most = spec.n_layers
        raise ParallelismError("pp", f"{pp} stages for {most} layers of {spec.id}; nearest that would do: {most}")
    mixtures = {layer.ffn for layer in spec.layers if layer.ffn is not None and layer.ffn.experts}
    if not mixtures:
        return ParallelPlan(tp, pp, dp)
    moe_tp, moe_ep = _expert_degrees(mixtures, tp, dp, deployment.moe_tp, deployment.moe_ep)
    _check_experts(mixtures, tp * dp, moe_tp, moe_ep)
    return ParallelPlan(tp, pp, dp, moe_tp, moe_ep)


def _check_degree(field: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ParallelismError(field, f"{value!r} is not a whole number; nearest that would do: {max(least, 1)}")
    if not least <= value <= MOST_CHIPS:
        raise ParallelismError(field, f"{value} is not between {least} and {MOST_CHIPS}; nearest that would do: {max(least, 1)}")


def _check_tp(spec: ModelSpec, tp: int) -> None:
    """Heads and dense widths must be whole on every rank; key-value heads may be copied instead of cut."""
    for layer in spec.layers:
        if layer.attention is not None and not _heads_allow(layer.attention, tp):
            raise _indivisible("tp", tp, _heads_told(layer.attention), lambda n: _tp_allowed(spec, n))
    for layer in spec.layers:
        if layer.ffn is not None and not _dense_allows(layer.ffn, tp):
            width = layer.ffn.shared_intermediate if layer.ffn.experts else layer.ffn.intermediate
            raise _indivisible("tp", tp, f"feed-forward width {width}", lambda n: _tp_allowed(spec, n))


def _heads_allow(attention: AttentionSpec, tp: int) -> bool:
    if attention.q_heads % tp or (attention.o_lora_rank and attention.o_groups % tp):
        return False
    if attention.kind == "mla":
        return True
    kv = attention.kv_heads
    return kv % tp == 0 or (tp % kv == 0 and attention.kind == "gqa")


def _heads_told(attention: AttentionSpec) -> str:
    if attention.kind == "mla":
        return f"{attention.q_heads} heads"
    if attention.o_lora_rank:
        return f"{attention.q_heads} query heads in {attention.o_groups} output groups"
    return f"{attention.q_heads} query and {attention.kv_heads} key-value heads"


def _dense_allows(ffn: FfnSpec, tp: int) -> bool:
    return (ffn.shared_intermediate if ffn.experts else ffn.intermediate) % tp == 0


def _tp_allowed(spec: ModelSpec, tp: int) -> bool:
    return all(
        (layer.attention is None or _heads_allow(layer.attention, tp)) and (layer.ffn is None or _dense_allows(layer.ffn, tp))
        for layer in spec.layers
    )


def _indivisible(field: str, value: int, what: str, allowed: Callable[[int], bool]) -> ParallelismError:
    """The error of a degree that does not divide, with the nearest that does (1 always does)."""
    below = next((n for n in range(min(value, 4096) - 1, 0, -1) if allowed(n)), 1)
    above = next((n for n in range(value + 1, 2 * value - below + 1) if allowed(n)), 0) if value <= 4096 else 0
    best = above if above and above - value < value - below else below
    return ParallelismError(field, f"{value} does not divide {what}; nearest that would do: {best}")


def _expert_degrees(mixtures: Collection[FfnSpec], tp: int, dp: int, moe_tp: int, moe_ep: int) -> tuple[int, int]:
    """moe_tp and moe_ep, whose product is tp * dp; a degree of 0 is chosen."""
    chips = tp * dp
    if moe_tp and moe_ep:
        if moe_tp * moe_ep != chips:
            near = chips // math.gcd(chips, moe_tp)
            hint = f"moe_tp {chips // near} x moe_ep {near}"
            asked = f"moe_tp {moe_tp} x moe_ep {moe_ep} is not tp x dp = {chips}"
            raise ParallelismError("moe_ep", f"{asked}; nearest that would do: {hint}")
        return moe_tp, moe_ep
    if moe_tp or moe_ep:
        given, field = (moe_tp, "moe_tp") if moe_tp else (moe_ep, "moe_ep")
        if chips % given:
            raise _indivisible(field, given, f"tp x dp = {chips}", lambda n: chips % n == 0)
        return (given, chips // given) if moe_tp else (chips // given, given)
    fits = _splits(mixtures, chips)
    if not fits:
        return (chips, 1) if dp == 1 else (1, chips)
    return fits[0] if dp == 1 else fits[-1]


def _splits(mixtures: Collection[FfnSpec], chips: int) -> list[tuple[int, int]]:
    """All (moe_tp, moe_ep) that chips can take, the most cut experts first."""
    experts = math.gcd(*(ffn.experts for ffn in mixtures))
    width = math.gcd(*(ffn.intermediate for ffn in mixtures))
    return [(chips // n, n) for n in _divisors(chips) if experts % n == 0 and width % (chips // n) == 0]


def _divisors(n: int) -> list[int]:
    small = [i for i in range(1, math.isqrt(n) + 1) if n % i == 0]
    return small + [n // i for i in reversed(small) if i * i != n]


def _check_experts(mixtures: Collection[FfnSpec], chips: int, moe_tp: int, moe_ep: int) -> None:
    for ffn in mixtures:
        if ffn.experts % moe_ep:
            field, what = "moe_ep", f"{moe_ep} does not divide {ffn.experts} experts"
        elif ffn.intermediate % moe_tp:
            field, what = "moe_tp", f"{moe_tp} does not divide expert width {ffn.intermediate}"
        else:
            continue
        fits = _splits(mixtures, chips)
        if fits:
            best_tp, best_ep = min(fits, key=lambda split: abs(split[1] - moe_ep))
            raise ParallelismError(field, f"{what}; nearest that would do: moe_tp {best_tp} x moe_ep {best_ep}")
        distance = next(d for d in range(1, chips + 1) if _splits(mixtures, chips - d) or _splits(mixtures, chips + d))
        best = chips - distance if _splits(mixtures, chips - distance) else chips + distance
        raise ParallelismError(field, f"{what}, nor does any split of {chips} chips; nearest that would do: {best} chips")


def stage_layers(spec: ModelSpec, pp: int) -> list[tuple[float, Layer]]:
    """How many layers of each kind the fullest pipeline stage holds.

    Kinds alternate, so a stage has each in the model's proportion - but for a few dense layers before the
    mixtures (at most one in eight), which another stage takes.
    """
    total = spec.n_layers
    if pp == 1:
        return [(float(layer.count), layer) for layer in spec.layers]
    held = math.ceil(total / pp)
    mixtures = sum(layer.count for layer in spec.layers if layer.ffn is not None and layer.ffn.experts)
    others = total - mixtures
    if 0 < others <= total / 8:
        of_mixtures = min(held, mixtures)
        share = {True: of_mixtures / mixtures, False: (held - of_mixtures) / others}
        kinds = [(layer.count * share[layer.ffn is not None and layer.ffn.experts > 0], layer) for layer in spec.layers]
        return [(count, layer) for count, layer in kinds if count]
    return [(layer.count * held / total, layer) for layer in spec.layers]


def draft_layer(spec: ModelSpec) -> Layer:
    """The layer that multi-token prediction repeats: one of the model's own, with a cache and with experts where it has any.

    **Source:** DeepSeek-V3 (arXiv 2412.19437, section 2.2); Qwen3-Next's and GLM-4.5's checkpoints do the same.
    """

    def fitness(layer: Layer) -> tuple[bool, bool, bool, int]:
        caches = layer.attention is not None and layer.attention.kind != "linear"
        return (
            layer.attention is not None and layer.ffn is not None,
            caches,
            layer.ffn is not None and layer.ffn.experts > 0,
            layer.count,
        )

    best = max(spec.layers, key=fitness)
    return Layer(1, best.attention, best.ffn)
