"""How a run can be trained on each chip: as many replicas as are done by its deadline, failures counted, by ``plan.training``."""

from __future__ import annotations

from windtunnel.errors import WindtunnelError
from windtunnel.plan.fleets.spec import TrainingSpec
from windtunnel.plan.fleets.ways import Found, FoundRun
from windtunnel.plan.training.options import TrainingOptions
from windtunnel.plan.training.train import DAY, train


def run_on(spec: TrainingSpec, on: str, days: float) -> Found:
    """The run on one chip or system, as small as is done in ``days``."""
    asked = f"{on}:{spec.most_chips}" if spec.most_chips else on
    options = TrainingOptions(length=spec.sequence, batch_tokens=spec.batch_tokens or 0.0, precision=spec.precision or "")
    try:
        plan = train(spec.model, [asked], spec.tokens, days=days, options=options)
    except WindtunnelError as cannot:
        return Found(refused={on: str(cannot)})
    found = plan.chips[0]
    if found.training is None:
        return Found(refused={on: found.why_not})
    run = found.training
    layout = run.step.layout
    unit = run.chips // layout.dp
    rate = spec.tokens / (run.days.value * DAY) / layout.dp
    way = FoundRun(
        on, unit, rate, run.chips, run.mfu, run.failures.goodput, layout.text, run.tokens_per_s_per_chip.evidence.name.lower()
    )  # fmt: skip
    return Found(runs=(way,), notes=plan.notes)
