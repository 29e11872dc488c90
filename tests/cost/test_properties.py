"""What holds of every operator on every chip: nothing beats the roofline, more of anything is never the wrong way."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cost.made import (
    COMPUTE,
    FITTED,
    LINK,
    MEMORY,
    OTHERS,
    computing,
    decodes,
    explains,
    gemms,
    latents,
    mixtures,
    passes,
    prompts,
    scaled,
    sent,
    states,
)
from windtunnel.catalog import chip
from windtunnel.cost.model import CostModel
from windtunnel.errors import WindtunnelError
from windtunnel.workload.ops import Collective, Gemm, MoE, Op, weight_bytes

ROUNDING = 1e-9
names = st.sampled_from(FITTED + OTHERS)
more = st.sampled_from([1.01, 1.5, 4.0, 100.0])


@cache
def costs(name: str, prefixes: tuple[str, ...] = (), factor: float = 1.0) -> CostModel:
    return CostModel(scaled(name, prefixes, factor) if prefixes else chip(name))


def time(of: CostModel, op: Op, warm: bool = False) -> float | None:
    """Seconds, or None where the chip cannot do it."""
    try:
        return of.cost(op, warm=warm).time_s
    except WindtunnelError as refused:
        assert explains(refused, of.chip)  # noqa: PT017
        return None


def never_slower(name: str, op: Op, prefixes: tuple[str, ...], factor: float, warm: bool = False) -> None:
    before, after = time(costs(name), op, warm), time(costs(name, prefixes, factor), op, warm)
    assert (before is None) == (after is None)
    if before is not None and after is not None:
        assert after <= before * (1 + ROUNDING)


@given(names, computing, more, st.booleans())
def test_more_bandwidth_is_never_slower(name: str, op: Op, factor: float, warm: bool) -> None:
    never_slower(name, op, MEMORY, factor, warm)


@given(names, computing, more, st.booleans())
def test_more_compute_is_never_slower(name: str, op: Op, factor: float, warm: bool) -> None:
    never_slower(name, op, COMPUTE, factor, warm)


@given(names, computing, more, st.booleans())
def test_more_cache_is_never_slower(name: str, op: Op, factor: float, warm: bool) -> None:
    never_slower(name, op, ("l2_bytes",), factor, warm)


@given(names, sent, st.sampled_from([1.0, 2.0, 9.0]), more)
def test_more_link_is_never_slower(name: str, op: Collective, servers: float, factor: float) -> None:
    never_slower(name, replace(op, ranks=op.ranks * servers), LINK, factor)


@given(names, computing)
def test_nothing_beats_the_roofline(name: str, op: Op) -> None:
    model = costs(name)
    found = time(model, op)
    if found is None or isinstance(op, Collective):
        return
    dtype = model.running(op.dtype) if isinstance(op, Gemm | MoE) else model.wide
    machine = model.machine(dtype)
    moved = op.bytes
    if isinstance(op, MoE):
        # uneven routing may touch fewer experts than even routing, but no fewer than one token is sent to
        reached = min(op.topk, op.tokens * op.topk) / op.ep
        moved = min(reached, op.local_experts) * op.matrices * op.hidden * op.intermediate / op.tp * weight_bytes(dtype)
    assert found >= max(op.flops / machine.flops_per_s, moved / machine.bytes_per_s) * (1 - ROUNDING)


@given(names, sent)
def test_no_collective_beats_its_link(name: str, op: Collective) -> None:
    model = costs(name)
    found = time(model, op)
    if found is not None and not model.links.across(op.ranks):
        factor = {"all_reduce": 2.0, "p2p": op.ranks / (op.ranks - 1.0)}.get(op.kind, 1.0) * (op.ranks - 1.0) / op.ranks
        speed = model.links.pair_bytes_per_s if op.kind == "p2p" else model.links.among(op.ranks)
        assert found >= factor * op.bytes / speed * (1 - ROUNDING)


@given(names, st.one_of(computing, sent))
def test_times_are_finite_and_positive(name: str, op: Op) -> None:
    found = time(costs(name), op)
    assert found is None or 0.0 < found < math.inf


GROWS: dict[str, tuple[st.SearchStrategy[Op], tuple[str, ...]]] = {
    "gemm": (gemms, ("m", "n", "batch")),
    "elementwise": (passes, ("bytes",)),
    "moe": (mixtures, ("tokens", "hidden")),
    "decode": (decodes, ("batch", "kv_len", "q_heads")),
    "mla_decode": (latents, ("batch", "kv_len", "q_heads")),
    "prefill": (prompts, ("batch", "kv_len", "q_heads")),
    "linear": (states, ("tokens", "v_heads")),
    "collective": (sent, ("bytes",)),
}


@pytest.mark.parametrize("family", GROWS)
@given(data=st.data(), name=names, factor=st.sampled_from([1.001, 1.1, 2.0, 8.0]))
def test_more_work_is_never_faster(family: str, data: st.DataObject, name: str, factor: float) -> None:
    """Every term of every formula grows with these, so that the tolerance is that of floating point alone."""
    ops, fields = GROWS[family]
    op = data.draw(ops)
    field = data.draw(st.sampled_from(fields))
    before, after = time(costs(name), op), time(costs(name), replace(op, **{field: getattr(op, field) * factor}))
    if before is not None and after is not None:
        assert after >= before * (1 - ROUNDING)


@given(names, gemms, st.sampled_from([2.0, 8.0]))
def test_a_deeper_product_is_hardly_ever_faster(name: str, op: Gemm, factor: float) -> None:
    """Depth fills the matrix unit's pipeline, and pays for it: (k + fill) grows with k. Only rounding is left."""
    before, after = time(costs(name), op), time(costs(name), replace(op, k=op.k * factor))
    if before is not None and after is not None:
        assert after >= before * (1 - ROUNDING)


@given(names, mixtures)
def test_experts_on_more_ranks_are_no_slower_on_each(name: str, op: MoE) -> None:
    """Even where the fullest rank gets more than its share, it gets no more than when it was alone."""
    alone, shared = time(costs(name), replace(op, ep=1.0)), time(costs(name), replace(op, ep=8.0))
    if alone is not None and shared is not None:
        assert shared <= alone * (1 + ROUNDING)
