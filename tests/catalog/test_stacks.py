"""Records of software stacks: each row has a source, advice follows from rows, and nothing contradicts itself."""

from __future__ import annotations

import re

import pytest

from windtunnel.catalog.stack import Stack, parse_stack, shelf, stack, stacks
from windtunnel.catalog.store import Table
from windtunnel.catalog.version import satisfies
from windtunnel.errors import InvalidInputError


@pytest.mark.parametrize("one", stacks(), ids=lambda one: one.id)
def test_records_are_whole(one: Stack) -> None:
    assert one.id in shelf.ids()
    assert one.builds
    needs, builds = [need.source for need in one.needs], [build.source for build in one.torch]
    waivers, releases = [waiver.source for waiver in one.waivers], [release.source for release in one.releases]
    assert all(source.strip() for source in (*needs, *builds, *waivers, *releases))
    assert all(release.install for release in one.releases)
    assert not one.toolkit_files or (one.toolkit and one.toolkit_pattern)
    for need in one.needs:
        assert need.toolkit or need.driver or need.python or need.packages
        assert one.toolkit or not need.toolkit


@pytest.mark.parametrize("one", stacks(), ids=lambda one: one.id)
def test_one_row_at_most_tells_of_a_version(one: Stack) -> None:
    for need in one.needs:
        if need.versions.startswith("==") and "*" not in need.versions:
            version = need.versions[2:]
            assert [n for n in one.needs if n.package == need.package and satisfies(version, n.versions)] == [need]


@pytest.mark.parametrize("one", stacks(), ids=lambda one: one.id)
def test_what_is_advised_meets_the_rows(one: Stack) -> None:
    """Versions that an install line puts there are those that a row pairs with the release's own toolkit and Python."""
    for release in one.releases:
        for name, version in re.findall(r"([a-z][a-z0-9-]*)==([\w.+]+)", " ".join(release.install)):
            for need in one.needs:
                if need.package == name and satisfies(version.partition("+")[0], need.versions):
                    if need.toolkit and release.toolkit:
                        assert satisfies(release.toolkit.removeprefix("=="), need.toolkit), (release.engine, name)
                    pinned = dict(re.findall(r"([a-z][a-z0-9-]*)==([\w.+]+)", " ".join(release.install)))
                    for other, spec in (need.packages or {}).items():
                        assert other not in pinned or satisfies(pinned[other], spec)


def test_ascend_pairs_of_torch_npu_and_cann() -> None:
    """Three rows of the table in torch-npu 2.13.0's README, by hand."""
    rows = {need.versions: need.toolkit for need in stack("ascend").needs if need.package == "torch-npu"}
    assert rows["==2.9.0"] == "==8.5.0"
    assert rows["==2.8.0"] == "==8.3.rc1"
    assert rows["==2.5.1.post1"] == "==8.2.rc1"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("# version: 1.0\nruntime_running_version=[7.3.0.1.231:8.0.RC2]\n", "8.0.RC2"),
        ("toolkit_running_version=[9.1.0]\n", "9.1.0"),
        ("Version=8.5.0\nversion_dir=8.5.0\n", "8.5.0"),
    ],
)
def test_version_files_of_cann(text: str, version: str) -> None:
    found = re.search(stack("ascend").toolkit_pattern, text)
    assert found is not None
    assert found[1] == version


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"needs": [{"package": "x", "versions": "newest", "source": "s"}]}, "no specifier"),
        ({"needs": [{"package": "x", "versions": "==1"}]}, "source"),
        ({"releases": [{"engine": "x", "install": [], "source": "s", "pyton": ">=3"}]}, "did you mean python"),
        ({"toolkit_pattern": "no group"}, "one group"),
    ],
)
def test_a_wrong_record_is_refused_by_field(fields: dict[str, object], said: str) -> None:
    head: dict[str, object] = {"id": "made-up", "name": "n", "vendor": "v", "device": "d", "builds": ["any"]}
    with pytest.raises(InvalidInputError, match=said):
        parse_stack(Table("made-up.toml", head | fields))


@pytest.mark.parametrize("one", stacks(), ids=lambda one: one.id)
def test_variables_are_named_and_sourced(one: Stack) -> None:
    assert not one.visible or (re.fullmatch(r"[A-Z_]+", one.visible) and one.visible_source.strip())
    names = [variable.name for variable in one.variables]
    assert len(names) == len(set(names))
    assert one.visible not in names
    for variable in one.variables:
        assert re.fullmatch(r"[A-Z_]+", variable.name)
        assert variable.value
        assert variable.source.strip()
        assert set(variable.engines) <= set(one.engines)
