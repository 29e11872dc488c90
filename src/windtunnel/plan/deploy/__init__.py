"""The chosen deployment as launch commands, in the flags of the engine that serves its chip."""

from windtunnel.plan.deploy.write import LAUNCHERS, write_deployment

__all__ = ["LAUNCHERS", "write_deployment"]
