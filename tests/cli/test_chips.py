"""``windtunnel chips``: what is shown, and the one line for what is wrong."""

from __future__ import annotations

import json

import pytest

from windtunnel.cli.main import run


def text_of(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert run(["chips", *argv]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_all_of_them_in_a_hundred_columns(capsys: pytest.CaptureFixture[str]) -> None:
    out = text_of(capsys)
    assert max(len(line) for line in out.splitlines()) <= 100
    [h20] = [line.split() for line in out.splitlines() if line.startswith("h20 ")]
    assert h20 == ["h20", "96", "4.00", "148", "148", "296", "296", "450", "400"]
    [b2] = [line.split() for line in out.splitlines() if line.startswith("ascend-910b2 ")]
    assert b2[3:7] == ["354", "354", "no", "708"]
    [br106] = [line.split() for line in out.splitlines() if line.startswith("br106 ")]
    assert br106[1:] == ["-", "-", "-", "-", "no", "-", "-", "400"]
    assert "cloudmatrix-384" in out
    assert "- is not known" in out


def test_one_chip_with_sources_and_conflicts(capsys: pytest.CaptureFixture[str]) -> None:
    out = text_of(capsys, "H20")
    for part in (
        "Nvidia H20 96GB (h20)",
        "148 TFLOPS",
        "4 TB/s",
        "96 GiB",
        "550 W",
        "but also",
        "Sources",
        "12,500 USD",
        "USD/h",
    ):
        assert part in out
    assert max(len(line) for line in out.splitlines()) <= 100
    assert "376 TFLOPS" in text_of(capsys, "910b2")


def test_unknowns_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    out = " ".join(text_of(capsys, "br106").split())
    assert "Not known:" in out
    assert "bf16 matrix" in out
    assert "Price: not known; nobody published one for br106." in out


def test_a_system(capsys: pytest.CaptureFixture[str]) -> None:
    out = text_of(capsys, "CloudMatrix 384")
    for part in ("384 x ascend-910c in 48 nodes", "559.4 kW", "8,200,000 USD"):
        assert part in out


def test_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    out = text_of(capsys, "--compare", "h20,ascend-910c,h100,b200,mi300x,gaudi3")
    assert max(len(line) for line in out.splitlines()) <= 100
    [memory] = [line.split() for line in out.splitlines() if line.startswith("memory bandwidth")][:1]
    assert memory[:6] == ["memory", "bandwidth,", "TB/s", "4", "3.20", "(0.8x)"]
    assert "bought" in out
    assert "rent" in out


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["h2"], "unknown chip or system 'h2'; nearest: h20"),
        (["--compare", "h20"], "--compare: names 1; it takes two to 8 different chips"),
        (["--compare", "h20,h21"], "unknown chip 'h21'; nearest: h20"),
        (["h20", "--compare", "h100"], "--compare: takes all chips itself; write --compare h20,h100"),
        (["absent.toml"], "absent.toml: cannot be read: No such file or directory"),
    ],
)
def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], argv: list[str], complaint: str) -> None:
    assert run(["chips", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"windtunnel: {complaint}")
    assert err.count("\n") == 1


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    one = json.loads(text_of(capsys, "h20", "--json"))
    bf16 = one["figures"]["matrix_flops_per_s.bf16"]
    assert (bf16["value"], bf16["unit"], bf16["source"] != "") == (148e12, "flop/s", True)
    assert one["usd_per_chip_hour"]["basis"] == "purchase"
    both = json.loads(text_of(capsys, "--json"))
    assert (len(both["chips"]) >= 73, len(both["systems"])) == (True, 34)
    side = json.loads(text_of(capsys, "--compare", "h20,910c", "--json"))
    assert side["ratios"]["memory_bytes_per_s"] == {"h20": 1.0, "ascend-910c": 0.8}
    assert side["ratios"]["matrix_flops_per_s.fp8"]["ascend-910c"] is None
    assert json.loads(text_of(capsys, "br106", "--json"))["usd_per_chip_hour"] is None
    assert json.loads(text_of(capsys, "cm384", "--json"))["chips"] == 384
