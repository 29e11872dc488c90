"""Programs for many chips: one rank runs, as the others would; what it exchanges with them is costed on the system's links."""

from __future__ import annotations

from windtunnel.run.distributed.functional import COLLECTIVES
from windtunnel.run.distributed.install import install_distributed

__all__ = ["COLLECTIVES", "install_distributed"]
