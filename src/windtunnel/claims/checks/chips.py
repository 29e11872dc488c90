"""Chip against chip: memory, bandwidth, processing performance. A "910B" without a bin is one of 64 GB (B1, B2, B3)."""

from __future__ import annotations

import datetime

from windtunnel.catalog.chip import chips
from windtunnel.claims.check import Answer, answer, checks
from windtunnel.claims.found import Found, name, number, over
from windtunnel.claims.ledger import Ledger
from windtunnel.rules.launch import launch

BINS_910B = ("ascend-910b1", "ascend-910b2", "ascend-910b3")
SMALL_BIN = "ascend-910b4"
TOP_CARDS = ("h100-sxm", "h200-sxm", "b200-sxm")
GENERATIONS = ("HBM", "HBM2", "HBM2E", "HBM3", "HBM3E", "HBM4")


def _over_h20(ledger: Ledger, key: str) -> Answer:
    below = ledger.figure("h20", key)
    found = over((ledger.figure(each, key) / below for each in BINS_910B), "x", "910B1, B2, B3 over H20")
    small = ledger.figure(SMALL_BIN, key) / below
    return answer(found, beside=(f"The small bin, 910B4, has {small:.3g} of an H20's.",))


@checks("S010")
def memory_of_910b(ledger: Ledger) -> Answer:
    return _over_h20(ledger, "memory_bytes")


@checks("S011")
def bandwidth_of_910b(ledger: Ledger) -> Answer:
    return _over_h20(ledger, "memory_bytes_per_s")


@checks("S012")
def bandwidth_of_910c(ledger: Ledger) -> Answer:
    above, below = (ledger.figure(each, "memory_bytes_per_s") for each in ("ascend-910c", "h20"))
    return answer(number(above / below, "x", f"{above / 1e9:,.0f} over {below / 1e9:,.0f} GB/s"))


def _generation(text: str) -> int:
    return GENERATIONS.index(text.upper())


@checks("S013")
def memory_generation(ledger: Ledger) -> Answer:
    own = [ledger.text(each, "memory_type").upper() for each in ("ascend-910b2", "ascend-910c")]
    day = datetime.date(2025, 8, 5)  # of the claim
    sold = [c for c in chips() if c.memory_type.upper() in GENERATIONS and (at := launch(c)) and at.latest <= day]
    newest = max(sold, key=lambda c: _generation(c.memory_type))
    ledger.text(newest.id, "memory_type")
    behind = [float(_generation(newest.memory_type) - _generation(each)) for each in own]
    against = _generation(ledger.text("h20", "memory_type")) - _generation(own[0])
    return answer(
        name(own[0]),
        name(own[1]),
        over(behind, "generations", f"newest sold by 2025-08-05: {newest.memory_type} ({newest.id})"),
        beside=(f"Behind an H20 it is {against} generation.",),
    )


def _processing(ledger: Ledger, chips: tuple[str, ...], below: str) -> Found:
    """TPP over that of another chip."""
    base = ledger.metric(below, "tpp")
    values = [ledger.metric(each, "tpp") for each in chips]
    return over((v / base for v in values), "x", f"TPP {min(values):,.0f} to {max(values):,.0f} over {base:,.0f}")


def _for_a_watt(ledger: Ledger, chips: tuple[str, ...], below: str) -> Found:
    """TPP per watt over that of another chip, over all power limits that sources give for either."""
    base = ledger.metric(below, "tpp")
    watts, least, most = ledger.figures(below, "tdp_w")
    values, ends = [], []
    for each in chips:
        tpp = ledger.metric(each, "tpp")
        own, low, high = ledger.figures(each, "tdp_w")
        values.append(tpp / own / (base / watts))
        ends += [tpp / high / (base / least), tpp / low / (base / most)]
    middle = sorted(values)[len(values) // 2]
    how = f"{middle * base / watts:.3g} over {base / watts:.3g} TPP/W; the range is that of the power limits which sources give"
    return number(middle, "x", how, min(ends), max(ends))


@checks("S017")
def more_tpp_than_h20(ledger: Ledger) -> Answer:
    return answer(_processing(ledger, (*BINS_910B, SMALL_BIN), "h20"), _processing(ledger, ("ascend-910c",), "h20"))


@checks("S018")
def more_tpp_per_watt_than_h20(ledger: Ledger) -> Answer:
    return answer(_for_a_watt(ledger, (*BINS_910B, SMALL_BIN), "h20"), _for_a_watt(ledger, ("ascend-910c",), "h20"))


@checks("S019")
def h20_against_a100(ledger: Ledger) -> Answer:
    memory, bandwidth = (
        ledger.figure("h20", key) / ledger.figure("a100-sxm-80gb", key) for key in ("memory_bytes", "memory_bytes_per_s")
    )
    return answer(
        _processing(ledger, ("h20",), "a100-sxm-80gb"),
        _for_a_watt(ledger, ("h20",), "a100-sxm-80gb"),
        beside=(f"In memory ({memory:.3g} x) and memory bandwidth ({bandwidth:.3g} x) the H20 is ahead.",),
    )


@checks("S039")
def bandwidth_of_nvidia(ledger: Ledger) -> Answer:
    sold = [c.id for c in chips() if c.vendor == "Nvidia" and c.memory_type.startswith("HBM") and c.status.startswith("shipping")]
    values = {each: ledger.figure(each, "memory_bytes_per_s") / 1e12 for each in sold}
    older = [c for c in chips() if c.vendor == "Nvidia" and c.memory_type.startswith("HBM") and c.id not in sold]
    inside = [c.id for c in older if c.has("memory_bytes_per_s") and 1e12 <= c.value("memory_bytes_per_s") <= 3e12]
    how = ", ".join(f"{each} {value:.3g}" for each, value in sorted(values.items(), key=lambda item: item[1]))
    beyond = [each for each, value in values.items() if value > 3]
    return answer(
        over(values.values(), "TB/s", how),
        beside=(
            f"{len(beyond)} of {len(values)} have more than 3 TB/s; an H100's 3.35 still rounds to 3.",
            f"No longer sold freely, and in the range: {', '.join(inside)}.",
        ),
    )


@checks("S051")
def h20_against_top_cards(ledger: Ledger) -> Answer:
    found = []
    for key in ("memory_bytes", "memory_bytes_per_s", "matrix_flops_per_s.bf16"):
        own = ledger.figure("h20", key)
        ratios = {each: own / ledger.figure(each, key) for each in TOP_CARDS}
        found.append(over(ratios.values(), "x", ", ".join(f"{each} {value:.3g}" for each, value in ratios.items())))
    return answer(*found)
