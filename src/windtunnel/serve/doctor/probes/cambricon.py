"""Cambricon: cnmon's paragraphs, one a card. **Source:** names of fields as gpustack 0.7.1 reads them; layout recalled."""

from __future__ import annotations

from windtunnel.serve.doctor.text import Screen

TOOL = Screen(
    "mlu",
    ("cnmon", "info"),
    name=r"^\s*Product Name\s*:\s*(\S.*?)\s*$",
    memory=r"^\s*Physical Memory Usage\s*:\s*\n\s*Total\s*:\s*(\d+ MiB)",
    driver=r"(?m)^\s*Driver(?: Version)?\s*:\s*v?(\d[\w.]*)",
)
look = TOOL.look
