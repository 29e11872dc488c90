"""What every way to launch starts from: the engine's own scripts, as they are for the shell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from windtunnel.plan.deploy.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True)
class EngineScripts:
    """engine: its id. texts: of the scripts, by their paths. ports: the first of each role; each_rank: every data-parallel group
    listens on a port of its own."""

    engine: str
    texts: Mapping[str, str]
    weights: Checkpoint
    ports: Mapping[str, int]
    each_rank: bool = False
