"""Kubernetes: every object against the published schemas, LeaderWorkerSets by hand, and what ties the files together."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.plan.test_deploy import CASES, GOLDEN, LLAMA, MORE, TARGETS, alone
from windtunnel.errors import MissingFactError
from windtunnel.plan.deploy import write_deployment
from windtunnel.plan.deploy.write import deployment_files

yaml = pytest.importorskip("yaml")

NOT_THERE = ("trtllm-apart", "sglang-ascend", "sglang-ascend-apart")
"""What Slurm starts, and what no public image is known for."""
ALL = {name: case for name, case in {**CASES, **MORE}.items() if name not in NOT_THERE}
VERSION = "1.35"


@cache
def written(name: str) -> dict[str, str]:
    return deployment_files(*ALL[name], TARGETS, "kubernetes")


@cache
def objects(name: str) -> tuple[dict[str, Any], ...]:
    """Every object of the manifests that the kustomization gathers."""
    files = written(name)
    listed = yaml.safe_load(files["kustomization.yaml"])["resources"]
    return tuple(found for path in listed for found in yaml.safe_load_all(files[path]))


def pods(found: dict[str, Any]) -> list[dict[str, Any]]:
    if found["kind"] == "Deployment":
        return [found["spec"]["template"]]
    if found["kind"] == "LeaderWorkerSet":
        group = found["spec"]["leaderWorkerTemplate"]
        return [group["leaderTemplate"], group["workerTemplate"]]
    return []


@pytest.mark.parametrize("name", ALL)
def test_every_object_holds_to_the_schemas(name: str) -> None:
    kubernetes = pytest.importorskip("kubernetes_validate")
    for found in objects(name):
        if found["kind"] != "LeaderWorkerSet":
            kubernetes.validate(found, VERSION, strict=True)
        for number, template in enumerate(pods(found)):
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**template["metadata"], "name": f"pod-{number}"}}
            kubernetes.validate(pod | {"spec": template["spec"]}, VERSION, strict=True)


@pytest.mark.parametrize("name", ALL)
def test_a_leader_worker_set_has_what_its_definition_requires(name: str) -> None:
    """The fields and values of leaderworkerset.x-k8s.io/v1."""
    for found in objects(name):
        if found["kind"] != "LeaderWorkerSet":
            continue
        assert found["apiVersion"] == "leaderworkerset.x-k8s.io/v1"
        assert set(found["spec"]) <= {"replicas", "leaderWorkerTemplate", "rolloutStrategy", "startupPolicy", "networkConfig"}
        assert found["spec"]["startupPolicy"] in {"LeaderCreated", "LeaderReady"}
        group = found["spec"]["leaderWorkerTemplate"]
        assert set(group) == {"size", "restartPolicy", "leaderTemplate", "workerTemplate"}
        assert group["restartPolicy"] in {"RecreateGroupOnPodRestart", "None"}
        assert group["size"] > 1
        assert found["spec"]["replicas"] >= 1


@pytest.mark.parametrize("name", ALL)
def test_names_that_are_referred_to_exist(name: str) -> None:
    files, found = written(name), objects(name)
    kustomization = yaml.safe_load(files["kustomization.yaml"])
    maps = {row["name"]: row["files"] for row in kustomization["configMapGenerator"]}
    secrets = {row["name"] for row in kustomization["secretGenerator"]}
    claims = {it["metadata"]["name"] for it in found if it["kind"] == "PersistentVolumeClaim"}
    assert all(path in files for paths in maps.values() for path in paths)
    for it in found:
        for template in pods(it):
            (container,) = template["spec"]["containers"]
            volumes = {row["name"]: row for row in template["spec"]["volumes"]}
            assert {row["name"] for row in container["volumeMounts"]} == set(volumes)
            for row in volumes.values():
                if "configMap" in row:
                    mounted = next(m["mountPath"] for m in container["volumeMounts"] if m["name"] == row["name"])
                    words = " ".join(container["command"]).split()
                    assert set(words) & {f"{mounted}/{path.rsplit('/', 1)[-1]}" for path in maps[row["configMap"]["name"]]}
                assert row.get("persistentVolumeClaim", {"claimName": "weights"})["claimName"] in claims
            for row in container.get("envFrom", []):
                assert row["secretRef"]["name"] in secrets
        if it["kind"] == "Service" and "leaderworkerset.sigs.k8s.io/name" not in it["spec"]["selector"]:
            chosen = [
                t for other in found for t in pods(other) if it["spec"]["selector"].items() <= t["metadata"]["labels"].items()
            ]
            assert len(chosen) == 1
            ports = {port["containerPort"] for port in chosen[0]["spec"]["containers"][0]["ports"]}
            assert {port["targetPort"] for port in it["spec"]["ports"]} <= ports


@pytest.mark.parametrize("name", ALL)
def test_the_fleet_reaches_services_and_leaders_that_exist(name: str) -> None:
    named = {it["metadata"]["name"]: it for it in objects(name)}
    for backend in tomllib.loads(written(name)["fleet.toml"])["backend"]:
        host, port = re.fullmatch(r"http://([\w.-]+):(\d+)", backend["url"]).groups()  # type: ignore[union-attr]
        if "." in host:  # a leader: SET-COPY.SET, in the headless Service that LWS makes
            leader, _, group = host.partition(".")
            assert named[group]["kind"] == "LeaderWorkerSet"
            assert int(leader.removeprefix(f"{group}-")) < named[group]["spec"]["replicas"]
        else:
            assert int(port) in {row["port"] for row in named[host]["spec"]["ports"]}


def test_a_copy_over_two_nodes_is_a_group_whose_pods_ask_for_a_whole_server() -> None:
    (group,) = [it for it in objects("ascend-910c") if it["kind"] == "LeaderWorkerSet"]
    leader, worker = pods(group)
    assert group["spec"]["leaderWorkerTemplate"]["size"] == 2
    for template in (leader, worker):
        (container,) = template["spec"]["containers"]
        assert container["resources"]["limits"] == {"huawei.com/Ascend910": "16"}
        assert template["spec"]["tolerations"][0]["key"] == "huawei.com/Ascend910"
    assert "startupProbe" in leader["spec"]["containers"][0]
    assert "startupProbe" not in worker["spec"]["containers"][0]  # a worker has no API of its own


def test_a_copy_on_one_node_is_a_deployment_with_room_to_start() -> None:
    found = [it for it in objects("vllm-replicas") if it["kind"] == "Deployment" and it["metadata"]["name"] != "router"]
    assert [it["metadata"]["name"] for it in found] == ["serve-0", "serve-1", "serve-2"]
    (container,) = found[0]["spec"]["template"]["spec"]["containers"]
    # 44 GB on each of 4 chips, read at 200 MB/s, and a quarter of an hour: (900 + 880) s, in whole minutes
    assert container["startupProbe"]["failureThreshold"] * container["startupProbe"]["periodSeconds"] == 1800
    assert found[0]["spec"]["template"]["spec"]["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-H20"}
    (claim,) = [it for it in objects("vllm-replicas") if it["kind"] == "PersistentVolumeClaim"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "200Gi"  # 176 GB and a fifth, in steps of 10 GiB
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_prefill_and_decode_meet_in_the_engines_router() -> None:
    pair = next(it for it in objects("ascend-apart") if it["metadata"]["name"] == "pair")
    said = {row["name"]: row["value"] for row in pods(pair)[0]["spec"]["containers"][0]["env"]}
    assert said["PREFILL"] == "prefill-0:8100 prefill-1:8100 prefill-2:8100"
    assert said["DECODE"] == "decode-0.decode:8200 decode-0-1.decode:8200"


def test_what_no_source_gives_is_refused() -> None:
    for name in ("sglang-ascend",):
        with pytest.raises(MissingFactError, match="not known: an image that carries sglang of Huawei Ascend 910C"):
            deployment_files(*MORE[name], TARGETS, "kubernetes")
    with pytest.raises(MissingFactError, match="not known: an image that carries vllm"):
        deployment_files(alone(LLAMA, "dcu-k100-ai", "vllm", tp=4), LLAMA, TARGETS, "kubernetes")


def test_what_is_taken_down_leaves_the_weights() -> None:
    said = json.loads(written("ascend-910c")["deployment.json"])["commands"]
    assert said["up"] == [["kubectl", "apply", "--kustomize", "."]]
    (down,) = said["down"]
    assert "leaderworkersets" in down[2]
    assert "persistentvolumeclaims" not in down[2]
    assert "leaderworkersets" not in json.dumps(json.loads(written("amd")["deployment.json"])["commands"])


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("name", ALL)
def test_every_pod_gives_its_script_what_it_asks_for(name: str, tmp_path: Path) -> None:
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    stubs = dict.fromkeys(("vllm", "python3", "vllm-router", "trtllm-serve", "pip"), 'printf "%s\\n" "$@"')
    for program, body in (stubs | {"getent": 'echo "10.0.0.7 $2"'}).items():
        (bin_ / program).write_text(f"#!/bin/bash\n{body}\n")
        (bin_ / program).chmod(0o755)
    for path, text in written(name).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    for found in objects(name):
        for rank, template in enumerate(pods(found)):
            (container,) = template["spec"]["containers"]
            if container["name"] == "router":
                continue
            given = {row["name"]: row.get("value", "10.0.0.9") for row in container["env"]}
            lws = {"LWS_WORKER_INDEX": str(rank), "LWS_LEADER_ADDRESS": "serve-0.serve.default"}
            command = [word.replace("/deploy/", f"{tmp_path}/") for word in container["command"]]
            env = {"PATH": f"{bin_}:{os.environ['PATH']}", "TMPDIR": str(tmp_path), **lws, **given}
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
            assert done.returncode == 0, done.stderr
            assert done.stderr == ""
            if name == "ascend-910c":
                assert "10.0.0.7" in done.stdout.split("\n")


@pytest.mark.parametrize("name", ["ascend-910c"])
def test_golden_folder(name: str, tmp_path: Path) -> None:
    golden, target = GOLDEN / f"{name}-kubernetes", tmp_path / "deploy"
    paths = write_deployment(*ALL[name], TARGETS, target, "kubernetes")
    if os.environ.get("UPDATE_GOLDEN"):
        shutil.rmtree(golden, ignore_errors=True)
        shutil.copytree(target, golden)
    assert {str(p.relative_to(target)) for p in paths} == {str(p.relative_to(golden)) for p in golden.rglob("*") if p.is_file()}
    for path in paths:
        assert path.read_text("utf-8") == (golden / path.relative_to(target)).read_text("utf-8"), path.name
