"""The SARIF log: its structure by the specification, places that are right, fixes that can be applied as they stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from windtunnel.port.gate import fingerprints
from windtunnel.port.sarif import sarif, sarif_text
from windtunnel.port.scan import scan

TREE = {
    "train.py": 'import torch\nx = torch.ones(3, device="cuda")\ny = x.cuda()\ng = torch.cuda.CUDAGraph()\n',
    "mit leer/ä.py": "import torch\ng = torch.cuda.CUDAGraph()\n",
    "aside.py": "import torch\ng = torch.cuda.CUDAGraph()  # windtunnel: ignore[cuda-graph] only there\n",
    "broken.py": "def (\n    cuda\n",
    "run.sh": "nvidia-smi\n",
}
NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "source": ["text"]},
        {"cell_type": "code", "metadata": {}, "outputs": [], "source": ["import torch\n", "\n", "g = torch.cuda.CUDAGraph()"]},
    ],
    "metadata": {},
    "nbformat": 4,
    "nbformat_minor": 5,
}

# what sections 3.13 to 3.59 of the specification allow and require, of the objects that are used
OBJECTS: dict[str, tuple[set[str], set[str]]] = {
    "log": ({"version", "runs"}, {"$schema"}),
    "run": (
        {"tool"},
        {"results", "invocations", "columnKind", "automationDetails", "originalUriBaseIds"},
    ),
    "driver": ({"name"}, {"version", "semanticVersion", "rules", "informationUri"}),
    "rule": ({"id"}, {"shortDescription", "fullDescription", "help", "defaultConfiguration", "properties"}),
    "result": (
        {"message"},
        {
            "ruleId", "ruleIndex", "level", "locations", "partialFingerprints", "fixes", "suppressions", "baselineState",
            "properties",
        },
    ),
    "region": (set(), {"startLine", "startColumn", "endLine", "endColumn", "charOffset", "charLength", "snippet"}),
    "fix": ({"artifactChanges"}, {"description"}),
    "change": ({"artifactLocation", "replacements"}, set()),
    "replacement": ({"deletedRegion"}, {"insertedContent"}),
    "invocation": ({"executionSuccessful"}, {"toolExecutionNotifications"}),
    "notification": ({"message"}, {"level", "locations"}),
}  # fmt: skip


def tree(root: Path) -> Path:
    for name, text in TREE.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    (root / "book.ipynb").write_text(json.dumps(NOTEBOOK, indent=1), encoding="utf-8")
    return root


def check(kind: str, value: dict[str, Any]) -> dict[str, Any]:
    required, optional = OBJECTS[kind]
    assert required <= set(value) <= required | optional, kind
    return value


def log_of(root: Path, **options: Any) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(sarif_text(sarif(scan(root), root, **options)))
    return told


def test_the_log_is_as_the_specification_has_it(tmp_path: Path) -> None:
    log = check("log", log_of(tree(tmp_path)))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    check("run", run)
    rules = check("driver", run["tool"]["driver"])["rules"]
    for rule in rules:
        check("rule", rule)
        assert rule["help"]["text"]
        assert rule["help"]["markdown"]
        assert rule["shortDescription"]["text"]
        assert rule["defaultConfiguration"]["level"] in ("note", "warning", "error", "none")
    assert len({rule["id"] for rule in rules}) == len(rules)
    assert run["results"]
    for result in run["results"]:
        check("result", result)
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("note", "warning", "error", "none")
        assert result["message"]["text"]
        (location,) = result["locations"]
        where = location["physicalLocation"]
        assert where["artifactLocation"]["uriBaseId"] in run["originalUriBaseIds"]
        assert where["artifactLocation"]["uri"].isascii()
        region = check("region", where["region"])
        assert region["startLine"] >= 1
        if "endLine" in region:
            assert (region["endLine"], region["endColumn"]) > (region["startLine"], region["startColumn"])
    for invocation in run["invocations"]:
        for note in check("invocation", invocation)["toolExecutionNotifications"]:
            check("notification", note)
    assert any("broken.py" in note["message"]["text"] for note in run["invocations"][0]["toolExecutionNotifications"])


def test_places_and_paths(tmp_path: Path) -> None:
    results = log_of(tree(tmp_path), prefix="sub dir/")["runs"][0]["results"]
    graphs = {
        r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]: r["locations"][0]["physicalLocation"]["region"]
        for r in results
        if r["ruleId"] == "cuda-graph"
    }
    assert (graphs["sub%20dir/train.py"]["startLine"], graphs["sub%20dir/train.py"]["startColumn"]) == (4, 5)
    assert graphs["sub%20dir/mit%20leer/%C3%A4.py"]["startLine"] == 2
    # the third line of the cell, in the notebook's own text
    lines = (tmp_path / "book.ipynb").read_text(encoding="utf-8").splitlines()
    assert "CUDAGraph" in lines[graphs["sub%20dir/book.ipynb"]["startLine"] - 1]
    assert "endColumn" not in graphs["sub%20dir/book.ipynb"]


def test_fingerprints_suppressions_and_the_baseline(tmp_path: Path) -> None:
    root = tree(tmp_path)
    marks = fingerprints(scan(root).findings)
    results = log_of(root, known=marks[:1])["runs"][0]["results"]
    kept = [r for r in results if "suppressions" not in r]
    assert [r["partialFingerprints"]["windtunnelPort/v1"] for r in kept] == list(marks)
    assert [r["baselineState"] for r in kept] == ["unchanged", *["new"] * (len(marks) - 1)]
    (aside,) = [r for r in results if "suppressions" in r]
    assert aside["suppressions"] == [{"kind": "inSource", "justification": "only there"}]


def test_a_fix_replaces_what_the_edit_replaces(tmp_path: Path) -> None:
    """Only fixes that need nothing at the top of the file are offered, and what they delete is what the finding names."""
    report = scan(tree(tmp_path))
    offered = {f.place: f for f in report.findings if f.edits and not f.needs and f.place.cell < 0}
    results = log_of(tmp_path)["runs"][0]["results"]
    assert sum("fixes" in r for r in results) == len(offered)
    for result in results:
        for one in result.get("fixes", ()):
            check("fix", one)
            for change in one["artifactChanges"]:
                for replacement in check("change", change)["replacements"]:
                    region = check("region", check("replacement", replacement)["deletedRegion"])
                    assert region["charOffset"] >= 0
                    assert region["charLength"] >= 0
