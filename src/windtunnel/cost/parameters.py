"""Parameters of the formulas: those fitted on a chip, else those of its kin, else those of all fitted chips."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from windtunnel.catalog.chip import Chip
from windtunnel.catalog.chip import chip as catalogue_chip
from windtunnel.cost.evidence import Evidence

_DATA = files("windtunnel.cost") / "data"
_WIDE = ("bf16", "fp16", "tf32", "fp32")
_TYPED = ("gemm", "moe")
_WIDENED = ("w4a16", "fp4_wide", "fp8_wide")


@dataclass(frozen=True, slots=True)
class FamilyParameters:
    """Parameters of one family on one chip; spread: 80 % of log errors lie within it, evidence: how they were got."""

    values: Mapping[str, float]
    spread: float
    evidence: Evidence
    source: str


def number_kind(dtype: str) -> str:
    """The class of number types that share parameters: wide, fp8, fp4, int8, w4a16, or fp4_wide (FP4 weights widened)."""
    if dtype in _WIDE:
        return "wide"
    return {"w8a8_dynamic": "int8", "fp6": "fp8", "w4a8": "fp4"}.get(dtype, dtype)


def memory_group(of: Chip) -> str:
    """Which chips' prior holds: those with stacked memory (HBM, Huawei's HiBL and HiZQ), or with any other."""
    return "hbm" if of.memory_type.upper().startswith(("HBM", "HI")) else "gddr"


@cache
def kindred(chip: str) -> tuple[str, ...]:
    """Whose parameters a chip takes where it has none of a family: its next of kin, then that one's, and so on."""
    kin: list[str] = []
    known = _file("kin")
    while (chip := known.get(chip, "")) and chip not in kin:
        kin.append(chip)
    return tuple(kin)


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
        mine = (self.own, Evidence.FITTED, ""), (_file(self.chip.id), Evidence.FITTED, "")
        theirs = ((_file(kin), Evidence.TRANSFERRED, kin) for kin in kindred(self.chip.id))
        for table, evidence, kin in (*mine, *theirs):
            balance = _balance(catalogue_chip(kin)) if kin else 0.0
            if name in table:
                built = self._built(table[name], evidence, str(table.get("source", "")), balance)
                return self._clocked_down(built, catalogue_chip(kin)) if kin and family == "gemm" else built
            if number_kind(dtype) in _WIDENED and f"{family}_wide" in table:
                # weights that are widened on the way meet the same matrix unit as wide ones
                return self._built(table[f"{family}_wide"], Evidence.TRANSFERRED, str(table.get("source", "")), balance)
        return self.prior(family, dtype)

    def prior(self, family: str, dtype: str = "") -> FamilyParameters:
        """What is known of a chip that was never fitted, whatever is known of this one."""
        name = f"{family}_{number_kind(dtype)}" if family in _TYPED else family
        prior = _file("prior")
        group = prior[memory_group(self.chip)]
        fallback = group.get(name) or prior["hbm"].get(name) or group[f"{family}_wide"]
        # what was learned from nobody's points of this kind is worth no more than the datasheet
        weak = Evidence.TRANSFERRED if self.chip.vendor == "Nvidia" else Evidence.DATASHEET
        return self._built(fallback, weak, str(prior.get("source", "")), PRIOR_BALANCE)

    def _clocked_down(self, lent: FamilyParameters, kin: Chip) -> FamilyParameters:
        """Products at the clock that the chip's power limit allows, where it is far below its kin's."""
        share = _watts_per_flop(self.chip) / (_watts_per_flop(kin) or 1.0)
        if not 0.0 < share < POWER_CUT:
            return lent
        compute = lent.values["compute"] * share**CLOCK_BY_POWER
        return FamilyParameters({**lent.values, "compute": compute}, lent.spread, lent.evidence, lent.source)

    def _built(self, table: Mapping[str, Any], evidence: Evidence, source: str, balance: float = 0.0) -> FamilyParameters:
        """balance: FLOP a byte of the chips that the parameters come from, 0 where they are this chip's own. A table's own
        ``balance`` comes first (0: its ``compute`` is no share of the matrix unit's peak)."""
        values = table["values"]
        balance = float(table.get("balance", balance))
        own = _balance(self.chip)
        if 0.0 < own < balance and values.get("compute", 1.0) < 1.0:
            lost = (1.0 / values["compute"] - 1.0) * own / balance
            values = {**values, "compute": 1.0 / (1.0 + lost)}
        return FamilyParameters(values, float(table["spread"]), evidence, str(table.get("source", source)))


POWER_CUT, CLOCK_BY_POWER = 0.75, 1.0 / 3.0
"""Watts for each peak FLOP/s over the kin's, below which a chip cannot hold its rated clock in long matrix products (H100 PCIe
0.65, RTX PRO 6000 Max-Q 0.57), and the clock's power of it: dynamic power grows with the clock times the voltage squared, and
the voltage with the clock. The rule of CMOS circuits, not fitted."""


def _watts_per_flop(of: Chip) -> float:
    """Power limit for each FLOP/s of 16-bit products; 0 where either is not known."""
    dtype = "fp16" if "fp16" in of.dtypes else "bf16"
    key = f"matrix_flops_per_s.{dtype}"
    return of.value("tdp_w") / of.value(key) if of.has(key) and of.has("tdp_w") else 0.0


PRIOR_BALANCE = 290.0
"""16-bit FLOP a byte of memory of the chips behind the prior (H100 295, B200 292, H200 206, L40S 419)."""


def _balance(of: Chip) -> float:
    """16-bit FLOP for each byte of memory bandwidth; 0 where either figure is not known.

    What keeps a matrix unit from its peak (issue, operands, synchronisation) takes about as long for a byte on a chip
    with a smaller unit, so of a transferred efficiency the lost part, 1 / efficiency - 1, shrinks with the balance. An
    assumption, made for chips whose compute was cut (H20, L20).
    """
    dtype = "fp16" if "fp16" in of.dtypes else "bf16"
    key = f"matrix_flops_per_s.{dtype}"
    if not (of.has(key) and of.has("memory_bytes_per_s")):
        return 0.0
    return of.value(key) / of.value("memory_bytes_per_s")
