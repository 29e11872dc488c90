"""Whatever a file holds, the parsers answer with a record or with an expected error, never with another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel.catalog import chip, engine, system
from windtunnel.catalog.chip import parse_chip, shelf
from windtunnel.catalog.engine import parse_engine, version_key
from windtunnel.catalog.engine import shelf as engine_shelf
from windtunnel.catalog.price import parse_prices
from windtunnel.catalog.store import Table, parse_toml
from windtunnel.catalog.system import parse_system
from windtunnel.catalog.system import shelf as system_shelf
from windtunnel.errors import WindtunnelError

PARSERS: dict[str, Callable[[Table], object]] = {
    "chip": parse_chip,
    "system": parse_system,
    "engine": parse_engine,
    "prices": parse_prices,
}
SPELLED = """
id dtypes memory_bytes value unit kind source others versions since chunk_tokens from_gib chip chips prices item basis
low high tariffs rates terms years currency matrix_flops_per_s bf16
"""
WORDS = SPELLED.split()
GOOD = ("h20", "bf16", "byte", "USD", "USD/h", "count", "measured", "purchase", "rent", "0.9.1", "CNY", "x")

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(GOOD),
    st.integers(10**300, 10**310),
)
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=6)),
    max_leaves=20,
)
tables = st.dictionaries(st.one_of(st.sampled_from(WORDS), st.text(max_size=4)), trees, max_size=8)


def parses_or_complains(parse: Callable[[], object]) -> None:
    complaint = ""
    try:
        parse()
    except WindtunnelError as error:
        complaint = str(error)
    assert "\n" not in complaint


@pytest.mark.parametrize("what", PARSERS)
@settings(max_examples=120, deadline=None)
@given(fields=tables)
def test_any_table(what: str, fields: dict[str, Any]) -> None:
    parses_or_complains(lambda: PARSERS[what](Table("made up", fields)))


@settings(max_examples=120, deadline=None)
@given(text=st.text(max_size=200))
def test_any_text(text: str) -> None:
    for parse in PARSERS.values():
        parses_or_complains(lambda parse=parse: parse(Table("made up", parse_toml(text, "made up"))))  # type: ignore[misc]


RECORDS = {"chip": shelf.text("ascend-910b2"), "system": system_shelf.text("hgx-h20"), "engine": engine_shelf.text("vllm")}


@pytest.mark.parametrize("what", RECORDS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_record_with_a_piece_replaced(what: str, data: st.DataObject) -> None:
    """Nearly right is where parsers break: a stretch of a real record gives way to something else."""
    text = RECORDS[what]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    put = data.draw(
        st.one_of(st.text(max_size=10), st.sampled_from(["nan", "-inf", "1e999", "[]", "{}", '""', "[[x]]\n", "9" * 5000]))
    )
    changed = text[:start] + put + text[end:]
    parses_or_complains(lambda: PARSERS[what](Table("changed", parse_toml(changed, "changed"))))


@settings(max_examples=120, deadline=None)
@given(name=st.text(max_size=300))
def test_any_name(name: str) -> None:
    for look_up in (chip, system, engine):
        parses_or_complains(lambda look_up=look_up: look_up(name))  # type: ignore[misc]


@settings(max_examples=120, deadline=None)
@given(
    version=st.one_of(st.text(max_size=80), st.from_regex(r"v?[0-9]{1,30}(\.[0-9]+){0,8}(rc|post|dev)?[0-9]*", fullmatch=True))
)
def test_any_version(version: str) -> None:
    version_key(version)
    for name in ("vllm", "vllm-ascend", "trtllm", "tgi"):
        traits = engine(name).traits_at(version)
        assert all("\n" not in note for note in traits.notes)
