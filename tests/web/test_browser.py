"""The report in headless Chromium: every plot drawn, no error, nothing asked of the network, nothing wider than a phone."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from windtunnel.plan.result import Plan
from windtunnel.web.peaks import ChipPeaks
from windtunnel.web.report import write_report

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (found := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

PLOTS = ("pareto", "usd", "joules", "roofline", "memory")


def dom(page: Path, profile: Path) -> str:
    """What the page has become once its scripts have run."""
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", "--window-size=1280,1000"]
    command += ["--virtual-time-budget=4000", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "<body" in done.stdout, done.stderr[-2000:]
    return done.stdout


FRAME = """<!doctype html><body><iframe id="f" style="border:0;width:{width}px;height:900px" srcdoc="{report}"></iframe><script>
const look = () => {{
  const d = document.getElementById("f").contentDocument;
  if (!d || !d.body || d.body.dataset.ready !== "yes") {{ setTimeout(look, 50); return; }}
  {script}
}};
look();
</script>"""


def in_a_frame(report: Path, width: int, script: str) -> Path:
    """A page that shows the report in a frame of ``width`` pixels, and writes what ``script`` finds there to its own body."""
    page = report.with_name(f"frame-{width}.html")
    page.write_text(FRAME.format(width=width, report=html.escape(report.read_text("utf-8")), script=script), "utf-8")
    return page


def body(text: str) -> str:
    found = re.search(r"<body[^>]*>", text)
    assert found is not None
    return found[0]


@pytest.mark.parametrize("which", ["plan", "hostile_plan"])
def test_every_plot_is_drawn_without_an_error(
    which: str, request: pytest.FixtureRequest, peaks: dict[str, ChipPeaks], tmp_path: Path
) -> None:
    plan: Plan = request.getfixturevalue(which)
    path = tmp_path / "report.html"
    write_report(plan, path, peaks=peaks)
    text = dom(path, tmp_path / "profile")
    assert 'data-ready="yes"' in body(text)
    assert "data-error" not in body(text)
    assert "data-hacked" not in body(text)
    for plot in PLOTS:
        box = re.search(rf'<div class="plot" id="{plot}"[^>]*>', text)
        assert box is not None
        assert re.search(r'data-drawn="\d+"', box[0]), f"{plot} was not drawn"


@pytest.mark.parametrize("which", ["plan", "hostile_plan"])
@pytest.mark.parametrize("width", [390, 820, 1280])
def test_nothing_is_wider_than_the_window(
    which: str, width: int, request: pytest.FixtureRequest, peaks: dict[str, ChipPeaks], tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    write_report(request.getfixturevalue(which), path, peaks=peaks)
    script = (
        "document.body.dataset.over = d.documentElement.scrollWidth - d.documentElement.clientWidth;"
        "document.body.dataset.plots = d.querySelectorAll('.plot[data-drawn]').length;"
        "document.body.dataset.requests = d.defaultView.performance.getEntriesByType('resource').length;"
    )
    found = body(dom(in_a_frame(path, width, script), tmp_path / "profile"))
    assert 'data-over="0"' in found
    assert f'data-plots="{len(PLOTS)}"' in found
    assert 'data-requests="0"' in found


def test_the_roofline_follows_the_choice_of_a_chip(plan: Plan, peaks: dict[str, ChipPeaks], tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(plan, path, peaks=peaks)
    script = (
        "const s = d.getElementById('roof-chip'); s.value = '1'; s.dispatchEvent(new Event('change'));"
        "document.body.dataset.title = d.getElementById('roof').textContent;"
    )
    assert "Decode on h100-sxm is bound by memory bandwidth" in body(dom(in_a_frame(path, 1000, script), tmp_path / "profile"))
