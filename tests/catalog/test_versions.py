"""Versions are ordered and matched as the Python packaging rules have it; ``packaging`` is the oracle."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from windtunnel.catalog.version import clauses, local_label, satisfies, version_order

packaging_specifiers = pytest.importorskip("packaging.specifiers")
packaging_version = pytest.importorskip("packaging.version")

NUMBERS = st.lists(st.integers(0, 12), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
DOTTED = NUMBERS.filter(lambda text: "." in text)
STAGES = st.sampled_from(["", "", "", "rc1", ".rc2", "a0", "b3", ".dev0", "rc1.dev3"])
POSTS = st.sampled_from(["", "", ".post1", "-2", ".post9"])
VERSIONS = st.builds(lambda number, stage, post: number + stage + post, NUMBERS, STAGES, POSTS).filter(
    lambda text: not (".dev" in text and ("post" in text or "-" in text))
)
LABELLED = st.builds(lambda version, label: version + label, VERSIONS, st.sampled_from(["", "", "+cpu", "+cu128"]))
CLAUSES = st.one_of(
    st.builds(lambda relation, version: relation + version, st.sampled_from(["==", "!=", ">=", "<=", ">", "<"]), VERSIONS),
    st.builds(lambda relation, version: f"{relation}{version}.*", st.sampled_from(["==", "!="]), NUMBERS),
    st.builds(lambda version: f"=={version}+cpu", VERSIONS),
    st.builds(lambda version, stage: f"~={version}{stage}", DOTTED, st.sampled_from(["", "rc1", ".post1"])),
)


@given(VERSIONS, VERSIONS)
@example("8.3.RC1", "8.3")
@example("2.10.0", "2.9.0.post9")
def test_order(one: str, other: str) -> None:
    mine, theirs = version_order(one), version_order(other)
    assert mine is not None
    assert theirs is not None
    assert (mine < theirs) == (packaging_version.Version(one) < packaging_version.Version(other))
    assert (mine == theirs) == (packaging_version.Version(one) == packaging_version.Version(other))


@given(LABELLED, st.lists(CLAUSES, min_size=1, max_size=3).map(",".join))
@example("2.10.0+cpu", "==2.10.0")
@example("2.10.0", "==2.10.0+cpu")
@example("2026.4.1.0", "~=2026.4.1.0.dev")
@example("1.0.post1", ">1.0")
@example("2.0rc1", "<2.0")
def test_specifiers(version: str, spec: str) -> None:
    wanted = packaging_specifiers.SpecifierSet(spec)
    assert satisfies(version, spec) is wanted.contains(version, prereleases=True), (version, spec)


@pytest.mark.parametrize("version", ["", "latest", "7.3.0.1.231:8.0", "v", "1" * 50, "1.0+", "无"])
def test_what_is_no_version_is_not_known(version: str) -> None:
    assert version_order(version) is None
    assert satisfies(version, ">=1") is None


@given(st.text(max_size=60), st.text(max_size=60))
def test_nothing_raises(version: str, spec: str) -> None:
    assert satisfies(version, spec) in (True, False, None)


def test_labels_and_makers_spellings() -> None:
    assert local_label("2.9.0+cu128") == "cu128"
    assert satisfies("8.3.RC1", "==8.3.rc1")
    assert satisfies("V25.2.0", ">=24")
    assert clauses("") == ()
    assert clauses("newest") is None
