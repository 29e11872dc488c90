"""Stands between this program and an engine, and lets no engine outlive it. A script: ``python keeper.py GRACE_S COMMAND ...``.

It starts COMMAND in a process group of its own and waits. When its standard input ends, which it does however the program
at the other end ended, when it gets SIGTERM, SIGINT or SIGHUP, or when COMMAND is over, everything that COMMAND started is
asked to end (SIGTERM), and made to (SIGKILL) after GRACE_S seconds. On Linux that reaches processes that left the group too,
since their parent's death makes them children of this one; and the kernel ends COMMAND should this script be killed itself.
The exit status is COMMAND's, or 128 and the number of the signal that ended it; 127 where it cannot be run.

It imports little and nothing of this package, so that it starts in a blink and holds next to no memory.
"""

import contextlib
import os
import select
import signal
import sys
import time

SET_PDEATHSIG, SET_CHILD_SUBREAPER = 1, 36
"""Of ``prctl``. **Source:** linux/prctl.h."""
CANNOT_RUN = 127
PACE_S = 0.05


def prctl(option: int, value: int) -> None:
    """Nothing where the system has no such call."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def start(command: list[str]) -> int:
    """Runs COMMAND as a child and gives its number; nothing else runs in this process, so forking it is safe."""
    mine = os.getpid()
    child = os.fork()
    if child:
        with contextlib.suppress(OSError):
            os.setpgid(child, child)
        return child
    try:
        os.setpgid(0, 0)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        prctl(SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != mine:
            os._exit(CANNOT_RUN)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    os._exit(CANNOT_RUN)


def descendants() -> list[int]:
    """Every living process below this one, by Linux's ``/proc``."""
    children: dict[int, list[int]] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib takes as long to import as all the rest
            if name.isdigit():
                with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
                    if state not in (b"Z", b"X"):
                        children.setdefault(int(parent), []).append(int(name))
    found, ahead = [], [os.getpid()]
    while ahead:
        below = children.get(ahead.pop(), [])
        found += below
        ahead += below
    return found


def tell(group: int, number: int) -> bool:
    """A signal to the group and to all below; whether anybody was there."""
    reached = False
    for call, target in ((os.killpg, group), *((os.kill, one) for one in descendants())):
        with contextlib.suppress(OSError):
            call(target, number)
            reached = True
    return reached


def reap(child: int, status: int | None) -> int | None:
    """Takes leave of whoever is over; COMMAND's status, once it is."""
    with contextlib.suppress(ChildProcessError):
        while True:
            done, how = os.waitpid(-1, os.WNOHANG)
            if not done:
                break
            if done == child:
                status = how
    return status


def main(grace_s: float, command: list[str]) -> int:
    prctl(SET_CHILD_SUBREAPER, 1)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: told.append(number))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    child = start(command)
    status: int | None = None
    while status is None and not told:
        ready, _, _ = select.select([0, wake_read], [], [])
        if 0 in ready and not os.read(0, 4096):
            break
        if wake_read in ready:
            os.read(wake_read, 4096)
        status = reap(child, status)
    until = time.monotonic() + grace_s
    tell(child, signal.SIGTERM)
    while time.monotonic() < until and (status is None or tell(child, 0)):
        time.sleep(PACE_S)
        status = reap(child, status)
    if tell(child, signal.SIGKILL):
        time.sleep(PACE_S)
        status = reap(child, status)
    if status is None:
        return 128 + signal.SIGKILL
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
