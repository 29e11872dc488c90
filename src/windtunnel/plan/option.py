"""One way to run a model at one place, and how many requests a second it takes within targets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from windtunnel.plan.result import Targets
from windtunnel.sim.instance import Instance, instance
from windtunnel.sim.predict import predict
from windtunnel.sim.prediction import Deployment, Load, Prediction
from windtunnel.sim.steady import Role, State, Steady
from windtunnel.sim.working_point import Prompt, prompt, room

GRID = 64
"""Batches that are tried, to the doubling: the same for every question, so that a looser target never costs more."""
_FULL = 1e4
"""In flight while memory is measured: enough that a prefill step is as full as the engine lets it be."""
BUSIEST = 0.95
"""Most that an instance which only prefills is used: beyond it the wait is ruled by chance alone."""


def load(targets: Targets, concurrency: float, role: Role = "both") -> Load:
    """One instance's load; what only prefills makes one token."""
    return Load(targets.isl, 1 if role == "prefill" else targets.osl, concurrency)


@dataclass(frozen=True, slots=True)
class Half:
    """What a state says of an option in a role: requests/s, TTFT and TPOT."""

    option: Option
    role: Role
    state: State


class Option:
    """A deployment under the targets' requests; states are kept, so that asking again costs nothing.

    Raises DoesNotFitError, ParallelismError, MissingFactError or UnsupportedError where it cannot be.
    """

    def __init__(self, deployment: Deployment, targets: Targets) -> None:
        self.deployment, self.targets, self.chips = deployment, targets, deployment.chips
        self.of: Instance = instance(deployment)
        self._space = {"both": room(self.of, load(targets, _FULL))}
        self._prompt: Prompt | None = None
        self._roles: dict[Role, Steady] = {}

    def steady(self, role: Role = "both") -> Steady:
        if role not in self._roles:
            if self._prompt is None:
                self._prompt = prompt(self.of, load(self.targets, 1.0))
            space = room(self.of, load(self.targets, _FULL, role)) if role == "prefill" else self._space["both"]
            self._roles[role] = Steady(self.of, load(self.targets, 1.0, role), space, self._prompt, role)
        return self._roles[role]

    def most(self, role: Role = "both") -> State:
        """The state that serves most within the targets; that of one request at a time where even one is too many.

        That is the largest batch, or one of a doubling below it where the larger is slower by more than it holds.
        """
        t, steady = self.targets, self.steady(role)

        def meets(n: float) -> bool:
            return meets_targets(steady.running(n), t, role)

        largest = self._largest(steady.slots, meets)
        smaller = [state for state in self.front(role) if state.running < largest]
        return max([steady.running(largest), *smaller], key=lambda state: state.requests_per_s)

    @staticmethod
    def _largest(slots: float, meets: Callable[[float], bool]) -> float:
        """The largest batch of the grid, or the slots, that meets; 1 where none does."""
        if meets(slots):
            return slots
        low, high = 0, math.ceil(math.log2(max(slots, 1.0)) * GRID)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if meets(min(_batch(middle), slots)) else (low, middle)
        return _batch(low)

    def front(self, role: Role = "both") -> list[State]:
        """States at batches a doubling apart, from one to the slots."""
        steady = self.steady(role)
        batches = [_batch(k) for k in range(0, int(math.log2(steady.slots) * GRID) + 1, GRID)]
        return [steady.running(n) for n in (*batches, steady.slots)]

    def most_prefilled(self, ttft_s: float) -> State | None:
        """The most prompts a second that an instance which only prefills takes within ``ttft_s``; None if not one."""
        steady = self.steady("prefill")
        spare = ttft_s - steady.first_s
        if spare <= 0.0:
            return None
        # wait = u s / (2 (1 - u)) for utilisation u and service s, solved for u
        service = steady.prompt_s * self.of.parallel.dp
        used = min(2.0 * spare / (service + 2.0 * spare), BUSIEST) if math.isfinite(spare) else BUSIEST
        return steady.arriving(used / steady.prompt_s)

    def predict(self, state: State, role: Role = "both", *, operators: bool = False) -> Prediction:
        """The full prediction of a state."""
        return predict(
            self.deployment, load(self.targets, state.in_flight, role), operators=operators, steady=True, role=role
        )  # fmt: skip


def _batch(step: int) -> float:
    return float(2.0 ** (step / GRID))


def meets_targets(state: State, targets: Targets, role: Role = "both") -> bool:
    """Whether requests are served in time, in the mean."""
    slow = targets.tpot_s and state.tpot_s > targets.tpot_s
    late = role == "both" and targets.ttft_s and state.ttft_s > targets.ttft_s
    return not (slow or late)
