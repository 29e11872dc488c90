"""The report of a simulation in headless Chromium: plots drawn, no error, no request, as wide as a phone, in the dark too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.simulations import MADE, traced
from tests.web.test_browser import CHROMIUM, body, dom, in_a_frame
from windtunnel.web.simulate_report import write_simulation_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

USUAL = ("latency", "flight", "rates", "kv", "whole", "first")
PLOTS = {
    "hostile": USUAL,
    "traced": USUAL,
    "apart": USUAL,
    "saturated": ("flight", "rates", "kv"),
    "failing": ("latency", "flight", "rates", "kv", "down", "whole", "first"),
    "stopped": ("flight", "kv"),
}
CASES = [*((name, 390) for name in PLOTS if name != "traced"), ("traced", 1280)]
LOOK = (
    "document.body.dataset.over = d.documentElement.scrollWidth - d.documentElement.clientWidth;"
    "document.body.dataset.plots = [...d.querySelectorAll('.plot[data-drawn]')].map((p) => p.id).join();"
    "document.body.dataset.named = [...d.querySelectorAll('.plot[data-drawn] svg')].every((s) => s.getAttribute('aria-label'));"
    "document.body.dataset.requests = d.defaultView.performance.getEntriesByType('resource').length;"
    "document.body.dataset.problem = d.body.dataset.error || 'none';"
    "document.body.dataset.hacks = d.body.dataset.hacked || 'none';"
)


@pytest.mark.parametrize(("which", "width"), CASES)
def test_every_plot_is_drawn_and_nothing_is_wider_than_the_window(which: str, width: int, tmp_path: Path) -> None:
    path = tmp_path / "simulation.html"
    write_simulation_report(*(traced(tmp_path) if which == "traced" else MADE[which]()), path)
    found = body(dom(in_a_frame(path, width, LOOK), tmp_path / "profile"))
    assert 'data-problem="none"' in found
    assert 'data-hacks="none"' in found
    assert 'data-over="0"' in found
    drawn = found.split('data-plots="')[1].split('"')[0].split(",")
    assert set(PLOTS[which]) <= set(drawn)
    if which != "stopped":
        assert tuple(drawn) == PLOTS[which]
    assert 'data-named="true"' in found
    assert 'data-requests="0"' in found


def test_folded_tables_open_from_the_keyboard_and_hold_the_numbers(tmp_path: Path) -> None:
    path = tmp_path / "simulation.html"
    write_simulation_report(*MADE["carried"](), path)
    script = (
        "const folds = [...d.querySelectorAll('details')], say = (name, text) => { document.body.dataset[name] = text; };"
        "say('closed', folds.filter((f) => f.open).length);"
        "for (const f of folds) { f.querySelector('summary').focus(); f.querySelector('summary').click(); }"
        "say('open', folds.filter((f) => f.open).length); say('focus', d.activeElement.tagName);"
        "say('rows', folds.map((f) => f.querySelectorAll('tbody tr').length).join());"
        "say('reach', [...d.querySelectorAll('.scroll')].every((s) => s.tabIndex === 0));"
    )
    found = body(dom(in_a_frame(path, 1000, script), tmp_path / "profile"))
    assert 'data-closed="0"' in found
    assert 'data-open="2"' in found
    assert 'data-focus="SUMMARY"' in found
    assert 'data-reach="true"' in found
    quantiles, moments = found.split('data-rows="')[1].split('"')[0].split(",")
    assert quantiles == "8"
    assert 20 <= int(moments) <= 60
