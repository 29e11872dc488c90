"""How a workload can be served: on each chip by ``plan``'s own search, and with prefill on one chip and decode on another.

Each way is simulated at the traffic it is found for. Pairs of chips are kept where they pay: where they take less of both,
measured by what each chip takes alone, than any mixture of the two alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from windtunnel.catalog import engine as engine_named
from windtunnel.catalog.models import model as read_model
from windtunnel.errors import UnsupportedError, WindtunnelError
from windtunnel.plan import reasons, words
from windtunnel.plan.check import cheapest, settled
from windtunnel.plan.fleets.spec import InferenceSpec
from windtunnel.plan.fleets.ways import Found, FoundPart, FoundWay
from windtunnel.plan.option import Option, meets_targets
from windtunnel.plan.place import Place, place
from windtunnel.plan.result import Simulated, Targets
from windtunnel.plan.search import deployments
from windtunnel.plan.services import Service, apart, services, transfer_s
from windtunnel.sim.prediction import Deployment

PAYS = 0.03
"""Least saving of a pair over any mixture of its chips alone."""
MOST_PAIRS = 4
"""Pairs of chips that are kept for a workload, those that save most."""
FEWEST_SHARE = 0.5
"""Traffic in the quietest quarter below this share of the busiest is searched for as well."""


@dataclass
class Search:
    """One workload on all chips that it may run on; what was built on a chip is kept for the pairs."""

    spec: InferenceSpec
    options: dict[str, tuple[Place, list[Option]]] = field(default_factory=dict)

    def targets(self, rate: float) -> Targets:
        return Targets(self.spec.isl, self.spec.osl, self.spec.ttft_s, self.spec.tpot_s, rate)

    @property
    def rates(self) -> tuple[float, ...]:
        """The traffic that is searched for: the most, and the least where it is far less."""
        some = [rate for rate in self.spec.requests_per_s if rate > 0.0]
        return (max(some), min(some)) if min(some) < FEWEST_SHARE * max(some) else (max(some),)

    def built(self, on: str) -> tuple[Place, list[Option]]:
        """Every deployment on a chip. Raises WindtunnelError where there is none."""
        if on not in self.options:
            engine = engine_named(self.spec.engine).id if self.spec.engine else ""
            model, targets = read_model(self.spec.model), self.targets(self.rates[0])
            found = deployments(self.spec.model, model, place(on), targets, self.spec.precision, engine)
            if not found.options:
                raise UnsupportedError(found.why_not)
            self.options[on] = found.at, found.options
        return self.options[on]

    def alone(self, on: str) -> Found:
        """The ways on one chip, aggregated or with prefill apart."""
        try:
            at, options = self.built(on)
        except WindtunnelError as cannot:
            return Found(refused={on: str(cannot)})
        ways: list[FoundWay] = []
        for rate in self.rates:
            targets = self.targets(rate)
            found = services(options, at, targets)
            if self.spec.split == "never":
                found = [service for service in found if service.before is None]
            if not found:
                return Found(refused={on: reasons.nothing_meets(options, targets)})
            kept = cheapest(found, targets, 0)
            if kept is None:
                why = reasons.waits_too_long(min(found, key=lambda s: s.cost), targets, 0)
                return Found(refused={on: why})
            way = _way(*kept, (on, on))
            ways += [way] if way.parts not in [other.parts for other in ways] else []
        return Found(tuple(ways))

    def pairs(self, alone: dict[str, Found]) -> Found:
        """The ways with prefill on one chip and decode on another, those that pay."""
        rate = self.rates[0]
        chips = {on: _chips(found.ways[0], rate) if found.ways else math.inf for on, found in alone.items()}
        promising = []
        refused: dict[str, str] = {}
        for before in alone:
            for after in alone:
                if before == after:
                    continue
                try:
                    service = self._pair(before, after, rate)
                except WindtunnelError:
                    continue  # said of the chip alone
                if isinstance(service, str):
                    refused[f"{before} prefill + {after} decode"] = service
                    continue
                taken = _taken(service, chips[before], chips[after])
                if taken <= 1.0 - PAYS:
                    promising.append((taken, before, after, service))
        ways: list[FoundWay] = []
        for _, before, after, service in sorted(promising, key=lambda found: found[:3]):
            kept = settled(service, self.targets(rate), long=False)
            if kept is not None and _taken(kept[0], chips[before], chips[after]) <= 1.0 - PAYS:
                ways.append(_way(*kept, (before, after)))
            if len(ways) == MOST_PAIRS:
                break
        return Found(tuple(ways), refused=refused)

    def _pair(self, before: str, after: str, rate: float) -> Service | str:
        """The cheapest pair by count of chips, or why there is none. Raises WindtunnelError where a chip alone cannot."""
        (_, prefilling), (at, decoding) = self.built(before), self.built(after)
        targets = self.targets(rate)
        first = [option for option in prefilling if option.of.traits.does("disaggregation")]
        second = [option for option in decoding if option.of.traits.does("disaggregation")]
        if not first or not second:
            lacks = before if not first else after
            return f"no engine of {lacks} is known to take prefill and decode apart"
        if not all(option.of.costs.links.scaleout_bytes_per_s for option in (first[0], second[0])):
            lacks = before if not first[0].of.costs.links.scaleout_bytes_per_s else after
            return f"not known: scaleout_bytes_per_s of {lacks}, over which the cache would move"
        states = [(option, option.most("decode")) for option in second]
        states = [(option, state) for option, state in states if meets_targets(state, targets, "decode")]
        if not states:
            return f"no instance of {after} decodes within the TPOT target"
        option, state = max(states, key=lambda found: found[1].requests_per_s / found[0].chips)
        best: Service | None = None
        for each in first:
            sent = transfer_s(option, each, targets.isl, state.requests_per_s, at.domain)
            prompts = each.most_prefilled((targets.ttft_s or math.inf) - sent) if sent is not None else None
            if sent is None or prompts is None:
                continue
            service = apart(option, state, each, prompts, sent, rate, at.group)
            if best is None or service.chips < best.chips:
                best = service
        return best or f"no instance of {before} prefills within the TTFT target, with the cache's way to {after}"


def _taken(service: Service, before: float, after: float) -> float:
    """Chips that a pair takes of each, over what each takes alone: below 1, no mixture of the two alone takes as little."""
    assert service.before is not None
    return service.before.chips * service.prefill_replicas / before + service.option.chips * service.replicas / after


def _chips(way: FoundWay, rate: float) -> float:
    return sum(part.chips * max(math.ceil(rate / part.rate - 1e-9), 1) for part in way.parts)


def _way(service: Service, seen: Simulated, on: tuple[str, str]) -> FoundWay:
    """A service as a way: what each of its instances carries of the traffic at which it was simulated."""
    options = [service.option] if service.before is None else [service.before, service.option]
    counts = [service.replicas] if service.before is None else [service.prefill_replicas, service.replicas]
    roles = ["both"] if service.before is None else ["prefill", "decode"]
    where = on[-len(options) :]
    parts = tuple(
        FoundPart(place_name, option.chips, service.rate / count, role, _deployed(option.deployment))
        for place_name, option, count, role in zip(where, options, counts, roles, strict=True)
    )
    weakest = min(option.predict(option.most("both")).evidence for option in options)
    return FoundWay(parts, seen.ttft_s, seen.tpot_s, weakest.name.lower(), service.transfer_s)


def _deployed(one: Deployment) -> str:
    """``TP8, FP8, vLLM``: how one instance runs."""
    return ", ".join(part for part in (reasons.degrees(one), words.precision(one), words.engine(one)) if part)
