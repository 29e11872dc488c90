"""The times of a deployment at a load, as the closed loop needs them: decode by batch, prefill by prompt."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, replace

from windtunnel.errors import DoesNotFitError
from windtunnel.sim.instance import Instance, StepTime
from windtunnel.sim.loop import Service
from windtunnel.sim.prediction import Load
from windtunnel.units import GIBI
from windtunnel.workload.llm import StepTokens

CHUNK_TOKENS = 8192.0
"""Tokens that a prefill step takes in where the engine says nothing."""
MOST_MEMORY = 0.95
"""Share of device memory that an operator can give an engine when its default share is too little."""
OWN_STEPS = frozenset({"sglang"})
"""Engines whose prompts run in steps of their own, before they decode on; the others mix. SGLang could, but not by default."""


@dataclass(frozen=True, slots=True)
class Room:
    """Memory of one rank: the share that the engine takes, and how many sequences fit over the whole instance."""

    fraction: float
    slots: float
    activations: float
    raised: bool


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt's prefill on one data-parallel rank. alone: seconds of its own steps, and the operators of the first;
    shared: its part of a step that it fills together with ``together`` prompts; steps: how many chunks."""

    alone: StepTime
    shared_s: float
    together: float
    steps: int


@dataclass(frozen=True, slots=True)
class Held:
    """By how much prompts hold up those that decode, in seconds: each step that takes prompts in, and each of its prompts.
    own_s: a prompt's time from its start to its end, if it has its step to itself."""

    step_s: float
    prompt_s: float
    own_s: float


def room(of: Instance, load: Load) -> Room:
    """How much the KV cache gets. Raises DoesNotFitError when not even one sequence fits beside the weights."""
    chunk = min(of.traits.get("chunk_tokens", CHUNK_TOKENS), load.isl * max(load.concurrency, 1.0))
    activations = of.activations(chunk)
    # caches are paged and requests are at all stages of their output, so on average each holds half of it
    whole, each = of.kv_bytes(load.isl + load.osl), of.kv_bytes(load.isl + load.osl / 2.0)
    if of.traits.does("reserves_output"):
        each = whole
    default = min(of.traits.get("memory_fraction", 0.9), MOST_MEMORY)
    for share in (default, MOST_MEMORY):
        kept = of.weights + activations if of.traits.does("fraction_of_free") else 0.0
        fraction = (kept + (of.capacity - kept) * share) / of.capacity
        free = of.capacity * fraction - of.weights - activations
        if free >= whole:
            slots = free / each * of.parallel.dp if each else math.inf
            limit = of.traits.get("max_running", math.inf) * of.parallel.dp
            return Room(fraction, min(slots, limit), activations, share > default)
    need = of.weights + activations + whole
    raise DoesNotFitError(
        f"{of.deployment.model} needs {need / GIBI:.1f} GiB a device on {of.deployment.chips} x {of.chip.id} "
        f"(weights {of.weights / GIBI:.1f}, one sequence {whole / GIBI:.2f}, activations {activations / GIBI:.2f}); "
        f"it has {of.capacity / GIBI:.1f}: use more chips or fewer bits"
    )


def prompt(of: Instance, load: Load) -> Prompt:
    """Prefill of one prompt, in the engine's chunks; what a prefix cache holds is context, not work."""
    chunk = of.traits.get("chunk_tokens", CHUNK_TOKENS)
    held = load.isl * load.prefix_hit
    new = max(load.isl - held, 1.0)
    steps = max(math.ceil(new / chunk), 1)
    per = new / steps
    parts = [
        of.step(StepTokens(prefill_tokens=per, prefill_context=held + i * per, prefill_sequences=1.0)) for i in _sampled(steps)
    ]
    scale = steps / len(parts)
    alone = StepTime(
        sum(p.seconds for p in parts) * scale,
        sum(p.link_s for p in parts) * scale,
        min(p.evidence for p in parts),
        max(p.spread for p in parts),
        parts[0].priced,
    )
    together = max(math.floor(chunk / new), 1)
    shared = alone.seconds
    if together > 1:
        full = StepTokens(prefill_tokens=new * together, prefill_context=held, prefill_sequences=float(together))
        shared = of.step(full).seconds / together
    return Prompt(alone, shared, float(together), steps)


def _sampled(steps: int) -> list[float]:
    """Chunks that are priced: all of a few, else five evenly placed (time grows linearly with the context)."""
    return [float(i) for i in range(steps)] if steps <= 5 else [i * (steps - 1) / 4.0 for i in range(5)]


def decode_tokens(of: Instance, load: Load, running: float) -> StepTokens:
    """A decode step of ``running`` requests over all ranks, half-way through their outputs."""
    share = running / of.parallel.dp / of.stages
    drafted = 1.0 if load.mtp_accept > 0 else 0.0
    return StepTokens(
        decode_batch=max(share, 1.0 / of.parallel.dp), decode_context=load.isl + load.osl / 2.0, decode_q=1.0 + drafted
    )


def token_time(of: Instance, tokens: StepTokens, mtp_accept: float) -> tuple[StepTime, float]:
    """The operators of a decode step of ``tokens``, and the seconds from one token of a request to its next: all stages,
    host and gaps included, drafted tokens taken off."""
    b, stages = of.behaviour, of.stages
    host = (b.layer_us * of.spec.n_layers / stages + b.step_us) * 1e-6
    factor = (b.drafting if of.spec.mtp_layers and not mtp_accept else 1.0) / (1.0 + mtp_accept)
    step = of.step(tokens)
    return step, max(step.seconds + host, 0.2 * step.seconds) * stages * factor


def decode_time(of: Instance, load: Load, running: float) -> tuple[StepTime, float]:
    """The operators of a decode step of ``running`` requests over all ranks, and the seconds from one token of a
    request to its next (``token_time``)."""
    return token_time(of, decode_tokens(of, load, running), load.mtp_accept)


def _launch_s(of: Instance, prefill: Prompt) -> float:
    """Host time of a prompt's steps that no graph replays."""
    b = of.behaviour
    launched = b.host_us * of.mixture_layers + b.latent_us * of.latent_layers
    return (launched / of.stages * prefill.steps + b.prefill_step_us) * 1e-6


def prefill_times(of: Instance, prefill: Prompt, *, mixed: bool = True) -> tuple[float, float]:
    """Seconds by which one prompt of a full step holds up the whole instance, and seconds from its start to its end.

    mixed: requests decode beside it, between its steps or in them.
    """
    b, stages, dp = of.behaviour, of.stages, float(of.parallel.dp)
    launch = _launch_s(of, prefill)
    mix = b.mix if mixed else 1.0
    occupied = (prefill.shared_s * b.prefill * mix + launch / min(prefill.together, 2.0)) / dp
    return occupied, (prefill.alone.seconds * b.prefill + launch) * stages


def held_up(of: Instance, load: Load, prefill: Prompt, running: float, decoding: StepTime) -> Held:
    """What prompts take from ``running`` requests, whose operators without any are ``decoding``.

    Where they share steps, that is by how much a step becomes longer: its weights are read once for both, which saves as
    much with several prompts as with one, and a step of several takes less than as many steps of one. Of an engine that
    gives prompts steps of their own, a prompt's part of a full step is taken, as its measurements bear out: it has the
    next step launched while one decodes.
    """
    occupied, own = prefill_times(of, prefill)
    if of.engine in OWN_STEPS:
        return Held(0.0, occupied, own)
    b, dp, many, alone = of.behaviour, float(of.parallel.dp), prefill.together, prefill.alone.seconds
    tokens = decode_tokens(of, load, running)
    held = load.isl * load.prefix_hit
    per = max(load.isl - held, 1.0) / prefill.steps
    chunks = [
        replace(tokens, prefill_tokens=per, prefill_context=held + i * per, prefill_sequences=1.0)
        for i in _sampled(prefill.steps)
    ]  # fmt: skip
    longer = sum(of.step(chunk).seconds - decoding.seconds for chunk in chunks) * prefill.steps / len(chunks)
    more = (prefill.shared_s * many - alone) / (many - 1.0) if many > 1.0 else 0.0
    more = min(max(more, 0.0), longer)
    factor = b.prefill * b.mix
    # half of the launches pass while the step before still runs, where a step could take several prompts
    launch = _launch_s(of, prefill) / min(many, 2.0)
    return Held(((longer - more) * factor + launch) / dp, more * factor / dp, own)


def service(of: Instance, load: Load, space: Room, prefill: Prompt) -> tuple[Service, StepTime]:
    """What the closed loop asks of this deployment, and the decode step at its fullest batch."""
    b, dp = of.behaviour, float(of.parallel.dp)
    top = max(min(load.concurrency, space.slots), 1.0)
    batches = sorted({max(top * q, 1.0) for q in (1.0, 0.55, 0.25, 0.1)} | {1.0})
    priced = [decode_time(of, load, n) for n in batches]
    times = [seconds for _, seconds in priced]

    def decode_s(running: float) -> float:
        if running <= batches[0]:
            return times[0]
        if running >= batches[-1]:
            return times[-1]
        i = bisect.bisect_right(batches, running)
        share = (running - batches[i - 1]) / (batches[i] - batches[i - 1])
        return times[i - 1] + share * (times[i] - times[i - 1])

    held = held_up(of, load, prefill, top, priced[-1][0])
    fixed = b.fixed_ms * 1e-3 + b.tokens_wait * times[-1] + max(held.own_s - held.step_s - held.prompt_s, 0.0)
    return Service(decode_s, held.prompt_s, prefill.together * dp, fixed, space.slots, held.step_s), priced[-1][0]
