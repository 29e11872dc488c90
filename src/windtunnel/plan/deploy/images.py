"""Which image a container runs, at the version of the engine whose flags are written."""

from __future__ import annotations

from windtunnel.catalog.chip import Chip
from windtunnel.catalog.container import Image, image_of
from windtunnel.plan.deploy.flags import COMMANDS

SMALL = "python:3.12-slim"
"""Runs what needs no accelerator: the routers."""
_SERVER = {
    "vllm": "vllm serve",
    "vllm-ascend": "vllm serve (Ascend)",
    "sglang": "python3 -m sglang.launch_server",
    "trtllm": "trtllm-serve",
}
_PAIR_ROUTER = {"vllm": "vllm-router", "sglang": "python3 -m sglang_router.launch_router"}


def engine_image(chip: Chip, engine: str) -> Image | None:
    """The image for ``engine`` on ``chip``, None where no source names one."""
    return image_of(chip, engine, COMMANDS[_SERVER[engine]].version)


def pair_package(engine: str) -> str:
    """What pip installs for the router between prefill and decode; empty where the engine's own image has it."""
    if engine not in _PAIR_ROUTER:
        return ""
    command = COMMANDS[_PAIR_ROUTER[engine]]
    return f"{command.package}=={command.version}"
