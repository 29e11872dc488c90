"""Launch scripts for SGLang."""

from __future__ import annotations

from windtunnel.catalog.engine import version_key
from windtunnel.plan.deploy.checkpoint import Checkpoint, checkpoint, kv_dtype
from windtunnel.plan.deploy.instance import Instance, Service, memory_share
from windtunnel.plan.deploy.parts import bench_settings, head, settings, visible_devices
from windtunnel.plan.deploy.shell import Flag, Script, word

PORTS = {"serve": 30000, "prefill": 30000, "decode": 30100}
BOOTSTRAP_PORT = 8998
"""Of the first prefill instance of a server; the others' lie as far from it as their ports do from the first."""
KV_WORDS = {"fp8": "fp8_e4m3"}
ATTN_DP_SINCE = "0.5.23"
"""The version at which --attn-dp-size was seen; before it the same is said with --dp-size and --enable-dp-attention."""

SERVER, ROUTER, BENCH = (
    "python3 -m sglang.launch_server",
    "python3 -m sglang_router.launch_router",
    "python3 -m sglang.bench_serving",
)


def files(service: Service) -> dict[str, str]:
    """Every script of the deployment, by its path in the folder."""
    weights = checkpoint(service, "sglang")
    written = {f"{it.role}/run.sh": _run(service, it, weights) for it in service.instances}
    if service.apart or service.main.replicas > 1:
        written["router/run.sh"] = _router(service)
    written["bench.sh"] = _bench(service)
    return written


def _run(service: Service, it: Instance, weights: Checkpoint) -> str:
    script = head(service, it)
    on_npu = service.chip.device == "npu" and (service.apart or it.nodes > 1)
    settings(script, service, it, weights, PORTS[it.role], network=on_npu)
    if on_npu:
        _ascend_network(script, service)
    if service.apart and service.chip.vendor == "Nvidia":
        script.setting(
            "IB_DEVICES", "", "RDMA devices that carry the cache, such as mlx5_0,mlx5_1; empty lets the backend choose"
        )
    visible_devices(script, service, it)
    script.line()
    if service.apart and service.chip.vendor == "Nvidia":
        script.line('if [ -n "$IB_DEVICES" ]; then set -- --disaggregation-ib-device "$IB_DEVICES" "$@"; fi')
    script.run(SERVER, [*_common(service, it, weights), *_parallel(service, it), *_role(service, it)])
    return script.text


def _ascend_network(script: Script, service: Service) -> None:
    script.line()
    for name in ("HCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"):
        script.export(name, '"$NIC"')
    script.export("HCCL_IF_IP", '"$LOCAL_ADDR"')
    if service.apart:
        script.required("STORE_ADDR", "the address of server 0 of the first prefill instance, where both roles meet")
        script.export("ASCEND_MF_STORE_URL", '"tcp://$STORE_ADDR:24666"')


def _common(service: Service, it: Instance, weights: Checkpoint) -> list[Flag]:
    flags: list[Flag] = [
        ("--model-path", '"$MODEL"'),
        ("--served-model-name", word(service.model)),
        ("--host", "0.0.0.0"),
        ("--port", '"$PORT"'),
        ("--context-length", str(service.context)),
        ("--max-running-requests", str(it.group_sequences * it.dp)),
        ("--mem-fraction-static", f"{memory_share(it.memory, without_activations=True):.2f}"),
    ]
    if it.role != "decode":
        # the engine divides this by the attention groups
        flags.append(("--chunked-prefill-size", str(service.chunk_tokens * (it.dp if _attention_groups(service, it) else 1))))
    if weights.quantization:
        flags.append(("--quantization", weights.quantization))
    cache = kv_dtype(service, {} if service.chip.device == "npu" else KV_WORDS)
    if cache:
        flags.append(("--kv-cache-dtype", cache))
    if service.chip.device == "npu":
        flags += [("--device", "npu"), ("--attention-backend", "ascend")]
    steps = service.drafted
    if steps:
        flags += [
            ("--speculative-algorithm", "NEXTN"),
            ("--speculative-num-steps", str(steps)),
            ("--speculative-eagle-topk", "1"),
        ]
        flags.append(("--speculative-num-draft-tokens", str(steps + 1)))
    return flags


def _attention_groups(service: Service, it: Instance) -> bool:
    """Whether the data-parallel groups share the experts, rather than being copies of the whole model."""
    return it.dp > 1 and service.spec.is_moe


def _parallel(service: Service, it: Instance) -> list[Flag]:
    groups = _attention_groups(service, it)
    flags: list[Flag] = [("--tp-size", str(it.tp * it.dp if groups else it.tp))]
    if it.pp > 1:
        flags.append(("--pp-size", str(it.pp)))
    if groups and _older(it.deployment.engine_version):
        flags += [("--dp-size", str(it.dp)), ("--enable-dp-attention", None)]
    elif groups:
        flags.append(("--attn-dp-size", str(it.dp)))
    elif it.dp > 1:
        flags.append(("--dp-size", str(it.dp)))
    if it.moe_ep > 1:
        flags.append(("--ep-size", str(it.moe_ep)))
        if groups and it.moe_tp == 1 and service.chip.vendor == "Nvidia":
            flags.append(("--moe-a2a-backend", "deepep"))
    if it.nodes > 1:
        flags += [("--nnodes", str(it.nodes)), ("--node-rank", '"$NODE_RANK"'), ("--dist-init-addr", '"$HEAD_ADDR:$RPC_PORT"')]
    return flags


def _older(version: str) -> bool:
    asked, since = version_key(version), version_key(ATTN_DP_SINCE)
    return asked is not None and since is not None and asked < since


def _role(service: Service, it: Instance) -> list[Flag]:
    if not service.apart:
        return []
    backend = "ascend" if service.chip.device == "npu" else "mooncake"
    flags: list[Flag] = [("--disaggregation-mode", it.role), ("--disaggregation-transfer-backend", backend)]
    if it.role == "prefill":
        flags.append(("--disaggregation-bootstrap-port", f'"$((PORT - {PORTS["prefill"] - BOOTSTRAP_PORT}))"'))
    return flags


def _router(service: Service) -> str:
    script = Script("One address for all instances.", "Needs: pip install sglang-router")
    script.setting("PORT", 8080)
    flags: list[Flag] = [("--host", "0.0.0.0"), ("--port", '"$PORT"'), ("--policy", "round_robin")]
    if not service.apart:
        script.required("WORKERS", f"the {service.main.replicas} instances as http://HOST:PORT, spaces between")
        script.note("shellcheck disable=SC2086")
        script.run(ROUTER, [*flags, ("--worker-urls", "$WORKERS")])
        return script.text
    before, after = service.instances
    script.required("PREFILL", f"the prefill instances ({before.replicas}) as http://HOST:PORT, spaces between")
    script.required("DECODE", f"the decode instances ({after.replicas}) as http://HOST:PORT, spaces between")
    script.line("workers=()")
    script.line(
        f'for url in $PREFILL; do workers+=(--prefill "$url" "$((${{url##*:}} - {PORTS["prefill"] - BOOTSTRAP_PORT}))"); done'
    )
    script.line('for url in $DECODE; do workers+=(--decode "$url"); done')
    script.run(ROUTER, [*flags, ("--pd-disaggregation", None)], tail='"${workers[@]}" "$@"')
    return script.text


def _bench(service: Service) -> str:
    script = bench_settings(service, PORTS["serve"])
    script.run(
        BENCH,
        [
            ("--backend", "sglang-oai"),
            ("--base-url", '"$BASE_URL"'),
            ("--model", '"$MODEL"'),
            ("--served-model-name", word(service.model)),
            ("--dataset-name", "random-ids"),
            ("--random-input-len", str(service.targets.isl)),
            ("--random-output-len", str(service.targets.osl)),
            ("--random-range-ratio", "1"),
            ("--max-concurrency", '"$CONCURRENCY"'),
            ("--num-prompts", '"$PROMPTS"'),
            ("--warmup-requests", '"$CONCURRENCY"'),
        ],
    )
    return script.text
