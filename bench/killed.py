"""A router whose back ends are killed one after another under load: what was lost, what was told, and what grew.

An hour at 50 requests a second with a kill a minute is pressed into less: a kill every two seconds, each back end in turn, with
SIGKILL; it is started again a moment later on the same port. Answers stream for about a second, so that each kill breaks some.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.load import back_end_command, environment_here, run
from bench.router import router

RATE, SECONDS = 50.0, 90.0
EVERY_S, DOWN_S = 2.0, 0.7
BACK_ENDS = 3
TOKENS, GAP_S = 40, 0.025


@dataclass(frozen=True, slots=True)
class Killed:
    """lost: requests of which nothing was sent, so that another back end could have answered; told: streams that broke under
    way and said so; grown: bytes of resident memory in the last third over the first; files: likewise, open ones."""

    requests: int
    kills: int
    lost: int
    told: int
    grown: int
    rss: int
    files: int


class Victims:
    """Back ends that are killed and started again."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[str]] = []
        self.ports: list[int] = []
        self.kills = 0
        self._stop = threading.Event()
        self._killer = threading.Thread(target=self._kill)

    def __enter__(self) -> Victims:
        for _ in range(BACK_ENDS):
            process = self._start(0)
            assert process.stdout is not None
            self.processes.append(process)
            self.ports.append(int(process.stdout.readline()))
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        for process in self.processes:
            process.kill()
            process.wait()

    @staticmethod
    def _start(port: int) -> subprocess.Popen[str]:
        command = back_end_command(port, TOKENS, GAP_S)
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment_here())

    def begin(self) -> None:
        """From now on one is killed every ``EVERY_S``."""
        self._killer.start()

    def end(self) -> None:
        """No more is killed."""
        self._stop.set()
        if self._killer.is_alive():
            self._killer.join()

    def _kill(self) -> None:
        while not self._stop.wait(EVERY_S - DOWN_S):
            victim = self.kills % BACK_ENDS
            self.processes[victim].kill()
            self.processes[victim].wait()
            self.kills += 1
            time.sleep(DOWN_S)
            self.processes[victim] = self._start(self.ports[victim])


def _of(pid: int) -> tuple[int, int]:
    """Bytes of resident memory, and open files."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(list(Path(f"/proc/{pid}/fd").iterdir()))


def survived(seconds: float = SECONDS) -> Killed:
    """What became of a run."""
    with ExitStack() as open_ones:
        victims = open_ones.enter_context(Victims())
        port, pid = open_ones.enter_context(router(*victims.ports))
        run(port, RATE, 3.0, 1, stream=True)  # what is made once is made
        samples: list[tuple[int, int]] = []
        done = threading.Event()

        def look() -> None:
            while not done.wait(0.5):
                samples.append(_of(pid))

        looking = threading.Thread(target=look)
        looking.start()
        victims.begin()
        times = run(port, RATE, seconds, 2, stream=True)
        done.set()
        looking.join()
    third = max(len(samples) // 3, 1)

    def mean(of: list[tuple[int, int]], i: int) -> float:
        return sum(sample[i] for sample in of) / len(of)

    grown, files = (mean(samples[-third:], i) - mean(samples[:third], i) for i in (0, 1))
    requests = len(times.whole) + times.failed + times.told
    return Killed(requests, victims.kills, times.failed, times.told, round(grown), round(mean(samples, 0)), round(files))


if __name__ == "__main__":
    found = survived()
    print(
        f"{found.requests} requests, {found.kills} kills: lost {found.lost}, told {found.told};"
        f" memory {found.rss / 1e6:.1f} MB, {found.grown / 1e6:+.2f} MB; open files {found.files:+d}"
    )
