"""The deployment as Kubernetes manifests under one kustomization: LeaderWorkerSets over several nodes, Deployments on one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from windtunnel.catalog.container import resource_of
from windtunnel.errors import MissingFactError
from windtunnel.plan.deploy.checkpoint import Checkpoint
from windtunnel.plan.deploy.containers import (
    BUILD,
    CACHE,
    DOCKERFILE,
    FOLDER,
    KEY_NEED,
    ROUTER_IMAGE,
    Containers,
    env_file,
    router_command,
    router_dockerfile,
)
from windtunnel.plan.deploy.fleet import Driven, Endpoint, Written, deployment_json, fleet_toml
from windtunnel.plan.deploy.images import SMALL, pair_package
from windtunnel.plan.deploy.instance import Instance, Service
from windtunnel.plan.deploy.patience import disk_gib, patience_s
from windtunnel.plan.deploy.placed import PAIR_PORT, ROUTER_PORT, RPC_PORTS
from windtunnel.plan.deploy.yaml_text import yaml_text

OWNER = {"app.kubernetes.io/managed-by": "windtunnel"}
SELECTOR = ",".join(f"{key}={value}" for key, value in OWNER.items())
NAME = "app.kubernetes.io/name"
SHM = "16Gi"
LOOK_EVERY_S = 10
CLAIM = "weights"
KINDS = "deployments,services,configmaps,secrets"


def kubernetes_files(
    service: Service, engine: str, scripts: Mapping[str, str], weights: Checkpoint, ports: Mapping[str, int], each_rank: bool
) -> Written:
    """kustomization.yaml and what it gathers.

    scripts: those of the shell, by their paths. Raises MissingFactError where no source names the resource of the chip's
    device plugin, or an image that carries the engine.
    """
    return _Kubernetes(service, engine, scripts, weights, ports, each_rank).written()


class _Kubernetes(Containers):
    def __init__(
        self,
        service: Service,
        engine: str,
        scripts: Mapping[str, str],
        weights: Checkpoint,
        ports: Mapping[str, int],
        each_rank: bool,
    ) -> None:
        super().__init__(service, engine, scripts, weights)
        self.resource = resource_of(service.chip)
        if self.image is None:
            raise MissingFactError(service.chip.name, f"an image that carries {engine}")
        self.ports = ports
        self.each_rank = each_rank
        self.many = any(it.nodes > 1 for it in service.instances)
        self.pods = sum(it.nodes * it.replicas for it in service.instances)

    def written(self) -> Written:
        files: dict[str, str] = {}
        about: dict[str, str] = {"kustomization.yaml": "what `kubectl apply --kustomize .` gathers"}
        for it in self.service.instances:
            name = f"{it.role}.yaml"
            files[name] = yaml_text(*self._role(it), about=self.head())
            what = (
                "a LeaderWorkerSet: each copy over several nodes" if it.nodes > 1 else "a Deployment and a Service for each copy"
            )
            about[name] = f"{it.role}: {what}"
        files["weights.yaml"] = yaml_text(self._claim())
        about["weights.yaml"] = "the volume for the weights"
        files["router.yaml"] = yaml_text(*(self._pair() if self.service.apart else ()), *self._router())
        about["router.yaml"] = "the router, and its Service"
        endpoints = self._endpoints()
        files = {"kustomization.yaml": yaml_text(self._kustomization(list(files)))} | files
        files |= self.scripts | {
            DOCKERFILE: router_dockerfile(),
            "fleet.toml": fleet_toml(self.service, self.engine, endpoints),
            ".env": env_file([KEY_NEED]),
            "deployment.json": deployment_json(self.service, "kubernetes", self._driven(), (), [KEY_NEED], ""),
        }
        source = ("The name of the device plugin's resource", self.resource.source, self.resource.recalled)
        return Written(files, self._steps(), about | self.shared_about(), self.notes(source))

    def _kustomization(self, manifests: Sequence[str]) -> dict[str, Any]:
        maps = [
            {"name": f"{it.role}-script", "files": [path for path in self.scripts if path.startswith(f"{it.role}/")]}
            for it in self.service.instances
        ]
        if self.service.apart:
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

    def _role(self, it: Instance) -> list[dict[str, Any]]:
        if it.nodes > 1:
            return [self._worker_set(it), self._leaders(it)]
        return [made for copy in range(it.replicas) for made in self._copy(it, f"{it.role}-{copy}")]

    def _copy(self, it: Instance, name: str) -> list[dict[str, Any]]:
        labels = {NAME: name, "app.kubernetes.io/component": it.role, **OWNER}
        return [
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name, "labels": labels},
                "spec": {
                    "replicas": 1,
                    # a second copy beside the first would need its devices twice
                    "strategy": {"type": "Recreate"},
                    "progressDeadlineSeconds": patience_s(it) + 600,
                    "selector": {"matchLabels": {NAME: name}},
                    "template": {"metadata": {"labels": labels}, "spec": self._pod(it, probed=True)},
                },
            },
            _service(name, {NAME: name}, self._ports(it)),
        ]

    def _worker_set(self, it: Instance) -> dict[str, Any]:
        labels = {NAME: it.role, "app.kubernetes.io/component": it.role, **OWNER}
        return {
            "apiVersion": "leaderworkerset.x-k8s.io/v1",
            "kind": "LeaderWorkerSet",
            "metadata": {"name": it.role, "labels": labels},
            "spec": {
                "replicas": it.replicas,
                "startupPolicy": "LeaderCreated",
                "leaderWorkerTemplate": {
                    "size": it.nodes,
                    # the ranks of one engine live and die together
                    "restartPolicy": "RecreateGroupOnPodRestart",
                    "leaderTemplate": {"metadata": {"labels": labels}, "spec": self._pod(it, probed=True)},
                    "workerTemplate": {"metadata": {"labels": labels}, "spec": self._pod(it, probed=False)},
                },
            },
        }

    def _leaders(self, it: Instance) -> dict[str, Any]:
        selector = {
            "leaderworkerset.sigs.k8s.io/name": it.role,
            "leaderworkerset.sigs.k8s.io/worker-index": "0",
        }
        return _service(f"{it.role}-leader", selector, self._ports(it))

    def _ports(self, it: Instance) -> list[int]:
        return [self.ports[it.role] + i for i in range(self._servers_in(it))]

    def _servers_in(self, it: Instance) -> int:
        """How many servers of its own a pod of ``it`` runs."""
        return it.dp // it.nodes if self.each_rank and it.dp > 1 and it.dp % it.nodes == 0 else 1

    def _pod(self, it: Instance, *, probed: bool) -> dict[str, Any]:
        count = str(it.node_devices)
        container: dict[str, Any] = {
            "name": it.role,
            "image": self.image.name if self.image else "",
            "command": ["sh", "-c", self._command(it)],
            "env": self._environment(it),
            "ports": [{"name": f"http-{port}", "containerPort": port} for port in self._ports(it)],
            "resources": {"requests": {self.resource.name: count}, "limits": {self.resource.name: count}},
            "volumeMounts": [
                {"name": "script", "mountPath": f"/deploy/{it.role}", "readOnly": True},
                {"name": "weights", "mountPath": FOLDER if self.from_folder else CACHE},
                {"name": "shm", "mountPath": "/dev/shm"},
            ],
        }
        volumes: list[dict[str, Any]] = [
            {"name": "script", "configMap": {"name": f"{it.role}-script", "defaultMode": 0o555}},
            {"name": "weights", "persistentVolumeClaim": {"claimName": CLAIM}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": SHM}},
        ]
        for number, path in enumerate(self.resource.mounts):
            container["volumeMounts"].append({"name": f"driver-{number}", "mountPath": path, "readOnly": True})
            volumes.append({"name": f"driver-{number}", "hostPath": {"path": path}})
        if probed:
            container |= _probes(self.ports[it.role], patience_s(it))
        if it.nodes > 1 or self.service.apart:
            # memory that a network card reads is locked, as vLLM's documentation on GPUDirect RDMA has it
            container["securityContext"] = {"capabilities": {"add": ["IPC_LOCK"]}}
        pod: dict[str, Any] = {
            "containers": [container],
            "volumes": volumes,
            "terminationGracePeriodSeconds": 60,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            # nodes with accelerators are tainted with the name of the resource, where the cluster keeps others away from them
            "tolerations": [{"key": self.resource.name, "operator": "Exists", "effect": "NoSchedule"}],
        }
        if self.resource.label:
            pod["nodeSelector"] = dict([self.resource.label])
        return pod

    def _command(self, it: Instance) -> str:
        """LWS tells each pod its rank and its leader's name, whose address is waited for: engines bind to no name."""
        found = 'until HEAD_ADDR=$(getent hosts "$LWS_LEADER_ADDRESS"); do sleep 1; done; '
        rank = found + 'export NODE_RANK="$LWS_WORKER_INDEX" HEAD_ADDR="${HEAD_ADDR%% *}"; ' if it.nodes > 1 else ""
        return f"{rank}exec bash /deploy/{it.role}/run.sh"

    def _environment(self, it: Instance) -> list[dict[str, Any]]:
        known = {
            "MODEL": FOLDER if self.from_folder else self.service.model.replace("$(", "$$("),
            "PORT": str(self.ports[it.role]),
            "FIRST_DEVICE": "0",
            "VISIBLE_FROM": "0",
            "NODE_RANK": "",
            "HEAD_ADDR": "",
            "LOCAL_ADDR": "",
            "RPC_PORT": str(RPC_PORTS[it.role]),
            "NIC": "eth0",
            "STORE_ADDR": self._address(self.service.instances[0], 0, 0),
        }
        said: list[dict[str, Any]] = []
        for name, value in self.asked(it.role, known).items():
            if name == "LOCAL_ADDR":
                said.append({"name": name, "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}})
            elif value:
                said.append({"name": name, "value": value})
        if not self.from_folder:
            key = {"name": "hugging-face", "key": "HF_TOKEN", "optional": True}
            said.append({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": key}})
        return said

    def _address(self, it: Instance, copy: int, rank: int) -> str:
        """The name of a pod: LWS makes a headless Service named after each set."""
        if it.nodes == 1:
            return f"{it.role}-{copy}"
        return f"{it.role}-{copy}.{it.role}" if rank == 0 else f"{it.role}-{copy}-{rank}.{it.role}"

    def _claim(self) -> dict[str, Any]:
        largest = max(disk_gib(it) for it in self.service.instances)
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": CLAIM},
            "spec": {
                "accessModes": ["ReadWriteMany" if self.pods > 1 else "ReadWriteOnce"],
                "resources": {"requests": {"storage": f"{largest}Gi"}},
            },
        }

    def _pair(self) -> list[dict[str, Any]]:
        addresses = {
            it.role: [
                f"{self._address(it, copy, rank)}:{self.ports[it.role]}"
                for copy in range(it.replicas)
                for rank in range(it.nodes if self._servers_in(it) > 1 else 1)
            ]
            for it in self.service.instances
        }
        image = SMALL if pair_package(self.engine) or self.image is None else self.image.name
        env = [{"name": name, "value": value} for name, value in self.pair_environment(addresses).items()]
        container = {
            "name": "pair",
            "image": image,
            "command": ["bash", "-c", self.pair_command()],
            "env": env,
            "ports": [{"name": "http", "containerPort": PAIR_PORT}],
            "volumeMounts": [{"name": "script", "mountPath": "/deploy/router", "readOnly": True}],
        }
        return _small("pair", container, {"name": "script", "configMap": {"name": "pair-script"}}, PAIR_PORT)

    def _router(self) -> list[dict[str, Any]]:
        container = {
            "name": "router",
            "image": ROUTER_IMAGE,
            "command": router_command(),
            "envFrom": [{"secretRef": {"name": "router-key"}}],
            "ports": [{"name": "http", "containerPort": ROUTER_PORT}],
            "volumeMounts": [{"name": "files", "mountPath": "/deploy", "readOnly": True}],
            **_probes(ROUTER_PORT, 600),
        }
        return _small("router", container, {"name": "files", "configMap": {"name": "router-files"}}, ROUTER_PORT)

    def _endpoints(self) -> list[Endpoint]:
        if self.service.apart:
            return [Endpoint("pair", f"http://pair:{PAIR_PORT}", max(patience_s(it) for it in self.service.instances))]
        (it,) = self.service.instances
        return [
            Endpoint(f"{it.role}-{copy}", f"http://{self._address(it, copy, 0)}:{self.ports[it.role]}", patience_s(it))
            for copy in range(it.replicas)
        ]

    def _driven(self) -> Driven:
        patience = f"--timeout={max(patience_s(it) for it in self.service.instances) + 600}s"
        own = ["--selector", SELECTOR]
        sets = ",leaderworkersets" if self.many else ""
        wait = [["kubectl", "wait", "--for=condition=Available", "deployments", *own, patience]]
        if self.many:
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

    def _steps(self) -> tuple[str, ...]:
        lws = " and LeaderWorkerSet (https://lws.sigs.k8s.io/docs/installation/)" if self.many else ""
        modes = "ReadWriteMany, since several pods read it" if self.pods > 1 else "ReadWriteOnce"
        steps = [
            f"See that the cluster has the device plugin that offers `{self.resource.name}`{lws}, and a storage class for"
            f" `weights.yaml` ({modes}); name it there where it is not the default one.",
            f"{BUILD} Push it where the cluster pulls from, and name it under `images` of `kustomization.yaml`.",
            f"Write the router's key into `.env`: `{KEY_NEED.name}`.",
        ]
        if self.from_folder:
            steps.append(f"Fill the volume `{CLAIM}` with {self.folder_about}.")
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


def _probes(port: int, patience: int) -> dict[str, Any]:
    """Started once /health answers, within its patience; then taken out of its Service and restarted where it stops to."""
    health = {"httpGet": {"path": "/health", "port": port}, "timeoutSeconds": 5}
    return {
        "startupProbe": {**health, "periodSeconds": LOOK_EVERY_S, "failureThreshold": math.ceil(patience / LOOK_EVERY_S)},
        "readinessProbe": {**health, "periodSeconds": LOOK_EVERY_S, "failureThreshold": 3},
        "livenessProbe": {**health, "periodSeconds": LOOK_EVERY_S, "failureThreshold": 12},
    }


def _service(name: str, selector: Mapping[str, str], ports: Sequence[int]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {
            "selector": dict(selector),
            "ports": [{"name": f"http-{port}", "port": port, "targetPort": port} for port in ports],
        },
    }


def _small(name: str, container: dict[str, Any], volume: dict[str, Any], port: int) -> list[dict[str, Any]]:
    """A Deployment of one pod without accelerators, and its Service."""
    labels = {NAME: name, **OWNER}
    pod = {
        "containers": [container], "volumes": [volume], "automountServiceAccountToken": False, "enableServiceLinks": False,
    }  # fmt: skip
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {NAME: name}},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        _service(name, {NAME: name}, [port]),
    ]
