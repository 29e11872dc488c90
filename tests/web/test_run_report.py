"""The report of a run: self-contained, whole, nothing in a name becomes markup, and it says what the terminal says."""

from __future__ import annotations

import datetime
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.run import reports
from tests.web.test_report import Elements, seen
from windtunnel.errors import InvalidInputError
from windtunnel.run.record import Failure, Holder, RunReport, Share, StandIn, Support
from windtunnel.web.run_data import module_tree, page_data, thinned
from windtunnel.web.run_report import render_run, write_run_report
from windtunnel.workload.program.call import Site

DAY = datetime.date(2026, 11, 22)
HOSTILE = "</script><script>document.body.dataset.hacked='yes'</script><img src=x onerror=\"document.body.dataset.hacked='yes'\">"


def side_by_side() -> list[RunReport]:
    return [reports.training(), reports.training_on("h100-sxm", 0.34, 989.4e12, 80 * reports.GIB), reports.out_of_memory()]


def hostile() -> list[RunReport]:
    """Markup wherever a name, a place, a reason or a note is shown, and numbers that JSON cannot hold."""
    found = []
    site = Site(f"{HOSTILE}.py", 3, HOSTILE)
    for made in [reports.training(), reports.out_of_memory(), reports.measured()]:

        def bad(shares: tuple[Share, ...]) -> tuple[Share, ...]:
            return tuple(replace(s, name=f"{HOSTILE}{i}", bound=HOSTILE) for i, s in enumerate(shares))

        found.append(
            replace(
                made,
                program=HOSTILE, chip=HOSTILE, step_kind="<b>", by_operator=bad(made.by_operator), by_module=bad(made.by_module),
                by_line=bad(made.by_line), by_bound=bad(made.by_bound), support_source=HOSTILE, notes=(HOSTILE, "<!-- & \u2028"),
                support=(Support(HOSTILE, "cpu fallback", 1, float("nan"), site, (HOSTILE,), HOSTILE),),
                stand_ins=(StandIn(HOSTILE, HOSTILE, 1, site),), failure=Failure(HOSTILE, HOSTILE, site),
                settings={HOSTILE: HOSTILE}, memory=replace(made.memory, holders=(Holder(HOSTILE, HOSTILE, 5, 1, site),)),
                launches=tuple(replace(x, op=HOSTILE, module=HOSTILE, site=site, bound=HOSTILE) for x in made.launches),
            )
        )  # fmt: skip
    return found


@pytest.fixture(autouse=True)
def beside_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reports.EXAMPLE)


def text_of(made: list[RunReport]) -> str:
    return seen(render_run(made, date=DAY)).replace("\N{NO-BREAK SPACE}", " ")


def test_one_chip_is_answered_in_a_sentence() -> None:
    text = text_of([reports.training()])
    assert "As far as is known it runs on ascend-910b2, with 2 operators on the CPU: 77.1 ms per optimizer step." in text
    assert "73 % of it goes to the matrix unit, 16 % to memory bandwidth." in text
    assert "through linalg_vector_norm > abs" in text
    assert "h = nn.functional.gelu(self.c_fc(self.ln_2(x)))" in text
    assert "2026-11-22" in text
    assert "windtunnel run --on ascend-910b2 train.py 5" in text
    assert "Every chip that was asked about" not in text


def test_several_chips_are_compared_and_failures_said() -> None:
    html = render_run(side_by_side(), refused={"br106": "not known: memory_bytes_per_s of br106"}, date=DAY)
    text = seen(html).replace("\N{NO-BREAK SPACE}", " ")
    assert "h100-sxm is fastest: 30.3 ms per optimizer step, 2.55 times as fast as ascend-910b2." in text
    assert "It does not run on v100-sxm-32gb." in text
    assert "no: OutOfMemoryError at train.py:35" in text
    assert "tried to allocate 2.30 GiB" in text
    assert "Not tried. not known: memory_bytes_per_s of br106" in text


def test_measurements_stand_beside_the_prediction() -> None:
    text = text_of([reports.measured()])
    assert "It runs on h100-sxm: 32.7 ms per optimizer step, measured." in text
    assert "Measured 32.7 ms, predicted 30.3 ms: 7 % too short." in text
    assert "NVIDIA H100 80GB HBM3, PyTorch 2.13.0, CUDA 13.0" in text


def test_a_run_without_a_step_has_no_times() -> None:
    text = text_of([reports.out_of_memory()])
    assert "It does not run on v100-sxm-32gb: OutOfMemoryError at train.py:35." in text
    assert "no step was finished" in text
    assert "nan" not in text.replace("finance", "")


def test_one_file_without_network(tmp_path: Path) -> None:
    path = tmp_path / "run.html"
    write_run_report(side_by_side(), path, date=DAY)
    assert [p.name for p in tmp_path.iterdir()] == ["run.html"]
    assert path.stat().st_size < 1_500_000
    for tag, attrs in Elements(path.read_text("utf-8")).tags:
        assert tag not in ("link", "iframe", "img", "object", "embed", "base")
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert not re.match(r"\s*(https?:|//|file:)", attrs.get(name) or ""), (tag, attrs)
    with pytest.raises(InvalidInputError, match="cannot be written"):
        write_run_report(side_by_side(), tmp_path / "none" / "run.html")


def test_hostile_names_stay_text() -> None:
    text = render_run(hostile(), refused={HOSTILE: HOSTILE}, date=DAY)
    found = Elements(text)
    assert "img" not in [tag for tag, _ in found.tags]
    assert [a for _, attrs in found.tags for a in attrs if a.startswith("on")] == []
    assert len([tag for tag, _ in found.tags if tag == "script"]) == 4
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert block is not None
    assert json.loads(block[1])["chips"][0]["name"] == HOSTILE
    assert not re.search(r"[<>&\u2028]", block[1])


def test_the_pieces_of_a_bar_are_the_operators_time() -> None:
    chip = page_data([reports.training()])["chips"][0]
    for bar in chip["operators"]:
        assert sum(piece["s"] for piece in bar["pieces"]) == pytest.approx(bar["s"])
    assert {piece["bound"] for piece in chip["operators"][0]["pieces"]} == {"matrix unit", "memory"}
    assert sum(bar["s"] for bar in chip["operators"]) == pytest.approx(sum(s.seconds for s in reports.training().by_operator))


def test_without_launches_a_bar_has_its_operators_one_bound() -> None:
    chip = page_data([replace(reports.training(), launches=())])["chips"][0]
    assert [piece["bound"] for piece in chip["operators"][0]["pieces"]] == ["matrix unit"]
    assert chip["timeline"] is None


def test_modules_hold_each_other_and_keep_the_sum() -> None:
    made = reports.training()
    tree = module_tree(made.by_module)

    def total(node: dict[str, object]) -> float:
        own, children = node["s"], node["children"]
        assert isinstance(own, float)
        assert isinstance(children, list)
        return own + sum(total(child) for child in children)

    assert total(tree) == pytest.approx(sum(s.seconds for s in made.by_module))
    transformer = next(child for child in tree["children"] if child["name"] == "transformer")
    assert "h.*" in [child["name"] for child in transformer["children"]]


def test_the_timeline_is_one_step_with_a_lane_for_the_cpu() -> None:
    line = page_data([reports.training()])["chips"][0]["timeline"]
    assert line["step"] in range(1, 5)
    assert line["lanes"] == ["stream 0", "CPU"]
    assert len(line["launches"]) == 396
    assert line["left_out"] == 0
    assert max(start + took for _, start, took, *_ in line["launches"]) <= line["us"] + 0.002


def test_a_long_curve_keeps_its_ends_and_its_peak() -> None:
    curve = [(i * 1e-3, (i * 7919) % 10007, 11000) for i in range(20_000)]
    found = thinned(curve)
    assert len(found) <= 1300
    assert max(point[1] for point in found) == max(point[1] for point in curve)
    assert found[0] == list(curve[0])
    assert found[-1] == list(curve[-1])
    assert found == sorted(found, key=lambda point: point[0])
