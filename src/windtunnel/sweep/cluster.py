"""Points over a Ray cluster, or over a Ray that is started here for as long as the sweep lasts."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from typing import Any

from windtunnel import __version__
from windtunnel.errors import InvalidInputError, UnsupportedError
from windtunnel.sweep.journal import Row
from windtunnel.sweep.point import Point
from windtunnel.sweep.workers import AHEAD, PAUSE_S, Answer, Answered

HERE = "local"
REACH_S = 5.0


def check_ray() -> None:
    """Raises UnsupportedError where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise UnsupportedError("--ray needs Ray; install it with: pip install 'windtunnel[ray]'")


def cluster(points: Iterable[Point], answer: Answer, address: str, jobs: int) -> Generator[Answered, None, None]:
    """Answers as ``workers.local`` gives them. address: of the cluster's head, ``auto``, or ``local`` for one of ``jobs`` cores.

    The machines of the cluster need the same windtunnel, and the sweep's files under the same paths.
    Raises InvalidInputError where nobody answers at the address.
    """
    check_ray()
    _check_address(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what a task without accelerators sees; spares a warning
    import ray

    quiet: dict[str, Any] = {"include_dashboard": False, "num_cpus": jobs} if address == HERE else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InvalidInputError("--ray", f"no cluster at {address}: {error}")
    try:
        yield from _answers(ray, iter(points), answer)
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Raises InvalidInputError where nothing listens: Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        if address not in (HERE, "auto"):
            raise InvalidInputError("--ray", f"'{address}' is no address; write host:6379, ray://host:10001, auto or local")
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()
    except ValueError:
        raise InvalidInputError("--ray", f"'{address}' has no port; write host:6379")
    except (OSError, OverflowError) as error:
        raise InvalidInputError("--ray", f"no cluster at {address}: {error}")


def _answers(ray: Any, points: Iterator[Point], answer: Answer) -> Iterator[Answered]:
    # a task whose worker or machine dies is run once more by Ray itself
    task = ray.remote(max_retries=1, num_cpus=1)(answer)
    flying: dict[Any, Point] = {}
    while True:
        room = AHEAD * max(int(ray.cluster_resources().get("CPU", 1)), 1)
        for point in islice(points, max(room - len(flying), 0)):
            flying[task.remote(point.args)] = point
        if not flying:
            return
        done, _ = ray.wait(list(flying), num_returns=len(flying), timeout=PAUSE_S)
        yield [(flying.pop(ref), _row(ray, ref)) for ref in done]


def _row(ray: Any, ref: Any) -> Row | None:
    """What a task answered; None where its worker or its machine died, twice."""
    try:
        row: Row = ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ImportError | RuntimeError):  # the function is not there
            raise UnsupportedError(f"the cluster's machines cannot run windtunnel {__version__}: {error.cause}")
        raise
    except ray.exceptions.RayError:
        return None
    return row
