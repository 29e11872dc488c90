"""A deployment's objects of Kubernetes: LeaderWorkerSets over several nodes, Deployments on one, a volume, the router."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from windtunnel.catalog.container import resource_of
from windtunnel.errors import MissingFactError
from windtunnel.plan.deploy.containers import CACHE, FOLDER, ROUTER_IMAGE, Containers, router_command
from windtunnel.plan.deploy.images import SMALL, pair_package
from windtunnel.plan.deploy.instance import Instance, Service
from windtunnel.plan.deploy.patience import disk_gib, patience_s
from windtunnel.plan.deploy.placed import PAIR_PORT, ROUTER_PORT, RPC_PORTS
from windtunnel.plan.deploy.scripts import EngineScripts

OWNER = {"app.kubernetes.io/managed-by": "windtunnel"}
NAME = "app.kubernetes.io/name"
SHM = "16Gi"
LOOK_EVERY_S = 10
CLAIM = "weights"


class KubernetesObjects(Containers):
    """Raises MissingFactError where no source names the resource of the chip's device plugin, or an image that carries the
    engine."""

    def __init__(self, service: Service, by: EngineScripts) -> None:
        super().__init__(service, by)
        self.resource = resource_of(service.chip)
        if self.image is None:
            raise MissingFactError(service.chip.name, f"an image that carries {by.engine}")
        self.ports = by.ports
        self.each_rank = by.each_rank
        self.many = any(it.nodes > 1 for it in service.instances)
        self.pods = sum(it.nodes * it.replicas for it in service.instances)

    def role(self, it: Instance) -> list[dict[str, Any]]:
        """What runs one role: all its copies over several nodes in one set, else each by itself."""
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
            "STORE_ADDR": self.address(self.service.instances[0], 0, 0),
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

    def address(self, it: Instance, copy: int, rank: int) -> str:
        """The name of a pod: LWS makes a headless Service named after each set."""
        if it.nodes == 1:
            return f"{it.role}-{copy}"
        return f"{it.role}-{copy}.{it.role}" if rank == 0 else f"{it.role}-{copy}-{rank}.{it.role}"

    def claim(self) -> dict[str, Any]:
        """The volume for the weights, which outlives the deployment."""
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

    def pair(self) -> list[dict[str, Any]]:
        """The engine's own router, between prefill and decode."""
        addresses = {
            it.role: [
                f"{self.address(it, copy, rank)}:{self.ports[it.role]}"
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

    def router(self) -> list[dict[str, Any]]:
        """windtunnel's own, which clients ask."""
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
