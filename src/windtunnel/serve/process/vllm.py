"""vLLM, alone or with a package that brings it a platform from outside: Ascend's, Moore Threads' and the others.

A plugin adds a platform and no flags. vLLM loads every platform that is installed and fails where two of them find their device,
so ``VLLM_PLUGINS`` leaves one; since it filters plugins of every kind, it names all others that are installed too.

**Source:** vllm 0.33.0: engine/arg_utils.py, entrypoints/cli/serve.py (flags), plugins/__init__.py and platforms/__init__.py
(plugins), envs.py (variables), entrypoints/serve/instrumentator/health.py; vllm 0.32.0: entrypoints/launchers/cli_args.py
(flags that are not passed on); vllm-ascend 0.23.0, platform.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from windtunnel.catalog.stack import Stack, stacks
from windtunnel.errors import InvalidInputError
from windtunnel.serve.process.interpreter import PLATFORMS, Interpreter
from windtunnel.serve.process.launch import HOST, Launch, Wish, environment, only_platform
from windtunnel.serve.process.reserved import HTTP, KEY, LISTENS, MODEL, TLS, check_flags, says

ENGINE = "vllm"
OPT_IN = "vllm.endpoint_plugins"
"""Plugins that add routes, and are loaded only where they are named: naming what is installed must not let them in."""
NOT_PASSED = ("VLLM_API_KEY", "VLLM_PORT")
"""The user's key would shut out whoever stands before it; in Kubernetes, the port is what the name of a service makes it."""
RESERVED = {
    **dict.fromkeys(("--host", "--port", "--uds"), LISTENS),
    **dict.fromkeys(("--grpc", "--headless", "--tokens-only"), HTTP),
    **dict.fromkeys(("--ssl-keyfile", "--ssl-certfile", "--ssl-ca-certs", "--ssl-cert-reqs", "--enable-ssl-refresh"), TLS),
    "--api-key": KEY,
    "--model": MODEL,
    "--served-model-name": says("--name"),
    **dict.fromkeys(("--tensor-parallel-size", "-tp"), says("--tp")),
    **dict.fromkeys(("--pipeline-parallel-size", "-pp"), says("--pp")),
    **dict.fromkeys(("--data-parallel-size", "-dp"), says("--dp")),
    **dict.fromkeys(("--enable-expert-parallel", "-ep"), says("--ep")),
}
"""Flags that are not passed on, and what does it in their place."""

CPU_BUILD = "vLLM's builds for CPUs have 'cpu' in their version (vllm 0.33.0, platforms/__init__.py)"


def any_build(system: str) -> bool:
    """Whether every build of vLLM serves on the CPU of such a system."""
    return system == "Darwin"


def launch(
    python: Interpreter,
    stack: Stack,
    engine: str,
    wish: Wish,
    port: int,
    own: Mapping[str, str],
    patience_s: float,
    key: str = "",
) -> Launch:
    """engine: ``vllm``, or the package that brings its platform; own: the user's environment; patience_s: for the start; key:
    that it asks for, which goes by the environment, since every user of a machine may read commands.

    Raises InvalidInputError where more than one outside platform is installed and none is chosen, and for flags of the user's
    that are not passed on.
    """
    twice = {"--max-model-len": says("--context")} if wish.context else {}
    twice |= {"--max-num-seqs": says("--parallel")} if wish.running else {}
    check_flags(wish.flags, RESERVED | twice)
    made = environment(stack, engine, wish, own)
    for name in NOT_PASSED:
        made.pop(name, None)
    if key:
        made["VLLM_API_KEY"] = key
    made.setdefault("VLLM_ENGINE_READY_TIMEOUT_S", f"{patience_s:.0f}")
    if stack.id == "cpu":
        made.setdefault("VLLM_TARGET_DEVICE", "cpu")
    plugins = plugins_of(python, stack, engine, own.get("VLLM_PLUGINS"))
    if plugins is not None:
        made["VLLM_PLUGINS"] = plugins
    return Launch(engine, (python.path, "-m", "vllm.entrypoints.cli.main", "serve", *arguments(wish, port)), made, port, key=key)


def arguments(wish: Wish, port: int) -> list[str]:
    """What follows ``vllm serve``."""
    words = [wish.model, "--served-model-name", wish.name or wish.model, "--host", HOST, "--port", str(port)]
    words += ["--tensor-parallel-size", str(wish.tp)]
    if wish.pp > 1:
        words += ["--pipeline-parallel-size", str(wish.pp)]
    if wish.dp > 1:
        words += ["--data-parallel-size", str(wish.dp)]
    if wish.ep > 1:
        words.append("--enable-expert-parallel")
    if wish.context:
        words += ["--max-model-len", str(wish.context)]
    if wish.running:
        words += ["--max-num-seqs", str(wish.running)]
    return [*words, *wish.flags]


def plugins_of(python: Interpreter, stack: Stack, engine: str, said: str | None) -> str | None:
    """``VLLM_PLUGINS`` for one outside platform, None where it need not be set. said: its value in the user's environment.

    Raises InvalidInputError where several are installed and neither the engine's name nor the variable says which.
    """
    platforms = [point for point in python.points if point.group == PLATFORMS]
    packages = {point.package for point in platforms}
    named = engine if engine in packages else ""
    if said is not None:
        names = tuple(name for name in said.split(",") if name)
        if named and not any(point.name in names for point in platforms if point.package == named):
            raise InvalidInputError("VLLM_PLUGINS", f"is '{said}', which leaves out {named}; unset it, or choose --engine vllm")
        only_platform(python, PLATFORMS, named, names, "VLLM_PLUGINS", "vLLM")
        return None
    kept = {point.package for point in only_platform(python, PLATFORMS, named, (), "VLLM_PLUGINS", "vLLM")}
    elsewhere = {name for one in stacks() if one.id != stack.id for name in one.platforms} - set(stack.platforms)
    others = packages - (kept if named else kept - elsewhere)
    if not others:
        return None
    plugins = {p.name for p in python.points if p.group.startswith("vllm.") and p.group != OPT_IN and p.package not in others}
    return ",".join(sorted(plugins))
