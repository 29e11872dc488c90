"""Try a PyTorch program, or an LLM deployment, on an AI accelerator before you have one.

Everything public is importable from here, and is loaded when it is first used, so that ``import windtunnel``
costs next to nothing:

    import windtunnel
    prediction = windtunnel.predict(windtunnel.Deployment("deepseek-ai/DeepSeek-R1", "h20", tp=16),
                                    windtunnel.Load(isl=4096, osl=1024, concurrency=64))

    with windtunnel.virtual("ascend-910b2") as chip:    # needs PyTorch
        ...                                             # a program on "npu"
    print(chip.report().step_s)

``windtunnel.plan`` and ``windtunnel.fit`` are folders and verbs at once: the folder, called, does what it is
there for (``windtunnel.plan(...)`` is ``windtunnel.plan.search.plan(...)``). ``windtunnel.fleet(...)`` says what to buy, and
gives a ``FleetPlan``; a ``Fleet`` is the instances that ``windtunnel.simulate`` sends requests through.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from windtunnel.catalog.chip import Chip as Chip
    from windtunnel.catalog.chip import chip as chip
    from windtunnel.catalog.chip import chips as chips
    from windtunnel.catalog.fact import Fact as Fact
    from windtunnel.catalog.model import ModelSpec as ModelSpec
    from windtunnel.catalog.models import model as model
    from windtunnel.catalog.models import models as models
    from windtunnel.catalog.system import System as System
    from windtunnel.catalog.system import system as system
    from windtunnel.catalog.system import systems as systems
    from windtunnel.errors import DoesNotFitError as DoesNotFitError
    from windtunnel.errors import EngineError as EngineError
    from windtunnel.errors import InfeasibleError as InfeasibleError
    from windtunnel.errors import InvalidInputError as InvalidInputError
    from windtunnel.errors import MissingFactError as MissingFactError
    from windtunnel.errors import ParallelismError as ParallelismError
    from windtunnel.errors import UnknownNameError as UnknownNameError
    from windtunnel.errors import UnsupportedError as UnsupportedError
    from windtunnel.errors import WindtunnelError as WindtunnelError
    from windtunnel.fit.fitting import FitReport as FitReport
    from windtunnel.fit.fitting import fit as fit
    from windtunnel.fit.validate import ValidationReport as ValidationReport
    from windtunnel.fit.validate import validate as validate
    from windtunnel.plan.fleets.fleet import fleet as fleet
    from windtunnel.plan.fleets.result import FleetPlan as FleetPlan
    from windtunnel.plan.result import Candidate as Candidate
    from windtunnel.plan.result import ChipPlan as ChipPlan
    from windtunnel.plan.result import Plan as Plan
    from windtunnel.plan.result import Targets as Targets
    from windtunnel.plan.search import plan as plan
    from windtunnel.plan.training.options import TrainingOptions as TrainingOptions
    from windtunnel.plan.training.result import Training as Training
    from windtunnel.plan.training.result import TrainingPlan as TrainingPlan
    from windtunnel.plan.training.search import FixedLayout as FixedLayout
    from windtunnel.plan.training.train import train as train
    from windtunnel.run.launch import run_program as run_program
    from windtunnel.run.record import RunReport as RunReport
    from windtunnel.run.virtual import VirtualChip as VirtualChip
    from windtunnel.run.virtual import virtual as virtual
    from windtunnel.sim.predict import predict as predict
    from windtunnel.sim.prediction import Deployment as Deployment
    from windtunnel.sim.prediction import Estimate as Estimate
    from windtunnel.sim.prediction import Evidence as Evidence
    from windtunnel.sim.prediction import Load as Load
    from windtunnel.sim.prediction import Prediction as Prediction
    from windtunnel.sim.serving.arrivals import AtRandom as AtRandom
    from windtunnel.sim.serving.arrivals import ClosedLoop as ClosedLoop
    from windtunnel.sim.serving.arrivals import Lengths as Lengths
    from windtunnel.sim.serving.arrivals import Listed as Listed
    from windtunnel.sim.serving.fleet import Fleet as Fleet
    from windtunnel.sim.serving.request import Request as Request
    from windtunnel.sim.serving.result import Result as Result
    from windtunnel.sim.serving.simulate import simulate as simulate
    from windtunnel.sim.serving.trace import read_trace as read_trace

__version__ = "0.1.0"

_HOME = {
    "windtunnel.catalog.chip": ("Chip", "chip", "chips"),
    "windtunnel.catalog.fact": ("Fact",),
    "windtunnel.catalog.model": ("ModelSpec",),
    "windtunnel.catalog.models": ("model", "models"),
    "windtunnel.catalog.system": ("System", "system", "systems"),
    "windtunnel.errors": (
        "DoesNotFitError",
        "EngineError",
        "InfeasibleError",
        "InvalidInputError",
        "MissingFactError",
        "ParallelismError",
        "UnknownNameError",
        "UnsupportedError",
        "WindtunnelError",
    ),
    "windtunnel.fit.fitting": ("FitReport",),
    "windtunnel.fit.validate": ("ValidationReport", "validate"),
    "windtunnel.plan.fleets.fleet": ("fleet",),
    "windtunnel.plan.fleets.result": ("FleetPlan",),
    "windtunnel.plan.result": ("Candidate", "ChipPlan", "Plan", "Targets"),
    "windtunnel.plan.training.options": ("TrainingOptions",),
    "windtunnel.plan.training.result": ("Training", "TrainingPlan"),
    "windtunnel.plan.training.search": ("FixedLayout",),
    "windtunnel.plan.training.train": ("train",),
    "windtunnel.run.launch": ("run_program",),
    "windtunnel.run.record": ("RunReport",),
    "windtunnel.run.virtual": ("VirtualChip", "virtual"),
    "windtunnel.sim.predict": ("predict",),
    "windtunnel.sim.prediction": ("Deployment", "Estimate", "Evidence", "Load", "Prediction"),
    "windtunnel.sim.serving.arrivals": ("AtRandom", "ClosedLoop", "Lengths", "Listed"),
    "windtunnel.sim.serving.fleet": ("Fleet",),
    "windtunnel.sim.serving.request": ("Request",),
    "windtunnel.sim.serving.result": ("Result",),
    "windtunnel.sim.serving.simulate": ("simulate",),
    "windtunnel.sim.serving.trace": ("read_trace",),
}
"""Module -> the public names that live there."""

_VERBS = {"windtunnel.fit": "windtunnel.fit.fitting", "windtunnel.plan": "windtunnel.plan.search"}
"""Folder that can be called -> the module that holds the function of the same name."""

_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = sorted([*_MODULE_OF, "__version__", "fit", "plan"])


class _Verb(ModuleType):
    """A folder that can be called."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name = self.__name__.rpartition(".")[2]
        return getattr(import_module(_VERBS[self.__name__]), name)(*args, **kwargs)


class _Package(ModuleType):
    """This package: the import system stores a submodule here by setattr, which is when a folder becomes a verb."""

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and value.__name__ in _VERBS:
            value.__class__ = _Verb
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


if not TYPE_CHECKING:  # a type checker reads the imports above, and tells a name that is not among them

    def __getattr__(name: str) -> Any:
        if name in _MODULE_OF:
            try:
                value = getattr(import_module(_MODULE_OF[name]), name)
            except ModuleNotFoundError as missing:
                if missing.name != "torch":
                    raise
                from windtunnel.errors import UnsupportedError

                told = f"windtunnel.{name} needs PyTorch; install it with: pip install 'windtunnel[run]'"
                raise UnsupportedError(told) from None
            globals()[name] = value
            return value
        if f"{__name__}.{name}" in _VERBS:
            return import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
