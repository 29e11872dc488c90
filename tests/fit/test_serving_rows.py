"""How a row of serving measurements is read: each habit of those who export them, and what is left as it stands."""

from __future__ import annotations

import pytest

from windtunnel.errors import UnknownNameError
from windtunnel.fit.names import OTHER_ENGINE, OTHER_MODEL
from windtunnel.fit.serving_rows import (
    DATA_PARALLEL,
    DEVICES,
    INSTANCES,
    MISMATCH,
    PRODUCT,
    REPLICAS,
    UNCUT,
    WEIGHTS_ALONE,
    ServingRow,
    serving_row,
)

R1, LLAMA, QWEN = "deepseek-ai/DeepSeek-R1", "meta-llama/Llama-3.1-70B", "Qwen/Qwen3-235B-A22B-FP8"


def read(model: str = R1, **fields: str) -> ServingRow:
    row = {"chip": "b200-sxm", "model": model, "isl": "1024", "osl": "512", "concurrency": "64", **fields}
    return serving_row(row)


def degrees(row: ServingRow) -> tuple[int, ...]:
    d = row.deployment
    return d.tp, d.pp, d.dp, d.moe_tp, d.moe_ep


def test_a_row_is_what_it_says() -> None:
    row = read(tp="8", pp="1", dp="1", moe_tp="8", moe_ep="1", precision="FP8", engine="TensorRT-LLM", engine_version="1.2")
    assert degrees(row) == (8, 1, 1, 8, 1)
    assert row.notes == ()
    assert (row.deployment.engine, row.deployment.engine_version, row.deployment.precision) == ("trtllm", "1.2", "fp8")
    assert (row.load.isl, row.load.osl, row.load.concurrency) == (1024.0, 512.0, 64.0)


def test_names_resolve_by_alias_and_a_system_is_its_chip() -> None:
    assert read(chip="Nvidia B200 SXM").chip == "b200-sxm"
    row = read(chip="gb200-nvl72", tp="8")
    assert (row.chip, row.deployment.system) == ("gb200", "gb200-nvl72")
    with pytest.raises(UnknownNameError, match="unknown chip"):
        read(chip="b201")
    with pytest.raises(UnknownNameError, match="unknown model"):
        read("nobody/No-Such-Model")


@pytest.mark.parametrize(
    ("fields", "expected", "notes"),
    [
        ({"tp": "1", "moe_tp": "4", "moe_ep": "1"}, (1, 1, 4, 4, 1), (DATA_PARALLEL,)),
        ({"tp": "2", "moe_tp": "4", "moe_ep": "1"}, (2, 1, 2, 4, 1), (DATA_PARALLEL,)),
        ({"tp": "2", "moe_tp": "1", "moe_ep": "2"}, (2, 1, 1, 1, 2), ()),
        ({"tp": "4", "moe_tp": "4", "moe_ep": "1"}, (4, 1, 1, 4, 1), ()),
        ({"tp": "1", "moe_tp": "4", "moe_ep": "1", "dp": "1"}, (1, 1, 1, 4, 1), ()),
    ],
)
def test_an_empty_dp_spans_the_experts_chips(fields: dict[str, str], expected: tuple[int, ...], notes: tuple[str, ...]) -> None:
    row = read(QWEN, **fields)
    assert degrees(row) == expected
    assert row.notes == notes


def test_tp_k_with_ep_k_that_was_exported_as_its_product() -> None:
    row = read(tp="64", dp="1", moe_tp="8", moe_ep="8", n_chips="64")
    assert degrees(row) == (8, 1, 1, 1, 8)
    assert row.deployment.chips == 8
    assert row.notes == (PRODUCT,)
    assert row.load.concurrency == 64.0
    assert degrees(read(tp="4", moe_tp="1", moe_ep="4")) == (4, 1, 1, 1, 4)


def test_chips_of_several_instances_are_read_as_one_of_them() -> None:
    row = read(chip="gb200", tp="36", dp="1", moe_tp="36", moe_ep="1", n_chips="36")
    assert degrees(row) == (8, 1, 1, 1, 8)
    assert row.load.concurrency == pytest.approx(64 * 8 / 36)
    assert row.notes == (INSTANCES,)
    wide = read(chip="gb200", tp="64", dp="1", moe_tp="64", moe_ep="1", n_chips="64")
    assert degrees(wide) == (8, 1, 1, 1, 8)
    assert wide.load.concurrency == 8.0
    assert wide.notes == (INSTANCES,)


def test_expert_degrees_mean_nothing_without_experts() -> None:
    row = read(LLAMA, tp="4", moe_tp="1", moe_ep="0")
    assert degrees(row) == (4, 1, 1, 0, 0)
    assert row.notes == ()
    assert degrees(read(LLAMA, tp="3")) == (3, 1, 1, 0, 0)  # not divisible: the predictor says so


def test_no_expert_parallelism_cuts_every_expert() -> None:
    assert degrees(read(tp="8", moe_tp="1", moe_ep="0")) == (8, 1, 1, 8, 1)
    assert degrees(read(tp="8")) == (8, 1, 1, 0, 0)


def test_replicas_share_the_concurrency() -> None:
    row = read(LLAMA, tp="2", n_chips="8")
    assert row.deployment.chips == 2
    assert row.load.concurrency == 16.0
    assert row.notes == (REPLICAS,)


def test_an_engine_that_nobody_knows_is_the_usual_one_without_its_version() -> None:
    row = read(engine="chitu", engine_version="0.3.0")
    assert (row.deployment.engine, row.deployment.engine_version, row.notes) == ("", "", (OTHER_ENGINE,))
    known = read(engine="dynamo-vllm", engine_version="0.12.0")
    assert (known.deployment.engine, known.deployment.engine_version, known.notes) == ("vllm", "0.12.0", (OTHER_ENGINE,))


def test_what_a_model_s_name_says_of_its_number_type_counts_where_the_row_says_nothing() -> None:
    row = read("vllm-ascend/DeepSeek-V3-W8A8", chip="ascend-910b2", tp="16")
    assert (row.deployment.model, row.deployment.precision) == ("deepseek-ai/DeepSeek-V3", "w8a8_dynamic")
    assert row.notes == (OTHER_MODEL,)
    assert read("vllm-ascend/DeepSeek-V3-W8A8", precision="BF16").deployment.precision == "bf16"


def test_weights_that_are_widened_on_the_way_are_told() -> None:
    assert read(LLAMA, chip="h100-sxm", precision="NVFP4", tp="4").notes == (WEIGHTS_ALONE,)
    assert read(LLAMA, chip="b200-sxm", precision="NVFP4", tp="4").notes == ()
    assert read(LLAMA, chip="h100-sxm", precision="w4a16", tp="4").notes == ()
    assert read(LLAMA, chip="ascend-910b2", precision="fp8", tp="4").notes == ()  # refused by the predictor
    assert read(LLAMA, precision="sixteen", tp="4").deployment.precision == "sixteen"  # likewise


def test_degrees_of_a_package_of_two_may_count_its_dies() -> None:
    row = read(chip="ascend-910c", precision="w8a8", tp="16", n_chips="8")
    assert (row.chip, row.deployment.chip, row.notes) == ("ascend-910c", "ascend-910c-die", (DEVICES,))
    assert (degrees(row), row.load.concurrency) == ((16, 1, 1, 0, 0), 64.0)
    spread = read(chip="ascend-910c", precision="w8a8", tp="1", dp="16", moe_tp="1", moe_ep="16", n_chips="8")
    assert (degrees(spread), spread.notes) == ((1, 1, 16, 1, 16), (DEVICES,))
    for packages in ({"tp": "8", "n_chips": "8"}, {"tp": "16"}, {"tp": "16", "n_chips": "16"}):
        assert read(chip="ascend-910c", precision="w8a8", **packages).deployment.chip == "ascend-910c"


def test_chips_that_no_degree_accounts_for_are_told() -> None:
    for n_chips in ("4", "12"):
        row = read(LLAMA, tp="8", n_chips=n_chips)
        assert (degrees(row)[0], row.load.concurrency, row.notes) == (8, 64.0, (MISMATCH,))
    assert read(LLAMA, tp="8", n_chips="8").notes == ()


def test_chips_without_any_degree_are_one_instance() -> None:
    row = read(n_chips="8")
    assert (degrees(row), row.load.concurrency, row.notes) == ((8, 1, 1, 0, 0), 64.0, (UNCUT,))
    assert read(n_chips="1").notes == ()
    assert read(LLAMA, tp="1", n_chips="8").notes == (REPLICAS,)
