"""Each formula at points that were worked out by hand."""

from __future__ import annotations

import math

import pytest

from windtunnel.cost import formulas as f
from windtunnel.cost.formulas import PLAIN, Machine

# 100 TFLOP/s, twice that in the narrow type, 1 TB/s, 10 MB of cache
MACHINE = Machine(200e12, 100e12, 1e12, 10e6)
NOTHING_BUT_TIME = {
    "compute": 0.5, "memory": 0.8, "start_us": 0.0, "sharpness": 1.0, "cache_rate": 10.0, "cache_share": 1.0, "depth_us": 0.0,
    "depth_power": 1.0, "fill": 0.0, "pad": 0.0, "quant_row_ns": 0.0, "quant_pass": 0.0, "half_seen": 0.0, "narrow_head": 0.0,
    "row_ns": 0.0, "skew": 0.0, "passes": 0.0, "thin_expert": 0.0, "token_ns": 0.0, "expert_ns": 0.0,
}  # fmt: skip


def params(**changed: float) -> dict[str, float]:
    return {**NOTHING_BUT_TIME, **changed}


def gemm(
    p: dict[str, float], m: float = 1000.0, n: float = 2000.0, k: float = 5000.0, width: float = 2.0, warm: float = 0.0
) -> f.Times:
    return f.gemm(PLAIN, p, MACHINE, m, n, k, 1.0, width, warm)


def test_a_product_is_its_two_parts_where_they_only_add() -> None:
    total, compute, memory = gemm(params())
    assert compute == pytest.approx(2 * 1000 * 2000 * 5000 / 100e12)  # half of 200 TFLOP/s: 200 us
    # 20 MB of weights, 10 MB read, 4 MB written, at 0.8 TB/s
    assert memory == pytest.approx(34e6 / 0.8e12)
    assert total == pytest.approx(compute + memory)


def test_a_sharp_maximum_is_the_larger_part() -> None:
    total, compute, _ = gemm(params(sharpness=12.0))
    assert compute < total < 1.001 * compute


@pytest.mark.parametrize(
    ("changed", "more"),
    [
        ({"start_us": 7.0}, 7e-6),
        ({"pad": 100.0}, 0.1 * 200e-6),  # a tenth more rows
        ({"fill": 500.0}, 0.1 * 200e-6),  # a tenth more depth
        ({"depth_us": 3.0}, 3e-6 * 5.0),  # 5,000 deep
        ({"depth_us": 3.0, "depth_power": 0.0}, 3e-6),
        ({"quant_row_ns": 2.0}, 1000 * 2e-9),
        ({"quant_pass": 0.5}, 0.5 * 1000 * 5000 * 4.0 / 1e12),  # two bytes read, two written
    ],
)
def test_what_each_parameter_of_a_product_adds(changed: dict[str, float], more: float) -> None:
    assert gemm(params(**changed))[0] - gemm(params())[0] == pytest.approx(more)


def test_narrow_weights_move_fewer_bytes_and_never_wider_inputs() -> None:
    assert gemm(params(), width=1.0)[2] == pytest.approx((10e6 + 5e6 + 4e6) / 0.8e12)
    assert gemm(params(), width=4.0)[2] == pytest.approx((40e6 + 10e6 + 4e6) / 0.8e12)


def test_the_cache_serves_what_fits_it_six_times() -> None:
    p = params()
    # 6 x weights = 10 MB: half of it is cold; from the cache at 10 bytes a 1000 FLOP: 1 TB/s here
    n = k = math.sqrt(10e6 / 6 / 2)
    moved = n * k * 2 + 16 * (k * 2 + 2 * n)
    slow, fast = moved / 0.8e12, moved * 1e3 / (100e12 * 10.0)
    assert gemm(p, 16.0, n, k, warm=1.0)[2] == pytest.approx((slow + fast) / 2)
    assert gemm(p, 16.0, n, k, warm=0.0)[2] == pytest.approx(slow)
    far_too_large = 100 * n * k * 2 + 160 * 2 * (k + n)
    assert gemm(p, 16.0, n * 10, k * 10, warm=1.0)[2] == pytest.approx(far_too_large / 0.8e12)


def test_a_cache_of_no_size_serves_nothing() -> None:
    bare = Machine(200e12, 100e12, 1e12, 0.0)
    assert f.gemm(PLAIN, params(), bare, 8.0, 8.0, 8.0, 1.0, 2.0, 1.0)[2] == pytest.approx(8 * 8 * 6 / 0.8e12)


def test_prefill_by_hand() -> None:
    def time(head: float = 128.0, **changed: float) -> f.Times:
        return f.attention_prefill(PLAIN, params(**changed), MACHINE, 1e12, 8e8, 500.0, 2048.0, head)

    assert time()[1:] == pytest.approx((1e12 / 100e12, 8e8 / 0.8e12))
    assert time()[0] == pytest.approx(10e-3 + 1e-3)
    assert time(half_seen=250.0)[1] == pytest.approx(15e-3)  # half as many keys again to be as good
    assert time(64.0, narrow_head=1.0)[1] == pytest.approx(20e-3)  # half the width, half the speed
    assert time(256.0, narrow_head=1.0)[1] == pytest.approx(10e-3)
    assert time(depth_us=50.0, depth_power=1.0)[0] == pytest.approx(11e-3 + 100e-6)


def test_decode_by_hand() -> None:
    def time(cache: float, rows: float = 0.0, **changed: float) -> f.Times:
        return f.attention_decode(PLAIN, params(**changed), MACHINE, 1e9, 8e6, cache, 4096.0, rows)

    assert time(1e18)[1:] == pytest.approx((1e9 / 50e12, 8e6 / 0.8e12))
    assert time(1e18, row_ns=10.0, rows=64.0)[0] - time(1e18)[0] == pytest.approx(640e-9)
    assert time(10e6)[2] == pytest.approx((10e-6 + 8e-6) / 2)  # a cache as large as the keys: half
    assert time(1e18, depth_us=2.0)[0] - time(1e18)[0] == pytest.approx(8e-6)


def test_experts_by_hand() -> None:
    def time(hottest: float = 1.0, **changed: float) -> f.Times:
        return f.moe(PLAIN, params(**changed), MACHINE, 512.0, hottest, 32.0, 64.0, 128.0, 4096.0, 1024.0, 3.0, 1.0)

    weights = 32 * 3 * 4096 * 1024
    compute, memory = 2 * 512 * 3 * 4096 * 1024 / 100e12, weights / 0.8e12
    assert time()[1:] == pytest.approx((compute, memory))
    assert time()[0] == pytest.approx(compute + memory)
    assert time(passes=1.0)[2] == pytest.approx((weights + 512 * (4 * 4096 + 6 * 1024)) / 0.8e12)
    assert time(pad=16.0)[1] == pytest.approx(2 * compute)  # 16 rows more for each of 32 experts: twice 512
    assert time(thin_expert=1024.0)[1:] == pytest.approx((2 * compute, 2 * memory))
    assert time(1.5, skew=1.0)[1] == pytest.approx(1.5 * compute)
    assert time(1.5, skew=0.0)[1] == pytest.approx(compute)
    overhead = time(start_us=20.0, row_ns=1.0, token_ns=10.0, expert_ns=100.0)[0] - time()[0]
    assert overhead == pytest.approx(20e-6 + 512e-9 + 1280e-9 + 6400e-9)


def test_a_pass_over_memory() -> None:
    assert f.elementwise(PLAIN, params(start_us=2.0), MACHINE, 8e6) == pytest.approx((12e-6, 0.0, 10e-6))


def test_states_follow_each_other_in_prefill() -> None:
    total, compute, memory = f.linear_attention(PLAIN, params(depth_us=30.0, start_us=1.0), MACHINE, 2e9, 24e6, 2048.0)
    assert (compute, memory) == pytest.approx((40e-6, 30e-6))
    assert total == pytest.approx(50e-6 + 60e-6 + 1e-6)


def test_a_collective_by_hand() -> None:
    p = {"link": 0.5, "start_us": 3.0, "rank_us": 0.5, "ramp_us": 10.0, "ramp": 1.0}
    # 1.75 MB over half of 100 GB/s is 35 us, of which the first 10 go at half speed, and seven steps of half a us
    assert f.collective(PLAIN, p, 100e9, 1.75, 1e6, 8.0)[0] == pytest.approx(35e-6 + 10e-6 + 3e-6 + 3.5e-6)
    assert f.collective(PLAIN, p, 100e9, 1.75, 1e4, 8.0)[0] == pytest.approx(2 * 0.35e-6 + 3e-6 + 3.5e-6)


def test_arrays_take_the_same_lines() -> None:
    np = pytest.importorskip("numpy")
    machine = Machine(*(np.full(3, x) for x in (200e12, 100e12, 1e12, 10e6)))
    m = np.array([1.0, 100.0, 5000.0])
    at_once = f.gemm(np, params(sharpness=3.0), machine, m, 512.0, 512.0, 1.0, 2.0, np.ones(3))[0]
    one_by_one = [f.gemm(PLAIN, params(sharpness=3.0), MACHINE, x, 512.0, 512.0, 1.0, 2.0, 1.0)[0] for x in m.tolist()]
    assert at_once.tolist() == pytest.approx(one_by_one, rel=1e-12)
