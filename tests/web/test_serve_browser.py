"""The page of an endpoint in headless Chromium, as an endpoint serves it: what it shows, at desk and phone width, and its box."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.web.test_browser import CHROMIUM, body
from windtunnel.serve.api.app import Api
from windtunnel.serve.api.asked import Asked, Prompt
from windtunnel.serve.api.backend import Generation, Model, Piece
from windtunnel.serve.api.metrics import Metrics
from windtunnel.serve.server import serve
from windtunnel.web.serve_page import serve_page

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

HOSTILE = "<img src=x onerror=document.body.dataset.hacked=1>"


def backend(name: str, **told: object) -> dict[str, object]:
    found: dict[str, object] = {
        "name": name,
        "kind": "url",
        "model": "m",
        "on": "h20:8",
        "state": "up",
        "why": "",
        "in_flight": 3,
        "most_in_flight": 256,
        "waiting": 0,
        "requests": 1200,
        "failed": 0,
        "retried": 0,
        "tokens": 5000,
        "tokens_per_s": 812.5,
        "predicted": {"ttft_s": 0.2, "tpot_s": 0.02},
        "measured": {"ttft_s": {"mean": 0.26, "p50": 0.25, "p99": 1.0}, "tpot_s": {"mean": 0.031, "p50": 0.03, "p99": 0.05}},
        "price_per_h": 12.5,
    }
    return {**found, **told}


def status() -> dict[str, object]:
    """Three back ends: one well, one slow, one broken whose reason is hostile."""
    broken = backend(HOSTILE, state="broken", why=HOSTILE, measured={"ttft_s": None, "tpot_s": None})
    backends = [backend("fast"), backend("slow", measured={**SLOW}), broken]
    points = {
        str(b["name"]): {"in_flight": 2, "predicted": b["predicted"], "measured": {"ttft_s": 0.3, "tpot_s": None}}
        for b in backends
    }
    return {
        "now": 1000.0,
        "since": 0.0,
        "fleet": {
            "targets": {"ttft_s": 2.0, "tpot_s": 0.05},
            "models": ["m", HOSTILE],
            "in_flight": 9,
            "waiting": 2,
            "draining": False,
        },
        "backends": backends,
        "history": [{"t": 990.0 + 5 * i, "backends": points} for i in range(2)],
        "errors": [{"t": 995.0, "backend": "slow", "status": 502, "message": HOSTILE, "done": "sent to fast"}],
        "totals": {"requests": 3600, "failed": 1, "retried": 1, "tokens": 15000, "tokens_per_s": 1625.0},
    }


SLOW = {"ttft_s": {"mean": 3.1, "p50": 3.0, "p99": 5.0}, "tpot_s": {"mean": 0.03, "p50": 0.03, "p99": 0.05}}


class Saying:
    """Says three words."""

    def models(self) -> tuple[Model, ...]:
        return (Model("m", 0, "test"),)

    async def generate(self, asked: Asked, prompt: Prompt, choice: int = 0) -> Generation:
        return Three()

    def ill(self) -> str:
        return ""

    async def close(self) -> None:
        pass


class Three:
    prompt_tokens, cached_tokens = 7, 0

    async def __aiter__(self) -> AsyncIterator[Piece]:
        for text, finish in (("one ", ""), ("two ", ""), ("three", "stop")):
            await asyncio.sleep(0.01)
            yield Piece(text, 1, finish)

    async def aclose(self) -> None:
        pass


class Fixed(Api):
    """A fleet in a state that the test says, over an endpoint that answers."""

    async def told(self, request: web.Request) -> web.Response:
        """``GET /fleet/status``"""
        return web.json_response(status())


def dom(api: Api, profile: Path, frame: str = "") -> str:
    """What the page has become; frame: another page, served beside it, to be looked at in its place."""

    async def look() -> str:
        stop: asyncio.Event = asyncio.Event()
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        app = api.app()

        async def beside(request: web.Request) -> web.Response:
            return web.Response(text=frame, content_type="text/html")

        app.router.add_get("/beside", beside)
        server = asyncio.create_task(serve(app, "127.0.0.1", 0, ready.set_result, stop=stop, page=serve_page()))
        url = await ready
        assert CHROMIUM is not None
        command = [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={profile}",
            "--window-size=1280,1000",
        ]
        command += ["--virtual-time-budget=5000", "--dump-dom", f"{url}/{'beside' if frame else ''}"]
        browser = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        out, _ = await asyncio.wait_for(browser.communicate(), 60)
        stop.set()
        await server
        return out.decode()

    return asyncio.run(look())


def test_a_fleet_is_shown_with_its_state_and_nothing_hostile_runs(tmp_path: Path) -> None:
    text = dom(Fixed(Saying(), Metrics()), tmp_path)
    assert 'data-ready="yes"' in body(text)
    assert "data-error" not in body(text)
    assert "data-hacked" not in body(text)
    assert "2 of 3 backends answer: 9 requests in flight" in text
    assert "slow is slower than the targets" in text
    assert "2 requests wait for a backend with room" in text
    assert "&lt;img src=x" in text
    assert re.search(r'class="n late"[^>]*>3.00 s', text)
    assert "sent to fast" in text
    for plot in ("ttft", "tpot", "flight"):
        box = re.search(rf'<div class="plot" id="{plot}"[^>]*>', text)
        assert box is not None
        assert "data-drawn" in box[0], f"{plot} was not drawn"


FRAME = """<!doctype html><body><iframe id="f" style="border:0;width:%dpx;height:900px" src="/"></iframe><script>
const look = () => {
  const d = document.getElementById("f").contentDocument;
  if (!d || !d.body || d.body.dataset.ready !== "yes") { setTimeout(look, 50); return; }
  %s
};
look();
</script>"""


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(width: int, tmp_path: Path) -> None:
    script = "document.body.dataset.found = JSON.stringify([d.documentElement.scrollWidth, d.documentElement.clientWidth]);"
    text = dom(Fixed(Saying(), Metrics()), tmp_path, FRAME % (width, script))
    found = re.search(r'data-found="([^"]*)"', text)
    assert found is not None
    scroll, client = json.loads(found[1])
    assert scroll <= client <= width


def test_the_box_streams_an_answer_and_says_how_fast_it_came(tmp_path: Path) -> None:
    script = """d.getElementById("send").click();
  const wait = () => {
    const t = d.getElementById("timing").textContent;
    if (!t.includes("for a prompt")) { setTimeout(wait, 50); return; }
    document.body.dataset.found = d.getElementById("said").textContent  + "|" + t;
  };
  wait();"""
    text = dom(Api(Saying(), Metrics()), tmp_path, FRAME % (1280, script))
    found = re.search(r'data-found="([^"]*)"', text)
    assert found is not None
    said, timing = found[1].split("|")
    assert said == "one two three"
    assert re.fullmatch(r"First token after .* then a token every .*: 3 tokens for a prompt of 7\.", timing)
