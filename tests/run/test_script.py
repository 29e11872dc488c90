"""A script run in this process: its arguments, its folder, its exit status, its traceback."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from windtunnel.errors import InvalidInputError, UnknownNameError
from windtunnel.run.script import StopProgram, run_script


def script(folder: Path, text: str, name: str = "train.py") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_script_finds_its_arguments_its_name_and_its_neighbours(tmp_path: Path) -> None:
    script(tmp_path, "size = 3\n", "config_of_mine.py")
    main = script(
        tmp_path,
        "import sys, config_of_mine, pathlib\n"
        "assert __name__ == '__main__' and config_of_mine.size == 3\n"
        "pathlib.Path(__file__).with_name('said').write_text(' '.join(sys.argv[1:]))\n",
    )
    before = (list(sys.argv), list(sys.path), sys.modules["__main__"])
    assert run_script(main, ["--lr", "1e-3"]).status == "finished"
    assert (tmp_path / "said").read_text() == "--lr 1e-3"
    assert before == (sys.argv, sys.path, sys.modules["__main__"])


@pytest.mark.parametrize(
    ("text", "status", "exit_status"),
    [
        ("pass", "finished", 0),
        ("raise SystemExit", "finished", 0),
        ("import sys; sys.exit(0)", "finished", 0),
        ("import sys; sys.exit(3)", "failed", 3),
        ("import sys; sys.exit('no data')", "failed", 1),
        ("raise ValueError('seven')", "failed", 1),
        ("raise KeyboardInterrupt", "stopped", 0),
        ("def f(:", "failed", 1),
    ],
)
def test_a_program_ends_as_it_ends(tmp_path: Path, text: str, status: str, exit_status: int) -> None:
    ended = run_script(script(tmp_path, text))
    assert (ended.status, ended.exit_status) == (status, exit_status)


def test_a_text_of_exit_is_for_the_user(tmp_path: Path) -> None:
    assert run_script(script(tmp_path, "import sys; sys.exit('no data')")).traceback == "no data\n"


def test_the_traceback_is_the_script_s_own(tmp_path: Path) -> None:
    main = script(tmp_path, "def f():\n    return 1 / 0\nf()\n")
    ended = run_script(main)
    assert ended.traceback.splitlines()[0] == "Traceback (most recent call last):"
    assert ended.traceback.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert "runpy" not in ended.traceback
    assert "windtunnel" not in ended.traceback
    assert ended.failure is not None
    assert ended.failure.site is not None
    assert (ended.failure.error, ended.failure.site.line, ended.failure.site.function) == ("ZeroDivisionError", 2, "f")


def test_no_handler_for_exceptions_keeps_a_program_from_being_stopped(tmp_path: Path) -> None:
    main = script(
        tmp_path,
        "from windtunnel.run.script import StopProgram\n"
        "try:\n    raise StopProgram\nexcept Exception:\n    raise ValueError('caught')\n",
    )
    assert run_script(main).status == "stopped"
    assert not issubclass(StopProgram, Exception)


def test_modules_run_as_python_m_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, "import sys\nassert sys.argv[1:] == ['x']\nsys.exit(5)\n", "module_of_mine.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert run_script("module_of_mine", ["x"], module=True).exit_status == 5


def test_a_missing_script_names_the_nearest(tmp_path: Path) -> None:
    script(tmp_path, "")
    with pytest.raises(UnknownNameError, match=r"unknown script '.*tarin\.py'; nearest: .*train\.py"):
        run_script(str(tmp_path / "tarin.py"))
    with pytest.raises(InvalidInputError, match="is a folder without a __main__"):
        run_script(str(tmp_path))
