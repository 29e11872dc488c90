"""From one instance to a service: how many carry the traffic, aggregated or with prefill and decode apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from windtunnel.cost.model import NETWORK_EFFICIENCY, NETWORK_START_S
from windtunnel.plan.front import pareto
from windtunnel.plan.option import Option, meets_targets
from windtunnel.plan.place import Place
from windtunnel.plan.result import Targets
from windtunnel.sim.steady import State

MOST_REPLICAS = 8
"""Most instances of each half of a disaggregated service where no rate was asked for."""
_ROUND = 1e-9


@dataclass(frozen=True, slots=True)
class Service:
    """Instances that carry traffic: ``replicas`` of ``option`` at ``state`` each at most, and where prefill runs apart
    ``prefill_replicas`` of ``before`` at ``before_state``. rate: requests/s that are served (what was asked for, else
    all that it can)."""

    option: Option
    state: State
    replicas: int
    rate: float
    before: Option | None = None
    before_state: State | None = None
    prefill_replicas: int = 0
    transfer_s: float = 0.0

    @property
    def sizes(self) -> list[int]:
        """Chips of each instance."""
        before = [self.before.chips] * self.prefill_replicas if self.before else []
        return [self.option.chips] * self.replicas + before

    @property
    def chips(self) -> int:
        return self.option.chips * self.replicas + (self.before.chips * self.prefill_replicas if self.before else 0)

    @property
    def capacity(self) -> float:
        """Requests/s that it could carry within the targets."""
        most = self.state.requests_per_s * self.replicas
        if self.before_state is None:
            return most
        return min(most, self.before_state.requests_per_s * self.prefill_replicas)

    @property
    def cost(self) -> tuple[float, int, float]:
        """What is least for the best: chips for each request/s, then instances, then the least spare room."""
        return (self.chips / self.rate, self.replicas + self.prefill_replicas, -self.capacity)


def needed(rate: float, each: float) -> int:
    """Instances that carry ``rate`` at ``each`` requests/s."""
    return max(math.ceil(rate / each - _ROUND), 1)


def together(option: Option, state: State, rate: float) -> Service:
    """Aggregated instances for a rate, or one instance at its most where none was asked for."""
    replicas = needed(rate, state.requests_per_s) if rate else 1
    return Service(option, state, replicas, rate or state.requests_per_s)


def apart(
    option: Option, state: State, before: Option, before_state: State, transfer_s: float, rate: float, most: int
) -> Service:
    """Prefill and decode instances for a rate; where none was asked for, the numbers of both, up to ``most`` chips in
    all where they allow it, that yield most per chip."""

    def built(decoding: int, prefilling: int, served: float) -> Service:
        service = Service(option, state, decoding, served, before, before_state, prefilling, transfer_s)
        return service if served else replace(service, rate=service.capacity)

    each, prompts = state.requests_per_s, before_state.requests_per_s
    if rate:
        return built(needed(rate, each), needed(rate, prompts), rate)
    pairs = [(d, needed(d * each, prompts)) for d in range(1, MOST_REPLICAS + 1)]
    pairs += [(needed(p * prompts, each), p) for p in range(1, MOST_REPLICAS + 1)]
    found = [built(d, p, 0.0) for d, p in sorted(set(pairs)) if d <= MOST_REPLICAS and p <= MOST_REPLICAS] or [
        built(*pairs[0], 0.0)
    ]
    small = [s for s in found if s.chips <= most] or [min(found, key=lambda s: s.chips)]
    return min(small, key=lambda s: s.cost)


def transfer_s(option: Option, before: Option, isl: float, requests_per_s: float, domain: int) -> float | None:
    """Seconds until a prompt's cache is where it is decoded; None where no link between the instances is known.

    Ranks send side by side, each through its own share of the network, of the slower side where the chips differ (of the
    scale-up links where there is no network and both instances share a domain); a rank's part waits for the parts before it.
    requests_per_s: prompts that one decoding instance takes in.
    """
    links = option.of.costs.links
    speed = min(links.scaleout_bytes_per_s, before.of.costs.links.scaleout_bytes_per_s)
    alike = option.deployment.chip == before.deployment.chip
    if not speed and alike and option.chips + before.chips <= domain:
        speed = links.scaleup_bytes_per_s
    if not speed:
        return None
    part = max(option.of.kv_bytes(isl), before.of.kv_bytes(isl))
    alone = part / (speed * NETWORK_EFFICIENCY) + NETWORK_START_S
    used = requests_per_s / option.of.parallel.dp * alone
    return alone * (1.0 + used / (2.0 * (1.0 - used))) if used < 1.0 else None


def services(options: Sequence[Option], at: Place, targets: Targets) -> list[Service]:
    """What meets the targets, aggregated and apart, however many chips that takes."""
    found = []
    for option in options:
        state = option.most()
        if meets_targets(state, targets):
            found.append(together(option, state, targets.requests_per_s))
    split = _split(options)
    for option in split:
        state = option.most("decode")
        if meets_targets(state, targets, "decode"):
            pairs = (_pair(option, state, before, at, targets, targets.requests_per_s) for before in split)
            found += [pair for pair in pairs if pair is not None]
    return found


def front(options: Sequence[Option], at: Place, targets: Targets) -> list[Service]:
    """The Pareto front of one instance (one group of them, where prefill is apart), of loads that meet the TTFT target;
    where none does, of all loads."""
    points = list(_points(options, at, targets))
    if not points and targets.ttft_s:
        points = list(_points(options, at, replace(targets, ttft_s=0.0)))
    return pareto(points)


def _points(options: Sequence[Option], at: Place, targets: Targets) -> Iterator[Service]:
    for option in options:
        for state in option.front():
            if not targets.ttft_s or state.ttft_s <= targets.ttft_s:
                yield together(option, state, 0.0)
    split = _split(options)
    before = max(split, key=lambda o: _prompts_a_chip(o, targets.ttft_s or math.inf), default=None)
    if before is None:
        return
    for option in split:
        for state in option.front("decode"):
            pair = _pair(option, state, before, at, targets, 0.0)
            if pair is not None:
                yield pair


def _prompts_a_chip(option: Option, ttft_s: float) -> float:
    state = option.most_prefilled(ttft_s)
    return state.requests_per_s / option.chips if state is not None else 0.0


def _split(options: Sequence[Option]) -> list[Option]:
    """Options whose engine can take prefill and decode apart."""
    return [option for option in options if option.of.traits.does("disaggregation")]


def _pair(option: Option, state: State, before: Option, at: Place, targets: Targets, rate: float) -> Service | None:
    """Decode at ``state``, with prefill that meets the TTFT target, the transfer of the cache included; None where none does."""
    sent_s = transfer_s(option, before, targets.isl, state.requests_per_s, at.domain)
    if sent_s is None:
        return None
    prompts = before.most_prefilled((targets.ttft_s or math.inf) - sent_s)
    if prompts is None:
        return None
    return apart(option, state, before, prompts, sent_s, rate, at.group)


def filled(service: Service, most: int) -> Service:
    """The same as often as ``most`` chips allow."""
    times = most // service.chips
    return replace(service, replicas=service.replicas * times, prefill_replicas=service.prefill_replicas * times)
