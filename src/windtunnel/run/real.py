"""Runs a program on a device that this machine has, measures it, and sets the prediction beside the measurement."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from windtunnel.catalog.chip import chip as chip_named
from windtunnel.catalog.chip import chips
from windtunnel.cost.evidence import Evidence
from windtunnel.cost.model import CostModel
from windtunnel.errors import WindtunnelError
from windtunnel.run.compare import Prediction, compare
from windtunnel.run.devices import Device, chip_of, device_named
from windtunnel.run.observer import Observer
from windtunnel.run.record import Measured, MemoryReport, RunReport, StepTime
from windtunnel.run.script import Ended, check_script, run_script

COMPILED = "torch.compile: steps timed as a whole ran compiled; operators were measured, and priced, as eager ones"
MOST_MISSING = 3
"""Reasons for what was not priced that the notes name."""


def run_real(
    script: str, args: Sequence[str] = (), *, device: str, module: bool = False, steps: int | None = None,
    chip: str | None = None, parameters: Mapping[str, Any] | None = None,
) -> RunReport:  # fmt: skip
    """Runs a script on ``device`` (``cuda``, ``cpu``, ``npu:1`` ...) in this process; its output and traceback are its own.

    The report's ``measured`` holds what the device took; all its other times are the prediction's, for the same operators.
    module: ``script`` names a module, as for ``python -m``. steps: end it after so many. chip: whose prediction is set beside
    the measurement, a name of the catalogue or a TOML file; without it, the chip that the device says it is. parameters:
    tables of a parameter file for that chip. Raises UnsupportedError where there is no such device, UnknownNameError and
    InvalidInputError for a script or a chip that cannot be had; what the program itself raises is in the report.
    """
    on = device_named(device)
    check_script(script, module=module)
    model = _model(on, chip, parameters)
    observer = Observer(on, steps)
    peak = on.reset_peak()
    with observer.watching():
        ended = run_script(script, args, module=module)
    if ended.traceback:
        sys.stderr.write(ended.traceback)
    return report_of(observer, ended, model, program=script, peak=peak())


def _model(on: Device, name: str | None, parameters: Mapping[str, Any] | None) -> CostModel | None:
    """The cost model of the chip that is meant, or that the device says it is; None where the catalogue has none."""
    if name is None:
        found = chip_of(on.name)
        return None if found is None else CostModel(found, own=parameters)
    package = chip_named(name)
    one = package if package.devices < 2 else next((c for c in chips() if c.part_of == package.id), package)
    return CostModel(one, own=parameters)


def report_of(observer: Observer, ended: Ended, model: CostModel | None, *, program: str, peak: int | None) -> RunReport:
    """The measurement of a program that has ended, beside the prediction for the operators that it ran."""
    kind, spans = observer.steps()
    # the first step warms up: caches, allocators, kernels that are chosen by trying
    whole = [s.seconds for s in spans[1:] if s.operators is None] or [s.seconds - s.own_s for s in spans]
    detailed = [s.operators for s in spans if s.operators is not None]
    detailed = detailed[1:] or detailed
    compared, told = compare(detailed, model)
    compiled = [COMPILED] if _compiled() else []
    notes = [
        *compiled,
        *_about_measuring(kind, [s.operators is None for s in spans], detailed),
        *_about_prediction(observer, model, told),
    ]
    measured = Measured(
        observer.device.name,
        model.chip.id if model is not None else "",
        len(whole),
        statistics.median(whole) if whole else 0.0,
        sum(o.measured_s for o in compared) if compared else None,
        peak,
        compared,
        observer.device.software,
        tuple(notes),
    )
    return _report(ended, kind, len(spans), measured, told, model, program, observer.device)


def _report(
    ended: Ended, kind: str, ran: int, measured: Measured, told: Prediction | None, model: CostModel | None, program: str,
    on: Device,
) -> RunReport:  # fmt: skip
    """ran: steps that there were, all of which the prediction takes to be alike."""
    predicted = told or Prediction(0.0, 0.0, Evidence.DATASHEET, 0.0, "", (), (), ())
    width, took = math.exp(predicted.spread), predicted.seconds
    top = _peak_of(model, predicted.dtype)
    memory = on.memory() or 0
    return RunReport(
        program=program,
        chip=measured.chip,
        device=on.kind,
        ranks=1,
        status=ended.status,
        step_kind=kind,
        steps=tuple(StepTime(i * took, (i + 1) * took, took, 0.0) for i in range(ran)),
        step_s=took,
        interval_s=(took / width, took * width),
        evidence=predicted.evidence,
        flops_per_step=predicted.flops,
        peak_flops_per_s=top,
        dtype=predicted.dtype,
        mfu=predicted.flops / (took * top) if top and took else 0.0,
        by_operator=predicted.by_operator,
        by_module=(),
        by_line=(),
        by_bound=predicted.by_bound,
        memory=MemoryReport(memory, measured.peak or 0, measured.peak or 0, 0.0, (), ()),
        support=(),
        support_source="the device itself ran it",
        stand_ins=(),
        failure=ended.failure,
        exit_status=ended.exit_status,
        operators=round(sum(o.calls for o in measured.operators)),
        measured=measured,
    )


def _peak_of(model: CostModel | None, dtype: str) -> float:
    """The matrix unit's FLOP/s in the type of most of the work, 0 where that is not known."""
    try:
        return model.machine(model.running(dtype)).flops_per_s if model is not None and dtype else 0.0
    except WindtunnelError:
        return 0.0


def _about_measuring(kind: str, undisturbed: Sequence[bool], detailed: Sequence[object]) -> list[str]:
    """How the times were had."""
    if not undisturbed or kind == "program":
        return ["no optimizer stepped and no module was called: the whole program is one step, measured operator by operator"]
    if len(undisturbed) == 1:
        return ["one step only: its time includes what the first step alone does, less what measuring cost"]
    alone = sum(undisturbed)
    return [f"{alone} step(s) timed as a whole, undisturbed; {len(detailed)} other(s) measured operator by operator"]


def _compiled() -> bool:
    """Whether torch.compile made anything of the program."""
    dynamo = sys.modules.get("torch._dynamo.utils")
    return dynamo is not None and bool(dynamo.counters["stats"].get("unique_graphs"))


def _about_prediction(observer: Observer, model: CostModel | None, told: Prediction | None) -> list[str]:
    """What the prediction lacks."""
    if model is None or told is None:
        kind = observer.device.kind
        return [
            f"not known: the catalogue has no chip called '{observer.device.name}', so nothing is predicted; "
            f"`windtunnel measure --on {kind}` describes this one, or name a chip with --as"
        ]
    notes = [f"not priced, {seconds * 1e3:.3g} ms a step: {why}" for why, seconds in told.missing[:MOST_MISSING]]
    if not observer.device.asynchronous:
        return notes
    return [*notes, "the prediction is of the device's own time, one operator after the other; waits for the host come on top"]
