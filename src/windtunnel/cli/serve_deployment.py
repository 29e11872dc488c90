"""``windtunnel serve --deployment DIR``: brings up what ``plan --deploy`` wrote, and routes to it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from windtunnel.errors import InvalidInputError
from windtunnel.serve.drive.driver import Driver
from windtunnel.serve.drive.written import Deployment, read_deployment


def serve_deployment(folder: Path, only: str, host: str, port: int, router: Sequence[str]) -> int:
    """The exit status. only: up, down or status; empty: up without the router that was written, then route from here.

    host, port: where this machine answers then; router: more options of ``windtunnel serve --fleet``.
    """
    deployment = read_deployment(folder, {**os.environ, "HOST": host, "PORT": str(port)})
    if deployment.commands["forward"] and router:
        raise InvalidInputError(router[0], "is for a router that runs here; that of this deployment runs in its cluster")
    driver = Driver(deployment, lambda line: click.echo(line, err=True))
    if only == "down":
        driver.down()
        return 0
    if only == "status":
        return 0 if driver.status() else 1
    done = False
    try:
        driver.up(only or "serve")
        if only:
            done = True
            click.echo(_address(deployment))
            return 0
        return _route(deployment, driver, ["--host", host, "--port", str(port), *router])
    finally:
        # whatever ended it, an error, Ctrl-C or the router's own end: nothing runs on without having been told
        if driver.started and not done:
            lines = ["begun, and not taken down:", *(f"  {line}" for line in driver.started)]
            lines.append(f"take it down with: windtunnel serve --deployment {folder} --down")
            click.echo("\n".join(lines), err=True)


def _address(deployment: Deployment) -> str:
    if deployment.router:
        return f"{deployment.model} is served at {deployment.router}/v1"
    return f"{deployment.model} is up; reach it from here with: windtunnel serve --deployment {deployment.folder}"


def _route(deployment: Deployment, driver: Driver, router: Sequence[str]) -> int:
    """Routes from this machine until it is interrupted: over fleet.toml, or to the router where that is elsewhere."""
    forward = deployment.commands["forward"]
    if forward:
        return driver.run(forward[0], must=False)
    text = (deployment.folder / "fleet.toml").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="windtunnel-") as scratch:
        fleet = Path(scratch) / "fleet.toml"
        fleet.write_text(deployment.reached(text), encoding="utf-8")
        command = [sys.executable, "-P", "-m", "windtunnel", "serve", "--fleet", str(fleet), *router]
        child = subprocess.Popen(command, env=driver.environment())
        try:
            return child.wait()
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait()
