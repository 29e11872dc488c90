from __future__ import annotations

import pytest
import torch


def test_an_event_pair_measures_the_kernels_between_on_the_virtual_clock(on) -> None:  # type: ignore[no-untyped-def]
    x = torch.randn(4096, 4096, device=on.name)
    start, end = on.module.Event(enable_timing=True), on.module.Event(enable_timing=True)
    on.module.synchronize()
    start.record()
    busy = on.chip.machine.timeline.busy_s
    for _ in range(10):
        x @ x
    end.record()
    end.synchronize()
    kernels = on.chip.machine.timeline.busy_s - busy
    # ten products are far longer than what the host takes to launch them: only the first launch shows
    assert start.elapsed_time(end) == pytest.approx(kernels * 1e3, rel=0.01)


def test_streams_run_side_by_side_and_wait_for_each_other(on) -> None:  # type: ignore[no-untyped-def]
    x = torch.randn(4096, 4096, device=on.name)
    timeline = on.chip.machine.timeline
    on.module.synchronize()
    begun = timeline.host_s
    one, two = on.module.Stream(), on.module.Stream(priority=-1)
    with on.module.stream(one):
        assert on.module.current_stream() == one
        x @ x
    with two:
        y = x @ x
        y.record_stream(one)
    product = timeline.ends[one.stream_id] - begun
    on.module.synchronize()
    assert timeline.host_s - begun < 1.2 * product
    begun = timeline.host_s
    with on.module.stream(one):
        x @ x
    two.wait_stream(one)
    with on.module.stream(two):
        x @ x
    on.module.current_stream().wait_stream(two)
    end = on.module.current_stream().record_event()
    end.synchronize()
    assert timeline.host_s - begun == pytest.approx(2 * product, rel=0.1)
    assert isinstance(one, torch.Stream)
    assert isinstance(end, torch.Event)
    assert one.query()


def test_a_loop_that_asks_an_event_comes_to_an_end(on) -> None:  # type: ignore[no-untyped-def]
    x = torch.randn(2048, 2048, device=on.name)
    x @ x
    event = torch.Event(device=on.name)
    event.record()
    asked = 0
    while not event.query():
        asked += 1
    assert asked > 0


def test_what_an_event_cannot_tell(on) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="enable_timing"):
        on.module.Event().elapsed_time(on.module.Event())
    with pytest.raises(ValueError, match="must be recorded"):
        on.module.Event(enable_timing=True).elapsed_time(on.module.Event(enable_timing=True))


def test_streams_come_from_a_pool_of_32(on) -> None:  # type: ignore[no-untyped-def]
    assert len({on.module.Stream().stream_id for _ in range(100)}) == 32


def test_a_graph_launches_what_it_captured_each_time_that_it_is_replayed(on) -> None:  # type: ignore[no-untyped-def]
    x = torch.randn(1024, 1024, device=on.name)
    machine = on.chip.machine
    graph = on.module.CUDAGraph()
    on.module.synchronize()
    before = machine.timeline.busy_s
    with on.module.graph(graph):
        y = x @ x
        y = y @ x
    assert machine.timeline.busy_s == before
    graph.replay()
    one = machine.timeline.busy_s - before
    graph.replay()
    assert one > 0
    assert machine.timeline.busy_s - before == pytest.approx(2 * one)
    with pytest.raises(RuntimeError, match="without a preceding successful capture"):
        on.module.CUDAGraph().replay()


def test_graphed_callables_give_gradients(on) -> None:  # type: ignore[no-untyped-def]
    layer = torch.nn.Linear(8, 8).to(on.name)
    graphed = on.module.make_graphed_callables(layer, (torch.randn(4, 8, device=on.name),))
    graphed(torch.randn(4, 8, device=on.name)).sum().backward()
    assert layer.weight.grad is not None
