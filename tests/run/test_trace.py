"""The trace: JSON by the rules of the Trace Event Format, complete, nested, and written whole or not at all."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.run import reports
from windtunnel.cost.evidence import Evidence
from windtunnel.errors import InvalidInputError
from windtunnel.run.record import Launch, RunReport
from windtunnel.run.trace import trace_text, write_trace

Event = dict[str, Any]
BASE = reports.inference()


def read(made: RunReport | Sequence[RunReport]) -> list[Event]:
    text = "".join(trace_text(made))
    found = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert found["displayTimeUnit"] in ("ms", "ns")
    events: list[Event] = found["traceEvents"]
    return events


def hold(events: Sequence[Event]) -> None:
    """What Perfetto's importer asks of a trace."""
    named: set[tuple[int, int]] = set()
    last = 0.0
    threads: dict[tuple[int, int], list[Event]] = defaultdict(list)
    for event in events:
        assert event["ph"] in "XCMi"
        assert isinstance(event["pid"], int)
        assert isinstance(event["name"], str)
        if event["ph"] == "M":
            assert last == 0.0, "names come first"
            named.add((event["pid"], event.get("tid", 0)))
            continue
        assert event["ts"] >= last, "sorted"
        assert math.isfinite(event["ts"])
        last = event["ts"]
        if event["ph"] == "C":
            assert all(isinstance(v, int | float) for v in event["args"].values())
        else:
            assert (event["pid"], event["tid"]) in named
        if event["ph"] == "i":
            assert event["s"] in ("g", "p", "t")
        if event["ph"] == "X":
            assert event["dur"] >= 0
            threads[event["pid"], event["tid"]].append(event)
    for mine in threads.values():
        open_until: list[int] = []
        for event in mine:
            start, end = round(event["ts"] * 1e3), round((event["ts"] + event["dur"]) * 1e3)
            while open_until and open_until[-1] <= start:
                open_until.pop()
            assert not open_until or end <= open_until[-1], f"{event['name']} sticks out of what holds it"
            open_until.append(end)


@pytest.mark.parametrize("made", [reports.training(), reports.inference(), reports.out_of_memory()], ids=lambda r: r.chip)
def test_a_trace_keeps_the_rules(made: RunReport) -> None:
    hold(read(made))


def test_every_launch_is_there_with_what_is_known_of_it() -> None:
    made = reports.training()
    events = read(made)
    launches = [event for event in events if event["ph"] == "X" and event.get("cat") in ("forward", "backward", "optimizer")]
    assert len(launches) == len(made.launches)
    assert sum(event["dur"] for event in launches) / 1e6 == pytest.approx(sum(x.seconds for x in made.launches), rel=1e-4)
    first = next(event for event in launches if event["name"] == "addmm")
    assert first["args"]["op"] == "aten.addmm.default"
    assert first["args"]["site"].endswith("train.py:20")
    assert first["args"]["bound"] == "matrix unit"
    assert first["args"]["evidence"] == "fitted"
    assert first["args"]["flops"] > 0 < first["args"]["bytes"]


def test_what_falls_back_runs_in_the_hosts_process() -> None:
    events = read(reports.training())
    names = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert names == {1: "ascend-910b2 (virtual)", 2: "host"}
    where = {event["name"]: event["pid"] for event in events if event.get("cat") == "optimizer"}
    assert where == {"_foreach_norm.Scalar": 2, "histc": 2, "_fused_adamw_": 1}


def test_steps_are_marked_and_memory_is_counted() -> None:
    made = reports.training()
    events = read(made)
    marks = [event["ts"] for event in events if event["ph"] == "i"]
    assert marks == pytest.approx([step.start_s * 1e6 for step in made.steps], abs=1e-3)
    counters = [event["args"] for event in events if event["ph"] == "C"]
    assert len(counters) == len(made.memory.curve)
    assert max(args["allocated"] for args in counters) == made.memory.peak


def test_modules_hold_each_other() -> None:
    events = [event for event in read(reports.inference()) if event.get("cat") == "module"]
    outer = [event for event in events if event["name"] == "transformer"]
    inner = [event for event in events if event["name"] == "mlp"]
    assert len(outer) == 4
    assert len(inner) == 4 * 12
    for event in inner:
        assert any(o["ts"] <= event["ts"] and event["ts"] + event["dur"] <= o["ts"] + o["dur"] + 1e-6 for o in outer)


def test_several_chips_are_several_processes() -> None:
    made = [reports.training(), reports.inference()]
    events = read(made)
    hold(events)
    names = [event["args"]["name"] for event in events if event["name"] == "process_name"]
    assert names == ["ascend-910b2 (virtual)", "host of ascend-910b2", "h100-sxm (virtual)", "host of h100-sxm"]


durations = st.floats(0, 1e-2, allow_subnormal=False)
modules = st.sampled_from(["", "a", "a.b", "a.b.c", "a.d", "e"])


@given(
    st.lists(st.tuples(durations, durations, modules, st.sampled_from(["forward", "backward"]), st.integers(0, 1)), max_size=30)
)
def test_any_launches_keep_the_rules(made: list[tuple[float, float, str, Any, int]]) -> None:
    ends = [0.0, 0.0]
    launches = []
    for wait, took, module, phase, stream in made:
        start = ends[stream] + wait
        ends[stream] = start + took
        launches.append(
            Launch(
                "aten.x.default", "x", module, None, phase, 0, stream, start, ends[stream], wait, "start", 0, 0, Evidence.FITTED
            )
        )
    hold(read(replace(BASE, launches=tuple(launches))))


def test_a_trace_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "trace.json"
    write_trace(reports.inference(), target)
    assert json.loads(target.read_text())["traceEvents"]
    assert [p.name for p in tmp_path.iterdir()] == ["trace.json"]
    with pytest.raises(InvalidInputError, match="cannot write"):
        write_trace(reports.inference(), tmp_path / "none" / "trace.json")
    broken = replace(reports.inference(), launches=(None,))  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        write_trace(broken, target)
    assert json.loads(target.read_text())["traceEvents"]
    assert [p.name for p in tmp_path.iterdir()] == ["trace.json"]
