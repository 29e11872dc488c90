"""The report: whole or not written, self-contained, and nothing in a name becomes markup."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import pytest

from windtunnel.errors import InvalidInputError
from windtunnel.plan.result import ChipPlan, Plan, Targets
from windtunnel.web.peaks import ChipPeaks
from windtunnel.web.report import render, write_report

DAY = datetime.date(2026, 11, 22)


class Elements(HTMLParser):
    """Start tags with their attributes, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._silent = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._silent = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.text += data


def seen(text: str) -> str:
    return " ".join(Elements(text).text.split())


def test_answers_before_it_explains(plan: Plan, peaks: dict[str, ChipPeaks]) -> None:
    text = seen(render(plan, peaks=peaks, date=DAY))
    assert "Cheapest: 48 × h20, $0.70 per million output tokens." in text
    assert text.index("Cheapest") < text.index("Every chip that was asked about") < text.index("How the numbers were got")
    assert "2026-11-22" in text
    assert "4,096 tokens in, 1,024 out" in text
    assert "windtunnel plan deepseek-ai/DeepSeek-R1 --on h20,h100-sxm" in text


def test_failing_chips_say_why_and_unknown_prices_say_so(plan: Plan, peaks: dict[str, ChipPeaks]) -> None:
    text = seen(render(plan, peaks=peaks, date=DAY))
    assert "the fastest of 962 deployments needs 71 ms a token" in text
    assert "nobody published a price" in text
    assert "fitted on this chip" in text
    assert "datasheet alone" in text


def test_ttft_of_a_disaggregated_deployment_holds_the_transfer(plan: Plan, peaks: dict[str, ChipPeaks]) -> None:
    assert "695 ms" in seen(render(plan, peaks=peaks)).replace("\N{NO-BREAK SPACE}", " ")


def test_one_file_without_network(plan: Plan, peaks: dict[str, ChipPeaks], tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(plan, path, peaks=peaks, date=DAY)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert path.stat().st_size < 1_500_000
    for tag, attrs in Elements(path.read_text("utf-8")).tags:
        assert tag not in ("link", "iframe", "img", "object", "embed", "base")
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert not re.match(r"\s*(https?:|//|file:)", attrs.get(name) or ""), (tag, attrs)
    style = re.search(r"<style>(.*?)</style>", path.read_text("utf-8"), re.S)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_nothing_is_written_half(
    plan: Plan, peaks: dict[str, ChipPeaks], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("the old one")
    monkeypatch.setattr(Path, "replace", lambda self, target: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(InvalidInputError, match="No space left"):
        write_report(plan, path, peaks=peaks)
    assert path.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_one_line(plan: Plan, peaks: dict[str, ChipPeaks], tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cannot be written"):
        write_report(plan, tmp_path / "missing" / "report.html", peaks=peaks)


def test_hostile_names_stay_text(hostile_plan: Plan, peaks: dict[str, ChipPeaks]) -> None:
    text = render(hostile_plan, peaks=peaks, date=DAY)
    found = Elements(text)
    assert "img" not in [tag for tag, _ in found.tags]
    assert [a for _, attrs in found.tags for a in attrs if a.startswith("on")] == []
    assert len([tag for tag, _ in found.tags if tag == "script"]) == 4
    assert "</script><script>document.body" in found.text
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert block is not None
    data = json.loads(block[1])
    assert data["chips"][0]["name"].startswith("</script><script>")
    assert not re.search(r"[<>&\u2028]", block[1])


@pytest.mark.parametrize(
    ("chips", "said"),
    [
        ((), "No chip was asked about."),
        ((ChipPlan("h20", None, "too slow"),), "h20 does not meet the targets."),
        ((ChipPlan("h20", None, ""), ChipPlan("biren-br106", None, "no peak")), "None of the 2 chips meets the targets."),
    ],
)
def test_plans_without_an_answer(chips: tuple[ChipPlan, ...], said: str) -> None:
    plan = Plan("m", Targets(1, 1), chips)
    assert said in seen(render(plan, peaks={}, date=DAY))


def test_without_any_price_fewest_chips_are_named(plan: Plan, peaks: dict[str, ChipPeaks]) -> None:
    chips = tuple(
        replace(c, best=replace(c.best, usd_per_mtok=None, usd_per_hour=None, joules_per_token=None) if c.best else None)
        for c in plan.chips
    )
    text = seen(render(replace(plan, chips=chips), peaks={}, date=DAY))
    assert "Fewest chips: 24 × h100-sxm." in text
    assert "No price is known." in text


def test_vendored_scripts_are_those_of_the_table() -> None:
    vendor = resources.files("windtunnel.web") / "vendor"
    table = (vendor / "README.md").read_text("utf-8")
    for name, digest in re.findall(r"\| `([^`]+\.js)` \|.*?`([0-9a-f]{64})`", table):
        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == digest
    assert len(re.findall(r"`[0-9a-f]{64}`", table)) == 2
    for licence in ("LICENSE.d3.txt", "LICENSE.plot.txt"):
        assert "Permission to use" in (vendor / licence).read_text("utf-8")
