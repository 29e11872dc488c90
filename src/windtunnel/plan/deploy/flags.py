"""The flags that are written, and where each was seen: nothing else is.

They were read from the argument definitions in the packages themselves, except for TensorRT-LLM, whose wheels the
public index does not hold: its two commands are from its documentation, and the keys of its option file from
the templates for 1.3.0rc23 that aiconfigurator 0.12.0 ships.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A program, the package and version whose definitions were read, and the flags that may be given to it."""

    package: str
    version: str
    flags: frozenset[str]
    from_package: bool = True


def _flags(text: str) -> frozenset[str]:
    return frozenset(f"--{name}" for name in text.split())


_SERVE = """host port served-model-name tensor-parallel-size pipeline-parallel-size data-parallel-size data-parallel-size-local
    data-parallel-start-rank data-parallel-rank data-parallel-address data-parallel-rpc-port headless nnodes node-rank master-addr
    master-port enable-expert-parallel max-model-len max-num-seqs max-num-batched-tokens gpu-memory-utilization kv-cache-dtype
    quantization kv-transfer-config speculative-config distributed-executor-backend data-parallel-backend"""

COMMANDS = {
    "vllm serve": Command("vllm", "0.33.0", _flags(f"{_SERVE} all2all-backend")),
    # the plugin adds values, not flags: these were read from vLLM 0.23.0, which it extends, and the benchmark's there too
    "vllm serve (Ascend)": Command("vllm-ascend", "0.23.0", _flags(_SERVE)),
    "vllm bench serve": Command(
        "vllm",
        "0.33.0",
        _flags("""backend base-url model served-model-name dataset-name random-input-len random-output-len random-prefix-len
            random-range-ratio max-concurrency num-prompts num-warmups ignore-eos percentile-metrics"""),
    ),
    "ray start": Command("ray", "2.60.0", _flags("head address port node-ip-address")),
    "vllm-router": Command("vllm-router", "0.1.17", _flags("host port worker-urls policy vllm-pd-disaggregation prefill decode")),
    "load_balance_proxy_server_example.py": Command(
        "vllm-ascend", "0.23.0", _flags("host port prefiller-hosts prefiller-ports decoder-hosts decoder-ports")
    ),
    "python3 -m sglang.launch_server": Command(
        "sglang",
        "0.5.23",
        _flags("""model-path served-model-name host port tp-size pp-size dp-size attn-dp-size enable-dp-attention ep-size
            moe-a2a-backend context-length max-running-requests chunked-prefill-size mem-fraction-static kv-cache-dtype
            quantization nnodes node-rank dist-init-addr disaggregation-mode disaggregation-transfer-backend
            disaggregation-bootstrap-port disaggregation-ib-device device attention-backend speculative-algorithm
            speculative-num-steps speculative-eagle-topk speculative-num-draft-tokens"""),
    ),
    "python3 -m sglang.bench_serving": Command(
        "sglang",
        "0.5.23",
        _flags("""backend base-url model served-model-name dataset-name random-input-len random-output-len random-range-ratio
            max-concurrency num-prompts warmup-requests"""),
    ),
    "python3 -m sglang_router.launch_router": Command(
        "sglang-router", "0.3.2", _flags("host port worker-urls policy pd-disaggregation prefill decode")
    ),
    "trtllm-serve": Command("tensorrt-llm", "1.2.1", _flags("host port backend extra_llm_api_options"), from_package=False),
    "trtllm-serve disaggregated": Command("tensorrt-llm", "1.2.1", frozenset({"-c"}), from_package=False),
    "python3 -m tensorrt_llm.serve.scripts.benchmark_serving": Command(
        "tensorrt-llm",
        "1.2.1",
        _flags("""backend host port model dataset-name random-ids random-input-len random-output-len random-range-ratio
            max-concurrency num-prompts ignore-eos"""),
        from_package=False,
    ),
}
