"""What is simulated: equal instances behind a router, or a pool that prefills and one that decodes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from windtunnel.errors import InvalidInputError
from windtunnel.sim.instance import Instance, instance
from windtunnel.sim.prediction import Deployment
from windtunnel.sim.serving.router import router
from windtunnel.sim.serving.settings import Options, Settings, settings_of
from windtunnel.sim.serving.step_times import StepTimes

MOST_REPLICAS = 10_000


@dataclass(frozen=True, slots=True)
class Failures:
    """Each instance fails at random, once in ``mtbf_s`` seconds of work on average, and is back after ``repair_s``.

    What it had in flight starts again, from nothing, on another instance.
    """

    mtbf_s: float
    repair_s: float


@dataclass(frozen=True, slots=True)
class Fleet:
    """``replicas`` of ``deployment`` behind a router; with ``prefill``, these only decode, and ``prefill_replicas`` of it
    make the cache and the first token, which then move over the slower of both sides' links.

    kv_link_bytes_per_s: of one device, 0 for the chips' own network. parameters: of `windtunnel fit`, for the
    deployment's chip.
    """

    deployment: Deployment
    replicas: int = 1
    prefill: Deployment | None = None
    prefill_replicas: int = 0
    router: str = "least-loaded"
    options: Options = field(default_factory=Options)
    failures: Failures | None = None
    kv_link_bytes_per_s: float = 0.0
    parameters: Mapping[str, Any] | None = field(default=None, hash=False)

    @property
    def chips(self) -> int:
        before = self.prefill.chips * self.prefill_replicas if self.prefill is not None else 0
        return self.deployment.chips * self.replicas + before


@dataclass(frozen=True, slots=True)
class Pool:
    """Equal engines, ready to be built."""

    of: Instance
    settings: Settings
    times: StepTimes
    replicas: int


def pools(fleet: Fleet, isl: float, osl: float) -> tuple[Pool, Pool | None]:
    """The engines that decode (or do all), and those that only prefill, for requests of about isl tokens in and osl out.

    Raises the errors of ``windtunnel.errors`` for what is unknown, unsupported, indivisible or too large.
    """
    router(fleet.router)
    _check(fleet)
    decoding = instance(fleet.deployment, fleet.parameters)
    accept = fleet.options.mtp_accept
    if accept and not decoding.spec.mtp_layers:
        raise InvalidInputError("mtp_accept", f"{decoding.spec.id} has no multi-token-prediction layer to draft with")
    most = decoding.spec.max_context
    if most and isl + osl > most:  # a few that are far too long, and will be refused, must not lay out the caches
        osl = min(osl, most / 2.0)
        isl = most - osl
    settings = settings_of(decoding, isl, osl, fleet.options)
    main = Pool(decoding, settings, StepTimes(decoding, accept, "both", settings.chunk_tokens), fleet.replicas)
    if fleet.prefill is None:
        return main, None
    first = instance(fleet.prefill)
    alone = settings_of(first, isl, 1.0, fleet.options)
    return main, Pool(first, alone, StepTimes(first, 0.0, "prefill", alone.chunk_tokens), fleet.prefill_replicas)


def _check(fleet: Fleet) -> None:
    counts = [("replicas", fleet.replicas)]
    if fleet.prefill is not None:
        counts.append(("prefill_replicas", fleet.prefill_replicas))
        if fleet.prefill.model != fleet.deployment.model:
            raise InvalidInputError("prefill", f"prefills {fleet.prefill.model}, but {fleet.deployment.model} is decoded")
    for name, count in counts:
        if not 1 <= count <= MOST_REPLICAS:
            raise InvalidInputError(name, f"{count} is not between 1 and {MOST_REPLICAS:,}")
    accept = fleet.options.mtp_accept
    if not (math.isfinite(accept) and 0.0 <= accept < 16.0):
        raise InvalidInputError("mtp_accept", f"{accept} is not a number of tokens of at least 0 and less than 16")
    if fleet.failures is not None and not (fleet.failures.mtbf_s > 0.0 and fleet.failures.repair_s >= 0.0):
        raise InvalidInputError("failures", "the mean time between failures must be above 0, the time to repair at least 0")
