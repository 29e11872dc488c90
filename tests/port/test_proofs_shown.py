"""What a reader of a scan and of a proof has to see, however long a line of the program is."""

from __future__ import annotations

from windtunnel.cli.port.render import add_places
from windtunnel.cli.render import Sheet
from windtunnel.port.evidence import Run, compared
from windtunnel.port.finding import Finding, Place


def finding(line: int, excerpt: str) -> Finding:
    place = Place("train.py", line, 11, line, 17)
    return Finding("cuda-device-compare", "spelling", place, excerpt, "", "", ("npu",), "safe")


def test_a_long_line_gives_way_to_its_place() -> None:
    sheet = Sheet(width=80, terminal=False)
    add_places(sheet, [finding(89, "if device == 'cuda': " + "x = x + 1; " * 40)])
    assert "89:11  fix     cuda-device-compare  if device == 'cuda': x" in sheet.text()


def test_where_a_run_stopped_is_told_without_what_the_error_says() -> None:
    failure = ["ValueError", "Expected parameter logits (Tensor of shape (4, 64)) to be finite", "/tmp/tree/a/train.py:41"]
    assert Run(1, b"", "", {"failure": failure}).stopped_at == "a/train.py:41, ValueError"
    assert Run(1, b"", "", {"failure": ["ValueError", "no place", ""]}).stopped_at == "ValueError"
    assert Run(-9, b"", "", timed_out_s=2.0).stopped_at == "ended after 2 s"


def wrote(**files: str) -> Run:
    return Run(0, b"", "", written={path.replace("__", "/"): mark for path, mark in files.items()})


def test_files_named_after_the_time_are_the_same_files() -> None:
    before = wrote(runs__dqn_100__events_7="a", model="m")
    after, again = wrote(runs__dqn_200__events_8="b", model="m"), wrote(runs__dqn_300__events_9="c", model="m")
    files = compared(before, after, [again])[-1]
    assert (files.status, files.count) == ("same", 2)
    assert files.detail == "but for the names and contents of 1, which vary from run to run"


def test_a_file_that_only_one_run_writes_is_no_other_name() -> None:
    before, again = wrote(runs__dqn_100="a", model="m"), wrote(runs__dqn_300="c", model="m")
    lost = compared(before, wrote(model="m"), [again])[-1]
    assert lost.status == "varies"  # a name that varies, and no file in its stead
    changed = compared(before, wrote(runs__dqn_200="b", model="other"), [again])[-1]
    assert (changed.status, changed.detail) == ("different", "model differs")
    more = compared(before, wrote(runs__dqn_200="b", runs__ppo_200="b", model="m"), [again])[-1]
    assert more.status in ("different", "varies")


def test_a_name_that_does_not_vary_by_itself_may_not_vary_after_the_fix() -> None:
    before, after = wrote(step_1="a", log="x"), wrote(step_2="a", log="y")
    assert compared(before, after, [wrote(step_1="a", log="z")])[-1].status == "different"


def printed(*lines: str) -> Run:
    return Run(0, "".join(f"{line}\n" for line in lines).encode(), "")


def test_the_unit_of_a_time_that_varies_may_vary_with_it() -> None:
    lines = compared(printed("took 1.14 ms", "3 m"), printed("took 837.54 us", "3 m"), [printed("took 1.02 ms", "3 m")])[1]
    assert lines.status == "same"
    assert compared(printed("took 1 ms"), printed("took 1 us"), [printed("took 1 ms")])[1].status == "different"  # no time varied
    assert (
        compared(printed("1.14 m long"), printed("2.14 us long"), [printed("3.14 m long")])[1].status == "different"
    )  # a length
