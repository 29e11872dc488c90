"""``windtunnel run``: what is passed through, what is printed where, which errors are one line, whose exit status comes back."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.run import reports
from windtunnel.cli.main import run
from windtunnel.errors import MissingFactError
from windtunnel.run.record import RunReport


@dataclass
class Launched:
    """The programs that were asked for, and what each chip answers."""

    asked: list[tuple[str, tuple[str, ...], dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, RunReport] = field(default_factory=dict)
    output: str = ""

    def program(self, script: str, args: tuple[str, ...], **options: Any) -> RunReport:
        self.asked.append((script, tuple(args), options))
        if self.output:  # as a process of its own writes: to the descriptor, past sys.stdout
            os.write(1, self.output.encode())
        name = options["on"].partition(":")[0]
        if name not in self.answers:
            raise MissingFactError(name, "memory_bytes_per_s")
        return self.answers[name]


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Launched:
    found = Launched(
        answers={"ascend-910b2": reports.training(), "h100-sxm": reports.training_on("h100-sxm", 0.34, 989.4e12, 2**36)}
    )
    module = types.ModuleType("windtunnel.run.launch")
    module.run_program = found.program  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text("print('hello')\n")
    return found


def test_everything_behind_the_script_is_the_scripts_own(launched: Launched) -> None:
    argv = [
        "run",
        "--on",
        "ascend-910b2:8",
        "--steps",
        "3",
        "--clock",
        "virtual",
        "train.py",
        "--on=x",
        "--json",
        "--",
        "-m",
        "--help",
    ]
    assert run(argv) == 0
    script, args, options = launched.asked[0]
    assert (script, args) == ("train.py", ("--on=x", "--json", "--", "-m", "--help"))
    assert options == {
        "on": "ascend-910b2:8", "module": False, "steps": 3, "values": False, "clock": "virtual", "graph": False,
        "keep_launches": False,
        "limit_memory": True,
        "chip": None,
        "parameters": None,
        "served": False,
    }  # fmt: skip


def test_a_module_is_named_after_m(launched: Launched) -> None:
    Path("pack").mkdir()
    Path("pack/__init__.py").write_text("raise SystemExit('a check must not run it')\n")
    assert run(["run", "--on", "ascend-910b2", "--values", "--graph", "-m", "pack.train", "--lr", "1"]) == 0
    script, args, options = launched.asked[0]
    assert (script, args) == ("pack.train", ("--lr", "1"))
    assert options["module"]
    assert options["values"]
    assert options["graph"]


def test_the_programs_output_comes_first_and_untouched(launched: Launched, capfd: pytest.CaptureFixture[str]) -> None:
    launched.output = "step 0: loss 10.99\n"
    assert run(["run", "--on", "ascend-910b2", "train.py"]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("step 0: loss 10.99\n")
    assert "runs there" in out
    assert err == ""


def test_with_json_the_object_is_alone_on_standard_output(launched: Launched, capfd: pytest.CaptureFixture[str]) -> None:
    launched.output = "step 0: loss 10.99\n"
    assert run(["run", "--on", "ascend-910b2", "--json", "train.py"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["chip"] == "ascend-910b2"
    assert err == "step 0: loss 10.99\n"


def test_several_chips_side_by_side(launched: Launched, capfd: pytest.CaptureFixture[str]) -> None:
    argv = ["run", "--on", "ascend-910b2", "--on", "h100-sxm,ascend-910b2"]
    assert run([*argv, "train.py"]) == 0
    assert [options["on"] for _, _, options in launched.asked] == ["ascend-910b2", "h100-sxm"]
    out = capfd.readouterr().out
    assert "2 chips side by side" in out
    assert "2.55x" in out
    assert "Modules" not in out
    assert run([*argv, "--detail", "train.py"]) == 0
    assert "Modules" in capfd.readouterr().out
    assert run([*argv, "--json", "train.py"]) == 0
    assert [one["chip"] for one in json.loads(capfd.readouterr().out)["runs"]] == ["ascend-910b2", "h100-sxm"]


def test_a_chip_that_cannot_be_tried_does_not_stop_the_others(launched: Launched, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "--on", "br106", "--on", "h100-sxm", "train.py"]) == 2
    out = capfd.readouterr().out
    assert "Not tried" in out
    assert "- br106: not known: memory_bytes_per_s of br106" in out
    assert run(["run", "--on", "br106", "train.py"]) == 2
    assert capfd.readouterr() == ("", "windtunnel: not known: memory_bytes_per_s of br106\n")


@pytest.mark.parametrize(("own", "status"), [(0, 0), (1, 1), (3, 3), (-9, 137)])
def test_the_exit_status_is_the_programs(own: int, status: int, launched: Launched) -> None:
    launched.answers["ascend-910b2"] = replace(reports.training(), exit_status=own)
    assert run(["run", "--on", "ascend-910b2", "train.py"]) == status


def test_an_interrupt_shows_what_is_there_and_begins_no_further_chip(
    launched: Launched, capfd: pytest.CaptureFixture[str]
) -> None:
    launched.answers["ascend-910b2"] = replace(reports.training(), status="stopped", exit_status=130)
    assert run(["run", "--on", "ascend-910b2", "--on", "h100-sxm", "train.py"]) == 130
    assert len(launched.asked) == 1
    assert "until it was stopped after 5 steps" in capfd.readouterr().out


def test_files_are_written_and_said(launched: Launched, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "--on", "ascend-910b2", "--trace", "t.json", "--html", "r.html", "train.py"]) == 0
    assert launched.asked[0][2]["keep_launches"]
    assert capfd.readouterr().err == "wrote r.html\nwrote t.json\n"
    assert json.loads(Path("t.json").read_text())["traceEvents"]
    assert "ascend-910b2" in Path("r.html").read_text()


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["--on", "h20", "trian.py"], "SCRIPT: there is no file trian.py; nearest: train.py"),
        (["--on", "h20", "folder"], "SCRIPT: folder is a folder; name a script in it, or a module after -m"),
        (["--on", "h20", "python", "train.py"], "SCRIPT: leave out 'python': name the script itself"),
        (["--on", "h20", "-m", "no_such_module.train"], "-m: there is no module no_such_module.train"),
        (["--on", "h200", "train.py", "--html"], None),
        (["--on", "ascend-910b9", "train.py"], "unknown chip or system 'ascend-910b9'; nearest: ascend-910b"),
        (["--on", "cudaa", "train.py"], "unknown chip or system 'cudaa'; nearest: cuda"),
        (["--on", "mine.toml", "train.py"], "--on: there is no file mine.toml"),
        (["--on", "h20:0", "train.py"], "--on: 0 chips; it must be from 1"),
        (["--on", "h20", "--steps", "0", "train.py"], "--steps: 0 steps; it must be from 1"),
        (["--on", "h20", "--html", "none/r.html", "train.py"], "--html: there is no folder"),
        (["--on", "h20", "--trace", "folder", "train.py"], "--trace: folder is a folder"),
        (["--on", "h20"], "run: missing argument 'SCRIPT'"),
        (["--on", "h20", "--stepz", "3", "train.py"], "run: no option '--stepz'; nearest: --steps"),
        (["train.py"], "run: missing option '--on'"),
    ],
)
def test_mistakes_are_one_line_before_anything_runs(
    argv: list[str], complaint: str | None, launched: Launched, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("folder").mkdir()
    if complaint is None:  # what looks like our option behind the script is the script's
        launched.answers["h200"] = reports.inference()
        assert run(["run", *argv]) == 0
        return
    assert run(["run", *argv]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"windtunnel: {complaint}")
    assert err.count("\n") == 1
    assert not launched.asked


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "npu", "cpu", "cloudmatrix-384", "910b", "H20:8"])
def test_devices_systems_and_aliases_are_places_to_run(name: str, launched: Launched) -> None:
    launched.answers = dict.fromkeys([name.partition(":")[0], name.partition(":")[0].lower()], reports.measured())
    assert run(["run", "--on", name, "train.py"]) == 0
    assert launched.asked[0][2]["on"].lower() == name.lower()


def test_without_pytorch_one_line_says_how_to_get_it(
    launched: Launched, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    find: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "torch" else find(name, *rest))
    assert run(["run", "--on", "h20", "train.py"]) == 2
    assert capfd.readouterr() == ("", "windtunnel: run needs PyTorch; install it with: pip install 'windtunnel[run]'\n")


def test_mistakes_and_help_do_not_wait_for_pytorch(tmp_path: Path) -> None:
    src = Path(reports.__file__).parents[2] / "src"
    code = "import sys; from windtunnel.cli.main import run; run(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    for argv in (["run", "--help"], ["run", "--on", "h21", "train.py"], ["run", "--on", "h20", "none.py"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *argv],
            env={**os.environ, "PYTHONPATH": str(src)},
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
