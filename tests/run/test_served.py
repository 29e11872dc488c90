"""A language model's forwards beside an engine's: which are seen, what each is priced as, and what cannot be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch")
import torch

from windtunnel.catalog.model_config import spec_from_config
from windtunnel.cost.host import host_cost
from windtunnel.run.forwards import ATTENTION, EXPERTS, FEED_FORWARD, HEAD, NORMS, REST, _part
from windtunnel.run.record import RunReport, Served
from windtunnel.run.served import HOST
from windtunnel.run.virtual import VirtualChip
from windtunnel.workload.llm import ParallelPlan, PrecisionPlan, StepTokens, Workload
from windtunnel.workload.ops import Gemm
from windtunnel.workload.program.vision import declare_torchvision

declare_torchvision()
transformers = pytest.importorskip("transformers")

HIDDEN, VOCABULARY = 64, 256
SIZES = {
    "hidden_size": HIDDEN, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": VOCABULARY, "max_position_embeddings": 512,
}  # fmt: skip
LATENT = SIZES | {
    "num_key_value_heads": 4, "q_lora_rank": 32, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8,
    "v_head_dim": 16, "n_routed_experts": 8, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1,
    "first_k_dense_replace": 1, "moe_intermediate_size": 32, "n_shared_experts": 1,
}  # fmt: skip
Program = Callable[[], object]


def llama(dtype: Any = torch.bfloat16) -> Any:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)).to("cuda", dtype).eval()


def deepseek(experts: str) -> Any:
    config = transformers.DeepseekV3Config(**LATENT)
    config._experts_implementation = experts
    return transformers.DeepseekV3ForCausalLM(config).to("cuda", torch.bfloat16).eval()


def tokens(sequences: int = 2, length: int = 16) -> Any:
    return torch.ones(sequences, length, dtype=torch.long, device="cuda")


def report_of(program: Program, *, served: bool = True) -> RunReport:
    with VirtualChip("h20", served=served) as chip, torch.no_grad():
        program()
    return chip.report()


def seconds(forward: Served, part: str) -> tuple[float, float]:
    found = {p.name: p for p in forward.parts}[part]
    return found.written_s, found.served_s


def said(report: RunReport) -> str:
    return "\n".join(note for note in report.notes if note.startswith("served:"))


@pytest.fixture(scope="module")
def generated() -> RunReport:
    def program() -> None:
        asked = {"attention_mask": tokens(), "max_new_tokens": 4, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
        llama().generate(tokens(), **asked)

    return report_of(program)


def test_a_generation_is_one_prefill_and_its_decodes(generated: RunReport) -> None:
    prefill, decode = generated.served
    assert (prefill.model, prefill.phase, prefill.sequences, prefill.tokens, prefill.context) == (
        "LlamaForCausalLM", "prefill", 2, 16, 0.0,
    )  # fmt: skip
    assert (decode.phase, decode.sequences, decode.tokens, decode.context, decode.forwards) == ("decode", 2, 1, 17.0, 3)
    assert prefill.precision == decode.precision == "bf16"
    assert "as vllm launches them: prefill one by one, decode replayed from a graph" in said(generated)


def test_the_engines_side_is_the_workloads_step_at_the_same_cost_model(generated: RunReport) -> None:
    config = {**SIZES, "architectures": ["LlamaForCausalLM"], "dtype": "bfloat16"}
    workload = Workload(spec_from_config(config, id="tiny", source="here"), ParallelPlan(), PrecisionPlan())
    costs = VirtualChip("h20").machine.pricing.costs
    for forward, step, launching in zip(
        generated.served,
        (StepTokens(prefill_tokens=32, prefill_sequences=2), StepTokens(decode_batch=2, decode_context=18)),
        ("eager", "graph"),
        strict=True,
    ):
        ops = [op for op in workload.step(step) if op.name != "sampling"]
        device_s = sum(costs.cost(op).time_s * op.count for op in ops)
        host = host_cost("cuda", launching)  # type: ignore[arg-type]
        host_s = host.step_s + host.call_s * sum(op.count for op in ops)
        assert forward.served_s == pytest.approx(max(device_s, host_s))
        assert forward.served_launches == sum(op.count for op in ops) < forward.written_launches / 3


def test_an_engine_projects_the_last_token_alone(generated: RunReport) -> None:
    costs = VirtualChip("h20").machine.pricing.costs
    with_report = report_of(lambda: llama()(tokens()))  # all logits, as a plain call computes them
    (prefill,) = with_report.served
    written, served = seconds(prefill, HEAD)
    assert written == pytest.approx(costs.cost(Gemm("lm_head", 32, VOCABULARY, HIDDEN, "bf16")).time_s)
    assert served == pytest.approx(costs.cost(Gemm("lm_head", 2, VOCABULARY, HIDDEN, "bf16")).time_s)
    assert seconds(generated.served[0], HEAD)[0] == pytest.approx(served)  # generate() asks for the last alone too


def test_parts_sum_to_the_whole(generated: RunReport) -> None:
    for forward in generated.served:
        assert sum(p.written_s for p in forward.parts) == pytest.approx(forward.written_s)
        assert sum(p.served_s for p in forward.parts) == pytest.approx(forward.served_s)
        assert {p.name for p in forward.parts} == {ATTENTION, FEED_FORWARD, NORMS, HEAD, REST, HOST}
        written, served = seconds(forward, NORMS)
        assert served < written / 3  # fused, where the code launches every square and mean


def test_to_look_on_changes_nothing() -> None:
    def program() -> None:
        model = llama()
        model(tokens(), past_key_values=model(tokens()).past_key_values)

    plain, looked = report_of(program, served=False), report_of(program)
    assert plain.served == ()
    assert len(looked.served) == 2
    assert [step.seconds for step in plain.steps] == [step.seconds for step in looked.steps]
    assert (plain.operators, plain.memory.peak, plain.by_operator) == (looked.operators, looked.memory.peak, looked.by_operator)


@pytest.mark.parametrize("experts", ["eager", "grouped_mm"])
def test_a_latent_model_is_absorbed_in_decode_and_its_experts_are_grouped(experts: str) -> None:
    def program() -> None:
        model = deepseek(experts)
        cache = model(tokens(2, 256)).past_key_values
        model(tokens(2, 1), past_key_values=cache)

    prefill, decode = report_of(program).served
    assert (prefill.tokens, decode.context) == (256, 256)
    written, served = seconds(decode, ATTENTION)
    assert served < written
    for forward in (prefill, decode):
        written, served = seconds(forward, EXPERTS)
        assert written > 0
        assert served > 0
    if experts == "eager":
        assert seconds(prefill, EXPERTS)[0] > seconds(prefill, EXPERTS)[1]


def test_chunks_of_a_prompt_count_what_lies_in_the_cache() -> None:
    def program() -> None:
        model, cache = llama(), transformers.DynamicCache()
        for _ in range(3):
            model(tokens(), past_key_values=cache)

    first, behind = report_of(program).served
    assert (first.context, first.forwards) == (0.0, 1)
    assert (behind.phase, behind.tokens, behind.context, behind.forwards) == ("prefill", 16, 24.0, 2)


def test_a_cache_of_fixed_size_tells_its_length_too() -> None:
    def program() -> None:
        model = llama()
        cache = transformers.StaticCache(config=model.config, max_cache_len=64)
        model(tokens(), past_key_values=cache)
        model(tokens(2, 1), past_key_values=cache)

    assert [(one.phase, one.context) for one in report_of(program).served] == [("prefill", 0.0), ("decode", 16.0)]


def test_a_sequence_that_grows_without_a_cache_is_a_decode_to_an_engine() -> None:
    def program() -> None:
        model = llama()
        for length in (16, 17, 18):
            model(tokens(2, length), use_cache=False)

    report = report_of(program)
    assert [(one.phase, one.tokens, one.context, one.forwards) for one in report.served] == [
        ("prefill", 16, 0.0, 1), ("decode", 1, 16.5, 2),
    ]  # fmt: skip
    assert "keeps no cache" in said(report)


def test_a_model_within_the_programs_own_module_is_not_told_but_one_behind_a_wrapper_is() -> None:
    class Own(torch.nn.Module):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.module = inner

        def forward(self, ids: Any) -> Any:
            return self.module(ids)

    class Other(Own):
        def __init__(self, inner: Any) -> None:
            torch.nn.Module.__init__(self)
            self.llm = inner

        def forward(self, ids: Any) -> Any:
            return self.llm(ids)

    (behind,) = report_of(lambda: Own(llama())(tokens())).served
    assert behind.model == "LlamaForCausalLM"
    assert seconds(behind, FEED_FORWARD)[0] > 0
    within = report_of(lambda: Other(llama())(tokens()))
    assert within.served == ()
    assert "called no causal language model of transformers" in said(within)


def test_fp32_is_loaded_as_16_bit_and_said() -> None:
    report = report_of(lambda: llama(torch.float32)(tokens()))
    assert report.served[0].precision == "bf16"
    assert "its parameters are fp32, which engines load as 16 bit" in said(report)


def bert() -> None:
    sizes = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 64}
    transformers.BertModel(transformers.BertConfig(**sizes)).to("cuda").eval()(tokens())


def gpt2() -> None:
    sizes = {"n_layer": 1, "n_embd": 64, "n_head": 4, "vocab_size": 64}
    transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes)).to("cuda").eval()(tokens())


def training() -> None:
    with torch.enable_grad():
        llama().train()(tokens(), labels=tokens()).loss.backward()


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (lambda: torch.ones(2, device="cuda") + 1, "called no causal language model"),
        (bert, "BertModel: not known: it has no output head"),
        (gpt2, "GPT2LMHeadModel: not known: architectures"),
        (training, "it is trained, and engines only serve"),
        (lambda: llama(torch.float64)(tokens()), "engines do not run parameters in fp64"),
    ],
    ids=["no model", "encoder", "architecture", "training", "type"],
)
def test_what_cannot_be_told_is_one_note(program: Program, why: str) -> None:
    report = report_of(program)
    assert report.served == ()
    assert said(report).count("\n") == 0
    assert why in said(report)


def test_a_call_that_fails_leaves_the_next_one_outermost() -> None:
    def program() -> None:
        model = llama()
        with pytest.raises(RuntimeError):
            model(tokens().float())
        model(tokens())

    report = report_of(program)
    assert [one.forwards for one in report.served] == [1]
    assert "LlamaForCausalLM: a call that ended in an exception is left out" in said(report)
    assert len(report.steps) == 2


@pytest.mark.parametrize(
    ("kind", "own", "above", "part"),
    [
        ("LlamaRMSNorm", "input_layernorm", NORMS, NORMS),
        ("LlamaRotaryEmbedding", "rotary_emb", REST, NORMS),
        ("Qwen3MoeDecoderLayer", "0", REST, NORMS),
        ("Qwen3MoeModel", "model", REST, REST),
        ("Qwen3MoeAttention", "self_attn", NORMS, ATTENTION),
        ("Linear", "q_proj", ATTENTION, ATTENTION),
        ("Qwen3NextGatedDeltaNet", "linear_attn", NORMS, ATTENTION),
        ("Qwen3MoeSparseMoeBlock", "mlp", NORMS, EXPERTS),
        ("DeepseekV3MoE", "mlp", NORMS, EXPERTS),
        ("DeepseekV3TopkRouter", "gate", EXPERTS, EXPERTS),
        ("Qwen3MoeMLP", "3", EXPERTS, EXPERTS),
        ("DeepseekV3MLP", "shared_experts", EXPERTS, FEED_FORWARD),
        ("Linear", "shared_expert_gate", EXPERTS, FEED_FORWARD),
        ("LlamaMLP", "mlp", NORMS, FEED_FORWARD),
        ("SiLUActivation", "act_fn", FEED_FORWARD, FEED_FORWARD),
    ],
)
def test_modules_by_the_names_of_their_classes(kind: str, own: str, above: str, part: str) -> None:
    assert _part(kind.lower(), own, above) == part
