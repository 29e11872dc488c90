"""Which operators have a rule, on PyTorch's own lists and on programs; and that no rule gives nonsense."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch: Any = pytest.importorskip("torch")

from tests.workload.program.recorded import counted, declare_torchvision, matrix_flops, ops_of, record  # noqa: E402
from windtunnel.workload.ops import Pass  # noqa: E402
from windtunnel.workload.program.call import Call, TensorSpec  # noqa: E402
from windtunnel.workload.program.work import _RULES, known, work  # noqa: E402
from windtunnel.workload.program.work.views import VIEWS  # noqa: E402

nn: Any = torch.nn
ALL = [name for name in torch._C._dispatch_get_all_op_names() if name.startswith(("aten::", "prims::"))]
ELSEWHERE = {"npu", "roi", "ps", "deform", "chunk", "all", "flex", "broadcast", "lift"}
"""First words of names that other packages (torch_npu, torchvision, FSDP) or higher-order operators bring."""


def overload(full: str) -> Any:
    space, _, rest = full.partition("::")
    name, _, which = rest.partition(".")
    try:
        return getattr(getattr(getattr(torch.ops, space), name), which or "default")
    except (AttributeError, RuntimeError):
        return None


def test_every_rule_is_for_an_operator_that_exists() -> None:
    names = {name.partition("::")[2].split(".")[0] for name in torch._C._dispatch_get_all_op_names()}
    stray = [n for n in _RULES if n not in names and f"{n}_" not in names and n.lstrip("_").split("_")[0] not in ELSEWHERE]
    assert stray == []


def test_pointwise_operators_are_known() -> None:
    found = [op for op in map(overload, ALL) if op is not None and torch.Tag.pointwise in op.tags]
    assert len(found) > 500
    assert [str(op) for op in found if not known(str(op))] == []


def test_views_return_their_operands_memory() -> None:
    """What is called a view aliases an operand without writing it, by its own schema; composites may do without."""
    for name in VIEWS:
        found = [op for op in (overload(f) for f in ALL if f.partition("::")[2].split(".")[0] == name) if op is not None]
        aliasing = [op for op in found if any(a.alias_info is not None for a in op._schema.arguments)]
        assert aliasing or not found or name.startswith(("unsafe_", "_unsafe")), name


def t(*shape: int, grad: bool = False) -> Any:
    return torch.empty(*shape, device="meta", requires_grad=grad)


class Block(nn.Module):  # type: ignore[misc]
    """A little of everything that vision models are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.groups = nn.GroupNorm(2, 8)
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Any) -> Any:
        x = nn.functional.silu(self.norm(self.stem(x)))
        x = x + nn.functional.gelu(self.groups(self.depthwise(nn.functional.max_pool2d(self.up(x), 2))))
        x = nn.functional.interpolate(x, scale_factor=2, mode="bilinear")
        return self.head(nn.functional.dropout(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1), 0.1))


def vision() -> None:
    model = Block().to("meta")
    loss = nn.functional.cross_entropy(model(t(2, 3, 16, 16)), torch.zeros(2, dtype=torch.long, device="meta"))
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    torch.optim.AdamW(model.parameters(), foreach=True).step()
    torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, foreach=True).step()


def language() -> None:
    layer = nn.TransformerDecoderLayer(32, 4, 64, device="meta")
    table = nn.Embedding(100, 32, device="meta")
    tokens = torch.zeros(7, 2, dtype=torch.long, device="meta")
    x = table(tokens)
    mask = nn.Transformer.generate_square_subsequent_mask(7, device="meta")
    out = nn.functional.linear(layer(x, x, tgt_mask=mask), table.weight)
    nn.functional.cross_entropy(out.flatten(0, 1), tokens.flatten()).backward()
    values, _ = out.softmax(-1).topk(3)
    values.cumsum(-1).argmax(-1)


def recurrent() -> None:
    layer = nn.GRU(4, 8, 2, batch_first=True, device="meta")
    layer(t(3, 5, 4))[0].sum().backward()


def spectral() -> None:
    torch.fft.irfft2(torch.fft.rfft2(t(2, 3, 16, 16, grad=True))).sum().backward()


PROGRAMS: dict[str, Callable[[], None]] = {f.__name__: f for f in (vision, language, recurrent, spectral)}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_are_made_of_known_operators(name: str) -> None:
    calls = record(PROGRAMS[name])
    assert sorted({call.op for call in calls if not known(call.op)}) == []
    for op in ops_of(calls):
        figures = [op.flops, op.bytes, op.count]
        if isinstance(op, Pass):
            figures += [op.read_bytes, op.written_bytes, op.numel, op.row]
            assert op.kind != "other"
        assert all(math.isfinite(x) and x >= 0 for x in figures), op
    began = time.perf_counter()
    for call in calls:
        work(call)
    assert (time.perf_counter() - began) / len(calls) < 1e-3  # a thirtieth of that on an idle machine


MODELS = {
    "LlamaConfig": {"intermediate_size": 64, "num_key_value_heads": 2},
    "DeepseekV3Config": {
        "num_key_value_heads": 4, "intermediate_size": 64, "moe_intermediate_size": 16,
        "n_routed_experts": 4, "n_group": 2, "topk_group": 1,
        "num_experts_per_tok": 2, "kv_lora_rank": 16, "q_lora_rank": 24, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8,
        "v_head_dim": 8, "first_k_dense_replace": 1,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_language_models_of_transformers(name: str) -> None:
    declare_torchvision()
    transformers = pytest.importorskip("transformers")
    config = getattr(transformers, name)(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, vocab_size=100, bos_token_id=1, eos_token_id=2, **MODELS[name]
    )
    config._attn_implementation = "eager"  # every product in the open, for the counter to see
    model = transformers.AutoModelForCausalLM.from_config(config)
    tokens = torch.zeros(2, 9, dtype=torch.long)

    def step() -> None:
        model(input_ids=tokens, labels=tokens).loss.backward()
        torch.optim.AdamW(model.parameters(), foreach=True).step()

    calls, flops = counted(step)
    assert sorted({call.op for call in calls if not known(call.op)}) == []
    missed = [call for call in calls if call.name == "_grouped_mm"]  # the counter does not know it
    assert matrix_flops(calls) - matrix_flops(missed) == flops


SHAPES = st.lists(st.integers(0, 5), min_size=2, max_size=4).map(tuple)
POINTWISE = (
    "add.Tensor",
    "mul_.Tensor",
    "div.Tensor",
    "where.self",
    "sum.default",
    "clone.default",
    "_softmax.default",
    "cat.default",
)


@given(SHAPES, st.sampled_from(POINTWISE), st.sampled_from(["fp32", "bf16", "int64", "bool"]))
def test_any_shape_moves_a_finite_number_of_bytes(shape: tuple[int, ...], op: str, dtype: str) -> None:
    x = TensorSpec(shape, dtype)
    args = {"_softmax.default": (x, -1, False), "sum.default": (x,), "clone.default": (x,), "cat.default": ((x, x),)}.get(
        op, (x, x)
    )
    for found in work(Call(f"aten.{op}", args, (), (x,))):
        assert 0 <= found.bytes < math.inf
        assert isinstance(found, Pass)
        assert found.numel == x.numel > 0
