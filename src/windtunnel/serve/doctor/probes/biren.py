"""Biren: brsmi's table, a line for each card. **Source:** recalled."""

from __future__ import annotations

from windtunnel.serve.doctor.text import Screen

TOOL = Screen(
    "biren",
    ("brsmi",),
    name=r"^\|\s*\d+\s+((?:Biren\s?|BR)\d{3}\w*)\b",
    memory=r"/\s*(\d{4,7}\s*MiB)",
    driver=r"Driver Version:?\s*(\d[\w.]*)",
)
look = TOOL.look
