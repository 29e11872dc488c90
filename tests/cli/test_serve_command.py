"""``windtunnel serve`` as a user starts it: a process of its own, a client, an interrupt."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest

import windtunnel
from windtunnel.cli.main import run

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


def test_the_official_client_streams_from_the_command() -> None:
    options = ["--on", "h20", "--port", "0", "--speed", "50", "--name", "llama"]
    command = [sys.executable, "-m", "windtunnel", "serve", MODEL, *options]
    environment = {**os.environ, "PYTHONPATH": str(Path(windtunnel.__file__).parents[1]), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        found = re.fullmatch(
            r"(http://127\.0\.0\.1:\d+/v1) serves llama, simulated: .* on 1 x h20: .*, at 50 times its speed\n", line
        )
        assert found, line
        client: Any = openai.OpenAI(base_url=found[1], api_key="any", max_retries=0)
        asked = [{"role": "user", "content": "Tell me of the wind."}]
        stream = client.chat.completions.create(model="llama", messages=asked, max_completion_tokens=20, stream=True)
        text = "".join(event.choices[0].delta.content or "" for event in stream)
        assert len(text.split()) == 20
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=20)
    assert (server.returncode, errors) == (0, "")


def test_interrupted_again_it_ends_at_once() -> None:
    options = ["--on", "h20", "--port", "0", "--speed", "0.01", "--name", "llama"]
    command = [sys.executable, "-m", "windtunnel", "serve", MODEL, *options]
    environment = {**os.environ, "PYTHONPATH": str(Path(windtunnel.__file__).parents[1]), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        client: Any = openai.OpenAI(base_url=server.stdout.readline().split()[0], api_key="any", max_retries=0)
        stream = client.completions.create(model="llama", prompt="Tell me", max_tokens=1000, stream=True)
        next(iter(stream))
        server.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            server.wait(0.5)  # the answer is still under way
        server.send_signal(signal.SIGINT)
        assert server.wait(5) == 130


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "model: is missing: which one to serve"),
        ([MODEL, "--on", "h20", "--json"], "--json: is for --doctor"),
        ([MODEL], f"{MODEL}: no weights of it are on this disk; name a .gguf file"),
        ([MODEL, "--prefill", "h20"], "--on: say on what: --on CHIP:N, or --prefill CHIP:N with --decode CHIP:N"),
        (["lama-3", "--on", "h20"], "unknown model 'lama-3'; nearest: "),
        ([MODEL, "--on", "h200000"], "unknown chip or system 'h200000'; nearest: "),
        ([MODEL, "--on", "h20", "--speed", "0"], "--speed"),
        ([MODEL, "--on", "h20", "--port", "99999"], "99999 is not in the range"),
        ([MODEL, "--on", "h20", "--parallel", "4"], "--parallel: is for a real model, and --on simulates one; leave it out"),
        ([MODEL, "--speed", "2"], "--speed: is for a simulated deployment: add --on CHIP:N, or leave it out"),
        ([MODEL, "--prefill-pp", "2"], "--prefill-pp: is for a simulated deployment: add --on CHIP:N, or leave it out"),
        (["--new-key", "ci", MODEL], f"--new-key: makes a key and serves nothing; leave '{MODEL}' out"),
        (["--fleet", "."], ".: cannot be read: Is a directory"),
        ([MODEL, "--on", "h20", "--host", "256.1.1.1"], "256.1.1.1:8000: cannot be listened on: "),
    ],
)
def test_mistakes_get_one_line(args: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", *args]) == 2
    errors = capsys.readouterr().err
    assert said in errors
    assert errors.count("\n") == 1


def test_the_doctor_looks_at_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--doctor", "--json"]) in (0, 1)
    assert json.loads(capsys.readouterr().out)["exit_status"] in (0, 1)
