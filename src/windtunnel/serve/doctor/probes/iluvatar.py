"""Iluvatar: ixsmi, which takes nvidia-smi's questions. **Source:** an output quoted in gpustack 0.7.1."""

from __future__ import annotations

from windtunnel.serve.doctor.text import Query

TOOL = Query("iluvatar", ("ixsmi", "--query-gpu=index,name,memory.total,driver_version", "--format=csv,noheader"))
look = TOOL.look
