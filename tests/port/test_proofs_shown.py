"""What a reader of a scan and of a proof has to see, however long a line of the program is."""

from __future__ import annotations

from windtunnel.cli.port.render import add_places
from windtunnel.cli.render import Sheet
from windtunnel.port.evidence import Run
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
