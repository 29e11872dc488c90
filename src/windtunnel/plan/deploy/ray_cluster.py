"""vLLM on a Ray cluster: scripts that make the servers one, and a Ray job for each copy of the engine."""

from __future__ import annotations

import json

from windtunnel.errors import UnsupportedError
from windtunnel.plan.deploy import vllm
from windtunnel.plan.deploy.containers import KEY_NEED, env_file
from windtunnel.plan.deploy.fleet import Driven, Endpoint, Need, Written, deployment_json, fleet_toml, on_the_hub
from windtunnel.plan.deploy.instance import Service
from windtunnel.plan.deploy.patience import patience_s
from windtunnel.plan.deploy.scripts import EngineScripts
from windtunnel.plan.deploy.shell import one_line

ENGINES = ("vllm", "vllm-ascend")
JOBS_PORT = 8265
"""Of Ray's dashboard, which takes jobs."""


def ray_files(service: Service, by: EngineScripts) -> Written:
    """The scripts of the cluster and the engine's. Raises UnsupportedError for an engine that Ray does not run."""
    if by.engine not in ENGINES:
        raise UnsupportedError(f"{by.engine} is not started by Ray; nearest: {', '.join(ENGINES)}, or --deploy-with kubernetes")
    it = service.main
    jobs = [f"windtunnel-serve-{copy}" for copy in range(it.replicas)]
    # Ray takes jobs from whoever reaches its dashboard, which is why it listens on its own server alone: so does what submits
    at = ["--address", f"http://127.0.0.1:{JOBS_PORT}"]
    first = by.ports[it.role]
    needs = [KEY_NEED]
    from_folder = bool(by.weights.convert) or not on_the_hub(service.model)
    if from_folder:
        needs.append(Need("MODEL", f"the folder of {one_line(by.weights.convert or service.model)}, on every server"))
    model = {"MODEL": "${MODEL}"} if from_folder else {}

    def submit(copy: int) -> list[str]:
        runtime = json.dumps({"env_vars": {"PORT": str(first + copy), **model}})
        named = ["--submission-id", jobs[copy], "--working-dir", "serve", "--runtime-env-json", runtime]
        return ["ray", "job", "submit", *at, *named, "--no-wait", "--", "bash", "run.sh"]

    submits = [submit(copy) for copy in range(it.replicas)]
    driven = Driven(
        up=submits,
        serve=submits,
        status=[["ray", "status"], ["ray", "job", "list", *at]],
        logs=[["ray", "job", "logs", *at, job] for job in jobs],
        down=[["ray", "job", step, *at, job] for job in jobs for step in ("stop", "delete")],
    )
    endpoints = [Endpoint(f"serve-{copy}", f"http://127.0.0.1:{first + copy}", patience_s(it)) for copy in range(it.replicas)]
    files = vllm.ray_files(service) | vllm.ray_start(service)
    files |= {
        "fleet.toml": fleet_toml(service, by.engine, endpoints),
        ".env": env_file(needs),
        "deployment.json": deployment_json(service, "ray", driven, endpoints, needs, ""),
    }
    servers = sum(each.nodes * each.replicas for each in service.instances) if it.shared == 1 else -(-it.replicas // it.shared)
    about = {
        "ray/head.sh": "makes server 0 the head of the Ray cluster",
        "ray/join.sh": "makes another server join it",
        "serve/run.sh": "what each Ray job runs: the engine with its flags",
        "fleet.toml": "the endpoints, for `windtunnel serve --fleet`",
        ".env": "what only you know",
        "deployment.json": "how `windtunnel serve --deployment` drives all this",
        "bench.sh": "the engine's own benchmark at the planned load",
    }
    return Written(files, _steps(servers, needs, submits), about)


def _steps(servers: int, needs: list[Need], submits: list[list[str]]) -> tuple[str, ...]:
    others = "server 1" if servers == 2 else f"servers 1 to {servers - 1}"
    join = f" and `ray/join.sh` on {others}" if servers > 1 else ""
    return (
        "Install `ray[default]` and the engine on every server, and see that all can reach the model.",
        f"Run `ray/head.sh` on server 0{join}; `ray status` shows them. Each stops with a line that names what it needs to know.",
        f"Fill in `.env`: {', '.join(f'`{need.name}`' for need in needs)}.",
        "Submit the engines, on server 0: `windtunnel serve --deployment . --up`, which waits until every endpoint is healthy;"
        f" `--status` and `--down` are the other two. It runs `{' '.join(submits[0][:3])} ...`, a job for each copy.",
        "Route to them, there too: `windtunnel serve --deployment .`; what runs already is left to run.",
        "Run `bench.sh` with the router's address as `BASE_URL`, and its key as `OPENAI_API_KEY`.",
    )
