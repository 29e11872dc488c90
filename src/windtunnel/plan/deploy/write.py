"""Writes the folder of a deployment, whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from windtunnel.catalog.chip import Chip, chip
from windtunnel.catalog.engine import engine, shelf
from windtunnel.catalog.model import ModelSpec
from windtunnel.catalog.system import system
from windtunnel.errors import InvalidInputError, UnknownNameError, UnsupportedError, nearest
from windtunnel.plan.deploy import sglang, trtllm, vllm
from windtunnel.plan.deploy.checkpoint import checkpoint
from windtunnel.plan.deploy.compose import compose_files
from windtunnel.plan.deploy.fleet import Written
from windtunnel.plan.deploy.guide import readme
from windtunnel.plan.deploy.instance import Service, instance
from windtunnel.plan.deploy.kubernetes import kubernetes_files
from windtunnel.plan.deploy.ray_cluster import ray_files
from windtunnel.plan.deploy.scripts import EngineScripts
from windtunnel.plan.result import Candidate, Targets
from windtunnel.sim.prediction import Deployment

WRITERS: Mapping[str, Callable[[Service], dict[str, str]]] = {
    "vllm": vllm.files,
    "vllm-ascend": vllm.files,
    "sglang": sglang.files,
    "trtllm": trtllm.files,
}
"""Engines whose commands are known."""

PORTS: Mapping[str, dict[str, int]] = {
    "vllm": vllm.PORTS,
    "vllm-ascend": vllm.PORTS,
    "sglang": sglang.PORTS,
    "trtllm": trtllm.PORTS,
}

USUAL_SERVER = 8
CHUNK_TOKENS = 8192

WAYS: Mapping[str, Callable[[Service, EngineScripts], Written]] = {
    "compose": compose_files,
    "kubernetes": kubernetes_files,
    "ray": ray_files,
}
LAUNCHERS = ("shell", *WAYS)
"""What the files are for: a shell on each server, Docker Compose, Kubernetes, vLLM on a Ray cluster."""


def write_deployment(
    candidate: Candidate, spec: ModelSpec, targets: Targets, directory: str | Path, launcher: str = "shell"
) -> list[Path]:
    """Writes what launches ``candidate`` into ``directory``, and returns the paths.

    A run.sh for each role, bench.sh with the engine's own benchmark at the planned load, a README.md with what to
    expect, and what ``launcher`` needs besides. Raises UnsupportedError for an engine whose commands are not known,
    MissingFactError where no source says how a container reaches the chip, InvalidInputError where the directory
    exists and holds something.
    """
    target = Path(directory)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise InvalidInputError("deploy", f"'{target}' exists and is not empty; name a new folder")
    files = deployment_files(candidate, spec, targets, launcher)
    try:
        _write_whole(files, target)
    except OSError as problem:
        raise InvalidInputError("deploy", f"cannot write '{target}': {problem.strerror or problem}")
    return [target / name for name in files]


def deployment_files(candidate: Candidate, spec: ModelSpec, targets: Targets, launcher: str = "shell") -> dict[str, str]:
    """The text of every file, by its path in the folder. Raises UnsupportedError, MissingFactError or UnknownNameError."""
    if launcher not in LAUNCHERS:
        raise UnknownNameError("launcher", launcher, LAUNCHERS)
    service = _service(candidate, spec, targets)
    name = _engine(candidate.prediction.deployment, service.chip)
    scripts = WRITERS[name](service)
    weights = checkpoint(service, "vllm" if name.startswith("vllm") else name)
    assumed = not candidate.prediction.deployment.system
    if launcher == "shell":
        return {"README.md": readme(service, scripts, weights, assumed), **scripts}
    each_rank = name == "vllm-ascend" and service.apart
    way = WAYS[launcher](service, EngineScripts(name, scripts, weights, PORTS[name], each_rank))
    return {"README.md": readme(service, way.files, weights, assumed, way), **way.files}


def _service(candidate: Candidate, spec: ModelSpec, targets: Targets) -> Service:
    own = candidate.prediction.deployment
    on = chip(own.chip)
    name = _engine(own, on)
    if candidate.prefill is not None and (candidate.prefill.deployment.chip, _engine(candidate.prefill.deployment, on)) != (
        own.chip,
        name,
    ):
        raise UnsupportedError(
            "prefill and decode on different chips or engines cannot be launched together; nearest: the same for both"
        )
    roles = [("prefill", candidate.prefill, candidate.prefill_replicas)] if candidate.prefill else []
    roles.append(("decode" if candidate.prefill else "serve", candidate.prediction, candidate.replicas))
    server = _server_chips(own)
    instances = tuple(
        instance(role, prediction, replicas, spec, on, server) for role, prediction, replicas in roles if prediction
    )
    chunk = int(engine(name).traits_at(own.engine_version, on).get("chunk_tokens", CHUNK_TOKENS))
    return Service(candidate, spec, targets, on, server, chunk, instances)


def _engine(deployment: Deployment, on: Chip) -> str:
    """The id of the engine whose commands are written; vLLM on an Ascend chip is vLLM with its plugin."""
    asked = deployment.engine
    known = [name for name in on.engines if name in WRITERS] or list(WRITERS)
    if not asked:
        raise UnsupportedError(f"the deployment names no engine; nearest: {', '.join(known)}")
    try:
        name = shelf.resolve(asked)
    except UnknownNameError:
        name = asked
    if name == "vllm" and on.device == "npu":
        name = "vllm-ascend"
    if name not in WRITERS:
        close = nearest(name, known, limit=1) or known
        raise UnsupportedError(f"launch commands of {asked} are not known; nearest: {', '.join(dict.fromkeys([*close, *known]))}")
    return name


def _server_chips(deployment: Deployment) -> int:
    """Chips of one server: those of the system where it is named and its servers are counted."""
    if not deployment.system:
        return USUAL_SERVER
    found = system(deployment.system)
    return found.chips // found.nodes if found.nodes and found.chips % found.nodes == 0 else USUAL_SERVER


def _write_whole(files: Mapping[str, str], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part"))
    try:
        for name, text in files.items():
            path = part / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8", newline="\n")
            path.chmod(0o755 if name.endswith(".sh") else 0o644)
        part.chmod(0o755)
        if target.exists():
            target.rmdir()
        part.replace(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
