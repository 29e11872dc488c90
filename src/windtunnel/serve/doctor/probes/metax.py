"""MetaX: mx-smi's table, a line for each card. **Source:** recalled."""

from __future__ import annotations

from windtunnel.serve.doctor.text import Screen

TOOL = Screen(
    "metax",
    ("mx-smi",),
    name=r"^\|\s*\d+\s+(?:MetaX\s+)?(MXC\d{3}\w*|C\d{3}\w*)\b",
    memory=r"/\s*(\d{4,7}\s*MiB)",
    driver=r"(?:Kernel Mode Driver|KMD) Version:?\s*(\d[\w.]*)",
)
look = TOOL.look
