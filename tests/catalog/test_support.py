"""What plugins do with operators: names, direct verdicts, composites down to their leaves, the census."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.catalog import chip, chips
from windtunnel.catalog.overload import split_overload
from windtunnel.catalog.support import STATUSES, OperatorStatus, SupportTable, plugins, support_for, support_table
from windtunnel.errors import InvalidInputError, UnknownNameError


@pytest.mark.parametrize(
    ("spelling", "space", "name"),
    [
        ("mm", "aten", "mm"),
        ("mm.out", "aten", "mm.out"),
        ("aten.mm.default", "aten", "mm"),
        ("aten.mm", "aten", "mm"),
        ("aten::mm", "aten", "mm"),
        ("aten::mm.out", "aten", "mm.out"),
        ("aten::mm.default", "aten", "mm"),
        ("torch.ops.aten.add_.Tensor", "aten", "add_.Tensor"),
        ("__and__.Tensor", "aten", "__and__.Tensor"),
        ("npu::npu_rotary_mul", "npu", "npu_rotary_mul"),
        ("torchvision.nms.default", "torchvision", "nms"),
        ("", "", ""),
        ("not an operator", "", "not an operator"),
        ("a::b::c", "", "a::b::c"),
    ],
)
def test_any_spelling_of_a_name(spelling: str, space: str, name: str) -> None:
    assert split_overload(spelling) == (space, name)


@pytest.mark.parametrize(
    ("plugin", "op", "status"),
    [
        # read off the dispatcher's table by hand
        ("torch_npu", "aten.mm.default", "native"),
        ("torch_npu", "aten::cumsum.out", "native"),
        ("torch_npu", "cumsum_", "native"),
        ("torch_npu", "aten.no_such_operator.default", "unknown"),
        ("torch_npu", "torchvision.nms.default", "unknown"),
        ("torch_musa", "aten.sort.values", "native"),
        ("torch_mlu", "aten.sort.values", "unknown"),
        ("cuda", "aten.mm.default", "native"),
        ("cuda", "aten.linear.default", "composite"),
        ("cuda", "aten.mkldnn_linear.default", "unknown"),
        ("cuda", "flash_attn.fwd.default", "unknown"),
    ],
)
def test_direct_verdicts(plugin: str, op: str, status: str) -> None:
    found = support_table(plugin).of(op)
    assert found.status == status
    assert found.source


@pytest.mark.parametrize("name", ["torch_npu", "npu", "torch-npu", "Torch_NPU"])
def test_a_plugin_by_any_of_its_names(name: str) -> None:
    assert support_table(name).plugin == "torch_npu"
    assert support_table(name, "v2.13.0").version == "2.13.0"


def test_what_there_is_no_table_of() -> None:
    with pytest.raises(UnknownNameError, match="nearest: torch_npu"):
        support_table("torch_npux")
    with pytest.raises(UnknownNameError, match=r"version of torch_npu.*2\.13\.0"):
        support_table("torch_npu", "2.13.9")


def test_every_table_loads_and_names_its_source() -> None:
    for plugin, versions in plugins().items():
        for version in versions:
            table = support_table(plugin, version)
            assert table.words
            assert table.source
            assert all(table.of(op).status in STATUSES for op in table.overloads())


def test_the_device_word_alone_proves_nothing() -> None:
    """ROCm's wheel and those of five more makers call their device cuda; nobody has read what their kernels cover."""
    for c in chips():
        found = support_for(c).of("aten.mm.default")
        expected = c.vendor in ("Nvidia", "Huawei", "Cambricon", "Moore Threads")
        assert (found.status == "native") == expected, c.id
        assert found.status in ("native", "unknown")


def test_a_chip_without_a_table_has_no_version() -> None:
    with pytest.raises(InvalidInputError, match="no table"):
        support_for(chip("mi300x"), "2.13.0")
    assert support_for(chip("ascend-910b2"), "2.13.0").name == "torch_npu 2.13.0"


def test_a_fallback_is_never_called_native_and_what_is_native_never_less() -> None:
    table = support_table("torch_npu", "2.13.0")
    for name, word in table.words.items():
        status = table.of(name).status
        if word.startswith("native"):
            assert status == "native"
        elif word.startswith("cpu"):
            assert status == "cpu fallback"
        else:
            assert status != "native"


@given(st.dictionaries(st.sampled_from(["mm", "cumsum_", "xyz", "vision::nms", "aten.linear.default"]), st.integers(1, 9)))
def test_a_verdict_is_all_well_only_where_all_is_known(calls: dict[str, int]) -> None:
    census = support_table("torch_npu").census(calls)
    assert sum(census.calls.values()) == sum(calls.values())
    assert sum(census.counts.values()) == len(calls)
    assert tuple(census.counts) == STATUSES
    fine = all(row.status in ("native", "composite") for row, _ in census.rows)
    assert census.all_on_chip == (fine and bool(calls)) or not calls
    assert census.verdict.startswith("all ") == (fine and bool(calls))


def test_an_empty_table_knows_nothing() -> None:
    table = SupportTable("torch_xyz", "", "nobody", {})
    assert table.of("mm") == OperatorStatus("aten.mm.default", "unknown", "nobody", note="no table of torch_xyz")
