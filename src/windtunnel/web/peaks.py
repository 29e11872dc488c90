"""What a roofline needs to know of a chip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChipPeaks:
    """Peaks of one chip, as the catalogue gives them.

    flops_per_s: of the matrix unit, dense, by dtype (``{"bf16": 148e12, "fp8": 296e12}``); bytes_per_s: of the
    memory. Either may be empty or zero where nobody published it: the roof is then not drawn.
    """

    name: str
    flops_per_s: Mapping[str, float]
    bytes_per_s: float
