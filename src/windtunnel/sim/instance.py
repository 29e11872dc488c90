"""A deployment resolved: model, chip, links, precision and engine, ready to be asked what a step takes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from windtunnel.catalog import Chip, EngineTraits, chip, engine, engines_for, system
from windtunnel.catalog.model import ModelSpec
from windtunnel.catalog.models import model
from windtunnel.cost.evidence import Evidence
from windtunnel.cost.links import Links
from windtunnel.cost.model import CostModel, OpCost
from windtunnel.errors import InvalidInputError, ParallelismError, UnsupportedError
from windtunnel.sim.behaviour import Behaviour, behaviour
from windtunnel.sim.prediction import Deployment, OperatorRow
from windtunnel.workload import llm
from windtunnel.workload.llm import ParallelPlan, PrecisionPlan, StepTokens, Workload
from windtunnel.workload.ops import Op

_DEVICES = {"ascend-910c": "ascend-910c-die", "atlas-300i-duo": "ascend-310p"}
"""Chips that show as several devices, each with a record of its own: operators run on one device, not across them."""


@dataclass(frozen=True, slots=True)
class StepTime:
    """One engine step: seconds of its operators on one rank, of them in collectives, and how far to trust them.

    priced: the operators and what one launch of each costs, so that a table of them need not price them again.
    """

    seconds: float
    link_s: float
    evidence: Evidence
    spread: float
    priced: Sequence[tuple[Op, OpCost]] = ()


class Instance:
    """What a deployment comes down to; equal deployments share one (see ``instance``)."""

    def __init__(self, deployment: Deployment, own: Mapping[str, Any] | None = None) -> None:
        self.deployment = deployment
        self.own = own  # kept, so that no other mapping gets its identity while this instance is kept
        self.spec: ModelSpec = model(deployment.model)
        self.chip: Chip = chip(deployment.chip)
        device, plan = _on_devices(self.spec, self.chip, deployment)
        self.device, self.parallel, self.devices_per_chip = device, plan, plan.chips // deployment.chips
        self.engine = deployment.engine or _default_engine(self.chip)
        self.traits: EngineTraits = engine(self.engine).traits_at(deployment.engine_version, device)
        self.behaviour: Behaviour = behaviour(engine(self.engine).id, deployment.engine_version)
        self.precision: PrecisionPlan = _precision(self.spec, deployment, device, self.engine)
        self.costs = CostModel(device, _links(device, deployment), own)
        for dtype in dict.fromkeys((self.precision.attention, self.precision.dense, self.precision.experts, self.precision.head)):
            self.costs.machine(self.costs.running(dtype))
        self.workload = Workload(self.spec, plan, self.precision)
        self.weights = llm.weights_bytes(self.spec, plan, self.precision)
        self.capacity = device.value("memory_bytes")

    @property
    def mixture_layers(self) -> int:
        """Layers with routed experts, over all stages."""
        return sum(layer.count for layer in self.spec.layers if layer.ffn is not None and layer.ffn.experts)

    @property
    def latent_layers(self) -> int:
        """Layers with latent attention, over all stages."""
        return sum(layer.count for layer in self.spec.layers if layer.attention is not None and layer.attention.kind == "mla")

    @property
    def stages(self) -> int:
        return self.parallel.pp

    def kv_bytes(self, context: float) -> float:
        """Cache of one sequence on one rank."""
        return llm.kv_bytes(self.spec, self.parallel, self.precision, context)

    def activations(self, tokens: float) -> float:
        """The most that a step of ``tokens`` needs beside weights and cache, on one rank."""
        return llm.activation_bytes(self.spec, self.parallel, self.precision, tokens)

    def step(self, tokens: StepTokens) -> StepTime:
        """The operators of one step, on one rank of the fullest stage."""
        total = link = weighted = 0.0
        weakest = Evidence.MEASURED
        price = self.costs.cost
        priced = [(op, price(op)) for op in self.workload.step(tokens)]
        for op, cost in priced:
            time = cost.time_s * op.count
            total += time
            weighted += time * cost.spread
            if cost.bound == "link":
                link += time
            if cost.evidence < weakest and time > 0:
                weakest = cost.evidence
        return StepTime(total, link, weakest, weighted / total if total else 0.0, priced)


def rows(phase: str, step: StepTime) -> list[OperatorRow]:
    """The per-operator table of one step: sums over ``count`` launches on one rank."""
    return [
        OperatorRow(
            phase, op.name, op.family, op.count, cost.time_s * op.count, op.flops * op.count, op.bytes * op.count,
            cost.bound, cost.evidence,
        )
        for op, cost in step.priced
        if cost.time_s > 0
    ]  # fmt: skip


def _on_devices(spec: ModelSpec, package: Chip, deployment: Deployment) -> tuple[Chip, ParallelPlan]:
    """The chip on which operators run and the degrees counted in it: a package of several devices counts more ranks.

    Tensor parallelism goes over a package's devices where the heads divide, else data parallelism does. With latent
    attention and data-parallel groups it is always the groups that double: a cut latent would be kept twice.
    """
    if package.id not in _DEVICES or package.devices < 2:
        return package, llm.parallel_plan(spec, deployment)
    n = package.devices
    device = chip(_DEVICES[package.id])
    # experts that are whole on a package, or cut so many ways, stay so: then there are more groups of them
    experts = deployment.moe_ep * n if deployment.moe_tp or deployment.moe_ep > 1 else deployment.moe_ep
    spread = replace(deployment, dp=deployment.dp * n, moe_ep=experts)
    latent = any(layer.attention is not None and layer.attention.kind == "mla" for layer in spec.layers)
    if latent and deployment.dp > 1:
        return device, llm.parallel_plan(spec, spread)
    wider = replace(deployment, tp=deployment.tp * n, moe_ep=experts)
    try:
        return device, llm.parallel_plan(spec, wider)
    except ParallelismError:
        return device, llm.parallel_plan(spec, spread)


def _default_engine(of: Chip) -> str:
    """The first engine that serves the chip. Raises UnsupportedError where none is known."""
    served = engines_for(of)
    if not served:
        raise UnsupportedError(f"no serving engine is known for {of.id}; name one with engine")
    return served[0].id


def _precision(spec: ModelSpec, deployment: Deployment, device: Chip, engine_id: str) -> PrecisionPlan:
    """Types of the parts. Where nothing says what the cache is, it is FP8 beside narrow weights on TensorRT-LLM and on
    chips with FP4 units, whose deployments are set up so; the serving measurements bear it out, and bf16 on H100 and H200.
    """
    asked = deployment.precision
    kv = deployment.kv_precision
    narrow = asked in ("fp8", "fp4") or (not asked and spec.precision_of("experts") in ("fp8", "fp4"))
    usual = engine_id == "trtllm" or "fp4" in device.dtypes
    if not kv and usual and narrow and "fp8" in device.dtypes:
        kv = "fp8"
    return llm.precision_plan(spec, asked, kv)


def _links(device: Chip, deployment: Deployment) -> Links:
    if not deployment.system:
        return Links.of(device)
    whole = system(deployment.system)
    of = whole.its_chip()
    if of.id not in (device.id, device.part_of):
        raise InvalidInputError("system", f"{whole.id} is built of {of.id}, not of {device.part_of or device.id}")
    return Links.of(device, whole, of.devices if of.id != device.id else 1)


_KEPT: OrderedDict[tuple[Deployment, int], Instance] = OrderedDict()
_MOST_KEPT = 512


def instance(deployment: Deployment, own: Mapping[str, Any] | None = None) -> Instance:
    """The resolved deployment; recent ones are kept, so that a second prediction is warm. own: see CostModel."""
    key = (deployment, id(own) if own is not None else 0)
    found = _KEPT.get(key)
    if found is None:
        found = _KEPT[key] = Instance(deployment, own)
        if len(_KEPT) > _MOST_KEPT:
            _KEPT.popitem(last=False)
    else:
        _KEPT.move_to_end(key)
    return found
