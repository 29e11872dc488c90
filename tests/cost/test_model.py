"""What the cost model refuses, swaps and leaves out, and how far it says it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.cost.made import ONE_OF_EACH, explains
from windtunnel.catalog import Chip, chip, chips
from windtunnel.cost import formulas as f
from windtunnel.cost import parameters
from windtunnel.cost.evidence import Evidence
from windtunnel.cost.formulas import PLAIN
from windtunnel.cost.model import CostModel, OpCost
from windtunnel.errors import MissingFactError, UnsupportedError, WindtunnelError
from windtunnel.workload.ops import Attention, Elementwise, Gemm, LinearAttention, MoE, Op

H100 = CostModel(chip("h100-sxm"))


def gemm(dtype: str, m: float = 64.0, n: float = 4096.0) -> Gemm:
    return Gemm("g", m, n, 4096.0, dtype)


def test_a_product_is_priced_by_its_formula() -> None:
    op = gemm("fp8", 4096.0)
    p, machine = H100.family("gemm", "fp8"), H100.machine("fp8")
    times = f.gemm(PLAIN, p.values, machine, op.m, op.n, op.k, 1.0, 1.0, 0.0)
    assert H100.cost(op) == OpCost(times[0], "matrix unit", p.evidence, p.spread)
    assert machine.flops_per_s == chip("h100-sxm").value("matrix_flops_per_s.fp8")
    assert machine.wide_flops_per_s == chip("h100-sxm").value("matrix_flops_per_s.bf16")


def test_what_bounds_an_operator() -> None:
    assert H100.cost(gemm("bf16", 16384.0, 16384.0)).bound == "matrix unit"
    assert H100.cost(gemm("bf16", 1.0, 65536.0)).bound == "memory"
    assert H100.cost(Elementwise("e", 1e3)).bound == "start"
    assert H100.cost(ONE_OF_EACH[-1]).bound == "link"


@pytest.mark.parametrize(
    "op",
    [
        gemm("bf16", 0.0),
        Elementwise("e", 0.0),
        MoE("m", 0.0, 4096.0, 768.0, 128.0, 8.0, "bf16"),
        Attention("d", "decode", 0.0, 1.0, 100.0, 32.0, 8.0, 128.0, 128.0),
        Attention("p", "prefill", 0.0, 0.0, 0.0, 32.0, 8.0, 128.0, 128.0),
        LinearAttention("s", "decode", 0.0, 0.0, 16.0, 32.0, 128.0, 128.0),
    ],
    ids=lambda op: f"{op.family}",
)
def test_no_work_takes_no_time(op: Op) -> None:
    cost = H100.cost(op)
    assert cost.time_s == 0.0
    assert cost.evidence == Evidence.MEASURED  # nothing is known for certain to take nothing


def test_quantising_is_part_of_the_product_that_was_measured_with_it() -> None:
    assert H100.cost(Elementwise("ffn_act_quant", 1e9)).time_s == 0.0
    assert H100.cost(Elementwise("ffn_act", 1e9)).time_s > 0.0
    assert H100.family("gemm", "fp8").values["quant_pass"] > 0.0


def test_four_bits_without_a_unit_for_them_are_widened_on_the_way() -> None:
    assert H100.running("fp4") == "fp4_wide"
    assert H100.cost(gemm("fp4", 8.0)) == H100.cost(gemm("w4a16", 8.0))
    assert H100.machine("fp4_wide") == H100.machine("bf16")
    assert CostModel(chip("b200-sxm")).running("fp4") == "fp4"
    # a quarter of the bytes: faster where memory bounds, not where the matrix unit does
    assert H100.cost(gemm("fp4", 1.0, 65536.0)).time_s < 0.6 * H100.cost(gemm("bf16", 1.0, 65536.0)).time_s
    assert H100.cost(gemm("fp4", 16384.0, 65536.0)).time_s > 0.8 * H100.cost(gemm("bf16", 16384.0, 65536.0)).time_s


@pytest.mark.parametrize("name", ["ascend-910b2", "ascend-910b4", "ascend-910c-die", "ascend-310p"])
def test_eight_bit_floats_are_refused_with_what_the_chip_can_do(name: str) -> None:
    with pytest.raises(UnsupportedError, match=rf"{name} cannot compute fp8; it can: .*fp16, int8"):
        CostModel(chip(name)).cost(gemm("fp8"))


def test_eight_bits_without_a_unit_for_them_are_widened_where_engines_do_so() -> None:
    a100 = CostModel(chip("a100-sxm-80gb"))
    assert (a100.running("fp8"), H100.running("fp8")) == ("fp8_wide", "fp8")
    assert a100.machine("fp8_wide") == a100.machine("bf16")
    # half of the bytes where memory bounds, and no faster than bf16 where the matrix unit does
    assert a100.cost(gemm("fp8", 1.0, 65536.0)).time_s == pytest.approx(
        0.5 * a100.cost(gemm("bf16", 1.0, 65536.0)).time_s, rel=0.2
    )
    assert a100.cost(gemm("fp8", 16384.0, 65536.0)).time_s > 0.95 * a100.cost(gemm("bf16", 16384.0, 65536.0)).time_s
    with pytest.raises(UnsupportedError, match="v100-sxm-32gb cannot compute fp8"):
        CostModel(chip("v100-sxm-32gb")).running("fp8")


def test_widened_weights_meet_the_matrix_unit_that_the_chip_has() -> None:
    v100, ascend = CostModel(chip("v100-sxm-32gb")), CostModel(chip("ascend-910b2"))
    assert v100.running("w4a16") == "w4a16"
    assert v100.machine("w4a16") == v100.machine("fp16")
    assert ascend.running("w4a8") == "w4a8"
    assert ascend.machine("w4a8") == ascend.machine("int8")
    assert H100.machine("w4a8") == H100.machine("fp8")


def test_four_bits_are_refused_where_no_engine_widens_them() -> None:
    with pytest.raises(UnsupportedError, match="ascend-910b2 cannot compute fp4; it can:"):
        CostModel(chip("ascend-910b2")).cost(gemm("fp4"))


def test_sixteen_bits_run_in_the_kind_that_the_chip_has() -> None:
    assert CostModel(chip("v100-sxm-32gb")).running("bf16") == "fp16"
    assert CostModel(chip("tpu-v6e")).running("fp16") == "bf16"
    assert CostModel(chip("h100-sxm")).running("fp16") == "fp16"


@pytest.mark.parametrize("of", [c for c in chips() if not c.has("memory_bytes_per_s")], ids=lambda c: c.id)
def test_a_chip_without_memory_bandwidth_is_refused(of: Chip) -> None:
    with pytest.raises(MissingFactError, match=f"memory_bytes_per_s of {of.id}"):
        CostModel(of)


def test_operands_in_the_cache_are_faster_and_no_faster_than_the_matrix_unit() -> None:
    values = {**H100.family("gemm", "bf16").values, "cache_rate": 20.0, "start_us": 0.0, "depth_us": 0.0}
    costs = CostModel(chip("h100-sxm"), own={"gemm_wide": {"values": values, "spread": 0.1}})
    small, large = gemm("bf16", 16.0, 256.0), gemm("bf16", 16.0, 262144.0)
    assert costs.cost(small, warm=True).time_s < 0.5 * costs.cost(small).time_s
    assert costs.cost(large, warm=True).time_s == pytest.approx(costs.cost(large).time_s, rel=1e-3)
    assert costs.cost(small, warm=True).time_s >= small.flops / costs.machine("bf16").flops_per_s


@pytest.mark.parametrize("name", ["h100-sxm", "b200-sxm", "mi300x", "rtx-4090"])
def test_a_warm_cache_is_never_slower(name: str) -> None:
    costs = CostModel(chip(name))
    for op in ONE_OF_EACH:
        assert costs.cost(op, warm=True).time_s <= costs.cost(op).time_s


def test_a_cache_that_nobody_published_serves_nothing() -> None:
    of = chip("h100-sxm")
    bare = CostModel(replace(of, figures={key: fact for key, fact in of.figures.items() if key != "l2_bytes"}))
    for op in ONE_OF_EACH:
        assert bare.cost(op).time_s >= H100.cost(op).time_s
        assert bare.cost(op, warm=True).time_s == bare.cost(op).time_s


def evidence(name: str) -> Evidence:
    return min(CostModel(chip(name)).cost(op).evidence for op in ONE_OF_EACH[:-5])


def test_fitted_chips_then_their_kin_then_the_datasheet() -> None:
    assert evidence("h100-sxm") == Evidence.FITTED
    assert evidence("h800-sxm") == Evidence.TRANSFERRED
    assert evidence("rtx-3090") == Evidence.TRANSFERRED  # nobody's kin, but its maker's chips are what was fitted
    assert evidence("mi300x") == Evidence.DATASHEET


def without_compute(values: Mapping[str, float]) -> dict[str, float]:
    """All but the matrix unit's efficiency, which goes by how large it is for the memory."""
    return {key: value for key, value in values.items() if key != "compute"}


def test_a_small_matrix_unit_is_kept_busier_and_never_beats_the_large_one() -> None:
    whole, cut = (CostModel(chip(name)) for name in ("h200-sxm", "h20"))
    large, small = (of.family("gemm", "bf16").values["compute"] for of in (whole, cut))
    assert large < small < 1.0
    assert small * cut.machine("bf16").flops_per_s <= large * whole.machine("bf16").flops_per_s


def test_kin_lend_their_parameters_and_not_their_figures() -> None:
    lent, own = CostModel(chip("h800-sxm")).family("gemm", "bf16"), H100.family("gemm", "bf16")
    assert (without_compute(lent.values), lent.spread) == (without_compute(own.values), own.spread)
    assert (lent.evidence, own.evidence) == (Evidence.TRANSFERRED, Evidence.FITTED)
    a800, a100 = CostModel(chip("a800-sxm")), CostModel(chip("a100-sxm-80gb"))
    assert a800.family("all_reduce").values == a100.family("all_reduce").values
    assert a800.links.scaleup_bytes_per_s < a100.links.scaleup_bytes_per_s


def test_every_kin_is_a_chip_whose_kin_is_another() -> None:
    kin = parameters._file("kin")
    for name, of in kin.items():
        assert chip(name).id == name
        assert chip(str(of)).id == of
        assert name not in parameters.kindred(name), f"{name} borrows from itself"
        programs_alone = name == "rtx-4090"
        assert not parameters._file(name) or programs_alone, f"{name} is fitted and needs no kin"


def test_what_a_kin_lacks_comes_from_its_own_kin() -> None:
    assert parameters.kindred("rtx-4090d") == ("rtx-4090", "l40s")
    lent, own = CostModel(chip("rtx-4090d")).family("attention_decode"), CostModel(chip("l40s")).family("attention_decode")
    assert without_compute(lent.values) == without_compute(own.values)
    assert lent.evidence is Evidence.TRANSFERRED


@pytest.mark.parametrize("name", ["a100-sxm-40gb", "a800-sxm", "ascend-910b1", "ascend-910b3", "ascend-910b4", "ascend-910c-die"])
def test_a_sister_with_a_file_is_heard(name: str) -> None:
    sister = str(parameters._file("kin")[name])
    table = parameters._file(sister)
    if not table:
        pytest.skip(f"{sister} has no file")
    costs = CostModel(chip(name))
    heard = [key for key in table if isinstance(table[key], dict) and "values" in table[key]]
    assert heard
    for key in heard:
        family, _, kind = key.rpartition("_") if key.startswith(("gemm_", "moe_")) else (key, "", "")
        dtype = {"wide": "bf16"}.get(kind, kind)
        if key.endswith("_block") or (kind and parameters.number_kind(dtype) != kind):
            continue
        found = costs.family(family, dtype)
        assert without_compute(found.values) == without_compute(table[key]["values"])
        assert found.evidence == Evidence.TRANSFERRED


def test_what_a_user_measured_comes_first() -> None:
    own = {"source": "mine", "gemm_wide": {"values": {**H100.family("gemm", "bf16").values, "start_us": 99.0}, "spread": 0.1}}
    mine = CostModel(chip("h800-sxm"), own=own)
    assert mine.family("gemm", "bf16").values["start_us"] == 99.0
    assert (mine.family("gemm", "bf16").evidence, mine.family("gemm", "bf16").source) == (Evidence.FITTED, "mine")
    assert mine.family("elementwise").evidence == Evidence.TRANSFERRED


def test_number_types_share_parameters_by_kind() -> None:
    kinds = {
        d: parameters.number_kind(d)
        for d in ("bf16", "fp16", "tf32", "fp8", "fp6", "int8", "w8a8_dynamic", "fp4", "w4a8", "w4a16")
    }
    assert kinds == {
        "bf16": "wide", "fp16": "wide", "tf32": "wide", "fp8": "fp8", "fp6": "fp8", "int8": "int8", "w8a8_dynamic": "int8",
        "fp4": "fp4", "w4a8": "fp4", "w4a16": "w4a16",
    }  # fmt: skip


@pytest.mark.parametrize("of", chips(), ids=lambda c: c.id)
def test_every_chip_prices_every_operator_or_says_what_is_missing(of: Chip) -> None:
    try:
        costs = CostModel(of)
    except MissingFactError as refused:
        assert explains(refused, of)  # noqa: PT017
        return
    for op in (*ONE_OF_EACH, *(gemm(dtype) for dtype in ("fp8", "int8", "fp4", "w4a16", "w8a8_dynamic"))):
        try:
            cost = costs.cost(op)
        except WindtunnelError as refused:
            assert explains(refused, of)  # noqa: PT017
        else:
            assert 0.0 < cost.time_s < 10.0
            assert 0.0 < cost.spread < 3.0


def test_a_card_with_far_less_power_than_its_kin_clocks_down_in_products_alone() -> None:
    whole, cut = (CostModel(chip(name)) for name in ("rtx-pro-6000", "rtx-pro-6000-max-q"))
    watts = [of.chip.value("tdp_w") / of.chip.value("matrix_flops_per_s.fp16") for of in (whole, cut)]
    full, slow = (of.family("gemm", "fp16").values["compute"] for of in (whole, cut))
    assert slow / full == pytest.approx((watts[1] / watts[0]) ** (1 / 3), rel=0.03)
    assert cut.family("elementwise").values == whole.family("elementwise").values
    # bins of one chip that differ by little keep their kin's
    assert CostModel(chip("h800-sxm")).family("gemm", "bf16").values["compute"] == pytest.approx(
        H100.family("gemm", "bf16").values["compute"], rel=1e-3
    )
