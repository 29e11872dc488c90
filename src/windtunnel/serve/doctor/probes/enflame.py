"""Enflame: efsmi's table, a line for each card. **Source:** recalled."""

from __future__ import annotations

from windtunnel.serve.doctor.text import Screen

TOOL = Screen(
    "enflame",
    ("efsmi",),
    name=r"^[|*]\s*\d+\s+((?:Enflame\s+)?[STIL]\d{2,3}\w*)\b",
    memory=r"/\s*(\d{4,7}\s*MiB)",
    driver=r"Driver Ver(?:sion)?:?\s*(\d[\w.]*)",
)
look = TOOL.look
