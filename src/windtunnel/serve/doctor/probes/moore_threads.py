"""Moore Threads: mthreads-gmi's paragraphs, one a card. **Source:** recalled."""

from __future__ import annotations

from windtunnel.serve.doctor.text import Screen

TOOL = Screen(
    "musa",
    ("mthreads-gmi", "-q"),
    name=r"^\s*Product Name\s*:\s*(\S.*?)\s*$",
    memory=r"^\s*FB Memory Usage\s*\n\s*Total\s*:\s*(\d+ ?MiB)",
    driver=r"(?m)^\s*Driver Version\s*:\s*v?(\d[\w.]*)",
)
look = TOOL.look
