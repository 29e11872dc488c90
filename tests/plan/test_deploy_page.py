"""docs/deploy.md: its excerpts are written so, and its table is the catalogue's."""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path

import pytest

from tests.plan.test_deploy import GOLDEN

PAGE = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")
WRITTEN = [path.read_text(encoding="utf-8") for path in GOLDEN.rglob("*.yaml")]
ROWS = {row.split("|")[1].strip(): row for row in PAGE.split("\n## What is known of each maker\n")[1].split("\n") if "|" in row}
RECORD = tomllib.loads(resources.files("windtunnel.catalog").joinpath("data/containers.toml").read_text(encoding="utf-8"))
WORDS = {"runtime": "runtime", "reservation": "device reservation"}


@pytest.mark.parametrize("excerpt", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_every_excerpt_is_part_of_what_is_written(excerpt: str) -> None:
    assert any(excerpt in text for text in WRITTEN)


@pytest.mark.parametrize("vendor", sorted({row["vendor"] for rows in RECORD.values() for row in rows}))
def test_the_table_is_the_catalogues(vendor: str) -> None:
    containers, plugins, images = ([row for row in RECORD[kind] if row["vendor"] == vendor] for kind in RECORD)
    reached = []
    for row in containers:
        reached += [f"`{node}`" for node in row.get("nodes", [])]
        reached += [f"{word} `{row[key]}`" for key, word in WORDS.items() if key in row]
    _, _, devices, resource, engines, _ = ROWS[vendor].split("|")
    assert re.split(r"[,;] ", devices.strip()) == (reached or ["not known"])
    assert resource.strip() == ", ".join(f"`{row['resource']}`" for row in plugins)
    assert engines.strip() == ", ".join(sorted({row["engine"] for row in images}))


def test_the_table_names_no_other_maker() -> None:
    assert set(ROWS) - {"maker", "---"} == {row["vendor"] for rows in RECORD.values() for row in rows}
