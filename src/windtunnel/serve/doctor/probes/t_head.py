"""T-Head's PPUs: ppu-smi, taken to answer as nvidia-smi does. **Source:** recalled."""

from __future__ import annotations

from windtunnel.serve.doctor.text import Query

TOOL = Query("t-head", ("ppu-smi", "--query-gpu=index,name,memory.total,driver_version", "--format=csv,noheader"))
look = TOOL.look
