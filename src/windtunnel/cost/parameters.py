"""Parameters of the formulas: those fitted on a chip, else those of its kin, else those of all fitted chips."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from windtunnel.catalog.chip import Chip
from windtunnel.cost.evidence import Evidence

_DATA = files("windtunnel.cost") / "data"
_WIDE = ("bf16", "fp16", "tf32", "fp32")
_TYPED = ("gemm", "moe")


@dataclass(frozen=True, slots=True)
class FamilyParameters:
    """Parameters of one family on one chip; spread: 80 % of log errors lie within it, evidence: how they were got."""

    values: Mapping[str, float]
    spread: float
    evidence: Evidence
    source: str


def number_kind(dtype: str) -> str:
    """The class of number types that share parameters: wide, fp8, fp4, int8 or w4a16."""
    if dtype in _WIDE:
        return "wide"
    return {"w8a8_dynamic": "int8", "fp6": "fp8", "w4a8": "fp4"}.get(dtype, dtype)


@cache
def _file(name: str) -> dict[str, Any]:
    path = _DATA / f"{name}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


@dataclass(frozen=True)
class ChipParameters:
    """Looks families up, most specific first. ``own`` replaces what is packaged (a user's fit)."""

    chip: Chip
    own: Mapping[str, Any]

    @classmethod
    def of(cls, chip: Chip, own: Mapping[str, Any] | None = None) -> ChipParameters:
        """The parameters of a chip; own: tables of a parameter file that come before the packaged ones."""
        return cls(chip, own or {})

    def family(self, family: str, dtype: str = "") -> FamilyParameters:
        """Parameters of a family (``gemm``, ``attention_decode`` ...); dtype matters for gemm and moe alone."""
        name = f"{family}_{number_kind(dtype)}" if family in _TYPED else family
        kin = _file("kin").get(self.chip.id, "")
        for table, evidence in (
            (self.own, Evidence.FITTED),
            (_file(self.chip.id), Evidence.FITTED),
            (_file(kin) if kin else {}, Evidence.TRANSFERRED),
        ):
            if name in table:
                return self._built(table[name], evidence, str(table.get("source", "")))
        prior = _file("prior")
        group = prior["hbm" if self.chip.memory_type.upper().startswith(("HBM", "HI")) else "gddr"]
        fallback = group.get(name) or prior["hbm"].get(name) or group[f"{family}_wide"]
        # what was learned from nobody's points of this kind is worth no more than the datasheet
        weak = Evidence.TRANSFERRED if self.chip.vendor == "Nvidia" else Evidence.DATASHEET
        return self._built(fallback, weak, str(prior.get("source", "")))

    @staticmethod
    def _built(table: Mapping[str, Any], evidence: Evidence, source: str) -> FamilyParameters:
        return FamilyParameters(table["values"], float(table["spread"]), evidence, str(table.get("source", source)))
