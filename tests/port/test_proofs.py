"""The programs that are proven by the benchmark, what is said of each, and the page that shows three of them."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from bench.port import proofs

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "port-examples.md").read_text(encoding="utf-8")


def told(**other: Any) -> dict[str, Any]:
    same = {"name": "losses", "status": "same", "detail": None}
    ran = {"target": "npu", "ran": True, "detail": None}
    plain = {"proven": False, "needs_cuda": None, "obstacles": [], "on_cpu": [same], "on_cuda": [same], "targets": [ran]}
    return plain | other


def test_every_program_is_pinned_or_lies_here() -> None:
    table = proofs.programs()
    assert len(table) >= 8
    assert len({one.name for one in table}) == len(table)
    assert len({one.package for one in table if one.package}) >= 6
    for one in table:
        if not one.package:
            assert (ROOT / "bench" / "port" / one.root / one.program).is_file()
            continue
        assert one.version in one.archive
        assert re.fullmatch(r"[0-9a-f]{64}", one.sha256)
        assert all("==" in need for need in one.needs.split())


def test_one_archive_has_one_hash() -> None:
    assert len({(one.archive, one.sha256) for one in proofs.programs()}) == len({one.archive for one in proofs.programs()})


@pytest.mark.parametrize(
    ("report", "verdict"),
    [
        (told(proven=True), "proven on the CPU and on virtual CUDA"),
        (told(proven=True, needs_cuda="no CUDA"), "proven on virtual CUDA, which it needs"),
        (told(obstacles=["it fails as it is"]), "not proven: it fails as it is"),
        (
            told(obstacles=["odd"], on_cuda=[{"name": "losses", "status": "different", "detail": "number 1"}]),
            "not proven: losses: number 1",
        ),
        (
            told(targets=[{"target": "npu", "ran": False, "detail": "no kernel"}]),
            "the same on the CPU and on virtual CUDA, but not shown to run on npu: no kernel",
        ),
    ],
)
def test_a_verdict_says_no_more_than_was_shown(report: dict[str, Any], verdict: str) -> None:
    assert proofs._verdict(report) == verdict


def test_what_is_not_to_be_had_is_not_tried(tmp_path: Path) -> None:
    one = next(program for program in proofs.programs() if program.package)
    proof = proofs._prove(one, tmp_path, {one.package: "the index does not have it"})
    assert proof.proven is None
    assert not proof.identical
    assert "the index does not have it" in proof.verdict


def test_the_page_shows_the_archives_of_the_table() -> None:
    shown = re.findall(r"^([0-9a-f]{64})  (\S+)$", PAGE, re.MULTILINE)
    assert len(shown) >= 3
    assert set(shown) <= {(one.sha256, one.archive) for one in proofs.programs()}


def test_each_program_of_the_page_is_proven() -> None:
    verdicts = " ".join(PAGE.split()).count(": proven: it computes the same, and runs on the targets")
    assert PAGE.count("$ windtunnel port prove") == verdicts == 3


def test_commands_of_the_page_are_found_whole() -> None:
    commands = runpy.run_path(str(ROOT / "docs" / "generate_port_examples.py"))["commands"]
    assert commands("$ a \\\n    b\nout\n$ c\n") == ["a \\\n    b", "c"]
    assert commands('$ python -c "x = 1\nprint(x)"\n1\n') == ['python -c "x = 1\nprint(x)"']
