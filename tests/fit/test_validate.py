"""From a file to the report: what is compared, what is refused and why."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import windtunnel
from windtunnel.catalog.chip import chip
from windtunnel.cost.evidence import Estimate, Evidence
from windtunnel.cost.model import CostModel
from windtunnel.errors import DoesNotFitError
from windtunnel.fit import validate as module
from windtunnel.fit.validate import validate
from windtunnel.sim.prediction import Deployment, Load
from windtunnel.workload.ops import Gemm

SERVING = "id,chip,model,precision,isl,osl,concurrency,tp,ttft_ms,tpot_ms\n"


class Told:
    """A prediction of 100 ms to the first token and 20 ms each, give or take a fifth."""

    ttft = Estimate(0.1, 0.08, 0.12, Evidence.FITTED)
    tpot = Estimate(0.02, 0.016, 0.024, Evidence.FITTED)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Deployment, Load, dict[str, Any]]]:
    seen: list[tuple[Deployment, Load, dict[str, Any]]] = []

    def predict(deployment: Deployment, load: Load, **options: Any) -> Told:
        seen.append((deployment, load, options))
        if load.isl > 9000:
            raise DoesNotFitError("needs 120.3 GB a device")
        return Told()

    monkeypatch.setattr(module, "predict", predict)
    return seen


def file(folder: Path, text: str) -> Path:
    path = folder / "measured.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_serving_rows_are_compared_by_what_they_measured(asked: list[Any], tmp_path: Path) -> None:
    rows = [
        "a,h20,Qwen/Qwen3-8B,fp8,1024,512,8,1,64,25",  # +56.25 %, outside; -20 %, outside
        "b,h20,Qwen/Qwen3-8B,,1024,512,8,1,110,",  # -9.09 %, inside; not measured
        "c,h100-sxm,Qwen/Qwen3-8B,,1024,512,8,1,,20",  # not measured; exact
        "d,h20,Qwen/Qwen3-8B,,1024,512,8,1,,",
        "e,h20,Qwen/Qwen3-8B,,99999,512,8,1,1,1",
        "f,h21,Qwen/Qwen3-8B,,1024,512,8,1,1,1",
        "g,,Qwen/Qwen3-8B,,1024,512,8,1,1,1",
        "h,h20,Qwen/Qwen3-8B,,many,512,8,1,1,1",
        "i,h20,Qwen/Qwen3-8B,,1024,512,8,1,x,1",
    ]
    found = validate(file(tmp_path, SERVING + "\n".join(rows)))
    told = found.to_json()
    assert (told["kind"], told["rows"], told["predicted"]) == ("serving", 9, 3)
    assert told["refused"] == {
        "ttft_ms and tpot_ms: missing": 1,
        "does not fit in memory": 1,
        "unknown chip 'h21'": 1,
        "chip: missing": 1,
        "isl: not a number": 1,
        "ttft_ms: not a number": 1,
    }
    assert told["ttft_ms"]["mape"] == pytest.approx((56.25 + 100 / 11) / 2)
    assert told["tpot_ms"]["mape"] == pytest.approx(10.0)
    assert told["ttft_ms"]["within_interval"] == 0.5
    assert told["tpot_ms"]["within_interval"] == 0.5
    assert {name: (c["rows"], c["predicted"]) for name, c in told["by_chip"].items()} == {"h20": (6, 2), "h100-sxm": (1, 1)}
    assert told["by_chip"]["h100-sxm"]["ttft_ms"]["mape"] is None
    assert [(r.number, r.row["id"], set(r.values)) for r in found.results] == [
        (1, "a", {"ttft_ms", "tpot_ms"}),
        (2, "b", {"ttft_ms"}),
        (3, "c", {"tpot_ms"}),
    ]
    assert found.results[0].values["ttft_ms"].error == pytest.approx(0.5625)
    assert asked[0][0].precision == "fp8"


def test_a_time_of_zero_was_not_measured(asked: list[Any], tmp_path: Path) -> None:
    rows = "a,h20,Qwen/Qwen3-8B,,1024,512,8,1,0.0,20\nb,h20,Qwen/Qwen3-8B,,1024,512,8,1,0,0\n"
    found = validate(file(tmp_path, SERVING + rows))
    assert [set(r.values) for r in found.results] == [{"tpot_ms"}]
    assert found.refused == {"ttft_ms: not a positive number": 1}


def test_operators_are_priced_by_the_cost_model(tmp_path: Path) -> None:
    time = CostModel(chip("h20")).cost(Gemm("g", 64, 4096, 4096, "bf16")).time_s * 1e6
    rows = f"h20,gemm,bf16,64,4096,4096,{time / 1.1}\nh20,gemm,bf16,64,4096,0,5\nh20,dance,bf16,64,4096,1,5\n"
    found = validate(file(tmp_path, "chip,op,dtype,m,n,k,latency_us\n" + rows)).to_json()
    assert found["latency_us"]["mape"] == pytest.approx(10.0)
    assert found["refused"] == {"k: not a positive number": 1, "unknown operator 'dance'": 1}


def test_the_interval_of_an_operator_is_its_spread(tmp_path: Path) -> None:
    cost = CostModel(chip("h20")).cost(Gemm("g", 64, 4096, 4096, "bf16"))
    found = validate(file(tmp_path, "chip,op,m,n,k,latency_us\nh20,gemm,64,4096,4096,5\n")).results[0].values["latency_us"]
    assert found.high / found.predicted == pytest.approx(found.predicted / found.low)
    assert found.predicted == pytest.approx(cost.time_s * 1e6)


def test_programs_without_a_batch_are_refused_honestly(tmp_path: Path) -> None:
    found = validate(file(tmp_path, "chip,program,image_size,samples_per_s\nrtx-4090,timm:resnet50,224,1200\n")).to_json()
    assert found["refused"] == {"batch: missing": 1}
    assert found["samples_per_s"]["mape"] is None


def test_a_file_without_rows_predicts_nothing(tmp_path: Path) -> None:
    found = validate(file(tmp_path, SERVING)).to_json()
    assert (found["rows"], found["predicted"], found["by_chip"]) == (0, 0, {})


def test_a_file_that_is_broken_in_many_ways_has_a_short_report(tmp_path: Path) -> None:
    rows = "".join(f"x,chip-{i},m,,1,1,1,1,1,1\n" for i in range(200))
    refused = validate(file(tmp_path, SERVING + rows)).refused
    assert len(refused) <= module.MOST_REASONS + 1
    assert sum(refused.values()) == 200


def test_parameters_are_used_for_the_chip_that_they_name(asked: list[Any], tmp_path: Path) -> None:
    rows = "a,h20,Qwen/Qwen3-8B,,1024,512,8,1,1,1\nb,h100-sxm,Qwen/Qwen3-8B,,1024,512,8,1,1,1\n"
    own = {"chip": "h20"}
    validate(file(tmp_path, SERVING + rows), parameters=own)
    assert [options["parameters"] for _, _, options in asked] == [own, None]


def test_validation_needs_the_standard_library_alone() -> None:
    code = "import sys, windtunnel.fit.validate; print([m for m in ('numpy', 'scipy') if m in sys.modules])"
    source = str(Path(windtunnel.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": source})
    assert done.stdout.strip() == "[]"
