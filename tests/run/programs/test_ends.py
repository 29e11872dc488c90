"""How programs end on a virtual chip: their own traceback and exit status, stopped, interrupted, or refused in one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.run.programs.running import Ran, run_on
from windtunnel.errors import MissingFactError, UnknownNameError
from windtunnel.run.launch import run_program

ENDLESS = """
import torch
model = torch.nn.Linear(64, 64).cuda()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
print("begun", flush=True)
while True:
    model(torch.randn(8, 64, device="cuda")).sum().backward()
    optimizer.step()
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "program.py"


def write(script: Path, text: str) -> Path:
    script.write_text(textwrap.dedent(text))
    return script


def failed(ran: Ran) -> tuple[str, str, int]:
    """Kind of the error, its message, the line in the program."""
    assert ran.report.status == "failed"
    assert ran.report.failure is not None
    assert ran.report.failure.site is not None
    return ran.report.failure.error, ran.report.failure.message, ran.report.failure.site.line


def test_a_crash_shows_the_programs_own_frames_alone(script: Path) -> None:
    write(
        script,
        """\
        import torch
        def inner(x):
            return x @ torch.ones(3, 3, device="cuda")
        class Net(torch.nn.Module):
            def forward(self, x):
                return inner(x)
        Net()(torch.ones(4, 4, device="cuda"))
        """,
    )
    ran = run_on("h100-sxm", script)
    kind, message, line = failed(ran)
    assert (kind, line) == ("RuntimeError", 3)
    assert "[4, 4] X [3, 3]" in message
    frames = [text.strip() for text in ran.ended.traceback.splitlines() if text.startswith("  File")]
    theirs = [text for text in frames if "torch" not in text]
    assert [text.rpartition(" in ")[2] for text in theirs] == ["<module>", "forward", "inner"]
    assert all(text.startswith(f'File "{script}"') for text in theirs)
    assert all("torch/nn/modules/module.py" in text for text in frames if text not in theirs)
    assert ran.ended.traceback.splitlines()[-1].startswith("RuntimeError: ")


def test_a_crash_in_the_backward_pass_names_the_line_that_asked_for_it(script: Path) -> None:
    write(
        script,
        """\
        import torch
        class Twice(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return 2 * x
            @staticmethod
            def backward(ctx, g):
                raise ValueError("not today")
        x = torch.ones(4, device="cuda", requires_grad=True)
        Twice.apply(x).sum().backward()
        """,
    )
    ran = run_on("h100-sxm", script)
    assert failed(ran)[:2] == ("ValueError", "not today")
    assert "windtunnel" not in ran.ended.traceback


def test_sys_exit_gives_its_status(script: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(script, "import sys, torch\nprint(torch.ones(2, device='cuda').sum().item())\nsys.exit(3)\n")
    report = run_program(str(script), on="h100-sxm")
    assert report.exit_status == 3
    assert report.operators == 2
    assert capfd.readouterr().out == "2.0\n"


def test_a_crash_has_status_1_and_its_traceback_on_standard_error(script: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(script, "import torch\nprint('before')\n1 / torch.ones((), device='cuda').sub(1).long().item()\n")
    report = run_program(str(script), on="h100-sxm")
    said = capfd.readouterr()
    assert report.exit_status == 1
    assert said.out == "before\n"
    assert said.err.splitlines()[0] == "Traceback (most recent call last):"
    assert said.err.splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_steps_end_an_endless_program(script: Path) -> None:
    write(script, ENDLESS)
    ran = run_on("h100-sxm", script, steps=2)
    assert ran.report.status == "stopped"
    assert len(ran.report.steps) == 2
    assert ran.report.exit_status == 0
    assert ran.output == "begun\n"


def test_steps_end_endless_inference(script: Path) -> None:
    write(
        script,
        """\
        import torch
        model = torch.nn.Linear(64, 64).cuda()
        while True:
            with torch.no_grad():
                model(torch.randn(8, 64, device="cuda"))
        """,
    )
    ran = run_on("h100-sxm", script, steps=5)
    assert (ran.report.status, ran.report.step_kind, len(ran.report.steps)) == ("stopped", "forward", 5)


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_an_interrupt_gives_the_report_so_far(script: Path) -> None:
    write(script, ENDLESS)
    command = [sys.executable, "-m", "windtunnel", "run", "--on", "h100-sxm", str(script)]
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3] / "src"), os.environ.get("PYTHONPATH", "")]),
    }
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=env
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it: to the program and to the command
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert "Traceback" not in err
    assert "until it was stopped" in out
    assert "runs there" in out


@pytest.mark.parametrize(
    ("on", "program", "line", "said"),
    [
        ("ascend-310p", "a = torch.ones(64, 64, device='npu', dtype=torch.bfloat16)\nb = a @ a", 3, "does not compute bf16"),
        (
            "ascend-910b2",
            "a = torch.ones(64, 64, device='npu').to(torch.float8_e4m3fn)\none = torch.ones((), device='npu')\n"
            "torch._scaled_mm(a, a.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16)",
            4,
            "does not compute fp8",
        ),
    ],
)
def test_a_number_type_that_the_chip_lacks_stops_the_line_that_computes_in_it(
    script: Path, on: str, program: str, line: int, said: str
) -> None:
    ran = run_on(on, write(script, f"import torch\n{program}\n"))
    kind, message, at = failed(ran)
    assert (kind, at) == ("RuntimeError", line)
    assert said in message
    assert "not implemented for" in message


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (
            "from torch.utils.cpp_extension import load_inline\n"
            "load_inline('mine', cpp_sources='', cuda_sources='__global__ void f() {}', functions=['f'])",
            "the program compiles an extension 'mine' of its own",
        ),
        ("import flash_attn", "flash_attn brings kernels compiled for a chip that is there"),
        ("from xformers.ops import memory_efficient_attention", "xformers brings kernels"),
    ],
)
def test_compiled_code_is_named_in_one_line(script: Path, program: str, said: str) -> None:
    ran = run_on("h100-sxm", write(script, f"import torch\n{program}\n"))
    _, message, line = failed(ran)
    assert said in message
    assert "\n" not in message
    assert line == 2 + program.count("\n")
    assert said in ran.ended.traceback.splitlines()[-1]


def test_a_missing_module_of_the_programs_own_is_left_as_it_is(script: Path) -> None:
    ran = run_on("h100-sxm", write(script, "import my_own_package\n"))
    assert failed(ran) == ("ModuleNotFoundError", "No module named 'my_own_package'", 1)


def test_no_such_script(tmp_path: Path) -> None:
    (tmp_path / "train.py").touch()
    with pytest.raises(UnknownNameError, match=r"^unknown script '.*trian\.py'; nearest: .*train\.py$"):
        run_program(str(tmp_path / "trian.py"), on="h100-sxm")


def test_a_chip_whose_bandwidth_no_source_gives(script: Path) -> None:
    write(script, "raise SystemExit('this never runs')\n")
    with pytest.raises(MissingFactError, match=r"^not known: memory_bytes_per_s of br106"):
        run_program(str(script), on="br106")
