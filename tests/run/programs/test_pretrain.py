"""The pretraining example: its models are those of the catalogue, and each layout does its share of the work."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from tests.run.programs.running import EXAMPLES, Ran, run_on
from windtunnel.catalog.models import model

PROGRAM = "llm_pretrain.py"
LAYERS, WIDTH, INNER, VOCABULARY, SEQUENCE, MICRO_BATCHES = 4, 256, 512, 1024, 128, 2
WEIGHTS = LAYERS * (WIDTH * (256 + 2 * 128) + 256 * WIDTH + 3 * WIDTH * INNER) + WIDTH * VOCABULARY
"""In matrix products of the model "tiny": queries, keys and values, their output, three of the MLP; and the head."""
STEP_FLOPS = 6.0 * WEIGHTS * SEQUENCE * MICRO_BATCHES


def run(chips: int, *options: str) -> Ran:
    told = f"--model tiny --sequence {SEQUENCE} --micro_batches {MICRO_BATCHES} --steps 2".split()
    return run_on(f"h100-sxm:{chips}", PROGRAM, *told, *options)


def flops(ran: Ran, operator: str) -> float:
    """Of one step, in operators of that name."""
    return sum(launch.flops for launch in ran.report.launches if operator in launch.op and launch.step == 1)


def count(ran: Ran, operator: str) -> int:
    return sum(launch.step == 1 and operator in launch.op for launch in ran.report.launches)


@pytest.mark.parametrize(("tp", "options"), [(1, ()), (2, ()), (2, ("--no_sequence_parallel",)), (4, ("--no_overlap", "--fuse"))])
def test_tensor_parallel_ranks_share_the_products(tp: int, options: tuple[str, ...]) -> None:
    ran = run(4, "--tp", str(tp), *options)
    assert ran.ended.status == "finished", ran.ended.traceback
    assert flops(ran, "mm") == pytest.approx(STEP_FLOPS / tp)


def test_recomputing_multiplies_a_third_more_and_keeps_less() -> None:
    kept, recomputed = run(2, "--micro_batch", "16"), run(2, "--micro_batch", "16", "--recompute")
    # the products of a layer's last matrix are not needed again: checkpointing stops before them
    again = 2.0 * LAYERS * (WIDTH * 512 + 256 * WIDTH + 2 * WIDTH * INNER) * SEQUENCE * MICRO_BATCHES
    assert flops(recomputed, "mm") == pytest.approx(16 * (STEP_FLOPS + again))
    assert flops(kept, "mm") == pytest.approx(16 * STEP_FLOPS)
    assert recomputed.report.memory.peak < kept.report.memory.peak


@pytest.mark.parametrize("options", [(), ("--last_first",)])
def test_a_stage_passes_every_micro_batch_on(options: tuple[str, ...]) -> None:
    ran = run(2, "--pp", "2", *options)
    assert ran.ended.status == "finished", ran.ended.traceback
    assert (count(ran, "c10d.send"), count(ran, "c10d.recv_")) == (MICRO_BATCHES, MICRO_BATCHES)
    head = WIDTH * VOCABULARY if options else 0
    layers = (WEIGHTS - WIDTH * VOCABULARY) / 2
    assert flops(ran, "mm") == pytest.approx(6.0 * (layers + head) * SEQUENCE * MICRO_BATCHES)


def test_replicas_sum_gradients_once_a_step() -> None:
    ran = run(2)
    assert count(ran, "reduce_scatter") == LAYERS + 1


def sizes() -> dict[str, dict[str, Any]]:
    """The program's table of models, read without running it."""
    tree = ast.parse((EXAMPLES / PROGRAM).read_text(encoding="utf-8"))
    table = next(node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MODELS")
    assert isinstance(table, ast.Dict)
    places = ("layers", "width", "heads", "kv_heads", "inner", "vocabulary")
    found = {}
    for key, value in zip(table.keys, table.values, strict=True):
        assert isinstance(key, ast.Constant)
        assert isinstance(value, ast.Call)
        found[str(key.value)] = dict(zip(places, map(ast.literal_eval, value.args), strict=True))
    return found


@pytest.mark.parametrize(
    ("name", "known_as"),
    [
        ("llama-2-7b", "llama-2-7b"), ("llama-2-70b", "llama-2-70b"), ("llama-3-8b", "llama-3-1-8b"),
        ("llama-3-70b", "llama-3-1-70b"), ("qwen2-1.5b", "qwen2-5-1-5b"),
    ],
)  # fmt: skip
def test_models_are_those_of_the_catalogue(name: str, known_as: str) -> None:
    mine, spec = sizes()[name], model(known_as)
    layer = spec.layers[0]
    assert layer.attention is not None
    assert layer.ffn is not None
    assert mine == {
        "layers": spec.n_layers, "width": spec.hidden, "heads": layer.attention.q_heads, "kv_heads": layer.attention.kv_heads,
        "inner": layer.ffn.intermediate, "vocabulary": spec.vocab,
    }  # fmt: skip
