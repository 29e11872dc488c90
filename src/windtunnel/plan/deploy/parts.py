"""What the scripts of all engines share: the head, the settings that only the user knows, and the benchmark's."""

from __future__ import annotations

from windtunnel.plan.deploy.checkpoint import Checkpoint
from windtunnel.plan.deploy.instance import Instance, Service
from windtunnel.plan.deploy.shell import Script

VISIBLE = {
    "Nvidia": "CUDA_VISIBLE_DEVICES",
    "AMD": "HIP_VISIBLE_DEVICES",
    "Huawei": "ASCEND_RT_VISIBLE_DEVICES",
    "Hygon": "HIP_VISIBLE_DEVICES",
    "Iluvatar": "CUDA_VISIBLE_DEVICES",
    "Moore Threads": "MUSA_VISIBLE_DEVICES",
    "T-Head": "CUDA_VISIBLE_DEVICES",
}
"""The variable with which a vendor's runtime is told which devices it may use; the last four: gpustack-runtime 0.2.6, envs.py."""


def degrees(it: Instance) -> str:
    """``TP 8, DP 4, EP 32``: the degrees that are more than one, in devices."""
    said = (("TP", it.tp), ("PP", it.pp), ("DP", it.dp), ("EP", it.moe_ep))
    return ", ".join(f"{name} {degree}" for name, degree in said if degree > 1) or "one device"


def head(service: Service, it: Instance) -> Script:
    """The first lines of a role's script."""
    what = {"serve": "Serves", "prefill": "Prefill of", "decode": "Decode of"}[it.role]
    where = f"{it.devices} devices ({degrees(it)})" + (f" on {it.nodes} servers" if it.nodes > 1 else "")
    return Script(
        f"{what} {service.model} on {service.chip.name}: {where}.",
        f"Planned for {service.targets.isl} tokens in, {service.targets.osl} out, {it.sequences} requests in flight.",
        "More flags of the engine may follow the script's name.",
    )


def settings(
    script: Script,
    service: Service,
    it: Instance,
    weights: Checkpoint,
    port: int,
    *,
    scheduler: bool = False,
    network: bool = False,
) -> None:
    """The variables at the top of a role's script; scheduler: the cluster's scheduler knows
    which servers there are; network: the engine has to be told its own address."""
    if weights.convert:
        script.required("MODEL", f"the folder of {weights.convert}")
    else:
        script.setting("MODEL", service.model)
    script.setting("PORT", port)
    if scheduler:
        return
    if it.nodes > 1:
        script.required("NODE_RANK", f"the number of this server, 0 to {it.nodes - 1}")
        script.required("HEAD_ADDR", "the address of server 0, which all others reach")
    needs_rpc = it.nodes > 1 or (service.apart and service.chip.device == "npu" and it.dp > 1)
    if needs_rpc:
        script.setting("RPC_PORT", 13345 if it.role != "decode" else 13445, "a free port of server 0")
    if network:
        script.required("LOCAL_ADDR", "the address of this server on the network that carries the KV cache and the collectives")
    if network and service.chip.device == "npu":
        script.required("NIC", "the network interface of LOCAL_ADDR, such as eth0")
    if it.shared > 1 and service.chip.vendor in VISIBLE:
        script.setting(
            "FIRST_DEVICE", 0, f"{it.shared} instances fit this server: 0, {it.devices}, ... each with a PORT of its own"
        )
        script.note("the same as processes count it here: 0 in a container that was given its own devices alone")
        script.line("VISIBLE_FROM=${VISIBLE_FROM:-$FIRST_DEVICE}")


def visible_devices(script: Script, service: Service, it: Instance) -> None:
    """Which devices the engine may use, where it does not take the whole server."""
    name = VISIBLE.get(service.chip.vendor)
    if name is None:
        return
    if it.shared > 1:
        script.line(f'devices=$(seq -s, "$VISIBLE_FROM" $((VISIBLE_FROM + {it.devices - 1})))')
        script.export(name, '"$devices"')
    elif it.node_devices < it.server_devices or service.chip.device == "npu":
        script.export(name, ",".join(str(i) for i in range(it.node_devices)))


def bench_settings(service: Service, port: int) -> Script:
    """The benchmark's head: the planned load, once over and then measured."""
    script = Script(
        f"The planned load: {service.targets.isl} tokens in, {service.targets.osl} out, "
        f"{service.concurrency} requests in flight. Compare with the table in README.md."
    )
    front = 8080 if service.apart or service.main.replicas > 1 else port
    script.setting("BASE_URL", f"http://127.0.0.1:{front}")
    script.setting("MODEL", service.model, "whose tokenizer makes the prompts")
    script.setting("CONCURRENCY", service.concurrency)
    script.line("PROMPTS=${PROMPTS:-$((CONCURRENCY * 8))}")
    script.line()
    return script
