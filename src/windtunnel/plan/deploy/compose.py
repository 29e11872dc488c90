"""The deployment as Docker Compose files: one for each server, its containers running the very scripts of the shell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from windtunnel.catalog.container import access_of
from windtunnel.plan.deploy.containers import (
    BUILD,
    CACHE,
    DOCKERFILE,
    FOLDER,
    ROUTER_IMAGE,
    Containers,
    env_file,
    router_command,
    router_dockerfile,
)
from windtunnel.plan.deploy.fleet import KEY, Driven, Endpoint, Need, Written, deployment_json, fleet_toml
from windtunnel.plan.deploy.images import SMALL, pair_package
from windtunnel.plan.deploy.instance import Service
from windtunnel.plan.deploy.patience import patience_s
from windtunnel.plan.deploy.placed import PAIR_PORT, ROUTER_PORT, Part, placed
from windtunnel.plan.deploy.scripts import EngineScripts
from windtunnel.plan.deploy.yaml_text import yaml_text

SHM = "16gb"
"""Of /dev/shm, through which the processes of one engine talk: as vLLM's documentation on parallelism has it."""
HEALTH = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}/health', timeout=5)"
"""Every image of an engine has Python; not every one has curl."""
HUB = "${HF_HOME:-${HOME}/.cache/huggingface}"


def compose_files(service: Service, by: EngineScripts) -> Written:
    """compose.yaml, or a file for each server, with what they mount. Raises MissingFactError where no source says how a container
    reaches the chip."""
    return _Compose(service, by).written()


class _Compose(Containers):
    def __init__(self, service: Service, by: EngineScripts) -> None:
        super().__init__(service, by)
        self.access = access_of(service.chip)
        self.parts = placed(service, by.ports, each_rank=by.each_rank, packed=self.access.renumbered)
        self.servers = 1 + max(part.server for part in self.parts)
        on_npu = service.chip.device == "npu"
        self.host = service.apart or self.servers > 1
        """Whether containers use the server's own network: what carries caches and collectives is not led through a bridge."""
        self.addressed = self.servers > 1 or (service.apart and on_npu)
        self.nic = on_npu and self.host

    def written(self) -> Written:
        names = self._file_names()
        about: dict[str, str] = {}
        files: dict[str, str] = {}
        for server, name in enumerate(names):
            services = {part.name: self._engine(part) for part in self.parts if part.server == server}
            if server == 0:
                services |= {"pair": self._pair()} if self.service.apart else {}
                services["router"] = self._router()
            which = f" of server {server}" if self.servers > 1 else ""
            files[name] = yaml_text({"services": services}, about=self.head(f",{which}" if which else ""))
            about[name] = f"the containers{which}" + (" and the router" if server == 0 else "")
        endpoints, needs = self._endpoints(), self._needs()
        router = f"http://127.0.0.1:{ROUTER_PORT}"
        files |= self.scripts | {
            DOCKERFILE: router_dockerfile(),
            "fleet.toml": fleet_toml(self.service, self.engine, endpoints),
            ".env": env_file(needs),
            "deployment.json": deployment_json(self.service, "compose", self._driven(names), endpoints, needs, router),
        }
        notes = self.notes(("How containers reach the devices", self.access.source, self.access.recalled))
        return Written(files, self._steps(names, needs), about | self.shared_about(), notes)

    def _file_names(self) -> list[str]:
        return ["compose.yaml"] if self.servers == 1 else [f"server-{n}.yaml" for n in range(self.servers)]

    def _engine(self, part: Part) -> dict[str, Any]:
        it = part.it
        said: dict[str, Any] = {
            "image": self._image(),
            "entrypoint": ["bash", f"/deploy/{it.role}/run.sh"],
            "environment": self._environment(part),
            "volumes": [_mount(f"./{it.role}", f"/deploy/{it.role}"), *self._weights(), *self._driver_mounts()],
        }
        said |= self._network([part.port + i for i in range(part.ports)])
        if "ipc" not in said:
            said["shm_size"] = SHM
        said["ulimits"] = {"memlock": -1, "stack": 67108864}
        said |= self._devices(part)
        if part.answers:
            said["healthcheck"] = {
                "test": ["CMD", "python3", "-c", HEALTH.format(port=part.port)],
                "interval": "10s",
                "timeout": "10s",
                "retries": 3,
                "start_period": f"{patience_s(it)}s",
            }
        said |= {"restart": "unless-stopped", "stop_grace_period": "60s"}
        return said

    def _environment(self, part: Part) -> dict[str, Any]:
        known: dict[str, object] = {
            "MODEL": FOLDER if self.from_folder else f"${{MODEL:-{self.service.model.replace('$', '$$')}}}",
            "PORT": part.port,
            "FIRST_DEVICE": part.first,
            "VISIBLE_FROM": 0 if self.access.renumbered else part.first,
            "NODE_RANK": part.rank,
            "HEAD_ADDR": self._address(part.head),
            "LOCAL_ADDR": self._address(part.server),
            "RPC_PORT": part.rpc_port,
            "NIC": "${NIC:?set NIC in .env}",
            "STORE_ADDR": self._address(min(it.head for it in self.parts)),
        }
        said: dict[str, str | None] = {**self.asked(part.it.role, {name: str(value) for name, value in known.items()})}
        said |= {entry.partition("=")[0]: entry.partition("=")[2] for entry in self.access.environment}
        if self.access.visible:
            said[self.access.visible] = ",".join(str(n) for n in part.devices)
        if not self.from_folder:
            # passed through where they are set: null is the specification's word for it
            said |= dict.fromkeys(("HF_TOKEN", "HF_ENDPOINT"))
        return said

    def _address(self, server: int) -> str:
        return f"${{SERVER_{server}:?set SERVER_{server} in .env}}" if self.addressed else "127.0.0.1"

    def _weights(self) -> list[dict[str, Any]]:
        if self.from_folder:
            return [_mount("${MODEL_DIR:?set MODEL_DIR in .env}", FOLDER)]
        return [{"type": "bind", "source": HUB, "target": CACHE, "bind": {"create_host_path": True}}]

    def _driver_mounts(self) -> list[dict[str, Any]]:
        return [_mount(path, path) for path in self.access.mounts]

    def _network(self, ports: Sequence[int]) -> dict[str, Any]:
        if self.host:
            return {"network_mode": "host", "ipc": "host"} if self.service.apart else {"network_mode": "host"}
        # the engine asks for no key: only this server reaches it
        return {"ports": [f"127.0.0.1:{port}:{port}" for port in ports]}

    def _devices(self, part: Part) -> dict[str, Any]:
        access = self.access
        said: dict[str, Any] = {}
        if access.nodes:
            said["devices"] = [f"{node}:{node}" for node in access.device_nodes(part.devices)]
        if access.runtime:
            said["runtime"] = access.runtime
        if access.groups:
            said["group_add"] = list(access.groups)
        if access.capabilities:
            said["cap_add"] = list(access.capabilities)
        if access.security:
            said["security_opt"] = list(access.security)
        if access.reservation:
            reserved = {
                "driver": access.reservation,
                "device_ids": [str(n) for n in part.devices],
                "capabilities": ["gpu"],
            }
            said["deploy"] = {"resources": {"reservations": {"devices": [reserved]}}}
        return said

    def _pair(self) -> dict[str, Any]:
        """The engine's own router: what its script asks for, filled with the addresses of the parts."""
        addresses = {
            it.role: [f"{self._address(part.server)}:{part.port}" for part in self.parts if part.it is it and part.answers]
            for it in self.service.instances
        }
        return {
            "image": SMALL if pair_package(self.engine) else self._image(),
            "entrypoint": ["bash", "-c", self.pair_command()],
            "environment": self.pair_environment(addresses),
            "volumes": [_mount("./router", "/deploy/router")],
            "network_mode": "host",
            "restart": "unless-stopped",
        }

    def _image(self) -> str:
        return self.image.name if self.image else "${IMAGE:?set IMAGE in .env}"

    def _router(self) -> dict[str, Any]:
        said: dict[str, Any] = {
            "image": f"${{ROUTER_IMAGE:-{ROUTER_IMAGE}}}",
            "entrypoint": router_command(),
            "environment": {KEY: f"${{{KEY}:?set {KEY} in .env}}"},
            "volumes": [_mount("./fleet.toml", "/deploy/fleet.toml")],
            "network_mode": "host",
            "healthcheck": {
                "test": ["CMD", "python3", "-c", HEALTH.format(port=ROUTER_PORT)],
                "interval": "10s",
                "timeout": "10s",
                "retries": 3,
                "start_period": "300s",
            },
            "restart": "unless-stopped",
        }
        if self.addressed:
            said["extra_hosts"] = [f"server-{n}:{self._address(n)}" for n in range(self.servers)]
        return said

    def _endpoints(self) -> list[Endpoint]:
        def url(server: int, port: int) -> str:
            return f"http://{f'server-{server}' if self.addressed else '127.0.0.1'}:{port}"

        if self.service.apart:
            return [Endpoint("pair", url(0, PAIR_PORT), max(patience_s(it) for it in self.service.instances))]
        return [
            Endpoint(part.instance, url(part.server, part.port), patience_s(part.it)) for part in self.parts if part.rank == 0
        ]

    def _needs(self) -> list[Need]:
        needs = [
            Need(KEY, "the key that clients send to the router, 16 characters or more; windtunnel serve --new-key makes one")
        ]
        if self.addressed:
            needs += [Need(f"SERVER_{n}", f"the address of server {n}, which all others reach") for n in range(self.servers)]
        if self.nic:
            needs.append(Need("NIC", "the network interface of those addresses, such as eth0"))
        if self.from_folder:
            needs.append(Need("MODEL_DIR", f"the folder of {self.folder_about}, on every server"))
        if self.image is None:
            needs.append(
                Need("IMAGE", f"an image that carries {self.engine} for {self.service.chip.name}; no public one is known")
            )
        return needs

    def _driven(self, names: Sequence[str]) -> Driven:
        def docker(server: int, *more: str) -> list[str]:
            host = ["--host", f"ssh://${{SERVER_{server}}}"] if self.servers > 1 else []
            return ["docker", *host, "compose", "--file", names[server], *more]

        all_servers = range(len(names))
        engines = {n: [p.name for p in self.parts if p.server == n] + (["pair"] if n == 0 and self.service.apart else [])
                   for n in all_servers}  # fmt: skip
        return Driven(
            up=[docker(n, "up", "--detach") for n in all_servers],
            serve=[docker(n, "up", "--detach", *engines[n]) for n in all_servers],
            status=[docker(n, "ps", "--all") for n in all_servers],
            logs=[docker(n, "logs", "--tail", "20") for n in all_servers],
            down=[docker(n, "down") for n in reversed(all_servers)],
        )

    def _steps(self, names: Sequence[str], needs: Iterable[Need]) -> tuple[str, ...]:
        fill = ", ".join(f"`{need.name}`" for need in needs)
        steps = [BUILD + (" on server 0." if self.servers > 1 else "."), f"Fill in `.env`: {fill}."]
        if self.servers > 1:
            steps.append("Put this folder at the same path on every server, and see that `docker --host ssh://SERVER ps` works.")
        steps += [
            "Start all of it: `windtunnel serve --deployment . --up`, which waits until every endpoint is healthy; `--status` and"
            " `--down` are the other two. By hand:\n\n"
            + "   ```sh\n"
            + "".join(f"   docker compose --file {name} up --detach{self._by_hand(n)}\n" for n, name in enumerate(names))
            + "   ```\n",
            f"The router answers at `http://127.0.0.1:{ROUTER_PORT}/v1`{' of server 0' if self.servers > 1 else ''} to whoever"
            " sends the key. Or leave it out and route from this machine: `windtunnel serve --deployment .`",
            f"Run `bench.sh` there; through the router with"
            f" `BASE_URL=http://127.0.0.1:{ROUTER_PORT} OPENAI_API_KEY=... ./bench.sh`.",
        ]
        return tuple(steps)

    def _by_hand(self, server: int) -> str:
        return f"   # on server {server}" if self.servers > 1 else ""


def _mount(source: str, target: str) -> dict[str, Any]:
    """A bind mount that fails where there is nothing to mount, rather than making an empty folder."""
    return {
        "type": "bind", "source": source, "target": target.rstrip("/"), "read_only": True,
        "bind": {"create_host_path": False},
    }  # fmt: skip
