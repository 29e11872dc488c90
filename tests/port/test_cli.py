"""``windtunnel port scan``, ``fix`` and ``rules``: what they print, what they write, and how they leave."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from windtunnel.cli.main import run
from windtunnel.port.registry import all_rules

PROGRAM = 'import torch\nx = torch.ones(3, device="cuda")\ny = x.cuda()\ng = torch.cuda.CUDAGraph()\n'
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each sentence, however long the temporary folder's name is."""
    monkeypatch.setenv("COLUMNS", "400")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "train.py").write_text(PROGRAM, encoding="utf-8")
    (folder / "plain.py").write_text("import torch\nx = torch.ones(3)\n", encoding="utf-8")
    return folder


def keys(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            if key not in ("by_target", "fixed_by_rule"):
                yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


def documented() -> set[str]:
    return set(re.findall(r"`(\w+)`", (DOCS / "json.md").read_text(encoding="utf-8")))


def scanned(root: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    status = run(["port", "scan", str(root), *options])
    return status, capsys.readouterr().out


def test_a_scan_says_how_much_binds_and_leaves_with_one(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = scanned(root, capsys)
    assert status == 1
    assert "3 places in 1 file bind it" in text.splitlines()[0]
    assert "2: 2 can be fixed" in text
    assert "cuda-graph" in text
    assert "  4:5  left" in text
    assert "plain.py" not in text
    assert scanned(root, capsys, "--exit-zero")[0] == 0
    status, text = scanned(root / "plain.py", capsys)
    assert (status, text.splitlines()[0]) == (0, f"{root / 'plain.py'}: nothing binds it")


@pytest.mark.parametrize("width", [80, 120])
def test_a_scan_fits_its_reader(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.chdir(root)
    (root / "long.py").write_text(
        "import torch\n" + "x = f(" + "1, " * 60 + 'device="cuda")\n' + "y = torch.zeros(1).cuda()\n", "utf-8"
    )
    text = scanned(Path(), capsys)[1]
    assert max(map(len, text.splitlines())) <= width


def test_rules_and_targets_are_chosen(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(scanned(root, capsys, "--json", "--select", "cuda-graph,cuda-method")[1])
    assert {f["rule"] for f in told["findings"]} == {"cuda-graph", "cuda-method"}
    told = json.loads(scanned(root, capsys, "--json", "--ignore", "cuda-graph")[1])
    assert "cuda-graph" not in {f["rule"] for f in told["findings"]}
    told = json.loads(scanned(root, capsys, "--json", "--to", "npu,musa")[1])
    assert told["to"] == ["npu", "musa"]
    assert list(told["by_target"]) == ["npu", "musa"]


def test_json_is_one_object_whose_keys_are_documented(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "broken.py").write_text("def (cuda\n", encoding="utf-8")
    (root / "aside.py").write_text(
        "import torch\ntorch.cuda.CUDAGraph()  # windtunnel: ignore[cuda-graph] so\n", encoding="utf-8"
    )
    (root / "bad.py").write_text("import torch\ntorch.cuda.CUDAGraph()  # windtunnel: ignore[cuda-graph]\n", encoding="utf-8")
    told = json.loads(scanned(root, capsys, "--json")[1])
    assert told["places"] == len(told["findings"]) == told["spelling"] + told["capability"] == told["new"]
    assert told["fixable"] + told["fixable_unsafe"] + told["left"] == told["places"]
    assert (len(told["suppressed"]), len(told["bad_ignores"]), len(told["skipped"])) == (1, 1, 1)
    assert run(["port", "fix", str(root), "--json"]) == 0
    fixed = json.loads(capsys.readouterr().out)
    assert not fixed["written"]
    assert run(["port", "rules", "cuda-graph", "--json"]) == 0
    rule = json.loads(capsys.readouterr().out)
    assert {*keys(told), *keys(fixed), *keys(rule)} <= documented()


def test_a_baseline_lets_pass_what_it_knows(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = root.parent / "base.json"
    assert scanned(root, capsys, "--write-baseline", str(base))[0] == 0
    assert scanned(root, capsys, "--baseline", str(base))[0] == 0
    (root / "train.py").write_text("# moved\n\n" + PROGRAM, encoding="utf-8")
    status, text = scanned(root, capsys, "--baseline", str(base))
    assert (status, "nothing new" in text) == (0, True)
    (root / "train.py").write_text(PROGRAM + "z = x.cuda(non_blocking=True)\n", encoding="utf-8")
    status, text = scanned(root, capsys, "--baseline", str(base))
    assert (status, "1 new place in 1 file binds it" in text) == (1, True)


def hooks() -> list[str]:
    """The commands of the pre-commit hooks that the documentation and the repository offer."""
    texts = [(DOCS / "port.md").read_text("utf-8"), (DOCS.parent / ".pre-commit-hooks.yaml").read_text("utf-8")]
    return [entry for text in texts for entry in re.findall(r"^ +entry: windtunnel (.+)$", text, re.M)]


@pytest.mark.parametrize("entry", hooks())
def test_hooks_stop_what_is_new(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    monkeypatch.chdir(root)
    (root / "train.py").unlink()
    base = re.search(r"--baseline (\S+)", entry)
    if base:
        (root / "old.py").write_text(PROGRAM, encoding="utf-8")
        assert run(["port", "scan", ".", "--write-baseline", base[1]]) == 0
    assert run(shlex.split(entry)) == 0
    (root / "new.py").write_text(PROGRAM, encoding="utf-8")
    assert run(shlex.split(entry)) == 1
    capsys.readouterr()


def test_sarif_is_written_beside_the_tables(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = root.parent / "out.sarif"
    assert scanned(root, capsys, "--sarif", str(file))[0] == 1
    assert len(json.loads(file.read_text(encoding="utf-8"))["runs"][0]["results"]) == 3


def test_more_results_than_github_takes_are_told(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("windtunnel.cli.port.scan.MOST_RESULTS", 2)
    assert run(["port", "scan", str(root), "--sarif", str(root.parent / "out.sarif")]) == 1
    assert "more than the 2 results that GitHub takes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["port", "scam"], "unknown command of port 'scam'; nearest: scan"),
        (["port", "scan", "no-such-folder"], "no file or folder no-such-folder"),
        (["port", "scan", ".", "--to", "npx"], "unknown target 'npx'; nearest: npu"),
        (["port", "scan", ".", "--select", "cuda-grap"], "unknown rule 'cuda-grap'; nearest: cuda-graph"),
        (["port", "scan", ".", "--baseline", "none.json"], "--write-baseline none.json"),
        (["port", "scan", ".", "--sarif", "no/such/out.sarif"], "there is no folder"),
        (["port", "scan", ".", "--selekt", "x"], "nearest: --select"),
        (["port", "fix", ".", "--diff", "--write"], "ask for one of them"),
        (["port", "fix", ".", "--force"], "--force: is for --write"),
        (["port", "fix", "", "--write"], "PATH: is empty"),
        (["port", "scan", ".", "--select", ","], "--select: names no rule"),
        (["port", "scan", ".", "--select", "cuda-graph", "--ignore", "cuda-graph"], "leaves no rule"),
        (["port", "scan", ".", "--to", ","], "names no target"),
        (["port", "scan", ".", "--baseline", "."], "is a folder; name a file"),
        (["port", "scan", ".", "--sarif", "x", "--write-baseline", "x"], "to be the baseline too"),
        (["port", "scan", "/dev/null"], "neither a file nor a folder"),
        (["port", "rules", "nothing"], "unknown rule 'nothing'"),
        (["port", "prove", "."], "name the program after --"),
        (["port", "prove", ".", "--", "no.py"], "there is no file no.py in ."),
        (["port", "prove", ".", "--to", "npx", "--", "train.py"], "unknown target 'npx'"),
        (["port", "prove", "train.py", "--", "train.py"], "train.py is no folder"),
        (["port", "ops", "train.py", "--to", "npu", "--plugin-version", "2.9"], "2.14.0, 2.13.0"),
        (["port", "ops", ".", "--to", "npu"], "name a script in it"),
        (["port", "ops", "tran.py", "--to", "npu"], "nearest: train.py"),
        (["port", "ops", "train.py", "--to", "mps"], "no table of PyTorch's operators on mps"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    monkeypatch.chdir(root)
    assert run(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert len(err.splitlines()) == 1


def test_an_interrupted_fix_says_how_far_it_came(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_words: object, **_options: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("windtunnel.port.fix.replaced", interrupted)
    assert run(["port", "fix", str(root), "--write"]) == 130
    out, err = capsys.readouterr()
    assert (out, err.strip()) == ("", "windtunnel: interrupted; 0 files changed, every other is as it was")


def test_what_could_not_be_read_is_not_called_free(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "broken.py").write_text("def (cuda\n", encoding="utf-8")
    status, text = scanned(root / "broken.py", capsys)
    assert (status, "nothing there could be read" in text.splitlines()[0]) == (0, True)
    (root / "a.md").write_text("cuda", encoding="utf-8")
    assert "of a kind that any rule reads" in scanned(root / "a.md", capsys)[1]
    assert run(["port", "fix", str(root), "--diff"]) == 0
    assert "1 left, 1 not read" in capsys.readouterr().err


def test_a_long_scan_says_how_far_it_is_on_a_terminal_only(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("windtunnel.cli.port.options.SOON_S", -1.0)
    scanned(root, capsys)
    assert run(["port", "scan", str(root)]) == 1
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert run(["port", "scan", str(root)]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("\r1 files looked at")
    assert shown.endswith("\r"), "the line is gone afterwards"


def git(root: Path, *words: str, given: str = "") -> str:
    named = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *named, *words], cwd=root, input=given, capture_output=True, text=True, check=True)
    return done.stdout


def test_a_fix_is_shown_as_a_diff_that_git_applies(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (root / "train.py").read_bytes()
    assert run(["port", "fix", str(root), "--diff"]) == 0
    diff = capsys.readouterr().out
    assert (root / "train.py").read_bytes() == before
    git(root, "init", "-q")
    git(root, "apply", "-", given=diff)
    applied = (root / "train.py").read_bytes()
    (root / "train.py").write_bytes(before)
    assert run(["port", "fix", str(root), "--write", "--force"]) == 0
    assert (root / "train.py").read_bytes() == applied != before
    capsys.readouterr()
    assert run(["port", "fix", str(root), "--diff"]) == 0
    assert capsys.readouterr().out == "", "a second fix changes nothing"


def test_names_that_a_diff_has_to_quote(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a b.py", "ü.py", 'q"\\.py', "line\nend\t.py"):
        (root / name).write_text(PROGRAM, encoding="utf-8")
    (root / "train.py").unlink()
    assert run(["port", "scan", str(root)]) == 1
    assert "\nend" not in capsys.readouterr().out
    assert run(["port", "fix", str(root), "--diff"]) == 0
    git(root, "init", "-q")
    git(root, "apply", "-", given=capsys.readouterr().out)
    assert [p.name for p in root.iterdir() if p.is_file() and b"_DEVICE_TYPE" not in p.read_bytes()] == ["plain.py"]


def test_changes_that_are_not_committed_ask_for_force(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(root, "init", "-q")
    git(root, "add", ".")
    assert run(["port", "fix", str(root), "--write"]) == 2
    assert "not committed (plain.py, train.py)" in capsys.readouterr().err
    assert (root / "train.py").read_text(encoding="utf-8") == PROGRAM
    git(root, "commit", "-qm", "a")
    assert run(["port", "fix", str(root), "--write"]) == 0
    assert "2 places in 1 file changed" in capsys.readouterr().out
    assert run(["port", "fix", str(root / "plain.py"), "--write"]) == 0, "other files' changes do not matter"


def test_rules_are_listed_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["port", "rules"]) == 0
    text = capsys.readouterr().out
    assert all(rule.id in text for rule in all_rules())
    assert run(["port", "rules", "cuda-graph"]) == 0
    text = capsys.readouterr().out
    assert "why it binds" in text
    assert "Left alone" in text
