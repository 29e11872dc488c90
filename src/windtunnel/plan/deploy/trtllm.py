"""Launch scripts for TensorRT-LLM: two commands, and an option file that holds the rest."""

from __future__ import annotations

import json
import math

from windtunnel.plan.deploy.checkpoint import checkpoint, kv_dtype
from windtunnel.plan.deploy.instance import Instance, Service
from windtunnel.plan.deploy.parts import bench_settings, head, settings, visible_devices
from windtunnel.plan.deploy.shell import Flag, Script

PORTS = {"serve": 8000, "prefill": 8100, "decode": 8200}
KV_WORDS = {"fp8": "fp8", "fp4": "nvfp4"}


def files(service: Service) -> dict[str, str]:
    """Every script of the deployment, by its path in the folder."""
    weights = checkpoint(service, "trtllm")
    written = {}
    for it in service.instances:
        script = head(service, it)
        settings(script, service, it, weights, PORTS[it.role], scheduler=it.nodes > 1)
        visible_devices(script, service, it)
        script.line()
        script.line('cd "$(dirname "$0")"')
        flags: list[Flag] = [("--host", "0.0.0.0"), ("--port", '"$PORT"'), ("--backend", "pytorch")]
        flags.append(("--extra_llm_api_options", "options.yaml"))
        shown = f"{_launcher(it)}trtllm-serve serve"
        script.run("trtllm-serve", flags, shown=shown, first=('"$MODEL"',))
        written[f"{it.role}/run.sh"] = script.text
        written[f"{it.role}/options.yaml"] = _options(service, it)
    if service.apart:
        written["router/run.sh"] = _router(service)
    written["bench.sh"] = _bench(service)
    return written


def _launcher(it: Instance) -> str:
    """Several servers are one job of the cluster's scheduler, which starts a process for each device."""
    if it.nodes == 1:
        return ""
    return f"srun --mpi=pmix -N {it.nodes} --ntasks-per-node {it.node_devices} trtllm-llmapi-launch "


def _options(service: Service, it: Instance) -> str:
    """The option file; JSON is YAML, so values are written as JSON."""
    sequences = it.group_sequences
    taken = it.memory.weights + it.memory.activations + it.memory.reserved
    free = it.memory.capacity - it.memory.weights
    share = (it.memory.capacity - taken) / free if free > 0 else 0.9
    cache: dict[str, object] = {"free_gpu_memory_fraction": min(0.97, max(0.3, math.floor(share * 100) / 100))}
    dtype = kv_dtype(service, KV_WORDS)
    if dtype:
        cache["dtype"] = dtype
    options: dict[str, object] = {
        "tensor_parallel_size": it.tp * it.dp,
        "pipeline_parallel_size": it.pp,
        "enable_attention_dp": it.dp > 1,
        "max_batch_size": sequences,
        "max_num_tokens": max(service.chunk_tokens, sequences),
        "max_seq_len": service.context,
        "enable_chunked_prefill": True,
        "kv_cache_config": cache,
    }
    if service.spec.is_moe:
        options["moe_expert_parallel_size"] = it.moe_ep
        options["moe_tensor_parallel_size"] = it.tp * it.dp // it.moe_ep
    if service.apart:
        options["cache_transceiver_config"] = {"backend": "DEFAULT", "max_tokens_in_buffer": service.context}
        options["disable_overlap_scheduler"] = it.role == "prefill"
    if service.drafted:
        options["speculative_config"] = {"decoding_type": "MTP", "num_nextn_predict_layers": service.drafted}
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in options.items())


def _router(service: Service) -> str:
    before, after = service.instances
    script = Script("One address for all instances: hands a prompt's cache from prefill to decode.")
    script.setting("PORT", 8080)
    script.required("PREFILL", f"the prefill instances ({before.replicas}) as HOST:PORT, spaces between")
    script.required("DECODE", f"the decode instances ({after.replicas}) as HOST:PORT, spaces between")
    script.line("{")
    script.line('  echo "hostname: 0.0.0.0"; echo "port: $PORT"; echo "backend: pytorch"')
    for section, name, it in (("context_servers", "PREFILL", before), ("generation_servers", "DECODE", after)):
        script.line(f'  echo "{section}:"; echo "  num_instances: {it.replicas}"; echo "  urls:"')
        script.line(f'  for url in ${name}; do echo "    - \\"$url\\""; done')
    script.line('} > "${TMPDIR:-/tmp}/servers.yaml"')
    script.run("trtllm-serve disaggregated", [("-c", '"${TMPDIR:-/tmp}/servers.yaml"')])
    return script.text


def _bench(service: Service) -> str:
    script = bench_settings(service, PORTS["serve"])
    script.line("address=${BASE_URL#*://}")
    script.run(
        "python3 -m tensorrt_llm.serve.scripts.benchmark_serving",
        [
            ("--backend", "openai"),
            ("--host", '"${address%:*}"'),
            ("--port", '"${address##*:}"'),
            ("--model", '"$MODEL"'),
            ("--dataset-name", "random"),
            ("--random-ids", None),
            ("--random-input-len", str(service.targets.isl)),
            ("--random-output-len", str(service.targets.osl)),
            ("--random-range-ratio", "0"),
            ("--max-concurrency", '"$CONCURRENCY"'),
            ("--num-prompts", '"$PROMPTS"'),
            ("--ignore-eos", None),
        ],
    )
    return script.text
