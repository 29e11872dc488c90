"""Workers that die, sweeps that are stopped, journals that are torn: nothing that was done is lost or done twice."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sweep import answers
from windtunnel.errors import InvalidInputError, UnsupportedError
from windtunnel.sweep.journal import Journal
from windtunnel.sweep.point import Point
from windtunnel.sweep.run import DIED, Progress, keep, pending
from windtunnel.sweep.workers import Answer, local


def points(names: Sequence[object], folder: Path = Path()) -> list[Point]:
    return [Point(i, {"model": str(name)}, (str(name), str(folder)), f"key {name}") for i, name in enumerate(names, 1)]


def swept(of: Sequence[Point], journal: Journal, answer: Answer, jobs: int = 2) -> Progress:
    left = list(pending(of, journal))
    progress = Progress(len(left))
    assert keep(local(left, answer, jobs), journal, progress, lambda args: {"model": args[0]}, lambda: True)
    return progress


def test_every_point_once_whatever_the_order(tmp_path: Path) -> None:
    asked = points([*range(20), *range(5)])  # the last five are the first again
    with Journal(tmp_path / "j") as journal:
        assert swept(asked, journal, answers.row).outcomes == {"simulated": 20}
        assert [(journal.row(p.key) or {})["answered"] for p in asked] == [n * n for n in [*range(20), *range(5)]]
        assert not list(pending(asked, journal))
    assert len((tmp_path / "j").read_text().splitlines()) == 20


def test_a_worker_that_dies_takes_only_its_own_point_along_and_only_twice(tmp_path: Path) -> None:
    asked = points(range(8), tmp_path)
    with Journal(tmp_path / "j") as journal:
        assert swept(asked, journal, answers.deadly).outcomes == {"simulated": 7, "died": 1}
        lost = journal.row("key 3")
        assert lost is not None
        assert (lost["outcome"], lost["reason"], lost["model"]) == ("died", DIED, "3")
        assert [p.args[0] for p in pending(asked, journal)] == ["3"]  # another call tries it again
        assert swept(asked, journal, answers.row).outcomes == {"simulated": 1}
        assert not list(pending(asked, journal))


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads /proc")
def test_who_stops_asking_ends_the_workers(tmp_path: Path) -> None:
    running = local(points(range(4), tmp_path), answers.slow, 2)
    end = time.monotonic() + 20.0
    while len(started := [int(f.name) for f in tmp_path.iterdir()]) < 2 and time.monotonic() < end:
        assert next(running) == []
    assert len(started) == 2
    assert os.getpid() not in started
    running.close()
    assert not any(alive(process) for process in started)


def test_rows_of_another_windtunnel_are_not_mixed_in(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal, pytest.raises(UnsupportedError, match=r"another windtunnel \(0\.0\.1\)"):
        swept(points([1]), journal, answers.stranger, 1)


def written(path: Path, count: int) -> bytes:
    with Journal(path) as journal:
        for n in range(count):
            journal.add([(f"key {n}", {"outcome": "refused" if n % 2 else "simulated", "n": n})])
    return path.read_bytes()


@settings(max_examples=40)  # each writes through to the disk
@given(st.data())
def test_a_journal_that_was_cut_anywhere_keeps_its_whole_lines_and_goes_on(data: st.DataObject) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "j"
        content = written(path, 4)
        cut = data.draw(st.integers(0, len(content)))
        path.write_bytes(content[:cut])
        whole = content[:cut].count(b"\n")
        with Journal(path) as journal:
            assert [n for n in range(4) if f"key {n}" in journal] == list(range(whole))
            journal.add([("another", {"outcome": "simulated", "n": 9})])
        with Journal(path) as journal:
            assert [(journal.row(f"key {n}") or {})["n"] for n in range(whole)] == list(range(whole))
            assert journal.row("another") == {"outcome": "simulated", "n": 9}
            assert journal.row(f"key {whole}") is None


def test_a_line_that_cannot_be_read_costs_its_point_alone(tmp_path: Path) -> None:
    lines = written(tmp_path / "j", 3).splitlines(keepends=True)
    (tmp_path / "j").write_bytes(lines[0] + b"\x00\xff nonsense\n" + b"[]\n" + lines[2])
    with Journal(tmp_path / "j") as journal:
        assert [n for n in range(3) if f"key {n}" in journal] == [0, 2]


def test_the_last_row_of_a_point_counts(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.add([("a", {"outcome": "died"}), ("b", {"outcome": "simulated"})])
        assert ("a" in journal, "b" in journal) == (False, True)
        journal.add([("a", {"outcome": "simulated", "n": 2})])
    with Journal(tmp_path / "j") as journal:
        assert "a" in journal
        assert journal.row("a") == {"outcome": "simulated", "n": 2}


def test_two_sweeps_do_not_write_one_journal(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with Journal(tmp_path / "j"), pytest.raises(InvalidInputError, match="another sweep is writing j"), Journal(tmp_path / "j"):
        pass
    with Journal(tmp_path / "j"):
        pass


def test_a_journal_in_a_folder_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cannot be written"), Journal(tmp_path / "none" / "j"):
        pass
