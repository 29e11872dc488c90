"""Launch scripts for vLLM, alone or with its Ascend plugin: one set of flags, two environments."""

from __future__ import annotations

import json

from windtunnel.errors import UnsupportedError
from windtunnel.plan.deploy.checkpoint import Checkpoint, checkpoint, kv_dtype
from windtunnel.plan.deploy.instance import Instance, Service, memory_share
from windtunnel.plan.deploy.parts import bench_settings, head, settings, visible_devices
from windtunnel.plan.deploy.shell import Flag, Script, word

PORTS = {"serve": 8000, "prefill": 8100, "decode": 8200}
RAY_PORT = 6379
"""Ray's own."""
KV_WORDS = {"fp8": "fp8"}


def files(service: Service) -> dict[str, str]:
    """Every script of the deployment, by its path in the folder."""
    weights = checkpoint(service, "vllm")
    written = {f"{each.role}/run.sh": _run(service, each, weights) for each in service.instances}
    if service.apart and _on_ascend(service):
        written["router/run.sh"] = _ascend_proxy(service)
    elif service.apart or service.main.replicas > 1:
        written["router/run.sh"] = _router(service)
    written["bench.sh"] = _bench(service)
    return written


def ray_files(service: Service) -> dict[str, str]:
    """What Ray runs on its head for one copy: the engine finds the other servers through Ray. Raises UnsupportedError."""
    if service.apart:
        raise UnsupportedError("prefill and decode apart on one Ray cluster are not known; nearest: --deploy-with kubernetes")
    it, weights = service.main, checkpoint(service, "vllm")
    script = head(service, it)
    if weights.convert:
        script.required("MODEL", f"the folder of {weights.convert}")
    else:
        script.setting("MODEL", service.model)
    script.setting("PORT", PORTS[it.role])
    flags = [*_common(service, it, weights), *_degrees(it, service.chip.vendor), ("--port", '"$PORT"')]
    if it.dp > 1:
        flags += [("--data-parallel-size", str(it.dp)), ("--data-parallel-backend", "ray")]
        if it.dp % it.nodes == 0:
            flags.append(("--data-parallel-size-local", str(it.dp // it.nodes)))
        else:
            script.note("one group is wider than a server")
            script.export("VLLM_RAY_DP_PACK_STRATEGY", "span")
    flags.append(("--distributed-executor-backend", "ray"))
    script.line()
    command = "vllm serve (Ascend)" if _on_ascend(service) else "vllm serve"
    script.run(command, flags, shown="vllm serve", first=('"$MODEL"',))
    return {"serve/run.sh": script.text, "bench.sh": _bench(service)}


def ray_start(service: Service) -> dict[str, str]:
    """What makes the servers a Ray cluster: one script for the head, one for each of the others."""
    written = {}
    for name, about in (("head", "The head of the Ray cluster, on server 0."), ("join", "A further server of the Ray cluster.")):
        script = Script(about)
        if name == "join":
            script.required("HEAD_ADDR", "the address of server 0, which all others reach")
        script.required("LOCAL_ADDR", "the address of this server on the network that carries the collectives")
        script.export("VLLM_HOST_IP", '"$LOCAL_ADDR"')
        if _on_ascend(service):
            if service.main.nodes > 1:
                script.required("NIC", "the network interface of LOCAL_ADDR, such as eth0")
            _ascend_environment(script, service, service.main)
            script.export("RAY_EXPERIMENTAL_NOSET_ASCEND_RT_VISIBLE_DEVICES", "1")
        flags: list[Flag] = [("--node-ip-address", '"$LOCAL_ADDR"')]
        flags += [("--head", None), ("--port", str(RAY_PORT))] if name == "head" else [("--address", f'"$HEAD_ADDR:{RAY_PORT}"')]
        script.line()
        script.run("ray start", flags)
        written[f"ray/{name}.sh"] = script.text
    return written


def _on_ascend(service: Service) -> bool:
    return service.chip.device == "npu"


def _each_rank(service: Service, it: Instance) -> bool:
    """Whether every data-parallel group is a server of its own, as the Ascend plugin wants it where prefill is apart."""
    return service.apart and _on_ascend(service) and it.dp > 1 and it.dp % it.nodes == 0


def _run(service: Service, it: Instance, weights: Checkpoint) -> str:
    script = head(service, it)
    network = service.apart or (_on_ascend(service) and it.nodes > 1)
    settings(script, service, it, weights, PORTS[it.role], network=network)
    own_server = _each_rank(service, it)
    if _on_ascend(service):
        _ascend_environment(script, service, it)
    elif service.apart:
        script.export("VLLM_NIXL_SIDE_CHANNEL_HOST", '"$LOCAL_ADDR"')
        script.note("ports on which caches are offered, apart from those of other copies on this server")
        script.export("VLLM_NIXL_SIDE_CHANNEL_PORT", f"$((5600 + (PORT - {PORTS['prefill']}) * 16))")
    if not own_server:
        visible_devices(script, service, it)
    script.line()
    if it.nodes > 1 and not own_server:
        _join(script, it)
    flags = [*_common(service, it, weights), *_parallel(it, service.chip.vendor, own_server)]
    command = "vllm serve (Ascend)" if _on_ascend(service) else "vllm serve"
    if own_server:
        _rank_loop(script, it, command, flags)
    else:
        script.run(command, flags, shown="vllm serve", first=('"$MODEL"',))
    return script.text


def _common(service: Service, it: Instance, weights: Checkpoint) -> list[Flag]:
    sequences = it.group_sequences
    flags: list[Flag] = [
        ("--served-model-name", word(service.model)),
        ("--host", "0.0.0.0"),
        ("--max-model-len", str(service.context)),
        ("--max-num-seqs", str(sequences)),
        ("--max-num-batched-tokens", str(max(service.chunk_tokens, sequences))),
        ("--gpu-memory-utilization", f"{memory_share(it.memory):.2f}"),
    ]
    if weights.quantization:
        flags.append(("--quantization", weights.quantization))
    cache = kv_dtype(service, {} if _on_ascend(service) else KV_WORDS)
    if cache:
        flags.append(("--kv-cache-dtype", cache))
    if service.drafted:
        drafted = {"method": "mtp", "num_speculative_tokens": 1 if it.role == "prefill" else service.drafted}
        flags.append(("--speculative-config", word(json.dumps(drafted))))
    if service.apart:
        flags.append(("--kv-transfer-config", _transfer(service, it)))
    return flags


def _transfer(service: Service, it: Instance) -> str:
    """How the cache travels, as a shell word."""
    role = "kv_producer" if it.role == "prefill" else "kv_consumer"
    if not _on_ascend(service):
        return word(json.dumps({"kv_connector": "NixlConnector", "kv_role": role}))
    # ports from 20000 on, a thousand for each device, are the transport's own
    port = 20000 + 1000 * it.server_devices + (100 if it.role == "decode" else 0)
    ends = {each.role: {"dp_size": each.dp, "tp_size": each.tp} for each in service.instances}
    config = {"kv_connector": "MooncakeConnectorV1", "kv_role": role, "kv_port": str(port), "kv_connector_extra_config": ends}
    text = word(json.dumps(config))
    # copies that share a server take ports of their own
    return text.replace(f'"{port}"', f'"\'"$(({port} + FIRST_DEVICE))"\'"') if it.shared > 1 else text


def _parallel(it: Instance, vendor: str, own_server: bool) -> list[Flag]:
    flags = _degrees(it, vendor)
    if own_server:
        flags += [
            ("--data-parallel-size", str(it.dp)),
            ("--data-parallel-address", '"$HEAD_ADDR"' if it.nodes > 1 else "127.0.0.1"),
        ]
        flags += [("--data-parallel-rpc-port", '"$RPC_PORT"'), ("--data-parallel-rank", '"$RANK"'), ("--port", '"$((PORT + i))"')]
        return flags
    flags.append(("--port", '"$PORT"'))
    if it.dp > 1:
        flags.append(("--data-parallel-size", str(it.dp)))
    if it.nodes > 1 and it.dp % it.nodes == 0:
        flags += [("--data-parallel-size-local", str(it.dp // it.nodes)), ("--data-parallel-address", '"$HEAD_ADDR"')]
        flags.append(("--data-parallel-rpc-port", '"$RPC_PORT"'))
    elif it.nodes > 1:
        flags += [("--nnodes", str(it.nodes)), ("--node-rank", '"$NODE_RANK"'), ("--master-addr", '"$HEAD_ADDR"')]
        flags.append(("--master-port", '"$RPC_PORT"'))
    return flags


def _degrees(it: Instance, vendor: str) -> list[Flag]:
    """How the model is cut."""
    flags: list[Flag] = [("--tensor-parallel-size", str(it.tp))]
    if it.pp > 1:
        flags.append(("--pipeline-parallel-size", str(it.pp)))
    if it.moe_ep > 1:
        if it.moe_tp > 1:
            raise UnsupportedError(
                f"vLLM cuts experts over all devices or within them, not {it.moe_tp} ways in {it.moe_ep} groups; "
                f"nearest: {it.moe_tp * it.moe_ep} groups, or sglang"
            )
        flags.append(("--enable-expert-parallel", None))
        if it.dp > 1 and it.role != "serve" and vendor == "Nvidia":
            flags.append(("--all2all-backend", "deepep_high_throughput" if it.role == "prefill" else "deepep_low_latency"))
    return flags


def _join(script: Script, it: Instance) -> None:
    """Servers after the first have no API of their own."""
    start = f' --data-parallel-start-rank "$((NODE_RANK * {it.dp // it.nodes}))"' if it.dp % it.nodes == 0 else ""
    script.line(f'if [ "$NODE_RANK" -gt 0 ]; then set -- --headless{start} "$@"; fi')


def _rank_loop(script: Script, it: Instance, command: str, flags: list[Flag]) -> None:
    """One server for each data-parallel group of this machine, on ports that follow each other."""
    local, group = it.dp // it.nodes, it.tp * it.pp
    script.note(f"{local} groups of {group} devices here, each its own server on PORT, PORT + 1, ...")
    script.line(f"for i in $(seq 0 {local - 1}); do")
    script.line(f"  RANK=$(({'NODE_RANK * ' + str(local) + ' + ' if it.nodes > 1 else ''}i))")
    script.line(f"  first=$((VISIBLE_FROM + i * {group}))" if it.shared > 1 else f"  first=$((i * {group}))")
    script.line(f'  devices=$(seq -s, "$first" $((first + {group - 1})))')
    script.run(
        command,
        flags,
        shown="vllm serve",
        first=('"$MODEL"',),
        lead='ASCEND_RT_VISIBLE_DEVICES="$devices" ',
        tail='"$@" &',
        indent=2,
    )
    script.line("done")
    script.line("trap 'kill $(jobs -p) 2>/dev/null || true' EXIT")
    script.line("wait -n")


def _ascend_environment(script: Script, service: Service, it: Instance) -> None:
    script.line()
    if it.nodes > 1 or service.apart:
        script.export("HCCL_IF_IP", '"$LOCAL_ADDR"')
        for name in ("GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME", "HCCL_SOCKET_IFNAME"):
            script.export(name, '"$NIC"')
    script.note("buffer of each communicator in MB: dispatch and combine of experts need more than all-reduce does")
    script.export("HCCL_BUFFSIZE", f"${{HCCL_BUFFSIZE:-{1024 if it.moe_ep > 1 else 200}}}")
    script.export("HCCL_OP_EXPANSION_MODE", "AIV")
    script.export("PYTORCH_NPU_ALLOC_CONF", "expandable_segments:True")
    script.export("TASK_QUEUE_ENABLE", "1")
    script.export("OMP_PROC_BIND", "false")
    script.export("OMP_NUM_THREADS", "10")


def _router(service: Service) -> str:
    script = Script("One address for all instances.", "Needs: pip install vllm-router")
    flags: list[Flag] = [("--host", "0.0.0.0"), ("--port", '"$PORT"'), ("--policy", "round_robin")]
    script.setting("PORT", 8080)
    if not service.apart:
        script.required("WORKERS", f"the {service.main.replicas} instances as http://HOST:PORT, spaces between")
        script.note("shellcheck disable=SC2086")
        script.run("vllm-router", [*flags, ("--worker-urls", "$WORKERS")])
        return script.text
    before, after = service.instances
    script.required("PREFILL", f"the prefill instances ({before.replicas}) as http://HOST:PORT, spaces between")
    script.required("DECODE", f"the decode instances ({after.replicas}) as http://HOST:PORT, spaces between")
    script.line("workers=()")
    script.line('for url in $PREFILL; do workers+=(--prefill "$url"); done')
    script.line('for url in $DECODE; do workers+=(--decode "$url"); done')
    script.run("vllm-router", [*flags, ("--vllm-pd-disaggregation", None)], tail='"${workers[@]}" "$@"')
    return script.text


def _ascend_proxy(service: Service) -> str:
    script = Script(
        "One address for all instances: sends a prompt to prefill, then its cache's place to decode.",
        "load_balance_proxy_server_example.py comes with vllm-ascend, under examples/disaggregated_prefill_v1.",
    )
    script.setting("PORT", 8080)
    script.required("PROXY", "the path of load_balance_proxy_server_example.py")
    for it in service.instances:
        ranks = _each_rank(service, it)
        where = "every server" if ranks and it.nodes > 1 else "server 0 of every copy" if it.nodes > 1 else "every copy"
        count = it.replicas * (it.nodes if ranks else 1)
        script.required(it.role.upper(), f"HOST:PORT of {where} of {it.role}/run.sh ({count}), spaces between")
    script.line("prefill_hosts=() prefill_ports=() decode_hosts=() decode_ports=()")
    for it in service.instances:
        last = it.dp // it.nodes - 1 if _each_rank(service, it) else 0
        script.line(f"for address in ${it.role.upper()}; do for i in $(seq 0 {last}); do")
        script.line(f'  {it.role}_hosts+=("${{address%:*}}") {it.role}_ports+=("$((${{address##*:}} + i))")')
        script.line("done; done")
    flags: list[Flag] = [("--host", "0.0.0.0"), ("--port", '"$PORT"')]
    flags += [("--prefiller-hosts", '"${prefill_hosts[@]}"'), ("--prefiller-ports", '"${prefill_ports[@]}"')]
    flags += [("--decoder-hosts", '"${decode_hosts[@]}"'), ("--decoder-ports", '"${decode_ports[@]}"')]
    script.run("load_balance_proxy_server_example.py", flags, shown='python3 "$PROXY"')
    return script.text


def _bench(service: Service) -> str:
    script = bench_settings(service, PORTS["serve"])
    hit = service.main.prediction.load.prefix_hit
    shared = round(service.targets.isl * hit)
    flags: list[Flag] = [
        ("--backend", "openai"),
        ("--base-url", '"$BASE_URL"'),
        ("--model", '"$MODEL"'),
        ("--served-model-name", word(service.model)),
        ("--dataset-name", "random"),
        ("--random-input-len", str(service.targets.isl - shared)),
        ("--random-output-len", str(service.targets.osl)),
        ("--random-range-ratio", "0"),
        ("--max-concurrency", '"$CONCURRENCY"'),
        ("--num-prompts", '"$PROMPTS"'),
        ("--num-warmups", '"$CONCURRENCY"'),
        ("--ignore-eos", None),
        ("--percentile-metrics", "ttft,tpot,itl,e2el"),
    ]
    if shared:
        flags.insert(6, ("--random-prefix-len", str(shared)))
    script.run("vllm bench serve", flags)
    return script.text
