"""Operator lists out of wheels: the forms that such a list has, and whatever else a file may hold."""

from __future__ import annotations

import contextlib
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.catalog.plugin_wheel import LIST, parse_list, read_wheel
from windtunnel.catalog.support import support_table
from windtunnel.errors import InvalidInputError

SAMPLE = """\
# written by hand, in the forms that the real list has
autograd:
- func: gru_cell(Tensor input_gates, Tensor? bias=None) -> (Tensor, Tensor)
  impl_ns: op_api
backend: NPU
cpp_namespace: at_npu::native
custom:
- device_check: NoCheck
  func: npu_format_cast.Tensor(Tensor self, Tensor dst, *, int? dtype=None) -> Tensor
- dispatch:
    AutogradPrivateUse1: npu_permute
  func: npu_permute(Tensor(a!) tokens) -> ()
quant:
- func: int_repr(Tensor self) -> Tensor
  impl_ns: op_api
supported:
- mm
- mm.out
- npu_permute
- func: clone
  op_api: true
- func: add.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)
  impl_ns: op_api
  sparse: op_api
- func: _coalesce(Tensor self) -> Tensor
  sparse: op_api

symint:
- mm
"""
METADATA = "Metadata-Version: 2.4\nName: torch_npu\nVersion: 2.6.0.post5\n"


def wheel(path: Path, listed: str | bytes = SAMPLE, metadata: str = METADATA, member: str = LIST) -> Path:
    with zipfile.ZipFile(path / "w.whl", "w") as archive:
        archive.writestr(member, listed)
        archive.writestr("torch_npu-2.6.0.post5.dist-info/METADATA", metadata)
    return path / "w.whl"


def test_the_list_of_a_wheel(tmp_path: Path) -> None:
    table = read_wheel(wheel(tmp_path))
    assert table.name == "torch_npu 2.6.0.post5"
    assert set(table.words) == {"gru_cell", "mm", "mm.out", "clone", "add.out"}
    assert table.custom == {"npu_format_cast.Tensor", "npu_permute"}
    assert table.of("aten.mm.default").status == "native"
    assert table.of("torch.ops.npu.npu_permute.default").status == "native"
    # for sparse or quantised tensors alone, or not at all
    assert {table.of(op).status for op in ("_coalesce", "int_repr", "sort", "npu::npu_other")} == {"unknown"}
    assert LIST in table.of("mm").source


def test_indented_lists_are_lists_too() -> None:
    """The older, hand-kept form."""
    found = parse_list("supported:\n  - mm\n  - func: clone\n    op_api: True\n", "x")
    assert found == {"supported": ["mm", "clone"]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a plugin's list"),
        ("supported:\n", "not a plugin's list"),
        ("custom:\n- mm\n", "not a plugin's list"),
        ("supported:\n- mm\n- [a, b]\n", "line 3: '- \\[a, b\\]' is no line"),
        ("supported:\n  func: mm\n", "line 2: .* belongs to no entry"),
        ("supported:\n- func: 3mm(Tensor a)\n", "'3mm\\(Tensor a\\)' is no operator's schema"),
        ("supported:\n- device_check: x\n", "is no operator's schema"),
        ("- mm\n", "line 1"),
    ],
)
def test_what_is_no_such_list_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        parse_list(text, "list")


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    with contextlib.suppress(InvalidInputError):
        assert parse_list(text, "list")


def test_files_that_are_no_such_wheel(tmp_path: Path) -> None:
    text = tmp_path / "text.whl"
    text.write_text("not a wheel")
    for path, said in (
        (text, "not a wheel \\(a ZIP archive\\)"),
        (tmp_path / "missing.whl", "No such file"),
        (tmp_path, "cannot be read"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            read_wheel(path)
    with pytest.raises(InvalidInputError, match="holds no torch_npu/csrc"):
        read_wheel(wheel(tmp_path, member="torch/native.yaml"))
    with pytest.raises(InvalidInputError, match="names no version"):
        read_wheel(wheel(tmp_path, metadata="Name: torch_npu\n"))
    with pytest.raises(InvalidInputError, match="UTF-8"):
        read_wheel(wheel(tmp_path, listed=b"supported:\n- \xff\n"))


def test_versions_differ_as_their_lists_do() -> None:
    """Fused attention has long been among torch_npu's own operators; others came later."""
    old, new = support_table("torch_npu", "2.1.0.post17"), support_table("torch_npu", "2.13.0")
    assert old.of("npu::npu_fusion_attention").status == new.of("npu::npu_fusion_attention").status == "native"
    assert len(new.custom) > len(old.custom)
