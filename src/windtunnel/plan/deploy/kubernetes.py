"""The deployment as Kubernetes manifests under one kustomization, and how they are brought up, looked at and taken down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from windtunnel.plan.deploy.containers import BUILD, DOCKERFILE, KEY_NEED, ROUTER_IMAGE, env_file, router_dockerfile
from windtunnel.plan.deploy.fleet import Driven, Endpoint, Written, deployment_json, fleet_toml
from windtunnel.plan.deploy.instance import Service
from windtunnel.plan.deploy.kubernetes_objects import CLAIM, OWNER, KubernetesObjects
from windtunnel.plan.deploy.patience import patience_s
from windtunnel.plan.deploy.placed import PAIR_PORT, ROUTER_PORT
from windtunnel.plan.deploy.scripts import EngineScripts
from windtunnel.plan.deploy.yaml_text import yaml_text

SELECTOR = ",".join(f"{key}={value}" for key, value in OWNER.items())
KINDS = "deployments,services,configmaps,secrets"


def kubernetes_files(service: Service, by: EngineScripts) -> Written:
    """kustomization.yaml and what it gathers.

    Raises MissingFactError where no source names the resource of the chip's device plugin, or an image that carries the engine.
    """
    made = KubernetesObjects(service, by)
    files: dict[str, str] = {}
    about: dict[str, str] = {"kustomization.yaml": "what `kubectl apply --kustomize .` gathers"}
    for it in made.service.instances:
        name = f"{it.role}.yaml"
        files[name] = yaml_text(*made.role(it), about=made.head())
        what = "a LeaderWorkerSet: each copy over several nodes" if it.nodes > 1 else "a Deployment and a Service for each copy"
        about[name] = f"{it.role}: {what}"
    files["weights.yaml"] = yaml_text(made.claim())
    about["weights.yaml"] = "the volume for the weights"
    files["router.yaml"] = yaml_text(*(made.pair() if made.service.apart else ()), *made.router())
    about["router.yaml"] = "the router, and its Service"
    endpoints = _endpoints(made)
    files = {"kustomization.yaml": yaml_text(_kustomization(made, list(files)))} | files
    files |= made.scripts | {
        DOCKERFILE: router_dockerfile(),
        "fleet.toml": fleet_toml(made.service, made.engine, endpoints),
        ".env": env_file([KEY_NEED]),
        "deployment.json": deployment_json(made.service, "kubernetes", _driven(made), (), [KEY_NEED], ""),
    }
    source = ("The name of the device plugin's resource", made.resource.source, made.resource.recalled)
    return Written(files, _steps(made), about | made.shared_about(), made.notes(source))


def _kustomization(made: KubernetesObjects, manifests: Sequence[str]) -> dict[str, Any]:
    maps = [
        {"name": f"{it.role}-script", "files": [path for path in made.scripts if path.startswith(f"{it.role}/")]}
        for it in made.service.instances
    ]
    if made.service.apart:
        maps.append({"name": "pair-script", "files": ["router/run.sh"]})
    name, _, tag = ROUTER_IMAGE.partition(":")
    maps.append({"name": "router-files", "files": ["fleet.toml"]})
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(manifests),
        "labels": [{"pairs": OWNER}],
        # kustomize would not put a hash into the names that a LeaderWorkerSet refers to
        "generatorOptions": {"disableNameSuffixHash": True},
        "images": [{"name": name, "newName": name, "newTag": tag}],
        "configMapGenerator": maps,
        "secretGenerator": [{"name": "router-key", "envs": [".env"]}],
    }


def _endpoints(made: KubernetesObjects) -> list[Endpoint]:
    if made.service.apart:
        return [Endpoint("pair", f"http://pair:{PAIR_PORT}", max(patience_s(it) for it in made.service.instances))]
    (it,) = made.service.instances
    return [
        Endpoint(f"{it.role}-{copy}", f"http://{made.address(it, copy, 0)}:{made.ports[it.role]}", patience_s(it))
        for copy in range(it.replicas)
    ]


def _driven(made: KubernetesObjects) -> Driven:
    patience = f"--timeout={max(patience_s(it) for it in made.service.instances) + 600}s"
    own = ["--selector", SELECTOR]
    sets = ",leaderworkersets" if made.many else ""
    wait = [["kubectl", "wait", "--for=condition=Available", "deployments", *own, patience]]
    if made.many:
        wait.insert(0, ["kubectl", "wait", "--for=condition=Available", "leaderworkersets", *own, patience])
    apply = [["kubectl", "apply", "--kustomize", "."]]
    return Driven(
        up=apply,
        serve=apply,
        wait=wait,
        forward=["kubectl", "port-forward", "--address", "${HOST}", "service/router", f"${{PORT}}:{ROUTER_PORT}"],
        status=[["kubectl", "get", f"deployments{sets},pods,services,persistentvolumeclaims", *own]],
        logs=[["kubectl", "logs", *own, "--prefix", "--tail", "20"]],
        # the claim stays: the weights need not be fetched again
        down=[["kubectl", "delete", f"{KINDS}{sets}", *own]],
    )


def _steps(made: KubernetesObjects) -> tuple[str, ...]:
    lws = " and LeaderWorkerSet (https://lws.sigs.k8s.io/docs/installation/)" if made.many else ""
    modes = "ReadWriteMany, since several pods read it" if made.pods > 1 else "ReadWriteOnce"
    steps = [
        f"See that the cluster has the device plugin that offers `{made.resource.name}`{lws}, and a storage class for"
        f" `weights.yaml` ({modes}); name it there where it is not the default one.",
        f"{BUILD} Push it where the cluster pulls from, and name it under `images` of `kustomization.yaml`.",
        f"Write the router's key into `.env`: `{KEY_NEED.name}`.",
    ]
    if made.from_folder:
        steps.append(f"Fill the volume `{CLAIM}` with {made.folder_about}.")
    else:
        steps.append(
            "For a model that asks for an account: `kubectl create secret generic hugging-face --from-literal=HF_TOKEN=...`"
        )
    steps += [
        "Start all of it: `windtunnel serve --deployment . --up`, which waits until every pod is ready; `--status` and"
        " `--down` are the other two. By hand: `kubectl apply --kustomize .`",
        f"The router is the Service `router`, port {ROUTER_PORT}, for whoever sends the key. From this machine:"
        f" `kubectl port-forward service/router {ROUTER_PORT}:{ROUTER_PORT}`, or `windtunnel serve --deployment .`, which"
        " starts what does not run yet and forwards the port.",
        f"Run `bench.sh` with `BASE_URL=http://127.0.0.1:{ROUTER_PORT} OPENAI_API_KEY=... ./bench.sh`.",
        f"`--down` keeps the volume with the weights; `kubectl delete persistentvolumeclaim {CLAIM}` frees it.",
    ]
    return tuple(steps)
