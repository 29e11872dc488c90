"""Who may come in, as a user says it: keys made and given, certificates, and what is refused before anything is served."""

from __future__ import annotations

import os
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
HERE = [MODEL, "--on", "h20"]


def test_a_new_key_is_printed_once_and_its_table_is_read(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["serve", "--new-key", "ci"]) == 0
    table, shown = capsys.readouterr()
    assert shown.startswith("wt-")
    assert "wt-" not in table
    file = tmp_path / "keys.toml"
    file.write_text(table)
    assert run(["serve", *HERE, "--keys", str(file), "--tls-cert", "x.pem"]) == 2
    assert "--tls-cert: needs --tls-key too" in capsys.readouterr().err  # the keys were read: this is the next mistake
    assert run(["serve", "--new-key", "a b"]) == 2
    assert "--new-key: name has to be up to 64 letters" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            ["--host", "0.0.0.0"],
            "--host: 0.0.0.0 is open to the network and asks for a key: --keys FILE.toml, or WINDTUNNEL_API_KEY",
        ),
        (["--host", "::"], "--host: :: is open to the network"),
        (["--host", ""], "--host: every address is open to the network"),
        (["--keys", "nowhere.toml"], "--keys: nowhere.toml cannot be read"),
        (["--tls-cert", "a.pem"], "--tls-cert: needs --tls-key too"),
        (["--tls-key", "a.pem"], "--tls-key: needs --tls-cert too"),
        (["--tls-cert", "a.pem", "--tls-key", "b.pem"], "--tls-cert: a.pem cannot be read"),
        (["--cors", "example.com"], "--cors: 'example.com' is no origin"),
        (["--accounts", "nowhere/a.jsonl"], "--accounts: nowhere/a.jsonl cannot be written"),
    ],
)
def test_mistakes_get_one_line(
    args: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WINDTUNNEL_API_KEY", raising=False)
    assert run(["serve", *HERE, *args]) == 2
    errors = capsys.readouterr().err
    assert said in errors
    assert errors.count("\n") == 1


def test_a_key_of_the_environment_opens_the_network(tmp_path: Path) -> None:
    """Off loopback, with one key, in the clear: it is served, and it is said."""
    key = "a-key-of-the-environment"
    command = [sys.executable, "-m", "windtunnel", "serve", *HERE, "--name", "llama", "--host", "0.0.0.0", "--port", "0"]
    paths = str(Path(windtunnel.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", "WINDTUNNEL_API_KEY": key}
    command += ["--speed", "100", "--accounts", str(tmp_path / "accounts.jsonl")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        port = server.stdout.readline().split("/v1")[0].rpartition(":")[2]
        told: dict[str, Any] = {"model": "llama", "messages": [{"role": "user", "content": "a"}], "max_tokens": 5}
        with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key, max_retries=0) as client:
            assert client.chat.completions.create(**told).usage is not None
        another = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="another", max_retries=0)
        with another, pytest.raises(openai.AuthenticationError):
            another.chat.completions.create(**told)
        server.send_signal(signal.SIGINT)
        said, errors = server.communicate(timeout=20)
    warned = "windtunnel: plain HTTP: keys and texts can be read on the network; --tls-cert and --tls-key encrypt them\n"
    assert (server.returncode, errors) == (0, warned)
    account = (tmp_path / "accounts.jsonl").read_text()
    assert account.count("\n") == 1
    assert '"key":"default"' in account
    assert key not in said + account
