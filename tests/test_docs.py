"""The documentation says what the program does: commands parse, examples run, keys and pages exist."""

from __future__ import annotations

import ast
import json
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import windtunnel
from tests.cli import made_up
from windtunnel.catalog.chip import parse_chip
from windtunnel.catalog.price import parse_prices
from windtunnel.catalog.store import Table, parse_toml
from windtunnel.cli import as_json
from windtunnel.cli.main import run
from windtunnel.cli.main import windtunnel as program

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```", re.M | re.S)


def blocks(kind: str) -> Iterator[tuple[Path, int, str]]:
    """Fenced blocks of one kind: page, line of the fence, text."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in FENCE.finditer(text):
            if found.group(1).strip() == kind:
                yield page, text[: found.start()].count("\n") + 1, found.group(2)


def commands() -> Iterator[tuple[str, list[str]]]:
    for page, line, text in blocks("sh"):
        for command in text.replace("\\\n", " ").splitlines():
            words = shlex.split(command.removeprefix("$ "), comments=True)
            if words and words[0] == "windtunnel":
                yield f"{page.name}:{line}:{' '.join(words[:3])}", words[1:]


COMMANDS = list(commands())


@pytest.mark.parametrize("words", [words for _, words in COMMANDS], ids=[place for place, _ in COMMANDS])
def test_every_command_in_the_documentation_parses(words: list[str]) -> None:
    root = click.Context(program, **program.context_settings)
    name, command, rest = program.resolve_command(root, words)
    assert command is not None
    command.make_context(name, list(rest), parent=root)


def test_the_readme_shows_the_commands_that_matter() -> None:
    readme = [words[0] for place, words in COMMANDS if place.startswith("README")]
    assert {"plan", "predict", "simulate", "sweep", "serve", "rules", "claims", "chips", "models", "validate", "fit"} <= set(
        readme
    )


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```python\n" in page.read_text(encoding="utf-8")], ids=lambda p: p.name
)
def test_every_python_example_runs(page: Path) -> None:
    """The blocks of a page are one program, read from top to bottom."""
    names: dict[str, object] = {}
    for where, line, text in blocks("python"):
        if where == page:
            exec(compile("\n" * line + text, str(page), "exec"), names)


def test_python_that_needs_files_is_at_least_python_of_public_names() -> None:
    found = list(blocks("python no-run"))
    assert found
    for _, _, text in found:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "windtunnel":
                assert node.attr in windtunnel.__all__


def test_the_page_of_commands_is_what_the_commands_say() -> None:
    generator = runpy.run_path(str(ROOT / "docs" / "generate_cli.py"))
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == generator["page"](), "run `make docs`"


def test_the_page_of_export_rules_is_what_the_record_says() -> None:
    generator = runpy.run_path(str(ROOT / "docs" / "generate_rules.py"))
    assert (ROOT / "docs" / "rules.md").read_text(encoding="utf-8") == generator["page"](), "run `make docs`"
    for name, picture in generator["pictures"]().items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == picture, "run `make docs`"


def test_the_page_of_fleets_is_what_the_example_gives() -> None:
    """The least cost is proven again from what was searched; the plan itself was looked for against the clock."""
    pytest.importorskip("scipy")
    generator = runpy.run_path(str(ROOT / "docs" / "generate_fleet.py"))
    found = generator["searched"]()
    assert generator["least_usd"](found) == pytest.approx(generator["kept_usd"](), rel=3e-4), "run `make docs`"
    page = " ".join((ROOT / "docs" / "fleet.md").read_text(encoding="utf-8").split())
    for note in generator["rests_on"](found):
        assert " ".join(note.split()) in page, "run `make docs`"


def test_every_record_in_the_documentation_is_read() -> None:
    found = {page.name: parse_toml(text, page.name) for page, _, text in blocks("toml")}
    assert parse_chip(Table("my-chip.toml", found["adding-a-chip.md"])).peak("bf16").value == 256e12
    book = parse_prices(Table("prices.toml", found["prices.md"]), yours=True)
    assert {price.item for price in book.prices} == {"h20", "ascend-910b2"}
    assert book.terms.tariff == "ours"


def keys(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


def test_every_key_of_the_json_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`(\w+)`", text))
    assert set(keys(as_json.plan_json(made_up.plan()))) <= documented
    for command in (["chips", "h20"], ["chips", "cloudmatrix-384"], ["models", "deepseek-ai/DeepSeek-R1"]):
        assert run([*command, "--json"]) == 0
        assert set(json.loads(capsys.readouterr().out)) <= documented


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]*)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if target and "://" not in target and not target.endswith(".png"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_no_page_knows_the_machine_it_was_written_on(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.])/(?:home|root|work|tmp|Users|mnt)/", text)
    assert "TODO" not in text
