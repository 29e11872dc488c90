"""Operators on a target: verdicts against the dispatcher's own table, and that nothing unknown reads as well."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.catalog.chip import chip
from windtunnel.catalog.composite import parts_of
from windtunnel.catalog.support import WORDS, SupportTable, support_table
from windtunnel.cli.port.ops import ops_json
from windtunnel.port.ops import OperatorRow, OpsReport, TypeRow, _row, ops
from windtunnel.run.record import Called

FACTS = Path(__file__).parents[3] / "shared" / "facts" / "operators.csv"
NPU = support_table("torch_npu", "2.13.0")


def worst(name: str, words: dict[str, str], above: frozenset[str] = frozenset(), always: bool = True) -> set[tuple[str, bool]]:
    """Everything that an overload ends in, written down from the table by recursion: leaves with whether they are certain."""
    word = words.get(name, "")
    if word and WORDS[word] != "composite":
        return {(WORDS[word], always)}
    made_of = parts_of(name)
    if not word or made_of is None or not made_of.recorded:
        return {("unknown", always)}
    if name in above:
        return set()
    found: set[tuple[str, bool]] = set()
    for part in made_of.parts:
        found |= worst(part.name, words, above | {name}, always and part.always)
    return found


def verdict(leaves: set[tuple[str, bool]]) -> str:
    if ("cpu fallback", True) in leaves:
        return "cpu fallback"
    if any(status == "unknown" for status, _ in leaves):
        return "unknown"
    return "cpu fallback" if ("cpu fallback", False) in leaves else "composite"


def told_by_the_dispatcher() -> dict[str, str]:
    if not FACTS.exists():
        return dict(NPU.words)  # the packaged copy of the same table
    with FACTS.open(encoding="utf-8", newline="") as stream:
        return {row["aten_overload"]: row["torch_npu_2_13_0"] for row in csv.DictReader(stream) if row["torch_npu_2_13_0"]}


def test_the_verdict_on_every_overload_is_the_dispatchers() -> None:
    """All 3,110 of torch_npu 2.13.0: the word itself, and for a composite the worst that it ends in."""
    words = told_by_the_dispatcher()
    assert len(words) == 3110
    wrong = {}
    for name, word in words.items():
        found = NPU.of(name)
        expected = WORDS[word] if WORDS[word] != "composite" else verdict(worst(name, words))
        if (found.word, found.status) != (word, expected):
            wrong[name] = (found.word, found.status, word, expected)
    assert not wrong


@pytest.mark.parametrize("plugin", ["torch_musa_2026_01", "torch_mlu_2024_09", "torch_xpu_ops_2026_06"])
def test_lists_are_packaged_as_they_are(plugin: str) -> None:
    if not FACTS.exists():
        pytest.skip("the facts are not beside this checkout")
    table = support_table("xpu" if "xpu" in plugin else plugin[:10].rstrip("_"))
    with FACTS.open(encoding="utf-8", newline="") as stream:
        listed = {row["aten_overload"] for row in csv.DictReader(stream) if row[plugin]}
    assert {name for name, word in table.words.items() if word == "listed"} == listed


def report(rows: list[OperatorRow], failure: str = "") -> OpsReport:
    return OpsReport("p.py", "npu", "ascend-910b2", "ascend-910b2", NPU, tuple(rows), failure)


def row(op: str, *types: TypeRow) -> OperatorRow:
    return OperatorRow(NPU.of(op), 1, "p.py:1", ("fp32",), True, types)


@given(
    st.lists(
        st.sampled_from(["aten.mm.default", "aten.linear.default", "aten.nothing.default", "aten.poisson.default", "x.y.default"])
    )
)
def test_all_is_well_only_where_all_is_known(names: list[str]) -> None:
    found = report([row(name) for name in dict.fromkeys(names)])
    statuses = {one.status.status for one in found.rows}
    assert found.all_well == (bool(statuses) and statuses <= {"native", "composite"})
    assert ("have kernels" in found.verdict) == found.all_well


def test_types_and_early_ends_count() -> None:
    well = report([row("aten.mm.default")])
    assert well.all_well
    lacking = report([row("aten.mm.default", TypeRow("fp8", "lacking", "no unit", "s"))])
    assert not lacking.all_well
    assert "does not compute fp8" in lacking.verdict
    unknown = report([row("aten.mm.default", TypeRow("fp64", "unknown", "no source", "s"))])
    assert not unknown.all_well
    assert "fp64 is not known" in unknown.verdict
    integers = report([row("aten.mm.default", TypeRow("int64", "unknown", "no record", "s"))])
    assert integers.all_well
    assert integers.types_unknown == ("int64",)
    stopped = report([row("aten.mm.default")], failure="RuntimeError: x")
    assert not stopped.all_well
    assert "stopped early" in stopped.verdict


def test_a_row_says_types_and_where_it_was_first_called() -> None:
    found = _row(Called("aten.mm.default", 3, None, ("bf16", "fp8")), NPU, chip("ascend-910b2"), "npu")
    assert [(kind.dtype, kind.state) for kind in found.types] == [("fp8", "lacking")]
    attention = _row(Called("aten.scaled_dot_product_attention_backward.default", 1, None), NPU, chip("ascend-910b2"), "npu")
    assert attention.status.op == "aten.scaled_dot_product_attention_backward.default"
    assert attention.status.status == NPU.of("aten.scaled_dot_product_attention.default").status
    nobody = _row(Called("aten.mm.default", 1, None, ("fp32",)), SupportTable("none", "", "nobody", {}), None, "xpu")
    assert (nobody.status.status, nobody.types) == ("unknown", ())


def test_every_key_of_the_json_is_documented() -> None:
    documented = set(re.findall(r"`(\w+)`", (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")))
    told = ops_json(report([row("aten.mm.default", TypeRow("fp8", "lacking", "no unit", "s"))]))
    (operator,) = told["census"]
    assert {*told, *operator, *operator["types_in_doubt"][0]} <= documented


PROGRAM = """\
import torch
x = torch.randn(4, 4, device="npu")
y = (x @ x).t().contiguous()
torch.poisson(y.abs())
"""


def test_a_program_on_its_virtual_chip(tmp_path: Path) -> None:
    script = tmp_path / "p.py"
    script.write_text(PROGRAM, encoding="utf-8")
    found = ops(str(script), to="npu")
    told = {one.status.op: one for one in found.rows}
    assert found.recorded_on == "ascend-910b2"
    assert told["aten.mm.default"].status.status == "native"
    assert told["aten.mm.default"].site.endswith("p.py:3")
    assert not told["aten.t.default" if "aten.t.default" in told else "aten.transpose.int"].launches
    assert told["aten.poisson.default"].status.status == "cpu fallback"
    assert not found.all_well
