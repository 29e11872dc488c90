"""What Docker Compose and Kubernetes have in common: the same scripts, an image, the weights, a router."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import windtunnel
from windtunnel.errors import UnsupportedError
from windtunnel.plan.deploy.fleet import KEY, Need, on_the_hub
from windtunnel.plan.deploy.images import SMALL, engine_image, pair_package
from windtunnel.plan.deploy.instance import Service
from windtunnel.plan.deploy.placed import PAIR_PORT, ROUTER_PORT, asked_by
from windtunnel.plan.deploy.scripts import EngineScripts
from windtunnel.plan.deploy.shell import one_line

ASCEND_PROXY = "/vllm-workspace/vllm-ascend/examples/disaggregated_prefill_v1/load_balance_proxy_server_example.py"
"""Where the image of vllm-ascend keeps its sources: read from its documentation, 0.23.0."""
ROUTER_IMAGE = f"windtunnel:{windtunnel.__version__}"
DOCKERFILE = "router.Dockerfile"
BUILD = (
    f"Make the router's image once, in the folder of windtunnel's sources: `docker build --file .../{DOCKERFILE}"
    f" --tag {ROUTER_IMAGE} .`"
)
CACHE = "/root/.cache/huggingface"
"""Where the engines' images look for models of the hub."""
FOLDER = "/model"
"""Where a checkpoint of the user's own is mounted."""
KEY_NEED = Need(
    KEY, "the key that clients send to the router, 16 characters or more; `windtunnel serve --new-key NAME` makes one"
)


class Containers:
    """A deployment whose servers are containers. Raises UnsupportedError where its engine wants a scheduler of its own."""

    def __init__(self, service: Service, by: EngineScripts) -> None:
        self.service, self.engine = service, by.engine
        self.scripts = {path: text for path, text in by.texts.items() if service.apart or not path.startswith("router/")}
        if any("srun " in text for text in by.texts.values()):
            raise UnsupportedError(
                f"{by.engine} over several servers is started by Slurm's srun, not in containers; nearest: --deploy-with shell"
            )
        self.image = engine_image(service.chip, by.engine)
        self.from_folder = bool(by.weights.convert) or not on_the_hub(service.model)
        self.folder_about = one_line(by.weights.convert) or one_line(service.model)

    @property
    def title(self) -> str:
        return f"{one_line(self.service.model)} on {self.service.chip.name}"

    def head(self, what: str = "") -> tuple[str, str]:
        """The comment at the top of a file."""
        flags = " and ".join(f"{it.role}/run.sh" for it in self.service.instances)
        return (
            f"{self.title}{what}.",
            f"Written by windtunnel {windtunnel.__version__}; the flags of the engine are in {flags}.",
        )

    def asked(self, role: str, known: Mapping[str, str]) -> dict[str, str]:
        """Of ``known`` the variables that the role's script takes."""
        asked = asked_by(self.scripts[f"{role}/run.sh"])
        unknown = [name for name, required in asked.items() if required and name not in known]
        assert not unknown, f"{role}/run.sh asks for {unknown}"
        return {name: known[name] for name in asked if name in known}

    def pair_command(self) -> str:
        """What runs the engine's own router between prefill and decode."""
        package = pair_package(self.engine)
        run = "exec bash /deploy/router/run.sh"
        return f"pip install --quiet {package} && {run}" if package else run

    def pair_environment(self, addresses: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """addresses: HOST:PORT of what answers, by role."""
        scheme = "" if self.engine in ("trtllm", "vllm-ascend") else "http://"
        said = {"PORT": str(PAIR_PORT)}
        said |= {role.upper(): " ".join(f"{scheme}{it}" for it in each) for role, each in addresses.items()}
        return said | ({"PROXY": ASCEND_PROXY} if self.engine == "vllm-ascend" else {})

    def shared_about(self) -> dict[str, str]:
        """What the files are that both write."""
        said = {f"{it.role}/run.sh": "what its containers run: the engine with its flags" for it in self.service.instances}
        if self.service.apart:
            said["router/run.sh"] = "the engine's own router, which hands a prompt from prefill to decode"
        return said | {
            DOCKERFILE: "makes the image of the router, which runs `windtunnel serve --fleet`",
            "fleet.toml": "the endpoints, for `windtunnel serve --fleet`",
            ".env": "what only you know",
            "deployment.json": "how `windtunnel serve --deployment` drives all this",
            "bench.sh": "the engine's own benchmark at the planned load",
        }

    def notes(self, *more: tuple[str, str, bool]) -> tuple[str, ...]:
        """Where things are from, for the README: (what, source, whether it is recalled)."""
        said = list(more)
        if self.image:
            said.append((f"The image `{self.image.name}`", self.image.source, self.image.recalled))
        known = {True: "recalled from public documentation, not read again: ", False: "from "}
        return tuple(f"{what}: {known[recalled]}{source}." for what, source, recalled in said)


def router_command() -> list[str]:
    """What the router's container runs."""
    return ["windtunnel", "serve", "--fleet", "/deploy/fleet.toml", "--host", "0.0.0.0", "--port", str(ROUTER_PORT)]


def router_dockerfile() -> str:
    """The router's image, made from windtunnel's own sources: no registry is trusted with its name."""
    return f"""# The router's image. In the folder of windtunnel's sources:
# docker build --file {DOCKERFILE} --tag {ROUTER_IMAGE} .
FROM {SMALL}
COPY . /windtunnel
RUN pip install --no-cache-dir '/windtunnel[serve]'
USER 65534:65534
"""


def env_file(needs: Iterable[Need]) -> str:
    """``.env``: a line for each variable that only the user knows."""
    return "".join(f"# {need.about}\n{need.name}=\n" for need in needs)
