"""Docker Compose: what each container is given, held against the published schema, and golden folders."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from tests.plan.test_deploy import CASES, GOLDEN, LLAMA, MORE, TARGETS, alone
from windtunnel.errors import MissingFactError, UnknownNameError, UnsupportedError
from windtunnel.plan.deploy import write_deployment
from windtunnel.plan.deploy.write import deployment_files

yaml = pytest.importorskip("yaml")

SLURM = "trtllm-apart"
ALL = {name: case for name, case in {**CASES, **MORE}.items() if name != SLURM}


@cache
def composed(name: str) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """The folder, and each of its compose files as an object."""
    files = deployment_files(*ALL[name], TARGETS, "compose")
    return files, {path: yaml.safe_load(text) for path, text in files.items() if path.endswith(".yaml") and "/" not in path}


def services(name: str) -> dict[str, dict[str, Any]]:
    return {key: value for file in composed(name)[1].values() for key, value in file["services"].items()}


@pytest.mark.parametrize("name", ALL)
def test_every_file_holds_to_the_compose_specification(name: str) -> None:
    validator = pytest.importorskip("jsonschema").validators
    pytest.importorskip("check_jsonschema")
    file = resources.files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json")
    schema = json.loads(file.read_text(encoding="utf-8"))
    for path, content in composed(name)[1].items():
        problems = [f"{path}: {e.json_path}: {e.message}" for e in validator.Draft7Validator(schema).iter_errors(content)]
        assert problems == []


@pytest.mark.parametrize("name", ALL)
def test_what_every_container_has(name: str) -> None:
    files, parsed = composed(name)
    for content in parsed.values():
        assert list(content) == ["services"]
        for key, service in content["services"].items():
            assert service["image"], key
            assert service["restart"] == "unless-stopped"
            for mount in service["volumes"]:
                if mount["source"].startswith("./"):
                    source = mount["source"][2:]
                    assert any(path == source or path.startswith(f"{source}/") for path in files), source
            named = " ".join(service["entrypoint"]).replace(";", " ").split()
            scripts = [word.removeprefix("/deploy/") for word in named if word.startswith("/deploy/")]
            assert scripts
            assert all(path in files for path in scripts)


def test_no_device_is_given_twice() -> None:
    for name in ALL:
        for content in composed(name)[1].values():
            taken: list[str] = []
            for service in content["services"].values():
                reserved = service.get("deploy", {}).get("resources", {}).get("reservations", {}).get("devices", [])
                taken += [n for row in reserved for n in row["device_ids"]]
                taken += [node for node in service.get("devices", []) if "davinci" in node and "manager" not in node]
            assert len(taken) == len(set(taken)), name


def test_copies_that_share_a_server_have_devices_and_ports_of_their_own() -> None:
    found = services("vllm-replicas")  # three copies of four devices: two on one server, one on another
    assert sorted(found) == ["router", "serve-0", "serve-1", "serve-2"]
    second = found["serve-1"]
    assert second["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"] == ["4", "5", "6", "7"]
    assert second["environment"]["PORT"] == "8001"
    assert second["environment"]["VISIBLE_FROM"] == "0"  # Nvidia's runtime shows a container its own devices alone
    assert "8001/health" in second["healthcheck"]["test"][-1]
    assert found["serve-2"]["environment"]["PORT"] == "8000"
    amd = services("amd")
    assert amd["serve-1"]["devices"] == ["/dev/kfd:/dev/kfd", "/dev/dri:/dev/dri"]
    assert amd["serve-1"]["environment"]["VISIBLE_FROM"] == "2"  # here they see all, and are told which to take
    assert amd["serve-1"]["ports"] == ["127.0.0.1:8001:8001"]


def test_ascend_has_its_nodes_and_the_drivers_files() -> None:
    found = services("ascend-one")
    assert found["serve-1"]["devices"][:4] == [f"/dev/davinci{n}:/dev/davinci{n}" for n in (4, 5, 6, 7)]
    assert "/dev/davinci_manager:/dev/davinci_manager" in found["serve-0"]["devices"]
    assert "/usr/local/Ascend/driver/lib64" in {mount["target"] for mount in found["serve-0"]["volumes"]}
    assert found["serve-0"]["image"] == "quay.io/ascend/vllm-ascend:v0.23.0"
    assert services("ascend-910c")["serve-0-0"]["image"].endswith("-a3")


def test_prefill_and_decode_have_the_engines_router_between_them_and_the_fleets_before() -> None:
    files, parsed = composed("vllm-apart")
    first = parsed["server-0.yaml"]["services"]
    pair = first["pair"]["environment"]
    assert pair["PREFILL"].startswith("http://${SERVER_0:?set SERVER_0 in .env}:8100 http://")
    assert pair["PREFILL"].count("http://") == 3
    (backend,) = tomllib.loads(files["fleet.toml"])["backend"]
    assert backend["url"] == f"http://server-0:{pair['PORT']}"
    assert first["router"]["extra_hosts"][0].startswith("server-0:")
    said = json.loads(files["deployment.json"])
    assert {need["name"] for need in said["needs"]} >= {"SERVER_0", "SERVER_1", "WINDTUNNEL_API_KEY"}
    assert said["commands"]["up"][1][:3] == ["docker", "--host", "ssh://${SERVER_1}"]


def test_what_only_the_user_knows_is_asked_for() -> None:
    files = deployment_files(alone(LLAMA, "h20", "vllm", precision="int8", tp=4), LLAMA, TARGETS, "compose")
    assert "MODEL_DIR=" in files[".env"]
    assert "LLM Compressor" in files[".env"]
    no_image = deployment_files(alone(LLAMA, "dcu-k100-ai", "vllm", tp=4), LLAMA, TARGETS, "compose")
    assert "IMAGE=" in no_image[".env"]
    assert "${IMAGE:?" in no_image["compose.yaml"]


def test_what_no_source_gives_is_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    from windtunnel.catalog.chip import chip
    from windtunnel.catalog.container import access_of, resource_of

    with pytest.raises(MissingFactError, match="not known: the device nodes in a container of Biren BR100"):
        access_of(replace(chip("br100"), name="Biren BR100"))
    with pytest.raises(MissingFactError, match=r"not known: the Kubernetes resource of .*; known for Nvidia"):
        resource_of(chip("br100"))
    with pytest.raises(UnknownNameError, match="unknown launcher 'composer'; nearest: compose"):
        write_deployment(*ALL["amd"], TARGETS, tmp_path / "new", "composer")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ALL)
def test_the_fleet_is_one_that_serve_reads(name: str, tmp_path: Path) -> None:
    from windtunnel.serve.fleet.file import read_fleet_file

    path = tmp_path / "fleet.toml"
    path.write_text(composed(name)[0]["fleet.toml"])
    fleet = read_fleet_file(path)
    candidate = ALL[name][0]
    assert len(fleet.backends) == (1 if candidate.prefill else candidate.replicas)
    for backend in fleet.backends:
        assert backend.model == candidate.prediction.deployment.model
        # a pair of prefill and decode is no one deployment that could be predicted
        assert bool(backend.on) == (candidate.prefill is None)
    assert (fleet.limits.ttft, fleet.limits.tpot) == (2.0, 0.05)


def test_a_model_of_the_users_own_comes_from_a_folder() -> None:
    from dataclasses import replace

    own = replace(LLAMA, id="my-model")
    files = deployment_files(alone(own, "h20", "vllm", tp=4), own, TARGETS, "compose")
    assert "MODEL_DIR=" in files[".env"]
    assert "my-model" in files["fleet.toml"]
    assert "\non = " not in files["fleet.toml"]


def test_what_slurm_starts_is_left_to_the_shell() -> None:
    with pytest.raises(UnsupportedError, match="trtllm over several servers is started by Slurm's srun, not in containers"):
        deployment_files(*MORE[SLURM], TARGETS, "compose")


def test_without_pyyaml_one_line_says_so_before_anything_is_planned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from windtunnel.cli.main import run

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    asked = ["plan", "qwen3-8b", "--on", "h20", "--isl", "1024", "--osl", "128", "--deploy", str(tmp_path / "new")]
    assert run([*asked, "--deploy-with", "compose"]) == 2
    assert "written with PyYAML; install it with: pip install 'windtunnel[deploy]'" in capsys.readouterr().err
    assert run([*asked, "--deploy-with", "composer"]) == 2
    assert "unknown launcher 'composer'; nearest: compose" in capsys.readouterr().err
    assert run([*asked[:-2], "--deploy-with", "ray"]) == 2
    assert "--deploy-with: says what --deploy DIR writes for; add --deploy DIR" in capsys.readouterr().err


def test_the_same_plan_is_written_the_same_way_twice() -> None:
    assert composed("ascend-910c")[0] == deployment_files(*ALL["ascend-910c"], TARGETS, "compose")


@pytest.mark.parametrize("name", ["vllm-replicas"])
def test_golden_folder(name: str, tmp_path: Path) -> None:
    golden, target = GOLDEN / f"{name}-compose", tmp_path / "deploy"
    paths = write_deployment(*ALL[name], TARGETS, target, "compose")
    if os.environ.get("UPDATE_GOLDEN"):
        shutil.rmtree(golden, ignore_errors=True)
        shutil.copytree(target, golden)
    assert {str(p.relative_to(target)) for p in paths} == {str(p.relative_to(golden)) for p in golden.rglob("*") if p.is_file()}
    for path in paths:
        assert path.read_text("utf-8") == (golden / path.relative_to(target)).read_text("utf-8"), path.name


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("name", ALL)
def test_every_script_runs_with_what_its_container_is_given(name: str, tmp_path: Path) -> None:
    """The environment of each container, with every variable of .env filled, is all that its script asks for."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for program in ("vllm", "python3", "vllm-router", "trtllm-serve", "srun"):
        (bin_ / program).write_text(f'#!/bin/bash\nprintf "%s\\n" {program} "$@"\n')
        (bin_ / program).chmod(0o755)
    files, parsed = composed(name)
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    for content in parsed.values():
        for key, service in content["services"].items():
            if key == "router":
                continue
            script = service["entrypoint"][-1].split()[-1].removeprefix("/deploy/")
            given = {n: re.sub(r"\$\{[^}]*\}", "host", v) for n, v in service["environment"].items() if v is not None}
            done = subprocess.run(
                ["bash", str(tmp_path / script)], capture_output=True, text=True, check=False,
                env={"PATH": f"{bin_}:{os.environ['PATH']}", "TMPDIR": str(tmp_path), **given},
            )  # fmt: skip
            assert done.returncode == 0, f"{key}: {done.stderr}"
            assert done.stderr == ""
