"""Driving a deployment: what is run, in which order, and what is said where something is missing, fails, or is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from windtunnel.cli.main import run
from windtunnel.errors import InvalidInputError, UnsupportedError, WindtunnelError
from windtunnel.serve.drive.driver import Driver
from windtunnel.serve.drive.written import read_deployment

FAKE = """#!{python}
import json, os, sys, time
with open({log!r}, "a") as log:
    log.write(json.dumps([sys.argv[0].rsplit("/", 1)[-1], *sys.argv[1:], os.getcwd(), os.environ.get("SERVER_0", "")]) + "\\n")
print(os.environ.get("FAKE_SAYS", ""))
if os.environ.get("FAKE_SLEEPS") and "up" in sys.argv:
    time.sleep(60)
sys.exit(int(os.environ.get("FAKE_STATUS", "0")))
"""


class Tools:
    """Programs that write down how they were called."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.log = folder / "bin", folder / "calls"
        self.bin.mkdir()

    def add(self, *names: str) -> None:
        for name in names:
            (self.bin / name).write_text(FAKE.format(python=sys.executable, log=str(self.log)))
            (self.bin / name).chmod(0o755)

    @property
    def calls(self) -> list[list[str]]:
        """The arguments of every call but those that only ask whether Compose is there."""
        rows = [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []
        return [row[:-2] for row in rows if row[:3] != ["docker", "compose", "version"]]

    @property
    def folders(self) -> set[str]:
        return {json.loads(line)[-2] for line in self.log.read_text().splitlines()}


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    made = Tools(tmp_path)
    monkeypatch.setenv("PATH", str(made.bin))
    return made


class Health:
    """An endpoint that is healthy once it is told so."""

    def __init__(self) -> None:
        health = self
        self.well = True

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if health.well and self.path == "/health" else 503)
                self.end_headers()

            def log_message(self, *words: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def health() -> Iterator[Health]:
    made = Health()
    yield made
    made.server.shutdown()
    made.server.server_close()


def written(folder: Path, url: str, **changes: Any) -> Path:
    """A folder with a deployment of two containers."""
    compose = ["docker", "compose", "--file", "compose.yaml"]
    said: dict[str, Any] = {
        "deployment": 1,
        "with": "compose",
        "model": "Qwen/Qwen3-8B",
        "router": "http://127.0.0.1:8080",
        "needs": [{"name": "KEY", "about": "the key"}],
        "endpoints": [{"name": "serve-0", "url": url, "patience_s": 0.2}],
        "commands": {
            "up": [[*compose, "up", "--detach"]],
            "serve": [[*compose, "up", "--detach", "serve-0"]],
            "status": [[*compose, "ps"]],
            "logs": [[*compose, "logs"]],
            "down": [[*compose, "down"]],
        },
    }
    folder.mkdir(exist_ok=True)
    (folder / "deployment.json").write_text(json.dumps(said | changes))
    (folder / ".env").write_text("# the key\nKEY=abcdefgh-abcdefgh\n")
    return folder


def driver(folder: Path, lines: list[str]) -> Driver:
    return Driver(read_deployment(folder), lines.append, look_every_s=0.01)


def test_up_runs_what_was_written_in_its_folder_and_waits(tools: Tools, health: Health, tmp_path: Path) -> None:
    tools.add("docker")
    folder, lines = written(tmp_path / "deploy", health.url), list[str]()
    health.well = False
    threading.Timer(0.05, lambda: setattr(health, "well", True)).start()
    driver(folder, lines).up()
    assert tools.calls == [["docker", "compose", "--file", "compose.yaml", "up", "--detach"]]
    assert str(folder) in tools.folders
    assert lines[0] == "$ docker compose --file compose.yaml up --detach"
    assert lines[-1].startswith(f"serve-0 is healthy at {health.url}")


def test_an_endpoint_that_does_not_come_shows_its_words(tools: Tools, health: Health, tmp_path: Path) -> None:
    tools.add("docker")
    health.well = False
    with pytest.raises(WindtunnelError, match="serve-0 did not answer on /health within 0 s"):
        driver(written(tmp_path / "deploy", health.url), []).up()
    assert tools.calls[-1][-1] == "logs"


def test_status_and_down(tools: Tools, health: Health, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools.add("docker")
    folder, lines = written(tmp_path / "deploy", health.url), list[str]()
    assert driver(folder, lines).status()
    health.well = False
    assert not driver(folder, lines).status()
    assert lines[-1] == f"serve-0  does not answer  {health.url}"
    driver(folder, lines).down()
    assert [call[-1] for call in tools.calls] == ["ps", "ps", "down"]
    monkeypatch.setenv("FAKE_STATUS", "1")
    monkeypatch.setattr(Driver, "check", lambda self, steps: None)
    with pytest.raises(WindtunnelError, match=r"could not take down all: docker compose --file compose\.yaml down failed"):
        driver(folder, lines).down()


def test_what_is_missing_is_one_line(tools: Tools, health: Health, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(tmp_path / "deploy", health.url)
    with pytest.raises(UnsupportedError, match="docker is not on this machine; install Docker Engine with its Compose plugin"):
        driver(folder, []).up()
    tools.add("docker")
    monkeypatch.setenv("FAKE_STATUS", "1")
    with pytest.raises(UnsupportedError, match="docker has no Compose plugin"):
        driver(folder, []).up()
    (folder / ".env").write_text("KEY=\n")
    with pytest.raises(InvalidInputError, match="does not say yet KEY: the key"):
        driver(folder, []).up()


def test_addresses_of_servers_come_from_dotenv_and_the_environment(tools: Tools, tmp_path: Path, health: Health) -> None:
    host, port = health.url.removeprefix("http://").split(":")
    folder = written(
        tmp_path / "deploy",
        f"http://server-0:{port}",
        commands={"up": [["docker", "--host", "ssh://${SERVER_0}", "compose", "up"]]},
        needs=[{"name": "SERVER_0", "about": "its address"}],
    )
    (folder / ".env").write_text("SERVER_0 = wrong # from the file\n")
    tools.add("docker")
    lines: list[str] = []
    Driver(read_deployment(folder, {**os.environ, "SERVER_0": host}), lines.append).up()
    assert tools.calls[-1][:3] == ["docker", "--host", f"ssh://{host}"]
    assert read_deployment(folder, {}).reached("http://server-0:9/x server-0") == "http://wrong:9/x server-0"
    with pytest.raises(InvalidInputError, match="SERVER_01: is not set"):
        read_deployment(folder, {}).reached("http://server-01:9")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "is not a deployment of format 1"),
        ('{"deployment": 2}', "is not a deployment of format 1"),
        ('{"deployment": 1}', "lacks or misspells 'needs'"),
        ('{"deployment": 1, "needs": 3}', "lacks or misspells"),
    ],
)
def test_a_file_that_is_none(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "deployment.json").write_text(text)
    with pytest.raises(InvalidInputError, match=said):
        read_deployment(tmp_path)


def test_nothing_but_the_known_programs_is_run(tmp_path: Path, health: Health) -> None:
    folder = written(tmp_path / "deploy", health.url, commands={"up": [["sh", "-c", "true"]]})
    with pytest.raises(InvalidInputError, match="would run 'sh'; only docker, kubectl, ray may be"):
        read_deployment(folder)
    with pytest.raises(InvalidInputError, match=r"holds no deployment.json; `windtunnel plan"):
        read_deployment(tmp_path)
    with pytest.raises(InvalidInputError, match="there is no folder"):
        read_deployment(tmp_path / "nowhere")


def test_the_command_line(tools: Tools, health: Health, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tools.add("docker")
    folder = str(written(tmp_path / "deploy", health.url))
    assert run(["serve", "--deployment", folder, "--up"]) == 0
    said = capsys.readouterr()
    assert said.out == "Qwen/Qwen3-8B is served at http://127.0.0.1:8080/v1\n"
    assert "begun, and not taken down" not in said.err
    assert run(["serve", "--deployment", folder, "--status"]) == 0
    assert run(["serve", "--deployment", folder, "--down"]) == 0
    for wrong, line in (
        (["--up"], "--up: is for a deployment that was written; add --deployment DIR"),
        (["--deployment", folder, "--up", "--down"], "--down: does not go together with --up"),
        (["qwen3-8b", "--deployment", folder], "leave qwen3-8b out"),
        (["--deployment", folder, "--speed", "2"], "--speed: does not go with --deployment, whose folder says"),
        (["--deployment", folder, "--fleet", "f.toml"], "--fleet: does not go with --deployment"),
        (["--deployment", folder, "--up", "--port", "9"], "--port: does not go with --deployment, which starts no router here"),
    ):
        assert run(["serve", *wrong]) == 2
        assert line in capsys.readouterr().err


def submitted(folder: Path, url: str) -> Path:
    job = ["ray", "job", "submit", "--address", "http://127.0.0.1:8265", "--submission-id", "windtunnel-serve-0", "--no-wait"]
    commands = {"up": [[*job, "--", "bash", "run.sh"]]}
    return written(folder, url, commands=commands, router="", **{"with": "ray"})


def test_a_ray_job_that_runs_is_left_and_one_that_has_ended_is_begun_anew(
    tools: Tools, health: Health, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools.add("ray")
    folder, lines = submitted(tmp_path / "deploy", health.url), list[str]()
    monkeypatch.setenv("FAKE_SAYS", "Status for job 'windtunnel-serve-0': RUNNING")
    driver(folder, lines).up()
    assert [call[2] for call in tools.calls] == ["status"]
    assert "windtunnel-serve-0 runs already" in lines
    tools.log.unlink()
    monkeypatch.setenv("FAKE_SAYS", "Job 'windtunnel-serve-0' failed")
    driver(folder, lines).up()
    assert [call[2] for call in tools.calls] == ["status", "delete", "submit"]
    assert tools.calls[-1][-3:] == ["--", "bash", "run.sh"]


def test_kubectl_is_waited_for_and_its_port_forwarded(
    tools: Tools, health: Health, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tools.add("kubectl")
    commands = {
        "up": [["kubectl", "apply", "--kustomize", "."]],
        "serve": [["kubectl", "apply", "--kustomize", "."]],
        "wait": [["kubectl", "wait", "deployments", "--timeout=60s"]],
        "forward": ["kubectl", "port-forward", "--address", "${HOST}", "service/router", "${PORT}:8080"],
    }
    folder = written(tmp_path / "deploy", "http://x", commands=commands, endpoints=[], router="", **{"with": "kubernetes"})
    assert run(["serve", "--deployment", str(folder), "--port", "9000"]) == 0
    assert [call[1] for call in tools.calls] == ["apply", "wait", "port-forward"]
    assert tools.calls[-1][2:] == ["--address", "127.0.0.1", "service/router", "9000:8080"]
    assert f"windtunnel serve --deployment {folder} --down" in capsys.readouterr().err
    assert run(["serve", "--deployment", str(folder), "--up"]) == 0
    assert f"is up; reach it from here with: windtunnel serve --deployment {folder}" in capsys.readouterr().out


def test_what_kubectl_reads_from_dotenv_has_to_stand_there(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools.add("kubectl")
    folder = written(tmp_path / "deploy", "http://x", endpoints=[], **{"with": "kubernetes"})
    (folder / ".env").write_text("KEY=\n")
    monkeypatch.setenv("KEY", "only-in-the-environment")
    assert read_deployment(folder).missing() == ["KEY"]


def test_interrupted_it_says_what_was_begun_and_how_it_is_taken_down(tools: Tools, health: Health, tmp_path: Path) -> None:
    tools.add("docker")
    folder = written(tmp_path / "deploy", health.url)
    child = subprocess.Popen(
        [sys.executable, "-m", "windtunnel", "serve", "--deployment", str(folder), "--up"],
        env={**os.environ, "FAKE_SLEEPS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    for _ in range(1000):
        if tools.calls:
            break
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does
    _, said = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "begun, and not taken down:\n  docker compose --file compose.yaml up --detach\n" in said
    assert f"windtunnel serve --deployment {folder} --down" in said


def begun(words: list[str], **environment: str) -> tuple[subprocess.Popen[str], str]:
    """``windtunnel serve ...``, and the address that it says on its first line."""
    child = subprocess.Popen(
        [sys.executable, "-m", "windtunnel", "serve", *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert child.stdout is not None
    first = child.stdout.readline()
    assert first, child.communicate()[1]
    return child, first.split("/v1")[0]


def test_what_was_brought_up_is_routed_to_until_it_is_interrupted(tools: Tools, tmp_path: Path) -> None:
    """An engine that is there already stands for the container: a simulated one, which speaks the same protocol."""
    pytest.importorskip("aiohttp")
    pytest.importorskip("prometheus_client")
    tools.add("docker")
    engine, url = begun(["Qwen/Qwen3-8B", "--on", "h20:1", "--port", "0", "--speed", "1000"])
    try:
        folder = written(tmp_path / "deploy", url, endpoints=[{"name": "serve-0", "url": url, "patience_s": 30}])
        fleet = f'[[backend]]\nname = "serve-0"\nurl = "{url}"\nmodel = "Qwen/Qwen3-8B"\non = "h20:1"\nengine = "vllm"\n'
        (folder / "fleet.toml").write_text(fleet)
        key = "abcdefgh-abcdefgh"
        router, front = begun(["--deployment", str(folder), "--port", "0"], WINDTUNNEL_API_KEY=key)
        asked = urllib.request.Request(
            f"{front}/v1/completions",
            json.dumps({"model": "Qwen/Qwen3-8B", "prompt": "one two", "max_tokens": 3}).encode(),
            {"content-type": "application/json", "authorization": f"Bearer {key}"},
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            assert json.load(answer)["usage"]["completion_tokens"] == 3
        os.killpg(router.pid, signal.SIGINT)
        _, said = router.communicate(timeout=30)
        assert "begun, and not taken down:\n  docker compose --file compose.yaml up --detach serve-0" in said
        assert tools.calls == [["docker", "compose", "--file", "compose.yaml", "up", "--detach", "serve-0"]]
    finally:
        os.killpg(engine.pid, signal.SIGKILL)
        engine.wait()
