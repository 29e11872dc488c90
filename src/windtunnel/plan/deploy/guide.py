"""The README of a deployment's folder: what runs where, in which order, and what to expect."""

from __future__ import annotations

import re
from collections.abc import Sequence

from windtunnel.plan.deploy.checkpoint import Checkpoint
from windtunnel.plan.deploy.flags import COMMANDS
from windtunnel.plan.deploy.fleet import Written
from windtunnel.plan.deploy.instance import Instance, Service
from windtunnel.plan.deploy.parts import degrees
from windtunnel.plan.deploy.shell import one_line
from windtunnel.plan.words import memory as memory_text
from windtunnel.sim.prediction import Estimate
from windtunnel.units import show_time

VLLM_OF_ASCEND = "0.23.0"
"""The vLLM that the Ascend plugin's version extends."""


def readme(
    service: Service, scripts: dict[str, str], weights: Checkpoint, assumed_server: bool, way: Written | None = None
) -> str:
    """Markdown; names from outside stand in code spans. way: how the scripts are launched, None: by hand."""
    written = scripts
    candidate, main = service.candidate, service.main
    engine = " ".join(part for part in (main.deployment.engine, main.deployment.engine_version) if part)
    parts = [
        f"# {code(service.model)} on {candidate.chips} x {code(service.chip.id)}",
        f"Planned by windtunnel for {service.targets.isl:,} tokens in and {service.targets.osl:,} out, with {code(engine)}.",
        "## What runs where",
        _roles(service),
        _server_note(service, assumed_server, by_hand=way is None),
        *(("## What each file is", _files(way)) if way else ()),
        "## In which order",
        _steps(way, weights) if way else _order(service, written, weights),
        "## What to expect",
        "Measure with `./bench.sh` and compare. The interval holds the value in 80 % of cases.",
        _expected(service),
        "## What this rests on",
        _basis(service, written, way.notes if way else ()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def code(text: str) -> str:
    """A Markdown code span of any text."""
    flat = one_line(text)
    ticks = "`" * (max((len(run) for run in re.findall("`+", flat)), default=0) + 1)
    pad = " " if "`" in flat else ""
    return f"{ticks}{pad}{flat}{pad}{ticks}"


def _roles(service: Service) -> str:
    rows = ["| script | copies | servers each | devices each | cut | requests in flight each |", "|---|---|---|---|---|---|"]
    rows += [
        f"| `{it.role}/run.sh` | {it.replicas} | {it.nodes} | {it.devices} | {degrees(it)} | {it.sequences} |"
        for it in service.instances
    ]
    return "\n".join(rows)


def _files(way: Written) -> str:
    return "\n".join(["| file | what it is |", "|---|---|", *(f"| `{name}` | {what} |" for name, what in way.about.items())])


def _steps(way: Written, weights: Checkpoint) -> str:
    get = [f"Get {one_line(weights.convert)}."] if weights.convert else []
    return "\n".join(f"{i}. {step}" for i, step in enumerate([*get, *way.steps], 1))


def _server_note(service: Service, assumed: bool, *, by_hand: bool = True) -> str:
    said = f"A server holds {service.server_chips} chips" + (
        " (assumed: the catalogue names no server for this plan)." if assumed else "."
    )
    if service.chip.devices > 1:
        said += f" A chip shows as {service.chip.devices} devices, and the scripts count devices."
    shared = [it for it in service.instances if it.shared > 1]
    for it in shared if by_hand else ():
        said += (
            f" {it.shared} copies of {it.role} share a server: give each its own `PORT`"
            f" and `FIRST_DEVICE` (0, {it.devices}, ...)."
        )
    return said


def _order(service: Service, written: dict[str, str], weights: Checkpoint) -> str:
    steps = []
    if weights.convert:
        steps.append(f"Get {one_line(weights.convert)}, and name its folder with `MODEL=...` in every script but `bench.sh`.")
    steps.append(f"Install {_install(written)} on every server, and see that all can reach the model.")
    steps += [
        f"Start `{it.role}/run.sh` {_how_often(it, written)}. It stops with a line that names what it still needs to know."
        for it in service.instances
    ]
    steps.append("Wait until each answers on `/health`.")
    if "router/run.sh" in written:
        steps.append("Start `router/run.sh` on one machine that reaches them all; it is the address of the service.")
    elif service.main.replicas > 1:
        steps.append(f"Put any HTTP load balancer before the {service.main.replicas} copies, and give its address as `BASE_URL`.")
    steps.append("Run `bench.sh` there." if "router/run.sh" in written else "Run `bench.sh`.")
    return "\n".join(f"{i}. {step}" for i, step in enumerate(steps, 1))


def _how_often(it: Instance, written: dict[str, str]) -> str:
    copies = f"{it.replicas} times" if it.replicas > 1 else "once"
    if "srun" in written[f"{it.role}/run.sh"]:
        return f"{copies}, within an allocation of {it.nodes} servers each"
    if it.nodes > 1:
        each = f"on each of its {it.nodes} servers, with `NODE_RANK` 0 to {it.nodes - 1} and one `HEAD_ADDR`"
        return f"{copies}, {each}" if it.replicas > 1 else each
    return copies


def _expected(service: Service) -> str:
    candidate = service.candidate
    first = candidate.prefill.ttft if candidate.prefill else candidate.prediction.ttft
    moved = candidate.kv_transfer_s if candidate.prefill else 0.0
    rows = ["| mean of | predicted | 80 % interval | evidence |", "|---|---|---|---|"]
    rows.append(
        _time("time to first token", Estimate(first.value + moved, first.low + moved, first.high + moved, first.evidence))
    )
    rows.append(_time("time per output token", candidate.prediction.tpot))
    out, copies = candidate.prediction.output_tokens_per_s, candidate.replicas
    low, high = out.low * copies, out.high * copies
    rows.append(f"| output tokens/s in all | {out.value * copies:,.0f} | {low:,.0f} to {high:,.0f} | {out.evidence.label} |")
    memory = service.main.memory
    rows.append(f"| free memory of a chip | {memory_text(memory.headroom)} of {memory_text(memory.capacity)} | | |")
    return "\n".join(rows)


def _time(name: str, estimate: Estimate) -> str:
    interval = f"{show_time(estimate.low)} to {show_time(estimate.high)}"
    return f"| {name} | {show_time(estimate.value)} | {interval} | {estimate.evidence.label} |"


def _packages(written: dict[str, str]) -> list[tuple[str, str, bool]]:
    """(package, version, whether read from the package) of the commands that the scripts use."""
    text = "\n".join(written.values())
    ascend = "ASCEND_RT_VISIBLE_DEVICES" in text and "vllm serve" in text
    found: dict[str, tuple[str, str, bool]] = {}
    for name, command in COMMANDS.items():
        shown = name.removesuffix(" (Ascend)")
        if (name == "vllm serve" and ascend) or (name == "vllm serve (Ascend)" and not ascend):
            continue
        if shown in text or (shown.startswith("load_balance") and "$PROXY" in text):
            found.setdefault(command.package, (command.package, command.version, command.from_package))
    if ascend:
        found["vllm"] = ("vllm", VLLM_OF_ASCEND, True)
    return list(found.values())


def _install(written: dict[str, str]) -> str:
    return " and ".join(f"`{package}`" for package, _, _ in _packages(written))


def _basis(service: Service, written: dict[str, str], more: Sequence[str]) -> str:
    lines = []
    for package, version, read in _packages(written):
        how = (
            f"read from the package, {version}"
            if read
            else f"taken from the documentation of {version}, not checked against the package"
        )
        lines.append(f"- The flags of `{package}` were {how}.")
    version = service.main.deployment.engine_version
    if version:
        lines.append(
            f"- The prediction is for {code(f'{service.main.deployment.engine} {version}')}; another version is slower or faster."
        )
    if service.main.prediction.load.prefix_hit > 0:
        hit = service.main.prediction.load.prefix_hit
        lines.append(f"- {hit:.0%} of the input is expected to be in the prefix cache already.")
    lines += [f"- {one_line(note)}" for note in (*more, *service.main.prediction.notes)]
    return "\n".join(lines)
