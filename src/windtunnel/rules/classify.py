"""Which paragraph of ECCN 3A090 a chip falls under, by the rule of 2022, that of 2023, and the tests beside them.

Every limit is read from its instrument; a figure that no source gives leaves the question open where it would decide.
**Source:** 87 FR 62186, 88 FR 73458, 89 FR 96790, 91 FR 1684, the letters of April 2025 (see catalog/data/rules).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from windtunnel.catalog.chip import Chip
from windtunnel.catalog.instrument import Instrument, Threshold, instrument
from windtunnel.errors import InvalidInputError
from windtunnel.rules.metrics import Metric, dram_bandwidth, io_bandwidth, performance_density, total_processing_performance


@dataclass(frozen=True, slots=True)
class Condition:
    """One number held against one limit. met: whether the limit's condition is fulfilled; None where the number is not known."""

    name: str
    value: float | None
    relation: str
    limit: float
    unit: str
    paragraph: str
    instrument: str
    met: bool | None
    basis: str = ""


@dataclass(frozen=True, slots=True)
class Classification:
    """eccn: "3A090.a.1" ...; "" where the item is not covered. missing: the figure without which it cannot be told.
    exception: whether License Exception NAC or ACA takes it. tests: the numbers that decide."""

    eccn: str
    tests: tuple[Condition, ...]
    missing: str = ""
    exception: bool = False
    note: str = ""

    @property
    def text(self) -> str:
        """The paragraph, or that none applies, or what is needed to tell."""
        return f"needs {self.missing}" if self.missing else self.eccn or "not 3A090"


COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": lambda value, limit: value >= limit,
    "<": lambda value, limit: value < limit,
    ">": lambda value, limit: value > limit,
}


def held(metric: Metric, relation: str, limit: Threshold, by: Instrument) -> Condition:
    """``metric`` against ``limit``."""
    met = None if metric.value is None else COMPARE[relation](metric.value, limit.value)
    return Condition(metric.name, metric.value, relation, limit.value, metric.unit, limit.paragraph, by.id, met, metric.basis)


def classify_2022(chip: Chip) -> Classification:
    """The rule of October 2022: I/O bandwidth and processing performance both reach their limit."""
    rule = instrument("bis-2022-10")
    tests = (
        held(io_bandwidth(chip), ">=", rule.limit("io_gb_per_s"), rule),
        held(total_processing_performance(chip), ">=", rule.limit("tpp"), rule),
    )
    if any(test.met is False for test in tests):
        return Classification("", tests)
    missing = next((m.missing for m in (total_processing_performance(chip), io_bandwidth(chip)) if m.value is None), "")
    return Classification("" if missing else "3A090.a", tests, missing)


def classify_2023(chip: Chip) -> Classification:
    """The rule of October 2023, today's: TPP and performance density; Note 2 and prong .b by what the chip is marketed for."""
    return _by_density(total_processing_performance(chip), performance_density(chip), chip.datacenter)


def _by_density(tpp: Metric, pd: Metric, datacenter: bool) -> Classification:
    rule = instrument("bis-2023-10")

    def tests(*keys: str) -> tuple[Condition, ...]:
        return tuple(held(pd if key.endswith("pd") else tpp, ">=", rule.limit(key), rule) for key in keys)

    (a1,) = tests("a1_tpp")
    if a1.met is None:
        return Classification("", (a1,), tpp.missing)
    if not datacenter:
        if a1.met:
            return Classification("3A090.a", (a1,), exception=True, note="not designed or marketed for datacenters")
        return Classification("", (a1,), note="Note 2: not designed or marketed for datacenters, and TPP below the limit")
    if a1.met:
        return Classification("3A090.a.1", (a1,))
    a2, b1, b2 = tests("a2_tpp", "a2_pd"), tests("b1_tpp", "b1_pd"), tests("b2_tpp", "b2_pd")
    if not a2[0].met:
        return Classification("", (a2[0],))
    if pd.value is None:
        return Classification("", (a1, a2[0], a2[1]), pd.missing)
    for eccn, needed in (("3A090.a.2", a2), ("3A090.b.1", b1), ("3A090.b.2", b2)):
        if all(test.met for test in needed):
            return Classification(eccn, needed, exception=eccn.startswith("3A090.b"))
    return Classification("", tuple(test for test in (a1, a2[1], b1[0], b1[1], b2[1]) if not test.met))


def alternatives(chip: Chip) -> tuple[str, ...]:
    """What the class would be by figures that other sources give, where that differs."""
    tpp, pd, own = total_processing_performance(chip), performance_density(chip), classify_2023(chip)
    found = []
    for value, source in pd.others:
        other = _by_density(tpp, Metric("PD", value, "TPP/mm2"), chip.datacenter)
        if other.eccn != own.eccn:
            found.append(f"by another area ({source}) PD is {value:,.2f}, and the class {other.text}")
    for value, source in tpp.others:
        scaled = Metric("PD", pd.value * value / tpp.value, "TPP/mm2") if pd.value and tpp.value else pd
        other = _by_density(Metric("TPP", value, "TPP"), scaled, chip.datacenter)
        if other.eccn != own.eccn:
            found.append(f"by another TPP ({source}) of {value:,.0f} the class is {other.text}")
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Limits:
    """Several tests under one instrument. hit: whether its condition is fulfilled; None where a missing figure decides."""

    tests: tuple[Condition, ...]
    hit: bool | None
    missing: str = ""


def letter_hit(chip: Chip) -> Limits:
    """Whether the letters of April 2025 would ask for a licence: DRAM or I/O bandwidth, or their sum, reaches its limit."""
    letter = instrument("letters-2025-04")
    dram, io = dram_bandwidth(chip), io_bandwidth(chip)
    both = None if dram.value is None or io.value is None else dram.value + io.value
    tests = (
        held(dram, ">=", letter.limit("dram_gb_per_s"), letter),
        held(io, ">=", letter.limit("io_gb_per_s"), letter),
        held(Metric("DRAM + I/O", both, "GB/s"), ">=", letter.limit("sum_gb_per_s"), letter),
    )
    if any(test.met for test in tests):
        return Limits(tests, True)
    missing = dram.missing or io.missing
    return Limits(tests, None if missing else False, missing)


def below_2026(chip: Chip) -> Limits:
    """Whether a chip is below both limits of January 2026, so that its licence is reviewed case by case."""
    rule = instrument("bis-2026-01")
    tpp, dram = total_processing_performance(chip), dram_bandwidth(chip)
    tests = (held(tpp, "<", rule.limit("tpp"), rule), held(dram, "<", rule.limit("dram_gb_per_s"), rule))
    if any(test.met is False for test in tests):
        return Limits(tests, False)
    missing = tpp.missing or dram.missing
    return Limits(tests, None if missing else True, missing)


def classify_hbm(gb_per_s: float, mm2: float) -> Classification:
    """ECCN 3A090.c of a bare stack of memory: bandwidth (GB/s) over the area of the stack or package (mm2).

    exception: License Exception HBM (s.740.25) takes it. Raises InvalidInputError for figures that are not positive.
    """
    for field, value in (("hbm bandwidth", gb_per_s), ("hbm area", mm2)):
        if not 0 < value < 1e9:
            raise InvalidInputError(field, f"{value:g} is not a positive number")
    rule = instrument("bis-2024-12-hbm")
    density = Metric("memory bandwidth density", gb_per_s / mm2, "GB/s/mm2", basis=f"{gb_per_s:,.6g} GB/s over {mm2:,.6g} mm2")
    tests = (
        held(density, ">", rule.limit("hbm_density"), rule),
        held(density, "<", rule.limit("hbm_exception_density"), rule),
    )
    return Classification("3A090.c" if tests[0].met else "", tests, exception=bool(tests[0].met and tests[1].met))
