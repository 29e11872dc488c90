"""Whatever a file holds, it is read or refused with one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel.errors import InvalidInputError, WindtunnelError
from windtunnel.fit import table as tables
from windtunnel.fit.fitting import fit
from windtunnel.fit.table import degree, number, read_table
from windtunnel.fit.validate import validate

SERVING = "chip,model,isl,osl,concurrency,tp,pp,dp,moe_tp,moe_ep,n_chips,precision,engine,engine_version,ttft_ms,tpot_ms\n"
OPERATORS = "chip,op,dtype,m,n,k,batch,seq,q_heads,kv_heads,head_dim,experts,topk,ep,latency_us,cache_warm\n"


def file(folder: Path, content: str | bytes) -> Path:
    path = folder / "measured.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("chip,model,isl,osl,concurrency,tpot_ms", "serving"),
        ("\ufeff Chip , Model,ISL,osl,concurrency,ttft_ms,source", "serving"),
        ("chip,op,latency_us", "operators"),
        ("chip,program,samples_per_s", "programs"),
    ],
)
def test_the_columns_tell_the_kind(header: str, kind: str, tmp_path: Path) -> None:
    assert read_table(file(tmp_path, header + "\n")).kind == kind


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty; a first line with the names of the columns is needed"),
        ("\n\n  ,\n", "empty; a first line"),
        ("chip,model,isl,osl,tpot_ms\n", "column 'concurrency' is missing"),
        ("chip,model,isl,osl,concurrency\n", "nothing was measured; serving need one of ttft_ms, tpot_ms"),
        ("chip,op,dtype\n", "column 'latency_us' is missing"),
        ("chip,chip,op,latency_us\n", "column 'chip' stands there twice"),
        ("name,value\n1,2\n", "its columns tell no kind of measurement"),
        ("chip,latency\n", "did you mean chip, latency_us"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "not a text file"),
        (b"chip,op,latency_us\nh20,\0,1\n", "not a text file"),
        ('chip,op,latency_us\n"' + "x" * 200_000, "field larger than field limit"),
    ],
)
def test_a_file_that_holds_none_is_refused_with_one_line(content: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as refused:
        read_table(file(tmp_path, content))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInputError, match="there is no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(InvalidInputError, match="there is no such file"):
        read_table(tmp_path)
    monkeypatch.setattr(tables, "MAX_BYTES", 10)
    with pytest.raises(InvalidInputError, match="larger than 10 bytes"):
        read_table(file(tmp_path, "chip,op,latency_us\n"))


def test_a_line_with_too_many_fields_is_counted_not_shifted(tmp_path: Path) -> None:
    found = read_table(file(tmp_path, "chip,op,latency_us\nh20,gemm,1,2\nh20,gemm\n\nh20,gemm,5\n"))
    assert found.broken == 1
    assert found.rows == ({"chip": "h20", "op": "gemm"}, {"chip": "h20", "op": "gemm", "latency_us": "5"})


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "0", "1e99", "x", "1,5", ""])
def test_numbers_are_positive_and_finite(text: str) -> None:
    with pytest.raises(InvalidInputError, match="isl"):
        number({"isl": text}, "isl")


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "1.5", "1e9", "two"])
def test_degrees_are_whole(text: str) -> None:
    with pytest.raises(InvalidInputError, match="tp"):
        degree({"tp": text}, "tp")
    assert degree({"tp": "8.0"}, "tp") == 8
    assert degree({"tp": ""}, "tp", 3) == 3


WORDS = [
    *("", "h100-sxm", "gb200", "cloudmatrix-384", "deepseek-ai/DeepSeek-R1", "Qwen/Qwen3-8B", "vllm", "fp8", "gemm"),
    *("attn_decode", "moe_ffn", "all_reduce", "0", "1", "8", "64", "-3", "nan", "inf", "1e308", "1e15", "true", "/", "..", "~"),
]
GARBAGE = st.one_of(st.text(max_size=12), st.sampled_from(WORDS), st.integers(-(10**6), 10**12).map(str), st.floats().map(str))


@settings(max_examples=60, deadline=None)
@given(
    header=st.sampled_from([SERVING, OPERATORS, "chip,program,samples_per_s\n"]),
    rows=st.lists(st.lists(GARBAGE, max_size=18), max_size=6),
)
def test_rows_of_garbage_are_refused_never_raised(
    header: str, rows: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("garbage") / "g.csv"
    path.write_text(header + "\n".join(",".join(row) for row in rows), encoding="utf-8", errors="replace")
    try:
        found = validate(path)
    except WindtunnelError:
        return
    assert found.predicted + sum(found.refused.values()) == found.rows
    found.to_json()


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=300))
def test_bytes_of_garbage_are_refused_with_one_line(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("garbage") / "g.csv"
    path.write_bytes(content)
    with pytest.raises(WindtunnelError) as refused:
        validate(path)
    assert "\n" not in str(refused.value)


@settings(max_examples=40, deadline=None)
@given(
    op=st.sampled_from(["gemm", "attn_prefill_causal", "attn_decode", "mla_decode", "moe_ffn", "all_reduce", "elementwise"]),
    numbers=st.lists(
        st.one_of(st.floats(min_value=1e-9, max_value=1e15).map(str), st.integers(1, 10**5).map(str)), min_size=12, max_size=12
    ),
    latency=st.lists(st.floats(min_value=1e-12, max_value=1e15).map(str), min_size=1, max_size=4),
)
def test_shapes_of_any_size_are_priced_and_fitted_or_refused(
    op: str, numbers: list[str], latency: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("shapes") / "s.csv"
    path.write_text(OPERATORS + "".join(f"h20,{op},bf16,{','.join(numbers[:11])},{time},\n" for time in latency))
    found = validate(path)
    assert found.predicted + sum(found.refused.values()) == found.rows
    try:
        fit(path)
    except WindtunnelError as problem:
        told = str(problem)
        assert "\n" not in told


def test_fields_that_hold_nothing_and_commas_at_the_end_of_a_line_are_read(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("chip,op,m,latency_us\nh20,gemm,NaN,5,,\nh20,gemm,1,5,9\n", encoding="utf-8")
    found = read_table(path)
    assert found.rows == ({"chip": "h20", "op": "gemm", "m": "", "latency_us": "5"},)
    assert found.broken == 1
