"""``windtunnel serve MODEL --engine vllm`` from the terminal, over a fake vLLM in a Python of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import openai
import pytest

import windtunnel
from tests.serve.fleet.fake import Fake, ask, body, fleet
from tests.serve.process.fake_engine import distribution, make_fakes
from windtunnel.cli.main import run
from windtunnel.cli.serve_process import one_engine
from windtunnel.serve.process.process import EngineProcess

SRC = Path(windtunnel.__file__).parents[1]


@pytest.fixture
def python(tmp_path: Path) -> str:
    """A Python with a fake vLLM and SGLang for CPUs."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    site = next((tmp_path / "venv/lib").glob("python*/site-packages"))
    make_fakes(site, vllm="0.33.0+cpu")
    distribution(site, "torch", "2.14.0+cpu")
    return str(tmp_path / "venv/bin/python")


@pytest.fixture
def model(tmp_path: Path) -> str:
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "config.json").write_text('{"num_attention_heads": 4}', encoding="utf-8")
    (folder / "model.safetensors").write_bytes(bytes(8))
    return str(folder)


@contextmanager
def serving(*arguments: str, fake: str = "{}") -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(SRC), "FAKE_ENGINE": fake, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "windtunnel", "serve", *arguments, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_an_engine_serves_through_the_router_and_ends_with_it(python: str, model: str, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    flags = ("--python", python, "--tp", "2", "--parallel", "4", "--engine-flags", "--tool-call-parser hermes")
    with serving(model, "--engine", "vllm", *flags, fake=f'{{"seen": "{seen}"}}') as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.endswith("/v1 serves small by vllm 0.33.0+cpu on the CPU, tensor parallel over 2\n")
        with openai.OpenAI(base_url=line.split()[0], api_key="any", max_retries=0) as client:
            said = client.chat.completions.create(model="small", messages=[{"role": "user", "content": "Who?"}])
            assert said.choices[0].message.content == "I am a fake."
            assert [one.id for one in client.models.list()] == ["small"]
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "[vllm] loading weights: 100%" in errors
    started = seen.read_text(encoding="utf-8")
    for words in ('"--max-num-seqs", "4"', '"--tool-call-parser", "hermes"', '"--tensor-parallel-size", "2"'):
        assert words in started
    (start,) = (json.loads(one) for one in started.splitlines())
    key = start["env"]["VLLM_API_KEY"]  # other users, who can reach the engine too, do not know it
    assert len(key) >= 32
    assert not any(key in word for word in start["argv"])
    assert key not in line + errors
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.rpartition('"pid": ')[2].partition(",")[0]), 0)


def test_an_engine_that_does_not_start_is_told_with_its_last_words(python: str, model: str) -> None:
    with serving(model, "--engine", "vllm", "--python", python, fake='{"die_at_start": 1}') as process:
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 2
        assert errors.splitlines() == [
            "[vllm] loading weights: 50%",
            "[vllm] loading weights: 100%",
            "[vllm] RuntimeError: no kernel image is available",
            "windtunnel: vllm ended with status 1 while it started: RuntimeError: no kernel image is available",
        ]


def test_an_engine_that_is_given_up_ends_it_with_one_line(
    python: str, model: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults = EngineProcess.__init__.__kwdefaults__ or {}
    monkeypatch.setitem(defaults, "most_restarts", 1)
    monkeypatch.setitem(defaults, "first_pause_s", 0.01)
    monkeypatch.setenv("FAKE_ENGINE", '{"die_after_s": 1.0}')
    assert run(["serve", model, "--engine", "vllm", "--python", python, "--port", "0"]) == 2
    told = [line for line in capfd.readouterr().err.splitlines() if line.startswith("windtunnel: ")]
    assert len(told) == 1
    assert told[0].startswith("windtunnel: vllm is given up: it died 2 times in 10 minutes; the last time: vllm ended with")


@pytest.mark.parametrize("stream", [True, False])
def test_an_engine_that_fails_at_a_request_is_not_asked_again(stream: bool) -> None:
    """And one whose first token is late has the time of a whole answer."""

    async def fail(fake: Fake, asked: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(body(500, {"error": {"message": "out of memory"}}))

    async def go() -> None:
        limits = one_engine(waiting=7)
        assert (limits.queue, limits.first_token) == (7, limits.whole)
        async with fleet({"vllm": (fake := Fake(fail))}, **asdict(limits)) as running:
            async with running.post(ask(stream=stream)) as answer:
                assert answer.status == 502
            assert len(fake.asked) == 1

    asyncio.run(go())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--engine", "vlm"), "unknown engine 'vlm'; nearest: vllm"),
        (("--engine", "vllm", "--python", "/nowhere"), "--python: /nowhere cannot be run: No such file or directory"),
        (("--engine", "vllm", "--threads", "3"), "--threads: is for engines in this process; --engine-flags passes what"),
        (("--devices", "0,0"), "--devices: '0,0' names a device twice"),
        (("--devices", "gpu"), "--devices: 'gpu' should be numbers of devices with commas between: 0,1"),
        (
            ("--engine", "transformers", "--python", "x"),
            "--python: is for vLLM and SGLang, and transformers serves",
        ),
        (("--engine", "transformers", "--ep", "2"), "--ep: is for vLLM and SGLang, and transformers serves here; leave it out"),
        (("--engine", "transformers", "--devices", "0,1"), "--devices: transformers takes one device; name one"),
    ],
)
def test_mistakes_are_told_in_a_line(
    model: str, arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", model, *arguments]) == 2
    assert told in capsys.readouterr().err


def test_flags_that_a_shell_could_not_read_are_told(python: str, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", model, "--engine", "vllm", "--python", python, "--engine-flags", "--x 'y"]) == 2
    assert "--engine-flags: '--x 'y' cannot be read: no closing quotation" in capsys.readouterr().err


def test_flags_that_are_not_passed_on_are_told_before_anything_starts(
    python: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = "--tool-call-parser hermes --port 9000"
    assert run(["serve", model, "--engine", "vllm", "--python", python, "--tp", "1", "--engine-flags", flags]) == 2
    told = capsys.readouterr().err
    assert told.startswith("windtunnel: --engine-flags: --port is not passed on: windtunnel chooses where the engine listens")
    assert told.count("\n") == 1
