"""What published runs take beyond what their operators take, by framework: fitted, and how far runs scatter around it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Beyond:
    """share: time over that of the operators, beyond one (0.17: a step takes 17 % longer), for whom no run is known; by
    framework where some are. spread: 80 % of runs that the fit did not see lie within it (log). source: what it was fitted on."""

    share: float
    frameworks: Mapping[str, float]
    spread: float
    source: str

    def of(self, framework: str) -> float:
        return self.frameworks.get(framework, self.share)

    def knows(self, framework: str) -> bool:
        return framework in self.frameworks


@cache
def beyond() -> Beyond:
    """The fit that is packaged; ``python bench/train_published.py --fit`` makes it anew."""
    table = tomllib.loads((files("windtunnel.plan.training") / "data" / "beyond.toml").read_text(encoding="utf-8"))
    return Beyond(float(table["share"]), table["frameworks"], float(table["spread"]), str(table["source"]))
