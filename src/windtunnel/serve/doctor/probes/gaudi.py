"""Intel Gaudi: hl-smi, which takes nvidia-smi's questions. **Source:** recalled from Intel's Gaudi documentation."""

from __future__ import annotations

from windtunnel.serve.doctor.text import Query

TOOL = Query("gaudi", ("hl-smi", "-Q", "index,name,memory.total,driver_version", "-f", "csv,noheader"))
look = TOOL.look
