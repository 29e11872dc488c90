"""What plugins do with operators: names, direct verdicts, composites down to their leaves, the census."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.catalog import chip, chips
from windtunnel.catalog.composite import parse_composites, parts_of
from windtunnel.catalog.overload import split_overload
from windtunnel.catalog.store import Table as StoreTable
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
        ("torch_mlu", "aten.poisson.default", "unknown"),
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
    assert census.all_on_chip == (fine and bool(calls))
    assert census.verdict.startswith("all ") == (fine and bool(calls))


def test_an_empty_table_knows_nothing() -> None:
    table = SupportTable("torch_xyz", "", "nobody", {})
    assert table.of("mm") == OperatorStatus("aten.mm.default", "unknown", "nobody", note="no table of torch_xyz")


@pytest.mark.parametrize(
    ("op", "status", "via"),
    [
        # linear(x, w, b) is addmm(b, x, t(w)), t is transpose.int, and that is as_strided: a kernel each
        ("aten.linear.default", "composite", ()),
        # a determinant is an LU factorisation, which torch_npu leaves to the CPU, as all of LAPACK
        ("aten.linalg_det.default", "cpu fallback", ("aten._linalg_det.default", "aten._linalg_det.result")),
        ("aten.det.default", "cpu fallback", ("aten.linalg_det.default", "aten._linalg_det.default", "aten._linalg_det.result")),
        # structured: in place, it is its variant that writes into a given tensor
        ("aten.lgamma_.default", "cpu fallback", ("aten.lgamma.out",)),
        ("aten.special_gammaln.default", "cpu fallback", ("aten.lgamma.default", "aten.lgamma.out")),
        # a kernel of the plugin's own is a leaf, whatever PyTorch makes the operator of
        ("aten.matmul.default", "native", ()),
        ("aten.scaled_dot_product_attention.default", "native", ()),
    ],
)
def test_down_to_the_leaf(op: str, status: str, via: tuple[str, ...]) -> None:
    found = support_table("torch_npu", "2.13.0").of(op)
    assert (found.status, found.via, found.always) == (status, via, True)


GRAPH = {
    "good": "leaf leaf2",
    "deep": "good",
    "slow": "good cpu",
    "deep_slow": "leaf slow",
    "now_and_then": "leaf ?cpu",
    "below_now_and_then": "?slow",
    "dark": "leaf nobody",
    "slow_and_dark": "nobody cpu",
    "dark_or_slow": "nobody ?cpu",
    "loop": "loop2 leaf",
    "loop2": "loop",
    "slow_loop": "slow_loop2",
    "slow_loop2": "slow_loop cpu",
    "nothing": "",
    "unseen": "-",
    "above_unseen": "unseen",
}


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> SupportTable:
    """A plugin with two kernels and one fall-back, under operators that are made of others as GRAPH says."""
    lines = "\n".join(f"{name}: {parts}" for name, parts in GRAPH.items())
    graph = parse_composites(StoreTable("made up", {"torch": "0", "source": "made up", "parts": lines}))
    monkeypatch.setattr("windtunnel.catalog.support.parts_of", graph.get)
    return SupportTable("p", "1", "s", {"leaf": "listed", "leaf2": "native", "cpu": "cpu_fallback"})


@pytest.mark.parametrize(
    ("name", "status", "via", "always"),
    [
        ("good", "composite", "", True),
        ("deep", "composite", "", True),
        ("slow", "cpu fallback", "cpu", True),
        ("deep_slow", "cpu fallback", "slow cpu", True),
        ("now_and_then", "cpu fallback", "cpu", False),
        ("below_now_and_then", "cpu fallback", "slow cpu", False),
        ("dark", "unknown", "nobody", True),
        ("slow_and_dark", "cpu fallback", "cpu", True),
        ("dark_or_slow", "unknown", "nobody", True),
        ("loop", "composite", "", True),
        ("slow_loop", "cpu fallback", "slow_loop2 cpu", True),
        ("nothing", "composite", "", True),
        ("unseen", "unknown", "", True),
        ("above_unseen", "unknown", "unseen", True),
    ],
)
def test_a_composite_is_as_the_worst_that_it_ends_in(
    made_up: SupportTable, name: str, status: str, via: str, always: bool
) -> None:
    found = made_up.of(name)
    assert (found.status, found.via, found.always) == (status, tuple(f"aten.{v}.default" for v in via.split()), always)
    assert found.note
    assert found.note.endswith("for some arguments") == (not always)


@pytest.mark.parametrize("line", ["no colon", "twice: a\ntwice: b"])
def test_a_malformed_table_of_parts_is_refused(line: str) -> None:
    with pytest.raises(InvalidInputError, match="NAME: PART PART"):
        parse_composites(StoreTable("x", {"torch": "0", "source": "x", "parts": line}))


def test_parts_agree_with_the_dispatcher() -> None:
    """PyTorch itself, asked again, calls what the table says (on the CPU, where these operators take the same way)."""
    torch = pytest.importorskip("torch")
    from torch.utils._python_dispatch import TorchDispatchMode

    class Called(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.names: list[str] = []

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.names.append(split_overload(str(func))[1])
            return func(*args, **(kwargs or {}))

    x, y = torch.rand(4, 4), torch.rand(4)
    for name, args in {
        "linear": (x, x, y),
        "layer_norm": (x, [4]),
        "cross_entropy_loss": (x, torch.tensor([0, 1, 2, 3])),
        "special_gammaln": (x,),
        "linalg_det": (x,),
        "group_norm": (x, 2),
    }.items():
        with torch._C._AutoDispatchBelowAutograd(), Called() as called:
            getattr(torch.ops.aten, name).default.decompose(*args)
        made_of = parts_of(name)
        assert made_of is not None
        assert set(called.names) <= {p.name for p in made_of.parts}
        assert {p.name for p in made_of.parts if p.always} <= set(called.names)


def test_kernels_that_came_with_a_version() -> None:
    old, new = support_table("torch_npu", "2.1.0.post17"), support_table("torch_npu", "2.13.0")
    assert (old.of("_fused_adam_").status, new.of("_fused_adam_").status) == ("unknown", "native")


def test_most_composites_were_seen_at_work() -> None:
    """A table that knows little would still be honest; this one should not get worse unnoticed."""
    table = support_table("torch_npu", "2.13.0")
    unseen = [name for name in table.words if table.of(name).status == "unknown"]
    assert len(unseen) <= 150
    assert {table.of(op).status for op in ("layer_norm", "batch_norm", "cross_entropy_loss", "embedding_bag", "reshape")} == {
        "composite"
    }
