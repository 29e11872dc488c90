"""Baselines: what a finding is known by, what is new, what is gone; ignores that do not do what they mean to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.errors import InvalidInputError
from windtunnel.port.finding import Finding, Place
from windtunnel.port.gate import bad_ignores, fingerprints, gate, read_baseline, write_baseline


def finding(line: int = 1, excerpt: str = 'x.to("cuda")', rule: str = "cuda-device-string", path: str = "a.py") -> Finding:
    return Finding(rule, "spelling", Place(path, line, 1, line, 5), excerpt, "why", "advice", ("npu",))


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=6), st.integers(1, 500))
def test_lines_that_move_keep_their_fingerprints(excerpts: list[str], shift: int) -> None:
    here = [finding(n, text) for n, text in enumerate(excerpts, 1)]
    there = [finding(n + shift, f"  {text} ") for n, text in enumerate(excerpts, 1)]
    assert fingerprints(here) == fingerprints(there)
    assert len(set(fingerprints(here))) == len(here), "two findings are never one"


@pytest.mark.parametrize(
    "other", [finding(excerpt="y"), finding(rule="cuda-method"), finding(path="b.py")], ids=["line", "rule", "file"]
)
def test_what_makes_another_finding(other: Finding) -> None:
    assert fingerprints([finding()]) != fingerprints([other])


def test_a_second_of_the_same_is_new() -> None:
    before = fingerprints([finding(1)])
    found = gate([finding(1), finding(9)], before)
    assert found.known == (finding(1),)
    assert found.new == (finding(9),)
    assert found.gone == ()
    assert gate([], before).gone == before


def test_a_baseline_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "base.json"
    found = [finding(1), finding(2), finding(3, "\udcff", path="dir/ü.py")]
    write_baseline(file, found)
    assert read_baseline(file) == set(fingerprints(found))
    assert not gate(found, read_baseline(file)).new
    assert [p.name for p in tmp_path.iterdir()] == ["base.json"], "nothing is left beside it"
    assert "line" not in next(iter(json.loads(file.read_text(encoding="utf-8"))["findings"].values()))


@pytest.mark.parametrize("content", ["", "[]", "{", '{"format": 2, "findings": {}}', '{"format": 1, "findings": []}', "\0"])
def test_what_is_no_baseline_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "base.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidInputError, match="baseline"):
        read_baseline(file)
    with pytest.raises(InvalidInputError, match="--write-baseline"):
        read_baseline(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("comment", "told"),
    [
        ("# windtunnel: ignore[cuda-method] runs on CUDA alone", ""),
        ("# windtunnel: ignore[cuda-method]", "no reason"),
        ("# windtunnel: ignore[cuda-method] .", "no reason"),
        ("# windtunnel: ignore[*] everything here is CUDA's", ""),
        ("# windtunnel: ignore[no-such-rule] since", "no rule no-such-rule"),
        ("# windtunnel: ignore since", "names no rule"),
        ("# windtunnel ignores nothing", ""),
    ],
)
def test_ignores_that_set_nothing_aside_are_told(tmp_path: Path, comment: str, told: str) -> None:
    (tmp_path / "a.py").write_text(f"x = 1\ny = x.cuda()  {comment}\n", encoding="utf-8")
    found = bad_ignores(tmp_path, ["a.py"])
    assert [(one.line, told in one.why) for one in found] == ([(2, True)] if told else [])
