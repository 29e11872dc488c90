"""Chip records: what the linters hold of all of them, and figures of a dozen checked by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from windtunnel.catalog import chip, chips
from windtunnel.catalog.chip import DTYPES, FIGURES, Chip, _load, parse_chip, shelf
from windtunnel.catalog.engine import shelf as engine_shelf
from windtunnel.catalog.fact import Fact
from windtunnel.catalog.store import ID, Shelf, Table, name_key, parse_toml
from windtunnel.catalog.system import shelf as system_shelf
from windtunnel.errors import InvalidInputError, MissingFactError, UnknownNameError, UnsupportedError

GIB = 2**30
RECORDS = [pytest.param(c, id=c.id) for c in chips()]


NAMES = """
V100 SXM2 32GB; A100 SXM4 40GB; A100 SXM4 80GB; A800 SXM4 80GB; H100 SXM5 80GB; H100 PCIe 80GB; H800 SXM5 80GB; H20
96GB; H20 141GB; H200 SXM 141GB; B100 SXM; B200 SXM; B300 SXM; GB200 (per GPU); GB300 (per GPU); L40S; L20; RTX 4090;
RTX 4090D; RTX 5090; RTX 5090D V2; RTX PRO 6000 Blackwell; RTX PRO 6000D; MI250X; MI300X; MI308X; MI325X; MI355X;
Ascend 910A; Ascend 910B1; Ascend 910B2; Ascend 910B3; Ascend 910B4; Ascend 910C; Ascend 910D; Ascend 920; Ascend
950PR (Atlas 350 card); Ascend 950PR (chip spec); Ascend 950DT; Ascend 960; Ascend 970; Ascend 310P (Atlas 300I Duo,
card); MLU370-X8; MLU590; MLU690; MTT S4000; MTT S5000; BR100; BR104; BR106; BR166; CloudBlazer i20; CloudBlazer S60;
CloudBlazer L600; DCU K100; DCU K100-AI; DCU BW1000; Kunlun II R200; Kunlun P800; C500 PCIe; C550 OAM; C600; BI-V150;
PPU (Zhenwu 810E); Zhenwu M890; Gaudi2; Gaudi3; TPU v5e; TPU v5p; TPU v6e; TPU7x Ironwood; Trainium2
"""
"""The chips by the names under which their facts were collected."""
COLLECTED = [" ".join(name.split()) for name in NAMES.split(";")]


def facts(record: Chip) -> list[tuple[str, Fact]]:
    return [(key, fact) for key, own in record.figures.items() for fact in (own, *own.others)]


def test_every_chip_of_the_collected_facts_is_here() -> None:
    assert len(chips()) >= 73
    assert len(COLLECTED) == 72
    for name in COLLECTED:
        assert chip(name).id == chip(name.upper()).id


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_is_well_formed(record: Chip) -> None:
    found = chip(record.id)
    assert ID.match(found.id)
    assert shelf.head(found.id).text("id") == found.id, "a file is named after its id"
    assert found.name
    assert found.vendor
    assert found.device
    assert set(found.engines) <= set(engine_shelf.ids())
    assert found.part_of == "" or chip(found.part_of).devices > 1
    for key, fact in facts(found):
        assert fact.unit == FIGURES[key][0]
        assert fact.source == fact.source.strip() != ""


@pytest.mark.parametrize("record", RECORDS)
def test_figures_are_of_this_world(record: Chip) -> None:
    """Wrong units and slipped decimals, which public tables are full of, fall out of these ranges."""
    likely = {
        "matrix_flops_per_s": (0.9e12, 2e16),
        "stated_flops_per_s": (0.9e12, 2e16),
        "vector_flops_per_s": (1e12, 1e15),
        "memory_bytes": (16 * GIB, 300 * GIB),
        "memory_bytes_per_s": (2e11, 1.5e13),
        "l2_bytes": (4e6, 5e8),
        "scaleup_bytes_per_s": (1.5e10, 2.1e12),
        "scaleup_chips": (1, 20000),
        "mesh_links": (1, 7),
        "package_bytes_per_s": (1e11, 1e13),
        "scaleout_bytes_per_s": (1e10, 1.1e11),
        "pcie_gen": (3, 6),
        "tdp_w": (70, 1500),
        "compute_dies": (1, 8),
        "die_area_m2": (3e-4, 2.5e-3),
        "transistors": (1e10, 3e11),
    }
    for key, fact in facts(record):
        low, high = likely[key.partition(".")[0]]
        assert low <= fact.value <= high, (key, fact)


@pytest.mark.parametrize("record", RECORDS)
def test_narrower_types_are_not_slower(record: Chip) -> None:
    """FP4 >= FP8 >= BF16, INT8 >= FP16 - but for the parts whose INT8 was cut, and Gaudi3, whose FP16 was."""
    figures = record.figures
    cut = {"b300-sxm", "gb300", "gaudi3"}
    for wide, narrow in (("bf16", "fp8"), ("fp8", "fp4"), ("fp16", "int8"), ("fp32", "tf32"), ("tf32", "bf16")):
        first, second = (figures.get(f"matrix_flops_per_s.{d}") for d in (wide, narrow))
        if first and second and record.id not in cut:
            assert second.value >= first.value, (wide, narrow)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("h20", "matrix_flops_per_s.bf16", 148e12),
        ("h20", "memory_bytes_per_s", 4.0e12),
        ("h20", "memory_bytes", 96 * GIB),
        ("h20", "scaleup_bytes_per_s", 450e9),
        ("h100-sxm", "matrix_flops_per_s.fp8", 1979e12),
        ("h100-sxm", "memory_bytes_per_s", 3.35e12),
        ("h200-sxm", "memory_bytes_per_s", 4.8e12),
        ("h800-sxm", "scaleup_bytes_per_s", 200e9),
        ("a100-sxm-80gb", "matrix_flops_per_s.bf16", 312e12),
        ("b200-sxm", "matrix_flops_per_s.fp4", 9000e12),
        ("b300-sxm", "matrix_flops_per_s.fp4", 13500e12),
        ("ascend-910b2", "matrix_flops_per_s.bf16", 353.9e12),
        ("ascend-910b2", "matrix_flops_per_s.int8", 707.8e12),
        ("ascend-910b2", "memory_bytes_per_s", 1.6e12),
        ("ascend-910b3", "matrix_flops_per_s.fp16", 294.9e12),
        ("ascend-910b4", "matrix_flops_per_s.bf16", 245.8e12),
        ("ascend-910b4", "memory_bytes", 32 * GIB),
        ("ascend-910c", "memory_bytes_per_s", 3.2e12),
        ("ascend-910c-die", "memory_bytes_per_s", 1.6e12),
        ("ascend-910c-die", "memory_bytes", 64 * GIB),
        ("rtx-3090", "matrix_flops_per_s.fp16", 71e12),
        ("rtx-4090", "matrix_flops_per_s.fp16", 165.2e12),
        ("rtx-5090", "matrix_flops_per_s.fp16", 209.5e12),
        ("rtx-pro-6000", "matrix_flops_per_s.fp16", 503.8e12),
        ("mi300x", "scaleup_bytes_per_s", 448e9),
        ("mi300x", "mesh_links", 7),
        ("mlu690", "scaleup_bytes_per_s", 55.6e9),
        ("metax-c500", "memory_bytes_per_s", 1.8e12),
    ],
)
def test_figures_checked_by_hand(name: str, key: str, value: float) -> None:
    assert chip(name).value(key) == pytest.approx(value, rel=1e-9)


def test_one_die_of_a_910c_is_half_a_package() -> None:
    package, die = chip("ascend-910c"), chip("ascend-910c-die")
    assert (package.devices, die.devices, die.part_of) == (2, 1, "ascend-910c")
    same = {"pcie_gen", "scaleup_chips"}
    for key in package.figures.keys() - same:
        assert die.value(key) == pytest.approx(package.value(key) / 2, rel=1e-3), key
    assert die.value("scaleup_chips") == 2 * package.value("scaleup_chips")


def test_a_marketing_sum_is_told_apart_from_the_matrix_unit() -> None:
    peak = chip("910b2").peak("bf16")
    assert (peak.printed, peak.kind) == ("376 TFLOPS", "derived")
    assert peak.value + chip("910b2").value("vector_flops_per_s.fp16") == pytest.approx(376e12, rel=1e-3)


def test_conflicting_sources_stand_side_by_side() -> None:
    power = chip("h20").figure("tdp_w")
    assert sorted([power.value, *(other.value for other in power.others)]) == [400, 500, 550]


@pytest.mark.parametrize("spelling", ["910B2", "ascend 910b2", "Huawei Ascend 910B2", "ASCEND_910B2", "910b"])
def test_aliases_resolve(spelling: str) -> None:
    assert chip(spelling).id == "ascend-910b2"


def test_no_name_stands_for_two_things() -> None:
    assert not {*shelf.ids(), *shelf.aliases()} & {*system_shelf.ids(), *system_shelf.aliases()}
    for alias, owner in shelf.aliases().items():
        assert alias not in shelf.ids() or alias == owner


def test_an_unknown_chip_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown chip 'h10'; nearest: .*h100"):
        chip("h10")


def test_a_type_the_chip_lacks_is_refused_in_one_line() -> None:
    with pytest.raises(UnsupportedError, match=r"^ascend-910b2 cannot compute fp8; it can: fp32, bf16, fp16, int8$"):
        chip("ascend-910b2").peak("fp8")
    for name in ("ascend-910c", "ascend-910c-die", "a100-sxm-80gb"):
        with pytest.raises(UnsupportedError):
            chip(name).peak("fp8")
    for name in ("ascend-310p", "atlas-300i-duo", "v100-sxm-32gb"):
        with pytest.raises(UnsupportedError):
            chip(name).peak("bf16")


@pytest.mark.parametrize(
    "name", ["br106", "br166", "ascend-910d", "cloudblazer-l600", "dcu-bw1000", "zhenwu-m890", "rtx-pro-6000d"]
)
def test_what_nobody_published_stays_unknown(name: str) -> None:
    with pytest.raises(MissingFactError, match=rf"not known: matrix_flops_per_s\.bf16 of {name}"):
        chip(name).peak("bf16")


def test_a_missing_figure_names_kin_that_have_it() -> None:
    with pytest.raises(MissingFactError, match=r"memory_bytes of br106; known of Biren's br10"):
        chip("br106").figure("memory_bytes")
    with pytest.raises(MissingFactError, match="did you mean memory_bytes"):
        chip("h20").figure("memory_byte")


def test_types_beyond_an_incomplete_list_are_unknown_not_impossible() -> None:
    with pytest.raises(MissingFactError):
        chip("ascend-970").peak("bf16")
    with pytest.raises(UnsupportedError):
        chip("ascend-970").peak("fp5")


FP8 = 'fp8 = {value = 1e12, unit = "flop/s", kind = "measured", source = "me"}'
MINE = """
id = "mine"
vendor = "Huawei"
dtypes = ["bf16"]
[memory_bytes]
value = 64e9
unit = "byte"
kind = "measured"
source = "my own machine"
[memory_bytes_per_s]
value = 1.2e12
unit = "byte/s"
kind = "measured"
source = "my own machine"
"""


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("", "", None),
        ("64e9", "-1", "value: should be a positive number"),
        ("64e9", "nan", "value: should be a positive number"),
        ("64e9", "1" + "0" * 400, "value: should be a positive number"),
        ("64e9", "true", "value: should be a number"),
        ('"byte"', '"bytes"', "'bytes' is none of byte; nearest: byte"),
        ('"measured"', '"guessed"', "kind: 'guessed' is none of"),
        ('source = "my own machine"', 'source = " "', "source: empty"),
        ('source = "my own machine"', "", "source: missing"),
        ('vendor =', 'vendors =', "vendors: no such field; did you mean vendor?"),
        ('["bf16"]', '["bf17"]', "'bf17' is none of .*nearest: bf16"),
        ('id = "mine"', 'id = "My Chip"', "id: 'My Chip' should be lower-case"),
        ('id = "mine"', 'id = "h20"', "a chip of the catalogue already"),
        ("[memory_bytes]", "[memory_byte]", "memory_bytes: missing"),
        ("[memory_bytes]", f"[matrix_flops_per_s]\n{FP8}\n[memory_bytes]", "a peak in fp8, which dtypes does not list"),
        ("[memory_bytes]", "[memory_bytes", "not valid TOML"),
        ('dtypes = ["bf16"]', 'dtypes = ["bf16"]\ntopology = "mesh"', "mesh_links: missing"),
        ('dtypes = ["bf16"]', 'dtypes = ["bf16"]\ndevices = 0', "devices: should be a whole number from 1"),
    ],
)  # fmt: skip
def test_a_users_own_chip_is_checked(tmp_path: Path, before: str, after: str, complaint: str | None) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(MINE.replace(before, after) if before else MINE)
    if complaint is None:
        mine = chip(str(file))
        assert (mine.id, mine.value("memory_bytes_per_s")) == ("mine", 1.2e12)
        with pytest.raises(MissingFactError, match="known of Huawei's"):
            mine.peak("bf16")
    else:
        with pytest.raises(InvalidInputError, match=complaint):
            chip(str(file))


def test_a_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "deep.toml").write_text("a = " + "[" * 5000)
    (tmp_path / "folder.toml").mkdir()
    for name in ("bytes.toml", "deep.toml", "folder.toml", "absent.toml", "nul\0.toml"):
        with pytest.raises(InvalidInputError) as caught:
            chip(str(tmp_path / name))
        assert "\n" not in str(caught.value)


def test_loading_one_chip_reads_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    plain = Shelf.text

    def noted(self: Shelf, record: str) -> str:
        read.append(record)
        return plain(self, record)

    monkeypatch.setattr(Shelf, "text", noted)
    _load.cache_clear()
    chip("gaudi3")
    assert read == ["gaudi3"]


def test_the_parser_and_the_key_of_names() -> None:
    assert name_key("NVIDIA H100_SXM5 (80GB)") == "nvidia-h100-sxm5-80gb"
    bare = parse_chip(Table("x", parse_toml('id = "x"\ndtypes = ["bf16"]', "x")))
    assert (bare.figures, bare.dtypes) == ({}, ("bf16",))
    assert set(DTYPES) >= {"bf16", "fp8", "int8", "fp4"}
