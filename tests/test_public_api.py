"""One door: everything public comes from ``windtunnel``, and opening the door loads nothing."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import windtunnel

HEAVY = ("torch", "numpy", "scipy", "pandas", "transformers")
ENVIRONMENT = {"PYTHONPATH": str(Path(windtunnel.__file__).parents[1]), "PATH": ""}


def loaded(statement: str) -> set[str]:
    """Modules that are loaded once a new interpreter has run ``statement``."""
    code = (
        f"import sys\ntry:\n    {statement}\nexcept SystemExit:\n    pass\nsys.stdout.flush()\nprint('\\nLOADED', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    return set(done.stdout.rpartition("LOADED")[2].split())


@pytest.mark.parametrize("name", windtunnel.__all__)
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(windtunnel, name) is not None


def test_the_names_that_the_documentation_uses_are_public() -> None:
    verbs = {"predict", "simulate", "plan", "train", "fleet", "validate", "fit", "chip", "model"}
    nouns = {"Deployment", "Load", "Targets", "Plan", "Prediction", "Estimate", "Evidence", "WindtunnelError"}
    assert verbs | nouns <= set(windtunnel.__all__)
    assert set(windtunnel.__all__) <= set(dir(windtunnel))


def test_every_expected_error_is_public() -> None:
    from windtunnel import errors

    tree = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.WindtunnelError)}
    assert tree <= set(windtunnel.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'predickt'"):
        _ = windtunnel.predickt  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "first", ["import windtunnel.plan.result", "from windtunnel.fit import *", "from windtunnel import plan, fit"]
)
def test_plan_and_fit_are_folders_and_verbs_whichever_way_they_were_imported(first: str) -> None:
    code = (
        f"{first}\nimport windtunnel\nassert callable(windtunnel.plan) and callable(windtunnel.fit)\n"
        "import windtunnel.plan.result as result\nassert result.Plan"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=ENVIRONMENT)


def test_a_verb_does_what_its_module_does(monkeypatch: pytest.MonkeyPatch) -> None:
    search = import_module("windtunnel.plan.search")
    monkeypatch.setattr(search, "plan", lambda *args, **kwargs: (args, kwargs))
    verb: Any = windtunnel.plan
    assert verb("m", on=["h20"]) == (("m",), {"on": ["h20"]})


def test_importing_the_package_loads_nothing_of_it() -> None:
    found = loaded("import windtunnel")
    assert not found & {*HEAVY, "click", "rich"}
    assert {name for name in found if name.startswith("windtunnel.")} == set()


def test_asking_for_a_prediction_class_does_not_load_the_extras() -> None:
    assert not loaded("from windtunnel import Deployment, Load, Targets, chip, model, predict, plan, fit, validate; plan") & {
        *HEAVY,
        "rich",
    }


def test_help_loads_neither_tables_nor_the_extras_nor_any_command() -> None:
    found = loaded("from windtunnel.cli.main import main; sys.argv = ['windtunnel', '--help']; main()")
    assert "click" in found
    assert not found & {*HEAVY, "rich"}
    ours = {name for name in found if name.startswith("windtunnel.")}
    assert ours == {"windtunnel.cli", "windtunnel.cli.main", "windtunnel.errors"}
