"""The rewrite: bytes that it must keep, places for what it adds, reasons for what it leaves, and what is taken back."""

from __future__ import annotations

import ast
import json
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel.port import rewrite
from windtunnel.port.finding import Edit
from windtunnel.port.fix import fix, fix_bytes, fix_text
from windtunnel.port.notebook import cells_of, written_back
from windtunnel.port.rewrite import applied
from windtunnel.port.scan import FileReport, findings_in, scan_bytes
from windtunnel.port.source import Source

USE = 'x = torch.ones(1, device="cuda")\n'
TYPE = '_DEVICE_TYPE = (torch.accelerator.current_accelerator() or torch.device("cuda")).type\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("import torch\r\n" + USE.replace("\n", "\r\n"),
                     ("import torch\n\n" + TYPE + USE.replace('"cuda"', "_DEVICE_TYPE")).replace("\n", "\r\n"), id="crlf"),
        pytest.param("import torch\rx = torch.ones(1).cuda()\r",
                     "import torch\r\r" + TYPE.strip() + "\rx = torch.ones(1).to(_DEVICE_TYPE)\r", id="cr"),
        pytest.param("\ufeffimport torch\n" + USE,
                     "\ufeffimport torch\n\n" + TYPE + USE.replace('"cuda"', "_DEVICE_TYPE"), id="bom"),
        pytest.param("import torch\nif 1:\n\tx = y.cuda()\t# é\n\f\nz = 1",
                     "import torch\n\n" + TYPE + "if 1:\n\tx = y.to(_DEVICE_TYPE)\t# é\n\f\nz = 1",
                     id="tabs, form feed, no last newline"),
        pytest.param('import torch\nx = "é日本", y.cuda()', "import torch\n\n" + TYPE + 'x = "é日本", y.to(_DEVICE_TYPE)',
                     id="wide"),
        pytest.param('"""Doc."""\nfrom __future__ import annotations\nimport os\nimport torch\nimport sys\n\n\n' + USE,
                     '"""Doc."""\nfrom __future__ import annotations\nimport os\nimport torch\nimport sys\n\n' + TYPE + "\n\n"
                     + USE.replace('"cuda"', "_DEVICE_TYPE"), id="after the imports"),
        pytest.param("def f(x):\n    import torch\n    return torch.ones(1, device='cuda')\n",
                     "def f(x):\n    import torch\n    " + TYPE + "    return torch.ones(1, device=_DEVICE_TYPE)\n",
                     id="in a function"),
        pytest.param("if has_torch():\n    import torch\n\n\ndef f():\n    torch.cuda.synchronize()\n",
                     "if has_torch():\n    import torch\n    " + TYPE +
                     "    _DEVICE_MODULE = torch.get_device_module(_DEVICE_TYPE)\n\n\n"
                     "def f():\n    _DEVICE_MODULE.synchronize()\n", id="where torch may be missing"),
        pytest.param('import torch\nx = f"""\n  é {y.cuda()}\n  {torch.ones(1, device=\'cuda\')} {z.is_cuda}"""\n',
                     "import torch\n\n" + TYPE + 'x = f"""\n  é {y.to(_DEVICE_TYPE)}\n'
                     '  {torch.ones(1, device=_DEVICE_TYPE)} {z.device.type == _DEVICE_TYPE}"""\n', id="in f-strings"),
        pytest.param("import torch\nx = y \\\n    .cuda() \\\n    .half()\nf(\n  device=\n    'cuda',  # here\n)\n",
                     "import torch\n\n" + TYPE + "x = y \\\n    .to(_DEVICE_TYPE) \\\n    .half()\nf(\n  device=\n"
                     "    _DEVICE_TYPE,  # here\n)\n", id="over several lines"),
        pytest.param("import torch\nmatch x:\n    case 1 if (n := y.is_cuda): f(y.cuda()); g = lambda: y.cuda()\n",
                     "import torch\n\n" + TYPE + "match x:\n    case 1 if (n := (y.device.type == _DEVICE_TYPE)): "
                     "f(y.to(_DEVICE_TYPE)); g = lambda: y.to(_DEVICE_TYPE)\n", id="on one line"),
        pytest.param("#!/usr/bin/python\n# -*- coding: utf-8 -*-\nimport torch\n@torch.cuda.amp.autocast()\n"
                     "async def f(d='cuda'):\n    '>>> x.cuda()'\n    await g(torch.ones(1, device=d))\n",
                     "#!/usr/bin/python\n# -*- coding: utf-8 -*-\nimport torch\n\n" + TYPE + "@torch.autocast(_DEVICE_TYPE)\n"
                     "async def f(d=_DEVICE_TYPE):\n    '>>> x.cuda()'\n    await g(torch.ones(1, device=d))\n",
                     id="decorators and defaults"),
        pytest.param("import torch\nfrom torch.cuda.amp import GradScaler\ns = GradScaler()\n",
                     "import torch\nfrom torch.cuda.amp import GradScaler\n\n" + TYPE
                     + "s = torch.amp.GradScaler(_DEVICE_TYPE)\n",
                     id="imports stay, since other files may take the name from here"),
        pytest.param("from torch import nn\nm = nn.Linear(1, 1).cuda()\n",
                     "from torch import nn\nimport torch\n\n" + TYPE + "m = nn.Linear(1, 1).to(_DEVICE_TYPE)\n",
                     id="torch is added"),
    ],
)  # fmt: skip
def test_keeps_every_other_byte(before: str, after: str) -> None:
    assert fix_text(before).text == after
    assert fix_text(after).text == after


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        ("def f(device='cuda'):\n    pass\n", "does not import torch"),
        ("import torch\n_DEVICE_TYPE = 3\nx.cuda()\n", "uses the name _DEVICE_TYPE"),
        ("def f(x, device='cuda'):\n    pass\n\n\nimport torch\n", "before torch is imported"),
        ("try:\n    import torch\nexcept ImportError:\n    pass\n\n\ndef f(device='cuda'):\n    pass\n", "condition"),
        ("import torch\nx = torch.cuda.FloatTensor(y)\n", "class"),
        ("import torch\nprint(f'{x.cuda()=}')\n", "prints how it is spelled"),
        ("if TYPE_CHECKING:\n    import torch\n\n\ndef f(x):\n    return x.cuda()\n", "does not import torch"),
        ("import torch; x = y.cuda()\n", "before torch is imported"),
        ("class A:\n    import torch\n    x = torch.ones(1).cuda()\n", "does not import torch"),
    ],
)
def test_says_why_it_leaves(before: str, reason: str) -> None:
    result = fix_text(before)
    assert result.text == before
    assert [reason in left.reason for left in result.left] == [True]


def test_a_fix_that_does_not_parse_is_taken_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import torch\n" + USE)
    (tmp_path / "b.py").write_text("import torch\ny.cuda()\n")
    real = applied

    def broken(text: str, edits: list[Edit]) -> str:
        return real(text, edits) + ("(" if "ones" in text else "")

    monkeypatch.setattr(rewrite, "applied", broken)
    report = fix(tmp_path, write=True)
    assert [(s.path, "would not parse" in s.reason) for s in report.rolled_back] == [("a.py", True)]
    assert (tmp_path / "a.py").read_text() == "import torch\n" + USE
    assert [d.path for d in report.diffs] == ["b.py"]
    assert [left.finding.place.path for left in report.left] == ["a.py"]


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("import torch\n" + USE)
    (tmp_path / "a.py").chmod(0o444)
    report = fix(tmp_path, write=True)
    assert [(s.path, s.reason) for s in report.rolled_back] == [("a.py", "not written: the file is read-only")]
    assert [d.path for d in report.diffs] == ["b.py"]
    assert [(left.finding.place.path, left.reason) for left in report.left] == [("a.py", "not written: the file is read-only")]
    assert (tmp_path / "a.py").read_text() == "import torch\n" + USE


@pytest.mark.parametrize("at", [("looked at", 2), ("written", 2)])
def test_an_interrupt_leaves_every_file_whole(tmp_path: Path, at: tuple[str, int]) -> None:
    """While files are read nothing was written yet; while they are written, each is the old one or the new one."""
    for name in ("a.py", "b.py", "c.py"):
        (tmp_path / name).write_text("import torch\n" + USE)

    def progress(what: str, files: int) -> None:
        if (what, files) == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fix(tmp_path, write=True, progress=progress)
    changed = [p.name for p in sorted(tmp_path.iterdir()) if "_DEVICE_TYPE" in p.read_text()]
    assert changed == ([] if at[0] == "looked at" else ["a.py", "b.py"])
    assert len(list(tmp_path.iterdir())) == 3


def test_a_file_with_thousands_of_places_takes_seconds() -> None:
    result = fix_text("import torch\n" + USE * 4000)
    assert len(result.fixed) == 4000


def test_writing_is_asked_for_and_keeps_permissions(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_bytes(b"#!/usr/bin/env python3\nimport torch\nx = y.cuda()\n")
    path.chmod(0o750)
    dry = fix(tmp_path)
    assert len(dry.diffs) == 1
    assert b".cuda()" in path.read_bytes()
    assert "+x = y.to(_DEVICE_TYPE)" in dry.diffs[0].diff
    assert dry.lowest_torch == "2.6"
    fix(path, write=True)
    assert b".to(_DEVICE_TYPE)" in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o750
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_notebook_keeps_its_bytes() -> None:
    def cell(source: object) -> dict[str, object]:
        return {"cell_type": "code", "source": source, "outputs": [{"text": ["x.cuda()"]}], "metadata": {"é": 1}}

    cells = [
        cell(["%matplotlib inline\n", "import torch\n", "!pip list"]),
        cell("import os\nx = y.cuda()"),
        cell(["d = 'cuda:0'\n", "x.to(d)"]),
    ]
    for indent in (None, 1, 4):
        text = json.dumps({"cells": cells, "metadata": {}}, indent=indent, ensure_ascii=False) + "\n"
        result = fix_text(text, "notebook", "a.ipynb")
        assert not result.rolled_back
        sources = [c.source for c in cells_of(result.text)]
        assert sources[0] == "%matplotlib inline\nimport torch\n!pip list"
        assert sources[1] == "import os\n\n" + TYPE + "x = y.to(_DEVICE_TYPE)"
        assert sources[2] == TYPE + "d = f'{_DEVICE_TYPE}:0'\nx.to(d)"
        assert fix_text(result.text, "notebook", "a.ipynb").text == result.text
        assert result.text.count("\n") >= text.count("\n")
        assert '"text": ' in result.text
        json.loads(result.text)


def test_a_cell_is_looked_through_for_what_another_imports() -> None:
    def cell(source: str) -> dict[str, object]:
        return {"cell_type": "code", "source": source, "outputs": [], "metadata": {}}

    def found(first: str) -> list[str]:
        text = json.dumps({"cells": [cell(first), cell("with amp.autocast():\n    pass")], "metadata": {}})
        report = scan_bytes("a.ipynb", text.encode(), "notebook")
        assert isinstance(report, FileReport)
        return [f"{f.place.cell} {f.rule}" for f in report.findings]

    assert found("from torch import amp") == []
    assert found("from torch.cuda import amp") == ["1 autocast-cuda"]


def test_notebook_commands_are_read_and_stay_what_they_are() -> None:
    lines = [
        "%pip install -q flash-attn\n", "%env CUDA_VISIBLE_DEVICES=0\n", "%set_env CUDA_LAUNCH_BLOCKING 1\n",
        "n = !nvidia-smi -L\n",
        "%matplotlib inline\n", "%environment = 3\n", "import torch\n", "x = y.cuda()\n", "%conda install cudatoolkit=11",
    ]  # fmt: skip
    text = json.dumps({"cells": [{"cell_type": "code", "source": lines}], "metadata": {}})
    result = fix_text(text, "notebook", "a.ipynb")
    assert [one.finding.rule for one in sorted(result.left, key=lambda one: one.finding.place)] == [
        "cuda-kernel-package", "cuda-visible-devices-variable", "cuda-variable", "nvidia-smi-command", "cuda-package",
    ]  # fmt: skip
    source = cells_of(result.text)[0].source
    assert source.startswith("".join(lines[:4])), "%env takes one variable, and no others beside it"
    assert "x = y.to(_DEVICE_TYPE)" in source


@given(st.lists(st.text(), min_size=1, max_size=5), st.lists(st.text(), max_size=5), st.sampled_from([None, 1, 2]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_cell_is_replaced_alone(old: list[str], new: list[str], indent: int | None, plain: bool) -> None:
    cells = [
        {"cell_type": "code", "source": ["kept\n"]},
        {"cell_type": "code", "source": old},
        {"cell_type": "code", "source": "end"},
    ]
    text = json.dumps({"metadata": {}, "cells": cells}, indent=indent, ensure_ascii=plain)
    wanted = "".join(new)
    after = written_back(text, {1: wanted})
    sources = [c.source for c in cells_of(after)]
    assert sources == ["kept\n", wanted, "end"]
    assert written_back(after, {1: wanted}) == after
    if wanted == "".join(old):
        assert after == text


SPELLINGS = st.sampled_from(
    [
        "x = x.cuda()", "y = x.to('cuda:0')", "ok = x.is_cuda", "torch.cuda.empty_cache()", "d = f'cuda:{i}'; x.to(d)",
        "with torch.cuda.amp.autocast(): pass", "z = torch.zeros(2, device=\"cuda\")", "x.cuda().half().cuda(non_blocking=True)",
        "w = 'cuda' if torch.cuda.is_available() else 'cpu'", "# cuda", "'''cuda'''", "p = '/usr/local/cuda'",
        "s = {'cuda': 1}['cuda']",
        "def f(device='cuda'): return torch.ones(1, device=device)", "if x.device.type == 'cuda': torch.cuda.synchronize()",
        "s = torch.cuda.Stream()", "x = x.cuda(args.gpu)", "g = torch.cuda.CUDAGraph()",
        "x.to(torch.device('cuda', torch.cuda.current_device()))",
        "not x.is_cuda", "x[x.cuda().is_cuda]", "lambda device='cuda': device", "class A: device = 'cuda'",
        "pass", "é = 'ü', x.cuda()",
    ]
)  # fmt: skip


@given(
    st.lists(SPELLINGS, max_size=12),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.sampled_from(["", "\ufeff"]),
    st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_any_program_compiles_after_and_is_done(lines: list[str], newline: str, ended: bool, bom: str, indented: bool) -> None:
    body = [("    " + line if indented else line) for line in lines]
    head = ["import torch", "def main(x, args, i):" if indented else "x = args = i = None"]
    # a body of comments alone is none
    text = bom + newline.join([*head, *body, "    pass" if indented else "pass"]) + (newline if ended else "")
    result = fix_text(text)
    assert not result.rolled_back
    ast.parse(result.text.lstrip("\ufeff"))
    again = fix_text(result.text)
    assert again.text == result.text
    assert not again.fixed
    if not result.fixed:
        assert result.text == text
    # what no finding is about stays, line by line, and only the names at the top are added
    touched = {n for f in findings_in(Source.of_text(text)) for n in range(f.place.line, f.place.end_line + 1)}
    kept = [line for n, line in enumerate(text.split(newline), 1) if n not in touched]
    lines_after = result.text.split(newline)
    rest = iter(lines_after)
    assert all(line in rest for line in kept), "in the same order"
    added = len(lines_after) - len(text.split(newline))
    assert added == sum(line.strip().startswith("_DEVICE_") and " = (torch." in line for line in lines_after) + (
        sum("torch.get_device_module(" in line for line in lines_after) + bool(added)
    )


@given(st.binary(max_size=300))
@settings(max_examples=80, deadline=None)
def test_any_bytes_are_read_or_skipped(raw: bytes) -> None:
    fix_bytes("a.py", b"import torch\nx.cuda()\n" + raw, "python", True, frozenset({"npu"}), None)
    fix_bytes("a.ipynb", raw, "notebook", True, frozenset({"npu"}), None)
