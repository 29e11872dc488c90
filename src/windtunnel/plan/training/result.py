"""What a training run is told to be: for every chip the fastest layout, how long, how dear, or why not."""

from __future__ import annotations

from dataclasses import dataclass

from windtunnel.cost.evidence import Estimate
from windtunnel.plan.training.failures import Failures
from windtunnel.plan.training.step import Step
from windtunnel.rules.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Training:
    """One run on one kind of chip; framework: the id of its training loop; precision: the type of its products.

    tokens_per_s_per_chip: while steps run; days, chip_hours, usd and energy_kwh: of the whole run with its failures. mfu:
    needed FLOPs over the chip's 16-bit peak; mfu_own: over the peak of the type that the products run in; hfu: all
    executed FLOPs over the 16-bit peak. usd, energy_kwh: None where no source gives the price or the power.
    """

    chips: int
    framework: str
    precision: str
    step: Step
    tokens_per_s_per_chip: Estimate
    mfu: float
    mfu_own: float
    hfu: float
    days: Estimate
    chip_hours: Estimate
    failures: Failures
    usd: Estimate | None
    energy_kwh: float | None
    price_basis: str = ""
    searched: int = 0
    naive_days: float = 0.0


@dataclass(frozen=True, slots=True)
class ChipTraining:
    """One chip or system: the run, or one line on why not."""

    name: str
    training: Training | None
    why_not: str = ""
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """The answer to one question, in the order in which the chips were asked for.

    length: tokens of a sequence; batch: sequences of a step, about. days: the target, 0 for none.
    """

    model: str
    tokens: float
    length: int
    batch: int
    precision: str
    optimizer: str
    chips: tuple[ChipTraining, ...]
    days: float = 0.0
    notes: tuple[str, ...] = ()
    to: str = ""
    date: str = ""

    @property
    def ranked(self) -> list[ChipTraining]:
        """Cheapest first, those without a price after them; where no price is known, the fastest first."""

        def cost(each: ChipTraining) -> tuple[bool, float, float]:
            run = each.training
            assert run is not None
            return run.usd is None, run.usd.value if run.usd else 0.0, run.days.value

        return sorted((c for c in self.chips if c.training is not None), key=cost)
