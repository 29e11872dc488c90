"""A closed loop through one engine: requests queue, are prefilled, decode together, and are replaced when done.

Time moves from event to event (a prompt prefilled, a request finished), not step by step: between two events every
running request gains tokens at the same rate, so one clock of tokens serves them all.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

ENTITIES = 48
"""Most slots that are followed one by one; beyond it, each stands for several equal requests."""

_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class Service:
    """What the engine does to requests, in seconds. decode_s: a decode step of so many running requests;
    step_s, prefill_s: a step that takes prompts in, and each prompt in it; together: prompts that one step can take;
    fixed_s: added to every first token (network, tokenisation, scheduling); slots: requests whose cache fits at once."""

    decode_s: Callable[[float], float]
    prefill_s: float
    together: float
    fixed_s: float
    slots: float
    step_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LoopResult:
    """Means over all requests. batch: requests that decode on average; queued: that wait for a slot or a prefill."""

    ttft_s: float
    tpot_s: float
    tokens_per_s: float
    batch: float
    queued: float


def closed_loop(service: Service, concurrency: float, osl: float, waves: int = 10, spread: float = 0.1) -> LoopResult:
    """``waves`` requests a slot, all slots starting at once, a new request sent when one ends.

    That is how serving benchmarks measure (``waves`` x concurrency prompts, a bound on those in flight), so the
    first burst is in the means. Output lengths vary evenly by ``spread`` around osl, as those benchmarks draw them.
    """
    entities = int(min(max(round(concurrency), 1), ENTITIES))
    each = concurrency / entities
    slots = max(int(service.slots / each), 1)
    total = entities * waves
    batch_limit = max(int(service.together / each), 1)
    prefill = service.prefill_s * each
    # a decode step ends concurrency / osl requests, whose successors share a step; that of a queue is as full as can be
    lone = each / min(max(concurrency / osl, 1.0), each, service.together)
    decode = [service.decode_s(n * each) for n in range(min(entities, slots) + 1)]

    now = theta = 0.0
    waiting: deque[float] = deque([0.0] * entities)
    sent, running = entities, 0
    ends: list[tuple[float, float, float]] = []
    ttft = tpot = busy = 0.0
    finished = 0
    pop, push = heapq.heappop, heapq.heappush
    while finished < total:
        # who ends at this moment is done before the next prompt holds the others up
        if waiting and running < slots and not (ends and ends[0][0] <= theta):
            queue = len(waiting)
            taken = min(queue, batch_limit, slots - running)
            steps = lone if queue == 1 else max(taken * each / service.together, 1.0)
            spent = service.step_s * steps + prefill * taken
            now += spent
            # what takes several steps is done on average in the middle of them
            done = now - spent * (1.0 - 1.0 / steps) / 2.0
            for _ in range(taken):
                ttft += done - waiting.popleft()
                sequence = (sent + finished + running) * _GOLDEN % 1.0
                running += 1
                length = max(osl * (1.0 + spread * (2.0 * sequence - 1.0)), 1.0)
                push(ends, (theta + length, now, length))
            continue
        end, began, length = pop(ends)
        passed = (end - theta) * decode[running]
        busy += passed * running
        now += passed
        theta = end
        tpot += (now - began) / length
        running -= 1
        finished += 1
        if sent < total:
            sent += 1
            waiting.append(now)
    # a slot stands still for the fixed part of each of its requests, unless another request waits for it
    lasted = now + (waves * service.fixed_s if concurrency <= service.slots else 0.0)
    if not lasted:
        return LoopResult(0.0, 0.0, 0.0, 0.0, 0.0)
    batch = busy / lasted * each
    return LoopResult(
        ttft / total + service.fixed_s, tpot / total, total * each * osl / lasted, batch, max(concurrency - batch, 0.0)
    )
