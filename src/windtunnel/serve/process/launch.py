"""What an engine is asked to serve, and the command that does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from windtunnel.catalog.stack import Stack
from windtunnel.errors import InvalidInputError, MissingFactError
from windtunnel.serve.process.interpreter import Interpreter, Point

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be served, on which devices and how they are cut.

    model: a folder or a hub's name; name: what clients call it; tp, pp, dp, ep: degrees over devices, ep 1 for experts that are
    cut within the others' devices; devices: numbers of those that may be used, all where there are none; context: tokens, 0 for
    the model's own; running: requests that run side by side, 0 for the engine's own; flags: more of the engine's, as typed.
    """

    model: str
    name: str = ""
    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1
    devices: tuple[int, ...] = ()
    context: int = 0
    running: int = 0
    flags: tuple[str, ...] = ()

    @property
    def wanted_devices(self) -> int:
        return self.tp * self.pp * self.dp


@dataclass(frozen=True, slots=True)
class Launch:
    """A command that serves the OpenAI API on ``port`` of loopback. label: before each line of its log; environment: whole;
    key: without which it answers nobody, "" where it asks for none."""

    label: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    port: int
    health: str = "/health"
    key: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


def environment(stack: Stack, engine: str, wish: Wish, own: Mapping[str, str]) -> dict[str, str]:
    """The user's own variables, the recorded ones that the user has not set, and the devices that may be used.

    Raises MissingFactError where devices are chosen and no source names the variable that says so.
    """
    made = {"PYTHONUNBUFFERED": "1"}
    made |= {each.name: each.value for each in stack.variables if not each.engines or engine in each.engines}
    made |= own
    if wish.devices:
        if not stack.visible:
            hint = "leave --devices out, or set the variable yourself"
            raise MissingFactError(stack.name, "the variable that chooses devices", hint)
        made[stack.visible] = ",".join(str(device) for device in wish.devices)
        if stack.visible == "HIP_VISIBLE_DEVICES":
            made.pop("CUDA_VISIBLE_DEVICES", None)  # vLLM refuses two that differ
    return made


def only_platform(
    python: Interpreter, group: str, package: str, chosen: Sequence[str], variable: str, engine: str
) -> tuple[Point, ...]:
    """The entry points of the one outside platform that is to be loaded, none where none is installed.

    package: the one that the engine's name says, "" for none; chosen: names that the user's own variable lists. Raises
    InvalidInputError where several are there and nothing says which.
    """
    there = [point for point in python.points if point.group == group]
    if package:
        return tuple(point for point in there if point.package == package)
    left = [point for point in there if point.name in chosen] if chosen else there
    packages = sorted({point.package for point in left})
    if len(packages) > 1:
        names = f"{', '.join(packages[:-1])} and {packages[-1]}"
        how = " or ".join(f"{variable}={point.name}" for point in sorted(left, key=lambda point: point.package))
        raise InvalidInputError(
            "--engine",
            f"{engine} takes one outside platform in a process, and {names} are installed; choose with {how}, or --python",
        )
    return tuple(left)
