"""A run as it is read: golden pages at two widths, and what must be said of runs that did not go well."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.run import reports
from windtunnel.cli.render import Sheet
from windtunnel.cli.render_run import run_sheet
from windtunnel.cli.render_runs import runs_sheet
from windtunnel.run import words
from windtunnel.run.record import Holder, RunReport, Share, StandIn, Support
from windtunnel.workload.program.call import Site

GOLDEN = Path(__file__).parent / "golden"
MADE = {
    "run-training": reports.training,
    "run-inference": reports.inference,
    "run-out-of-memory": reports.out_of_memory,
    "run-measured": reports.measured,
    "run-served": reports.served,
}


@pytest.fixture(autouse=True)
def beside_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reports.EXAMPLE)


def side_by_side() -> list[RunReport]:
    return [reports.training(), reports.training_on("h100-sxm", 0.34, 989.4e12, 80 * reports.GIB), reports.out_of_memory()]


def sheet(name: str, width: int, terminal: bool = False) -> Sheet:
    if name == "runs":
        refused = {"br106": "not known: memory_bytes_per_s of br106"}
        return runs_sheet(side_by_side(), refused, width=width, terminal=terminal)
    return run_sheet(MADE[name](), width=width, terminal=terminal)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", [*MADE, "runs"])
def test_golden_pages(name: str, width: int) -> None:
    """Set WINDTUNNEL_GOLDEN=write to accept what is printed now, then read the difference."""
    printed = sheet(name, width).text()
    file = GOLDEN / f"{name}-{width}.txt"
    if os.environ.get("WINDTUNNEL_GOLDEN") == "write":
        file.write_text(printed, encoding="utf-8")
    assert printed == file.read_text(encoding="utf-8")
    assert printed.isascii()
    assert max(len(line) for line in printed.splitlines()) <= width


def test_no_number_is_cut_on_a_narrow_terminal() -> None:
    text = sheet("run-training", 60, terminal=True).text()
    for figure in ("77.1 ms [66-90]", "32.3 ms", "41.8 %", "4.60 GiB", "28.5 ms"):
        assert figure in text


def test_few_rows_and_how_many_more() -> None:
    text = run_sheet(reports.training(), top=2, width=100, terminal=False).text()
    assert re.search(r"^and 12 more operators, 3\d\.\d % of the time$", text, re.M)
    assert "gelu" not in text.partition("Operators\n")[2].partition("Modules")[0]


def test_a_run_without_exceptions_says_yes_and_no_more() -> None:
    assert words.verdict(reports.inference()) == "yes"
    text = sheet("run-inference", 100).text()
    assert "without a kernel" not in text
    assert "given instead" not in text


def test_unknown_never_reads_as_fine() -> None:
    made = reports.training()
    unknown = replace(made, support=tuple(entry for entry in made.support if entry.status == "unknown"))
    assert words.verdict(unknown) == "as far as is known, with 1 operator of unknown support"
    assert "not known (the operator table" in run_sheet(unknown, width=100, terminal=False).text()


def test_a_program_that_was_stopped_before_its_first_step_has_no_time() -> None:
    stopped = replace(reports.out_of_memory(), status="stopped", failure=None, exit_status=130)
    text = run_sheet(stopped, width=100, terminal=False).text()
    assert "yes, until it was stopped after 0 steps" in text
    assert "nan" not in text
    assert "- (no step was finished)" in text


def test_a_program_that_gave_up_itself_is_told_by_its_status() -> None:
    left = replace(reports.out_of_memory(), failure=None, exit_status=3)
    assert words.verdict(left) == "no: it ended with exit status 3"


def test_a_device_that_the_catalogue_lacks_has_measurements_alone() -> None:
    made = reports.measured()
    assert made.measured is not None
    alone = replace(
        made, chip="", step_s=0.0, interval_s=(0.0, 0.0), mfu=0.0, peak_flops_per_s=0.0, steps=(),
        measured=replace(made.measured, chip="", device="Some GPU"),
    )  # fmt: skip
    text = run_sheet(alone, width=100, terminal=False).text()
    assert "train.py 5 on cuda: Some GPU\n" in text
    assert "32.7 ms, measured over 20 steps" in text
    assert words.label(alone) == "Some GPU"


def test_many_stand_ins_are_cut_too() -> None:
    made = replace(reports.inference(), stand_ins=tuple(StandIn(f"value {i}", "0", 1, None) for i in range(11)))
    text = run_sheet(made, width=100, terminal=False).text()
    assert "- value 7: 0, 1 time\nand 3 more\n" in text


def test_layers_that_repeat_are_one_row_and_keep_the_sum() -> None:
    names = ["h.0.attn", "h.1.attn", "h.0", "h.1", "head.0", "head.1", "", "12"]
    folded = words.fold_modules([Share(name, i + 1.0, 1.0) for i, name in enumerate(names)])
    assert {share.name: share.seconds for share in folded} == {
        "h.*.attn": 3.0, "h.*": 7.0, "head.0": 5.0, "head.1": 6.0, "": 7.0, "12": 8.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "file", "line", "function"),
    [("train.py:35", "train.py", 35, ""), ("/a b/c.py:7 forward", "/a b/c.py", 7, "forward"), ("C:\\x.py:9", "C:\\x.py", 9, "")],
)
def test_a_line_is_read_from_its_name(name: str, file: str, line: int, function: str) -> None:
    site = words.line_of(name)
    assert site is not None
    assert (site.file, site.line, site.function) == (file, line, function)


def test_paths_are_short_and_lines_of_unreadable_files_are_empty() -> None:
    assert words.line_of("no line") is None
    assert words.short_path("/usr/lib/python3/site-packages/transformers/models/llama.py") == "transformers/models/llama.py"
    assert words.short_path(reports.PROGRAM) == "train.py"
    assert words.code(words.line_of("nowhere.py:3")) == ""


def test_what_layers_hold_is_one_row() -> None:
    site = Site("a.py", 3, "f")
    made = [Holder("activation", f"{i}", 10, 2, site) for i in range(12)] + [
        Holder("parameter", f"{i}.w", 7, 1, None) for i in range(3)
    ]
    assert words.fold_holders(made) == (
        Holder("activation", "*", 30, 6, site),
        Holder("parameter", "*.w", 21, 3, None),
        *(Holder("activation", f"{i}", 10, 2, site) for i in range(3, 12)),
    )


def test_a_status_that_nobody_foresaw_is_shown_as_it_is() -> None:
    odd = replace(reports.training(), support=(Support("aten.x.default", "emulated", 1, 0.0, None),))
    assert "emulated" in run_sheet(odd, width=100, terminal=False).text()


def test_chips_that_are_alike_have_no_table_of_differences() -> None:
    text = runs_sheet([reports.inference(), reports.inference()], width=100, terminal=False).text()
    assert "differs most" not in text


def test_speed_is_told_of_like_steps_alone() -> None:
    assert words.times_as_fast(reports.training(), reports.inference()) is None
    assert words.times_as_fast(reports.training(), reports.training()) == 1.0
