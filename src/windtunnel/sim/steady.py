"""An instance under steady arrivals: what a service sees once it has run for long, with no first burst in the means.

Requests arrive at random moments (Poisson) at a constant rate. An instance's time is shared between prompts, each of
which holds it up for a fixed time, and decode steps: with ``n`` requests decoding, n of them end every
``osl * decode + n * prompt`` seconds. A prompt waits for the prompts before it as in an M/D/1 queue of its
data-parallel rank: utilisation * service / (2 (1 - utilisation)).
**Source:** Pollaczek-Khinchine formula for a constant service time; Little's law for what is in flight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from windtunnel.sim.instance import Instance, StepTime
from windtunnel.sim.loop import LoopResult
from windtunnel.sim.prediction import Load
from windtunnel.sim.working_point import Held, Prompt, Room, decode_time, held_up, prefill_times

Role = Literal["both", "prefill", "decode"]
"""What an instance does: whole requests, or one half of them where prefill and decode run apart."""

_STEPS = 60
_CLOSE = 1e-9


@dataclass(frozen=True, slots=True)
class State:
    """A steady state. in_flight: requests waiting, prefilled or decoding; running: those that decode;
    utilisation: share of time that prompts take; requests_per_s: arrivals, which are also departures."""

    in_flight: float
    running: float
    requests_per_s: float
    utilisation: float
    ttft_s: float
    tpot_s: float

    def result(self, osl: float) -> LoopResult:
        """In the words of the closed loop."""
        queued = max(self.in_flight - self.running, 0.0)
        return LoopResult(self.ttft_s, self.tpot_s, self.requests_per_s * osl, self.running, queued)


class Steady:
    """One deployment and one length of request: states by how many requests decode, arrive or are in flight.

    role prefill: only first tokens are made, at osl 1; role decode: prompts arrive with their cache filled.
    prompt_s: by how long a prompt of a full step holds up the instance.
    """

    def __init__(self, of: Instance, load: Load, space: Room, prefill: Prompt, role: Role = "both") -> None:
        self.of, self.load, self.role, self.slots = of, load, role, max(space.slots, 1.0)
        self._decoded: dict[float, tuple[StepTime, float]] = {}
        self._prompt, self._held = prefill, dict[float, Held]()
        self.together = prefill.together * of.parallel.dp
        occupied, own = prefill_times(of, prefill, mixed=role == "both")
        self.prompt_s = 0.0 if role == "decode" else occupied
        self.first_s = of.behaviour.fixed_ms * 1e-3 + (0.0 if role == "decode" else max(own, occupied))

    def decode(self, running: float) -> tuple[StepTime, float]:
        """Operators and seconds of a decode step; less than one running request is one that is not always there."""
        at = max(running, 1.0)
        if at not in self._decoded:
            self._decoded[at] = decode_time(self.of, self.load, at)
        return self._decoded[at]

    def running(self, running: float) -> State:
        """The state in which so many requests decode on average (not for the role prefill)."""
        step = self.decode(running)[1]
        prompt_s = self._beside(running)
        cycle = self.load.osl * step + running * prompt_s
        rate = running / cycle
        first = self.first_s + self.of.behaviour.tokens_wait * step + self._wait(rate, prompt_s)
        tpot = cycle / self.load.osl
        return State(rate * (first + cycle), running, rate, rate * prompt_s, first, tpot)

    def _beside(self, running: float) -> float:
        """Seconds by which each prompt holds up ``running`` requests that decode."""
        if self.role != "both":
            return self.prompt_s
        at = max(running, 1.0)
        held = self._held.get(at)
        if held is None:
            held = self._held[at] = held_up(self.of, self.load, self._prompt, at, self.decode(at)[0])
        # a decode step ends running / osl requests, whose successors share the next
        return held.prompt_s + held.step_s / min(max(running / self.load.osl, 1.0), self.together)

    def arriving(self, requests_per_s: float, most: float = 0.0) -> State:
        """The state at a rate of arrivals, which must be below what the instance can take; with at most ``most`` requests
        that decode (0: the slots), where more of them could be no faster."""
        if self.role == "prefill":
            first = self.first_s + self._wait(requests_per_s, self.prompt_s)
            used = requests_per_s * self.prompt_s
            return State(requests_per_s * first, used * self.of.parallel.dp, requests_per_s, used, first, 0.0)
        return self.running(_solve(lambda n: self.running(n).requests_per_s, requests_per_s, most or self.slots))

    def in_flight(self, concurrency: float) -> State:
        """The state with so many requests in flight; those beyond the slots wait for one."""
        if self.role == "prefill":
            most = (1.0 - 1e-6) / self.prompt_s
            return self.arriving(_solve(lambda rate: self.arriving(rate).in_flight, concurrency, most))
        full = self.running(self.slots)
        if concurrency >= full.in_flight:
            wait = concurrency / full.requests_per_s - full.tpot_s * self.load.osl
            return State(concurrency, full.running, full.requests_per_s, full.utilisation, wait, full.tpot_s)
        return self.running(_solve(lambda n: self.running(n).in_flight, concurrency, self.slots))

    def _wait(self, rate: float, prompt_s: float) -> float:
        """Mean wait of a prompt behind others on its rank."""
        used = min(rate * prompt_s, 1.0 - 1e-9)
        return used * prompt_s * self.of.parallel.dp / (2.0 * (1.0 - used))


def _solve(grows: Callable[[float], float], target: float, most: float) -> float:
    """Where a growing function meets ``target`` between 0 and ``most``: false position, halving where that stalls."""
    low, high, below, above = 0.0, most, -target, grows(most) - target
    if above <= 0.0:
        return most
    middle = most
    for step in range(_STEPS):
        middle = (low + high) / 2.0 if step % 3 == 2 else low + (high - low) * -below / (above - below)
        value = grows(middle) - target
        if abs(value) <= _CLOSE * target or high - low <= _CLOSE * most:
            return middle
        if value < 0.0:
            low, below = middle, value
        else:
            high, above = middle, value
    return middle
