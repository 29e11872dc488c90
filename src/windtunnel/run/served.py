"""What a serving engine would launch for the tokens of a program's forwards, beside what the program's own code does.

Engines absorb latent attention's up-projections in decode and page the cache, group the experts' products, fuse norms, residuals
and rotary embeddings, and project only the tokens that are sampled from; the Python code of a model spells all of that out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from windtunnel.catalog import engines_for
from windtunnel.catalog.model import ModelSpec
from windtunnel.catalog.model_config import spec_from_config
from windtunnel.cost.evidence import Evidence
from windtunnel.cost.host import Launching, host_cost
from windtunnel.errors import UnsupportedError, WindtunnelError
from windtunnel.run.forwards import ATTENTION, EXPERTS, FEED_FORWARD, HEAD, NORMS, REST, Forward, Forwards, Model
from windtunnel.run.machine import Machine
from windtunnel.run.record import Launch, Served, ServedPart
from windtunnel.workload.llm import ParallelPlan, PrecisionPlan, StepTokens, Workload, precision_plan

HOST = "waiting for the host"
PARTS = (ATTENTION, EXPERTS, FEED_FORWARD, NORMS, HEAD, REST, HOST)
_FUSED = frozenset({"norm", "final_norm", "latent_norm", "rope_kv"})
_ROTARY = ("rotary", "rotate")
"""Words in the names of functions that rotate queries and keys, which models call within their attention."""

Phase = Literal["prefill", "decode"]


@dataclass(frozen=True, slots=True)
class _Step:
    """A forward as an engine sees it."""

    forward: Forward
    phase: Phase
    tokens: int
    context: int


@dataclass(frozen=True, slots=True)
class _Priced:
    """An engine's forward: seconds by part, operators launched, weakest evidence."""

    parts: dict[str, float]
    launches: float
    evidence: Evidence

    @property
    def seconds(self) -> float:
        return sum(self.parts.values())


def served_of(forwards: Forwards) -> tuple[tuple[Served, ...], tuple[str, ...]]:
    """Every kind of forward that ran, in the order of their first, each beside the engine's; and what is to be noted."""
    machine = forwards.machine
    notes = [f"served: {problem}" for problem in forwards.problems]
    kinds: defaultdict[tuple[Model, Phase, int, int, bool], list[_Step]] = defaultdict(list)
    steps = list(_steps(forwards.seen))
    for step in steps:
        if not machine.dropped or step.forward.end.launches < len(machine.launches):
            kinds[step.forward.model, step.phase, step.forward.sequences, step.tokens, step.context > 0].append(step)
    engines: dict[Model, _Engine] = {}
    for model in dict.fromkeys(key[0] for key in kinds):
        try:
            engines[model] = _Engine(machine, model)
        except WindtunnelError as problem:
            notes.append(f"served: {model.name}: not known: {problem}")
        else:
            notes += [f"served: {model.name}: {note}" for note in engines[model].notes]
    if any(step.tokens < step.forward.tokens for step in steps):
        notes.append(
            "served: the program keeps no cache and computes the whole sequence anew for every token; an engine decodes the token"
        )
    found = []
    for (model, phase, _, _, _), group in kinds.items():
        if model in engines:
            try:
                found.append(_compared(machine, engines[model], phase, group))
            except WindtunnelError as problem:
                notes.append(f"served: {model.name}: not known: {problem}")
    if not forwards.seen and not forwards.problems:
        notes.append("served: not known: the program called no causal language model of transformers")
    return tuple(found), (*dict.fromkeys(notes), *(_told(machine) if found else ()))


def _steps(forwards: Iterable[Forward]) -> Iterable[_Step]:
    """Prefill, or decode: one token behind a cache, or one more than the call before where the program keeps no cache."""
    before: dict[Model, Forward] = {}
    for forward in forwards:
        last = before.get(forward.model)
        before[forward.model] = forward
        again = not forward.cached and last is not None and not last.cached and last.sequences == forward.sequences
        if again and last is not None and forward.tokens == last.tokens + 1:
            yield _Step(forward, "decode", 1, last.tokens)
        elif forward.tokens == 1 and forward.context:
            yield _Step(forward, "decode", 1, forward.context)
        else:
            yield _Step(forward, "prefill", forward.tokens, forward.context)


def _compared(machine: Machine, engine: _Engine, phase: Phase, group: Sequence[_Step]) -> Served:
    first = group[0]
    context, sequences = fmean(step.context for step in group), first.forward.sequences
    priced = engine.step(phase, sequences, first.tokens, context)
    written = _written(machine, [step.forward for step in group])
    return Served(
        model=engine.model.name,
        phase=phase,
        sequences=sequences,
        tokens=first.tokens,
        context=context,
        forwards=len(group),
        written_s=fmean(step.forward.end.at_s - step.forward.start.at_s for step in group),
        served_s=priced.seconds,
        written_launches=fmean(step.forward.end.launches - step.forward.start.launches for step in group),
        served_launches=priced.launches,
        precision=engine.runs_in,
        evidence=priced.evidence,
        parts=tuple(
            ServedPart(name, written.get(name, 0.0), priced.parts.get(name, 0.0))
            for name in PARTS
            if written.get(name) or priced.parts.get(name)
        ),
    )


def _written(machine: Machine, forwards: Sequence[Forward]) -> dict[str, float]:
    """Seconds of one forward as the program wrote it, by part; what no launch takes is the host's."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for forward in forwards:
        busy = 0.0
        for launch in machine.launches[forward.start.launches : forward.end.launches]:
            seconds[_part(forward.model, launch)] += launch.seconds
            busy += launch.seconds
        seconds[HOST] += max(forward.end.at_s - forward.start.at_s - busy, 0.0)
    return {name: total / len(forwards) for name, total in seconds.items()}


def _part(model: Model, launch: Launch) -> str:
    part = model.part(launch.module)
    within = launch.site.function.lower() if launch.site is not None else ""
    return NORMS if part == ATTENTION and any(word in within for word in _ROTARY) else part


class _Engine:
    """One model as an engine runs it on the machine's chip, alone. Raises WindtunnelError where that cannot be told."""

    def __init__(self, machine: Machine, model: Model) -> None:
        self.model, self.costs = model, machine.pricing.costs
        spec = _spec(model)
        plan = self._precision(spec)
        self.notes = (*spec.notes, *([_LOADED] if model.dtype == "fp32" else []))
        self.runs_in = ", ".join(dict.fromkeys(self.costs.running(t) for t in (plan.dense, plan.attention, plan.experts)))
        self.workload = Workload(spec, ParallelPlan(), plan)
        self.host = {phase: host_cost(machine.chip.device, _launching(machine, phase)) for phase in ("prefill", "decode")}

    def _precision(self, spec: ModelSpec) -> PrecisionPlan:
        if self.model.quantised:
            return precision_plan(spec)
        if self.model.dtype in ("bf16", "fp16"):
            return precision_plan(spec, self.model.dtype)
        if self.model.dtype == "fp32":
            return precision_plan(spec, "bf16")
        raise UnsupportedError(f"engines do not run parameters in {self.model.dtype or 'no type'}")

    def step(self, phase: Phase, sequences: int, tokens: int, context: float) -> _Priced:
        """One forward, sampling left out since the model's own code leaves it out."""
        new = float(sequences * tokens)
        if phase == "decode":
            step = StepTokens(decode_batch=new, decode_context=context + 1.0)
        else:
            step = StepTokens(prefill_tokens=new, prefill_context=context, prefill_sequences=float(sequences))
        parts: defaultdict[str, float] = defaultdict(float)
        launches, evidence = 0.0, Evidence.MEASURED
        for op in self.workload.step(step):
            cost = self.costs.cost(op)
            if op.name == "sampling" or cost.time_s <= 0:
                continue
            parts[_part_of(op.name)] += cost.time_s * op.count
            launches += op.count
            evidence = min(evidence, cost.evidence)
        host = self.host[phase]
        parts[HOST] = max(host.step_s + launches * host.call_s - sum(parts.values()), 0.0)
        return _Priced(dict(parts), launches, evidence)


_LOADED = "its parameters are fp32, which engines load as 16 bit"


def _spec(model: Model) -> ModelSpec:
    """The model by its configuration, whose quantisation counts only where the program loaded it quantised."""
    config = dict(model.config)
    if not model.quantised:
        for name, value in model.config.items():
            if isinstance(value, dict):
                config[name] = {k: v for k, v in value.items() if k != "quantization_config"}
        config.pop("quantization_config", None)
    return spec_from_config(config, id=model.name, source="the program's own configuration")


def _part_of(op: str) -> str:
    """The part of the model that an engine's operator belongs to."""
    if op in _FUSED:
        return NORMS
    if op.startswith(("router", "expert")):
        return EXPERTS
    if op.startswith(("ffn", "shared")):
        return FEED_FORWARD
    return {"embedding": REST, "lm_head": HEAD}.get(op, ATTENTION)


def _launching(machine: Machine, phase: str) -> Launching:
    """How the chip's first engine launches: decode replayed from a graph where it captures any, all else one by one."""
    engines = engines_for(machine.chip)
    graphs = not engines or engines[0].traits_at(chip=machine.chip).does("graphs")
    return "graph" if phase == "decode" and graphs else "eager"


def _told(machine: Machine) -> tuple[str, ...]:
    engines = engines_for(machine.chip)
    who = f"as {engines[0].id} launches them" if engines else "with no engine known for the chip"
    decode = "decode replayed from a graph" if _launching(machine, "decode") == "graph" else "decode too"
    return (
        f"served: one model on one chip, its operators {who}: prefill one by one, {decode}. Without sampling, and without the "
        "engine's own gaps between layers and steps, which windtunnel predict counts",
    )
