"""How much of what ranks exchange is hidden behind other work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from windtunnel.run.record import Launch

COMMUNICATION = "collective"


def overlap_note(launches: Sequence[Launch], steps: int) -> tuple[str, ...]:
    """One line on the communication of a step and the part of it during which nothing else ran; none without any."""
    moving = [launch for launch in launches if launch.family == COMMUNICATION]
    if not moving:
        return ()
    total = sum(launch.seconds for launch in moving) / steps
    exposed = exposed_s(launches) / steps
    calls = len(moving) / steps
    return (
        f"communication: {calls:.4g} collectives and {total * 1e3:.3g} ms a step, of which {exposed * 1e3:.3g} ms "
        f"({exposed / total:.0%}) are not hidden behind other kernels",
    )


def exposed_s(launches: Iterable[Launch]) -> float:
    """Seconds in which collectives run and no other kernel does."""
    edges: list[tuple[float, int, int]] = []
    for launch in launches:
        if launch.end_s > launch.start_s:
            which = int(launch.family == COMMUNICATION)
            edges += [(launch.start_s, 1, which), (launch.end_s, -1, which)]
    edges.sort(key=lambda edge: edge[0])
    running, exposed, before = [0, 0], 0.0, 0.0
    for at_s, change, which in edges:
        if running[1] and not running[0]:
            exposed += at_s - before
        running[which] += change
        before = at_s
    return exposed
