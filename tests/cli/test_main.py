"""The shell around the commands: what is printed where, and the exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import click
import pytest

import windtunnel
from windtunnel.cli import main
from windtunnel.errors import MissingFactError

SRC = Path(windtunnel.__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SRC)}

Installer = Callable[[str, Callable[[], None]], None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Installer:
    """Puts a command of the test's own in place of one of the program's."""

    def put(name: str, body: Callable[[], None]) -> None:
        module = types.ModuleType(f"windtunnel.cli.{name}")
        setattr(module, name, click.command()(body))
        monkeypatch.setitem(sys.modules, module.__name__, module)

    return put


def test_help_lists_every_command_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0
    printed = capsys.readouterr().out
    for name, line in main.COMMANDS.items():
        assert f"{name} " in printed
        assert line in printed


@pytest.mark.parametrize("name", main.COMMANDS)
def test_each_command_says_of_itself_what_the_list_says(name: str) -> None:
    command = main.windtunnel.get_command(click.Context(main.windtunnel), name)
    assert command is not None
    assert (command.help or "").split("\n\n")[0].replace("\n", " ").strip() == main.COMMANDS[name]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--version"]) == 0
    assert windtunnel.__version__ in capsys.readouterr().out


def test_no_command_is_a_question_for_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([]) == 2
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["pln"], "windtunnel: unknown command 'pln'; nearest: plan\n"),
        (["predict", "m", "--onn", "h20"], "windtunnel: predict: no option '--onn'; nearest: --on"),
        (["--verion"], "windtunnel: no option '--verion'; nearest: --version\n"),
        (["predict"], "windtunnel: predict: missing argument 'MODEL'; see 'windtunnel predict --help'\n"),
        (
            ["predict", "m", "--on", "h20", "--osl", "1", "--concurrency", "1"],
            "windtunnel: predict: missing option '--isl'; see 'windtunnel predict --help'\n",
        ),
        (
            ["predict", "m", "--isl"],
            "windtunnel: predict: option '--isl' requires an argument; see 'windtunnel predict --help'\n",
        ),
        (["validate", "no such\nfile.csv"], "windtunnel: FILE: there is no file no such file.csv\n"),
    ],
)
def test_usage_errors_are_one_line_in_the_programs_voice(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(argv) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith(message)


def test_an_expected_error_is_one_line_and_status_2(install: Installer, capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> None:
        raise MissingFactError("biren-br106", "matrix_flops_per_s.bf16")

    install("chips", body)
    assert main.run(["chips"]) == 2
    assert capsys.readouterr() == ("", "windtunnel: not known: matrix_flops_per_s.bf16 of biren-br106\n")


def test_a_bug_keeps_its_traceback(install: Installer) -> None:
    def body() -> None:
        raise KeyError("a bug")

    install("chips", body)
    with pytest.raises(KeyError):
        main.run(["chips"])


def test_an_interrupt_is_status_130_without_a_traceback(install: Installer, capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> None:
        raise KeyboardInterrupt

    install("chips", body)
    assert main.run(["chips"]) == 130
    assert capsys.readouterr().err.strip() == ""


def test_a_signal_is_an_interrupt(tmp_path: Path) -> None:
    code = (
        "import signal, sys, types, time, click\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background\n"
        "m = types.ModuleType('windtunnel.cli.chips'); sys.modules[m.__name__] = m\n"
        "m.chips = click.command()(lambda: (print('ready', flush=True), time.sleep(30)))\n"
        "sys.argv = ['windtunnel', 'chips']\n"
        "from windtunnel.cli.main import main; main()\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=20)
    assert process.returncode == 130
    assert complaint.strip() == ""


@pytest.mark.parametrize("rows", [1, 100_000])
def test_a_reader_that_hangs_up_is_no_complaint(rows: int) -> None:
    code = (
        "import sys, types, click\n"
        "m = types.ModuleType('windtunnel.cli.chips'); sys.modules[m.__name__] = m\n"
        f"m.chips = click.command()(lambda: [click.echo('a line of text') for _ in range({rows})])\n"
        "sys.argv = ['windtunnel', 'chips']\n"
        "sys.stdin.readline()\n"
        "from windtunnel.cli.main import main; main()\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write("go\n")
        process.stdin.close()
        complaint = process.stderr.read()
    assert complaint == ""
    assert process.returncode == main.HUNG_UP


def test_a_terminal_that_knows_ascii_alone_gets_text(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "windtunnel", "predict", "Ünï", "--on", "h20", "--isl", "µ", "--osl", "1", "--concurrency", "1"],
        capture_output=True,
        env={**ENVIRONMENT, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"},
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(b"windtunnel: --isl:")
