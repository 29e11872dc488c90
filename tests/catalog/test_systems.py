"""System records: all of them well formed, and the traps of wiring."""

from __future__ import annotations

import pytest

from windtunnel.catalog import system, systems
from windtunnel.catalog.store import ID
from windtunnel.catalog.system import FIGURES, System, shelf
from windtunnel.errors import MissingFactError, UnknownNameError

RECORDS = [pytest.param(s, id=s.id) for s in systems()]


def test_all_of_them() -> None:
    assert len(systems()) == 34


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_is_well_formed(record: System) -> None:
    assert ID.match(record.id)
    assert shelf.head(record.id).text("id") == record.id
    chip = record.its_chip()
    assert chip.id == record.chip
    assert record.topology != "mesh" or record.has("mesh_links")
    for key, fact in record.figures.items():
        assert all(f.unit == FIGURES[key][0] and f.source.strip() for f in (fact, *fact.others))
    assert record.value("scaleup_chips") <= max(record.chips, 1)


@pytest.mark.parametrize("record", RECORDS)
def test_printed_totals_are_about_the_sum_of_the_chips(record: System) -> None:
    """A slipped decimal shows. Marketed Ascend totals add vector units; 800I A2 and the 950 pods print another chip's memory."""
    chip = record.its_chip()
    other_memory = {"atlas-800i-a2", "atlas-950-superpod-1024"}
    for key in ("matrix_flops_per_s.bf16", "matrix_flops_per_s.fp8", "memory_bytes", "memory_bytes_per_s"):
        if record.has(key) and chip.has(key) and not (record.id in other_memory and key.startswith("memory")):
            assert record.value(key) == pytest.approx(chip.value(key) * record.chips, rel=0.2), key


@pytest.mark.parametrize(
    ("name", "chip", "chips", "key", "value"),
    [
        ("cloudmatrix-384", "ascend-910c", 384, "power_w", 559_378),
        ("Atlas 900 A3 SuperPoD", "ascend-910c", 384, "scaleup_bytes_per_s", 392e9),
        ("CloudMatrix 384", "ascend-910c", 384, "scaleup_latency_s", 1.9e-6),
        ("gb200-nvl72", "gb200", 72, "scaleup_chips", 72),
        ("hgx-h20", "h20", 8, "scaleout_bytes_per_s", 50e9),
        ("atlas-800t-a2", "ascend-910b2", 8, "mesh_links", 7),
        ("DGX H100", "h100-sxm", 8, "power_w", 10_200),
    ],
)
def test_checked_by_hand(name: str, chip: str, chips: int, key: str, value: float) -> None:
    found = system(name)
    assert (found.chip, found.chips) == (chip, chips)
    assert found.value(key) == pytest.approx(value)


def test_uncertain_chips_are_said_to_be() -> None:
    for name in ("atlas-800t-a2", "atlas-800i-a2", "kuae-c256", "biren-supernode"):
        assert any("uncertain" in note or "assumed" in note or "is taken" in note for note in system(name).notes)


def test_errors_name_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="nearest: cloudmatrix-384"):
        system("cloudmatrix-385")
    with pytest.raises(MissingFactError, match="price_usd of panjiu-al128"):
        system("panjiu-al128").value("price_usd")
