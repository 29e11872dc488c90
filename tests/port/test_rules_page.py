"""The page of rules says what the rules are."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_rules_is_what_the_rules_say() -> None:
    generator = runpy.run_path(str(DOCS / "generate_port_rules.py"))
    assert (DOCS / "port-rules.md").read_text(encoding="utf-8") == generator["page"](), "run `make docs`"
