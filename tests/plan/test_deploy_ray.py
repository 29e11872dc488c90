"""vLLM on Ray: the scripts of the cluster, the engine's flags there, and a job for each copy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.plan.test_deploy import CASES, MORE, TARGETS
from windtunnel.errors import UnsupportedError
from windtunnel.plan.deploy.flags import COMMANDS
from windtunnel.plan.deploy.write import deployment_files

NAMES = ("vllm-replicas", "vllm-pipeline", "ascend-910c", "ascend-one", "amd")
ALL = {**CASES, **MORE}


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("name", NAMES)
def test_every_script_runs_and_gives_only_known_flags(name: str, tmp_path: Path) -> None:
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for program in ("vllm", "ray"):
        (bin_ / program).write_text(f'#!/bin/bash\nprintf "%s\\n" {program} "$@"\n')
        (bin_ / program).chmod(0o755)
    known = set().union(*(command.flags for command in COMMANDS.values()))
    for path, text in deployment_files(*ALL[name], TARGETS, "ray").items():
        if not path.endswith(".sh"):
            continue
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
        given = {"LOCAL_ADDR": "10.0.0.2", "HEAD_ADDR": "10.0.0.1", "NIC": "eth0", "MODEL": "/model"}
        env = {"PATH": f"{bin_}:{os.environ['PATH']}", **given}
        done = subprocess.run(["bash", str(tmp_path / path)], capture_output=True, text=True, check=False, env=env)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        said = done.stdout.split("\n")
        assert {word for word in said if word.startswith("--")} <= known
        if path == "ray/join.sh":
            assert said[:4] == ["ray", "start", "--node-ip-address", "10.0.0.2"]
            assert "10.0.0.1:6379" in said


def test_one_command_serves_over_all_servers() -> None:
    script = deployment_files(*MORE["vllm-pipeline"], TARGETS, "ray")["serve/run.sh"]
    for flag in ("--distributed-executor-backend ray", "--tensor-parallel-size 8", "--pipeline-parallel-size 2"):
        assert flag in script
    assert "--nnodes" not in script
    assert "NODE_RANK" not in script
    apart = deployment_files(*CASES["ascend-910c"], TARGETS, "ray")["serve/run.sh"]
    assert "--data-parallel-backend ray" in apart
    assert "--data-parallel-size-local 2" in apart
    assert "--data-parallel-address" not in apart


def test_every_copy_is_a_job_with_a_port_of_its_own() -> None:
    files = deployment_files(*CASES["vllm-replicas"], TARGETS, "ray")
    said = json.loads(files["deployment.json"])
    ports = [json.loads(row[row.index("--runtime-env-json") + 1])["env_vars"]["PORT"] for row in said["commands"]["up"]]
    assert ports == ["8000", "8001", "8002"]
    assert [row["url"] for row in said["endpoints"]] == [f"http://127.0.0.1:{port}" for port in ports]
    assert [row["url"] for row in tomllib.loads(files["fleet.toml"])["backend"]] == [row["url"] for row in said["endpoints"]]
    assert all("127.0.0.1:8265" in word for row in said["commands"]["up"] for word in row if "8265" in word)


@pytest.mark.parametrize(
    ("name", "said"),
    [("sglang-old", "sglang is not started by Ray; nearest: vllm"), ("vllm-apart", "nearest: --deploy-with kubernetes")],
)
def test_what_ray_does_not_run(name: str, said: str) -> None:
    with pytest.raises(UnsupportedError, match=said):
        deployment_files(*MORE[name], TARGETS, "ray")
