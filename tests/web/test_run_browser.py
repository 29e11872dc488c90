"""The report of a run in headless Chromium: plots drawn, no error, no request, as wide as a phone, and it follows the choice."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.run import reports
from tests.web.test_browser import CHROMIUM, body, dom, in_a_frame
from tests.web.test_run_report import hostile, side_by_side
from windtunnel.run.record import RunReport
from windtunnel.web.run_report import write_run_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

PLOTS = ("bounds", "operators", "modules", "memory", "held", "timeline")
MADE = {"several": side_by_side, "hostile": hostile}


def made(which: str) -> list[RunReport]:
    return MADE[which]()


@pytest.mark.parametrize("which", MADE)
@pytest.mark.parametrize("width", [390, 1280])
def test_every_plot_is_drawn_and_nothing_is_wider_than_the_window(which: str, width: int, tmp_path: Path) -> None:
    path = tmp_path / "run.html"
    write_run_report(made(which), path, refused={"br106": "not known: memory_bytes_per_s of br106"})
    script = (
        "document.body.dataset.over = d.documentElement.scrollWidth - d.documentElement.clientWidth;"
        "document.body.dataset.plots = [...d.querySelectorAll('.plot[data-drawn]')].map((p) => p.id).join();"
        "document.body.dataset.requests = d.defaultView.performance.getEntriesByType('resource').length;"
        "document.body.dataset.problem = d.body.dataset.error || 'none';"
        "document.body.dataset.hacks = d.body.dataset.hacked || 'none';"
    )
    found = body(dom(in_a_frame(path, width, script), tmp_path / "profile"))
    assert 'data-problem="none"' in found
    assert 'data-hacks="none"' in found
    assert 'data-over="0"' in found
    assert f'data-plots="{",".join(PLOTS)}"' in found
    assert 'data-requests="0"' in found


def test_everything_below_follows_the_choice_of_a_chip(tmp_path: Path) -> None:
    path = tmp_path / "run.html"
    write_run_report(side_by_side(), path)
    script = (
        "const s = d.getElementById('of-chip'), say = (name, text) => { document.body.dataset[name] = text; };"
        "const blocks = () => [...d.querySelectorAll('[data-of]')].filter((b) => !b.hidden).map((b) => b.dataset.of).join('');"
        "say('before', blocks()); s.value = '2'; s.dispatchEvent(new Event('change'));"
        "say('after', blocks()); say('title', d.getElementById('memory-title').textContent);"
        "say('timed', [...d.querySelectorAll('[data-timed]')].filter((b) => !b.hidden).length);"
    )
    found = body(dom(in_a_frame(path, 1000, script), tmp_path / "profile"))
    assert 'data-before="000"' in found
    assert 'data-after="222"' in found
    assert 'data-title="It ran out of memory at 15.6' in found.replace("\N{NO-BREAK SPACE}", " ").replace("&nbsp;", " ")
    assert 'data-timed="1"' in found


def test_the_timeline_zooms_and_tells_what_lies_under_the_pointer(tmp_path: Path) -> None:
    path = tmp_path / "run.html"
    write_run_report([reports.training()], path)
    script = (
        "d.querySelector('[data-zoom=in]').click();"
        "const c = d.querySelector('#timeline canvas'), at = c.getBoundingClientRect();"
        "const about = {clientX: at.left + at.width / 2, clientY: at.top + 45, bubbles: true};"
        "c.dispatchEvent(new d.defaultView.PointerEvent('pointermove', about));"
        "document.body.dataset.tell = d.getElementById('tell').textContent;"
        "document.body.dataset.problem = d.body.dataset.error || 'none';"
    )
    found = body(dom(in_a_frame(path, 1280, script), tmp_path / "profile"))
    assert 'data-problem="none"' in found
    assert re.search(
        r'data-tell="\S+ · transformer\.h\.\d+\S* · \S*train\.py:\d+ · [\d.]+ us, from [\d.]+ ms · bound by', found
    ), found
