"""The numbers that export rules ask of a chip: processing performance, its density, bandwidths; each with what it rests on.

Dense figures only, in the units in which the rules are printed (TPP, TPP/mm2, GB/s with 1 GB = 1e9 bytes).
**Source:** 88 FR 73458 (TPP, performance density), 87 FR 62186 (I/O bandwidth).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from windtunnel.catalog.chip import Chip
from windtunnel.catalog.fact import Fact
from windtunnel.units import GIGA, TERA

BITS = {"fp64": 64, "fp32": 32, "bf16": 16, "fp16": 16, "fp8": 8, "int8": 8, "fp6": 6, "fp4": 4, "int4": 4}
"""Bit length of an operation. TF32 is left out: it is stored in 32 bits and computed in 19, and the rule does not say which."""
TF32_STORED_BITS = 32
ROUNDING = 0.999
"""Products this near to the largest are the same but for the digits that data sheets print."""
PCIE_LANES = 16
PCIE_LANE_GB_PER_S = {3: 1.0, 4: 2.0, 5: 4.0, 6: 8.0}
"""Nominal, one direction."""
MM2 = 1e-6


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a chip. value None: ``missing`` names the figure that no source gives. basis: what decides it."""

    name: str
    value: float | None
    unit: str
    basis: str = ""
    missing: str = ""
    estimate: bool = False
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    others: tuple[tuple[float, str], ...] = ()


def _peaks(chip: Chip) -> list[tuple[float, str, Fact]]:
    """(bits times dense tera-operations, precision, fact) of every figure, the largest last."""
    found = []
    for key, fact in chip.figures.items():
        group, _, dtype = key.partition(".")
        if group in ("matrix_flops_per_s", "stated_flops_per_s") and dtype in BITS:
            found.append((round(BITS[dtype] * fact.value / TERA, 6), dtype, fact))
    return sorted(found, key=lambda peak: peak[0])


def total_processing_performance(chip: Chip) -> Metric:
    """TPP: the largest product of bit length and dense TOPS over the precisions, of all units of the chip together.

    A multiply-accumulate counts as two operations, as data sheets count it. The maker's own sum of units is taken where
    there is one; TF32 is not counted, and a note says what it would make.
    """
    peaks = _peaks(chip)
    if not peaks:
        return Metric("TPP", None, "TPP", missing="a compute figure")
    value, _, fact = peaks[-1]
    same = list(dict.fromkeys(dtype for other, dtype, _ in peaks if other >= value * ROUNDING))
    notes = []
    tf32 = chip.figures.get("matrix_flops_per_s.tf32")
    if tf32 is not None and (as_stored := TF32_STORED_BITS * tf32.value / TERA) > value * 1.001:
        notes.append(f"TF32 counted as 32 bits would make TPP {as_stored:,.0f}; whether it counts so is not settled")
    stated = [each for other, _, each in peaks if other == value and each in _stated(chip)]
    bits = BITS[same[0]]
    others = tuple((bits * o.value / TERA, o.note or o.source) for f in stated or [fact] for o in f.others)
    return Metric(
        "TPP", value, "TPP", basis=" = ".join(same), estimate=fact.kind == "estimate", sources=(fact.source,),
        notes=tuple(notes), others=others,
    )  # fmt: skip


def _stated(chip: Chip) -> list[Fact]:
    return [fact for key, fact in chip.figures.items() if key.startswith("stated_flops_per_s.")]


def performance_density(chip: Chip) -> Metric:
    """PD: TPP over the area of all logic dies in mm2. value None where the area, or TPP, is not known: never a guess."""
    tpp = total_processing_performance(chip)
    if tpp.value is None:
        return Metric("PD", None, "TPP/mm2", missing=tpp.missing)
    area = chip.figures.get("die_area_m2")
    if area is None:
        return Metric("PD", None, "TPP/mm2", missing="die area")
    notes = (f"die area is an estimate: {area.note or area.source}",) if area.kind == "estimate" else ()
    others = tuple((tpp.value / (o.value / MM2), f"{o.value / MM2:,.0f} mm2, {o.source}") for o in area.others)
    return Metric(
        "PD", tpp.value / (area.value / MM2), "TPP/mm2", basis=f"{area.value / MM2:,.6g} mm2", estimate=area.kind == "estimate",
        sources=(*tpp.sources, area.source), notes=(*tpp.notes, *notes), others=others,
    )  # fmt: skip


def dram_bandwidth(chip: Chip) -> Metric:
    """Total bandwidth of the device memory, GB/s."""
    return _scaled("DRAM bandwidth", chip, "memory_bytes_per_s", "memory bandwidth")


def memory_capacity(chip: Chip) -> Metric:
    """Device memory in GB; no rule asks for it, a counterfactual may."""
    found = _scaled("memory", chip, "memory_bytes", "memory size")
    return replace(found, unit="GB")


def _scaled(name: str, chip: Chip, key: str, missing: str) -> Metric:
    fact = chip.figures.get(key)
    if fact is None:
        return Metric(name, None, "GB/s", missing=missing)
    return Metric(name, fact.value / GIGA, "GB/s", estimate=fact.kind == "estimate", sources=(fact.source,))


def io_bandwidth(chip: Chip) -> Metric:
    """Scale-up links and PCIe of 16 lanes, both directions together, GB/s; links within the package do not count.

    What one of the two lacks a source for is left out, and a note says so; value None where neither is known.
    """
    link, generation = chip.figures.get("scaleup_bytes_per_s"), chip.figures.get("pcie_gen")
    over_pcie = chip.topology == "pcie"
    parts, notes, sources = [], [], []
    total = 0.0
    if link is not None and not (over_pcie and generation is not None):
        total += 2.0 * link.value / GIGA
        parts.append(f"{chip.link or 'links'} {2.0 * link.value / GIGA:,.6g}")
        sources.append(link.source)
    elif link is None and not over_pcie:
        notes.append("the bandwidth of the scale-up links is not known: PCIe alone is counted")
    if generation is not None and int(generation.value) in PCIE_LANE_GB_PER_S:
        pcie = 2 * PCIE_LANES * PCIE_LANE_GB_PER_S[int(generation.value)]
        total += pcie
        parts.append(f"PCIe {generation.value:.0f} x16 {pcie:,.0f}")
        sources.append(generation.source)
    elif not over_pcie:
        notes.append("the PCIe generation is not known: the scale-up links alone are counted")
    if not parts:
        return Metric("I/O bandwidth", None, "GB/s", missing="I/O bandwidth")
    return Metric(
        "I/O bandwidth", total, "GB/s", basis=" + ".join(parts), sources=tuple(dict.fromkeys(sources)), notes=tuple(notes)
    )


METRICS = {
    "tpp": total_processing_performance,
    "pd": performance_density,
    "dram": dram_bandwidth,
    "io": io_bandwidth,
    "memory": memory_capacity,
}
"""Name on the command line -> the function."""
