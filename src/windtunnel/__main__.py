"""``python -m windtunnel`` is ``windtunnel``."""

from windtunnel.cli.main import main

main()
