"""What is watched of a program on the CPU: which steps it has, which of them by operator, and that nothing of ours stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

from torch.utils._python_dispatch import _get_current_dispatch_mode_stack  # noqa: E402

from windtunnel.run.devices import Device, device_named  # noqa: E402
from windtunnel.run.observer import Observer  # noqa: E402
from windtunnel.run.script import StopProgram  # noqa: E402


def watched(program: Callable[[], None], limit: int | None = None) -> Observer:
    observer = Observer(device_named("cpu"), limit)
    try:
        with observer.watching():
            program()
    except StopProgram:
        pass
    return observer


def train(steps: int, *, forwards: int = 1) -> None:
    model = torch.nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        for _ in range(forwards):
            torch.nn.functional.mse_loss(model(torch.ones(3, 4)), torch.zeros(3, 2)).backward()
        optimizer.step()
        optimizer.zero_grad()


def infer(calls: int) -> None:
    model, loss = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.Linear(256, 64)), torch.nn.MSELoss()
    with torch.inference_mode():
        for _ in range(calls):
            loss(model(torch.ones(512, 64)), torch.zeros(512, 64))


def names(observer: Observer, step: int) -> list[str]:
    operators = observer.steps()[1][step].operators
    assert operators is not None
    return [one.call.name for one in operators]


def test_a_step_of_training_ends_with_the_optimizer_s() -> None:
    observer = watched(lambda: train(5, forwards=2))
    kind, steps = observer.steps()
    assert kind == "optimizer step"
    assert [span.operators is not None for span in steps] == [True, False, True, False, True]
    assert names(observer, 2).count("addmm") == 2
    assert all(span.seconds > 0 for span in steps)
    assert all(one.seconds > 0 for one in steps[2].operators or ())


def test_a_step_of_inference_is_a_call_of_the_module_that_takes_longest() -> None:
    kind, steps = watched(lambda: infer(4)).steps()
    assert kind == "forward"
    assert len(steps) == 4
    assert {span.key.split()[0] for span in steps} == {"Sequential"}
    assert [span.operators is not None for span in steps] == [True, False, True, False]


def test_operators_that_only_call_others_are_seen_as_those() -> None:
    assert names(watched(lambda: infer(1)), 0) == ["addmm", "addmm"]


def test_a_program_without_steps_is_one() -> None:
    observer = watched(lambda: torch.ones(3, 4).t().contiguous().sum())
    kind, steps = observer.steps()
    assert (kind, len(steps)) == ("program", 1)
    assert names(observer, 0) == ["ones", "clone", "sum"]  # a transposition moves nothing


@pytest.mark.parametrize("program", [train, infer])
def test_steps_are_limited(program: Callable[[int], None]) -> None:
    assert len(watched(lambda: program(1000), limit=3).steps()[1]) == 3


def test_accumulating_gradients_is_no_step() -> None:
    assert len(watched(lambda: train(10, forwards=4), limit=2).optimizer_steps) == 2


def test_nothing_of_ours_stays() -> None:
    made = torch.optim.Optimizer.__init__
    watched(lambda: train(2))
    with pytest.raises(ZeroDivisionError), Observer(device_named("cpu")).watching():
        _ = 1 / 0
    assert torch.optim.Optimizer.__init__ is made
    assert _get_current_dispatch_mode_stack() == []
    assert not torch.nn.modules.module._global_forward_hooks
    assert not torch.nn.modules.module._global_forward_pre_hooks


def test_a_program_s_own_modes_are_left_alone() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    totals = []

    def program() -> None:
        with FlopCounterMode(display=False) as counter:
            train(4)
        totals.append(counter.get_total_flops())

    observer = watched(program)
    with FlopCounterMode(display=False) as plain:
        train(4)
    assert totals == [plain.get_total_flops()]
    assert len(observer.optimizer_steps) == 4


class Clockwork:
    """An accelerator's module whose events stand a millisecond apart, and can be read only once it was waited for."""

    def __init__(self) -> None:
        self.ticks, self.waits, self.spun = 0, 0, 0
        clockwork = self

        class Event:
            def __init__(self, enable_timing: bool) -> None:
                assert enable_timing

            def record(self) -> None:
                clockwork.ticks += 1
                self.at, self.before = clockwork.ticks, clockwork.waits

            def elapsed_time(self, end: Any) -> float:
                assert clockwork.waits > end.before, "read before the device was waited for"
                return float(end.at - self.at)

        self.Event = Event

    def synchronize(self) -> None:
        self.waits += 1

    def _sleep(self, cycles: int) -> None:
        self.spun += cycles > 0


def test_operators_of_a_device_that_runs_ahead_are_timed_by_events_read_at_the_end() -> None:
    module = Clockwork()
    observer = Observer(Device("cuda", 0, "made up", module))
    with observer.watching():
        train(5)
    _, steps = observer.steps()
    assert [span.operators is not None for span in steps] == [True, False, True, False, True]
    assert {one.seconds for span in steps for one in span.operators or ()} == {1e-3}
    assert module.spun == 2  # before the third and the fifth step the host gets a head start


@pytest.mark.device
def test_operators_of_an_accelerator_are_timed_by_its_events() -> None:
    from windtunnel.run.devices import present

    if len(present()) < 2:
        pytest.skip("no accelerator in this machine")
    device = device_named(present()[1])

    def program() -> None:
        model = torch.nn.Linear(256, 256).to(device.torch_name)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(4):
            model(torch.ones(64, 256, device=device.torch_name)).sum().backward()
            optimizer.step()

    observer = Observer(device)
    with observer.watching():
        program()
    operators = observer.steps()[1][2].operators
    assert operators
    assert all(0 <= one.seconds < 1 for one in operators)
