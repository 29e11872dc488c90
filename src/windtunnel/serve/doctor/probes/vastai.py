"""Vastai: that vasmi is there and names cards. **Source:** recalled."""

from __future__ import annotations

from windtunnel.serve.doctor.text import Screen

TOOL = Screen("vastai", ("vasmi", "list"), name=r"\b(V[AE]\d{1,3}\w*)\b", driver=r"Driver Version:?\s*(\d[\w.]*)")
look = TOOL.look
