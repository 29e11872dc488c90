"""Programs for many chips, of which one rank runs: what they exchange, when, what it takes, and what one rank holds."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.run.many_chips import BATCH, BLOCKS, WIDTH
from windtunnel.cost.evidence import Evidence
from windtunnel.run.distributed.environment import of_rank
from windtunnel.run.launch import run_program
from windtunnel.run.overlap import exposed_s, overlap_note
from windtunnel.run.places import place
from windtunnel.run.record import Launch, RunReport

CHIPS = ("h20", "ascend-910b2")
ALIKE = (
    "single", "ddp", "ddp_much_to_compute", "ddp_accumulating", "fsdp", "fsdp_flat", "fsdp_from_meta", "tensor_parallel", "alone",
    "fails_in_backward",
)  # fmt: skip
WEIGHTS = BLOCKS * 2 * 4 * WIDTH * WIDTH * 4
"""Bytes of all parameters, FP32; as many of their gradients."""

Left = dict[str, tuple[RunReport, int]]


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    """The reports of every program on both chips, and the bytes of what they keep between steps."""
    found: Left = {}
    for chip in CHIPS:
        asked = [f"{chip}{'' if one == 'single' else ':8'}/{one}" for one in ALIKE] + [f"{chip}:16/exchange"]
        if chip == "h20":
            asked += [f"{chip}:{n}/ddp" for n in (2, 16)] + [f"{chip}:8/spawned"]
        file = tmp_path_factory.mktemp("left") / "reports"
        here = Path(__file__).parent
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", str(here / "many_chips.py"), str(file), *asked],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(here.parents[1] / "src"), str(here)])},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        found.update(pickle.loads(file.read_bytes()))
    return found


def moved(report: RunReport, op: str) -> tuple[float, float]:
    """(calls, bytes) of an operator a step."""
    found = [share for share in report.by_operator if share.name == op]
    return (found[0].calls, found[0].bytes) if found else (0.0, 0.0)


def products(report: RunReport) -> float:
    return sum(share.flops for share in report.by_operator if share.name == "aten.mm.default")


@pytest.mark.parametrize("chip", CHIPS)
class TestOnEveryChip:
    def test_ddp_reduces_each_gradient_once_a_step_and_computes_what_one_chip_does(self, left: Left, chip: str) -> None:
        report, one = left[f"{chip}:8/ddp"][0], left[f"{chip}/single"][0]
        calls, nbytes = moved(report, "c10d.allreduce_.default")
        assert nbytes == WEIGHTS
        assert 1 < calls <= 2 * BLOCKS
        assert products(report) == products(one) > 0
        # every linear layer: forward, gradient of the weight, and of the input but for the first layer
        assert products(report) == (3 * 2 * BLOCKS - 1) * 2 * BATCH * WIDTH * 4 * WIDTH
        assert report.ranks == 8
        assert report.step_s > one.step_s

    def test_ddp_overlaps_its_buckets_with_the_backward_pass(self, left: Left, chip: str) -> None:
        report = left[f"{chip}:8/ddp_much_to_compute"][0]
        last = len(report.steps) - 1
        launches = [launch for launch in report.launches if launch.step == last]
        reduces = [launch for launch in launches if launch.op == "c10d.allreduce_.default"]
        backward = [launch for launch in launches if launch.phase == "backward" and launch.op == "aten.mm.default"]
        step = [launch for launch in launches if launch.phase == "optimizer"]
        assert reduces[0].start_s < backward[-1].start_s
        assert all(a.end_s <= b.start_s for a, b in pairwise(reduces)), "one after the other on a stream"
        assert step[0].start_s >= reduces[-1].end_s, "the optimiser waits for the last"
        assert {launch.stream for launch in reduces}.isdisjoint({launch.stream for launch in backward})
        assert 0 < exposed_s(launches) < sum(launch.seconds for launch in reduces)

    def test_gradients_that_accumulate_are_reduced_with_the_last_of_them(self, left: Left, chip: str) -> None:
        report = left[f"{chip}:8/ddp_accumulating"][0]
        assert moved(report, "c10d.allreduce_.default")[1] == WEIGHTS
        assert products(report) == 2 * products(left[f"{chip}/single"][0])

    def test_fsdp_gathers_twice_and_scatters_once_and_holds_a_shard(self, left: Left, chip: str) -> None:
        report, kept = left[f"{chip}:8/fsdp"]
        # forward and backward gather every block; its gradient is scattered
        assert moved(report, "c10d._allgather_base_.default") == (2 * BLOCKS, 2 * WEIGHTS)
        assert moved(report, "c10d._reduce_scatter_base_.default") == (BLOCKS, WEIGHTS)
        assert products(report) == products(left[f"{chip}/single"][0])
        one, kept_alone = left[f"{chip}/single"]
        # a parameter and two moments of AdamW, an eighth of each
        assert 3 * WEIGHTS / 8 <= kept < 3 * WEIGHTS / 8 + (1 << 20)
        assert 3 * WEIGHTS <= kept_alone < 3 * WEIGHTS + (1 << 20)
        # at most: shards of four, and whole: two blocks, a gradient, and what is gathered and scattered
        assert kept < report.memory.peak < 4 * WEIGHTS / 8 + 5 * WEIGHTS / BLOCKS
        assert report.memory.peak < one.memory.peak / 2

    def test_flat_parameters_are_sharded_alike(self, left: Left, chip: str) -> None:
        report, kept = left[f"{chip}:8/fsdp_flat"]
        assert moved(report, "c10d._allgather_base_.default")[1] == 2 * WEIGHTS
        assert moved(report, "c10d._reduce_scatter_base_.default")[1] == WEIGHTS
        assert 3 * WEIGHTS / 8 <= kept < 3 * WEIGHTS / 8 + (1 << 20)

    def test_a_model_made_without_memory_is_sharded_over_one_dimension_of_a_mesh(self, left: Left, chip: str) -> None:
        report, _ = left[f"{chip}:8/fsdp_from_meta"]
        # gathered in 16 bit; reduced over four ranks in 16 bit
        assert moved(report, "c10d._allgather_base_.default")[1] == 2 * WEIGHTS / 2
        assert moved(report, "c10d._reduce_scatter_base_.default")[1] == WEIGHTS / 2

    def test_tensor_parallel_layers_compute_an_eighth_and_reduce_what_they_give(self, left: Left, chip: str) -> None:
        report, kept = left[f"{chip}:8/tensor_parallel"]
        assert products(report) == products(left[f"{chip}/single"][0]) / 8
        # forward: the result of every block; backward: the gradient of every block's input but the first's
        calls = BLOCKS + BLOCKS - 1
        assert moved(report, "_c10d_functional.all_reduce.default") == (calls, calls * BATCH * WIDTH * 4)
        assert 3 * WEIGHTS / 8 <= kept < 3 * WEIGHTS / 8 + (4 << 20)

    def test_a_program_for_one_chip_is_told_so(self, left: Left, chip: str) -> None:
        notes = left[f"{chip}:8/alone"][0].notes
        assert any("one of the 8 devices" in note for note in notes)
        assert not any("one of the 8 devices" in note for note in left[f"{chip}:8/tensor_parallel"][0].notes)

    def test_what_other_ranks_would_hold_is_stated(self, left: Left, chip: str) -> None:
        report = left[f"{chip}:16/exchange"][0]
        said = {stand_in.what: stand_in.given for stand_in in report.stand_ins}
        assert said["all_reduce with ranks that do not run"] == "every rank holds the same"
        assert said["objects that another rank sends"] == "this rank's own"
        assert any("bubbles" in note for note in report.notes)


def test_ranks_of_two_servers_take_longer_than_neighbours(left: Left) -> None:
    report = left["h20:16/exchange"][0]
    near, far = (launch for launch in report.launches if launch.op == "c10d.allreduce_.default" and launch.bytes == 1 << 24)
    assert far.seconds > near.seconds
    assert near.stream != far.stream


def test_more_ranks_take_more_time_to_reduce(left: Left) -> None:
    seconds = [
        next(share.seconds for share in left[f"h20:{n}/ddp"][0].by_operator if share.name == "c10d.allreduce_.default")
        for n in (2, 8, 16)
    ]
    assert seconds == sorted(seconds)
    assert seconds[0] < seconds[1] < seconds[2]


def test_ranks_that_a_program_spawns_are_one(left: Left) -> None:
    report = left["h20:8/spawned"][0]
    assert moved(report, "c10d.allreduce_.default") == (1, 4 << 20)
    assert any("starts 8 ranks" in note for note in report.notes)


def test_torchrun_runs_the_first_rank_in_place(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import os, sys, torch, torch.distributed as dist\n"
        "dist.init_process_group()\n"
        "assert dist.get_world_size() == int(os.environ['WORLD_SIZE']) == 4 and sys.argv[1:] == ['--lr', '3']\n"
        "dist.all_reduce(torch.ones(1 << 20, device='cuda'))\n"
    )
    report = run_program("torch.distributed.run", ["--nproc-per-node", "4", str(script), "--lr", "3"], on="h20:8", module=True)
    assert report.status == "finished"
    assert report.exit_status == 0
    assert moved(report, "c10d.allreduce_.default") == (1, 4 << 20)
    assert any("torchrun starts 4 ranks, and --on gives 8 devices" in note for note in report.notes)


@pytest.mark.parametrize(
    ("on", "ranks", "server"),
    [("h20:8", 8, 8), ("h20", 1, 8), ("ascend-910c:8", 16, 16), ("cloudmatrix-384", 768, 16), ("hgx-h20", 8, 8)],
)
def test_a_place_says_how_many_ranks_there_are_and_how_many_in_a_server(on: str, ranks: int, server: int) -> None:
    found = place(on)
    assert (found.ranks, found.server) == (ranks, server)


def test_a_rank_knows_where_it_is() -> None:
    told = of_rank(19, 32, 16)
    assert (told["RANK"], told["LOCAL_RANK"], told["GROUP_RANK"], told["LOCAL_WORLD_SIZE"]) == ("19", "3", "1", "16")
    assert told["WORLD_SIZE"] == "32"
    assert told["GROUP_WORLD_SIZE"] == "2"


def launched(family: str, start_s: float, end_s: float) -> Launch:
    return Launch("", family, "", None, "forward", 0, 0, start_s, end_s, 0.0, "link", 0.0, 0.0, Evidence.DATASHEET)


def test_what_is_hidden_behind_kernels_is_not_exposed() -> None:
    kernels = [launched("gemm", 0.0, 2.0), launched("gemm", 5.0, 6.0)]
    moving = [launched("collective", 1.0, 4.0), launched("collective", 3.0, 5.5)]
    # of 1 to 5.5 the kernels cover 1 to 2 and 5 to 5.5
    assert exposed_s([*kernels, *moving]) == pytest.approx(3.0)
    assert exposed_s(kernels) == 0.0
    assert overlap_note(kernels, 1) == ()
    assert "2 collectives and 5.5e+03 ms a step" in overlap_note([*kernels, *moving], 1)[0]


def test_what_bounds_a_step_counts_only_what_is_not_hidden(left: Left) -> None:
    report = left["h20:8/ddp_much_to_compute"][0]
    bounds = {share.name: share.seconds for share in report.by_bound}
    assert bounds["link"] < next(share.seconds for share in report.by_operator if share.name == "c10d.allreduce_.default")
    assert sum(bounds.values()) == pytest.approx(report.step_s, rel=0.05)
