"""Up, down, status: each command is shown before it runs, in the folder, without a shell."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from itertools import pairwise

from windtunnel.errors import InvalidInputError, UnsupportedError, WindtunnelError
from windtunnel.serve.drive.written import PROGRAMS, Command, Deployment, Endpoint

LOOK_EVERY_S = 2.0
ANSWER_WITHIN_S = 5.0
STANDARD_ERROR = 2


class Driver:
    """Runs the commands of one deployment. say: shows a line to the user."""

    def __init__(self, deployment: Deployment, say: Callable[[str], None], *, look_every_s: float = LOOK_EVERY_S) -> None:
        self.deployment, self._say, self._look_every_s = deployment, say, look_every_s
        self.started: list[str] = []
        """What was run to start it, as a reader would type it."""

    def check(self, steps: Sequence[str]) -> None:
        """Whether all is there that ``steps`` take: raises InvalidInputError or UnsupportedError, one line."""
        it = self.deployment
        missing = it.missing()
        if missing:
            said = "; ".join(f"{name}: {it.needs[name]}" for name in missing)
            raise InvalidInputError(str(it.folder / ".env"), f"does not say yet {said}")
        programs = dict.fromkeys(command[0] for step in steps for command in it.commands[step])
        for program in programs:
            if shutil.which(program, path=it.values.get("PATH")) is None:
                raise UnsupportedError(f"{program} is not on this machine; install {PROGRAMS[program]}")
        if "docker" in programs and self._quiet(("docker", "compose", "version")):
            raise UnsupportedError("docker has no Compose plugin on this machine; install docker-compose-plugin")

    def up(self, step: str = "up") -> None:
        """Starts what was written, and waits until every endpoint is healthy; step: serve leaves out the router.

        Raises WindtunnelError where a command fails or an endpoint does not come; what was started is then left for a look.
        """
        self.check((step, "wait"))
        if not self.deployment.commands[step]:
            raise UnsupportedError(f"{self.deployment.folder} holds nothing that can be started so")
        for command in self.deployment.commands[step]:
            if self._runs(command):
                continue
            self.started.append(shlex.join(command))
            self.run(command)
        for command in self.deployment.commands["wait"]:
            self.run(command)
        self.wait()

    def wait(self) -> None:
        """Returns when every endpoint has answered on /health. Raises WindtunnelError when one's time is over."""
        since = time.monotonic()
        waiting = [Endpoint(it.name, self.deployment.reached(it.url), it.patience_s) for it in self.deployment.endpoints]
        if waiting:
            longest = max(it.patience_s for it in waiting)
            self._say(f"waiting for {_names(waiting)}, {longest / 60:.0f} min at most")
        while waiting:
            waited = time.monotonic() - since
            well = [it for it in waiting if healthy(it.url)]
            for it in well:
                self._say(f"{it.name} is healthy at {it.url} after {waited:.0f} s")
            waiting = [it for it in waiting if it not in well]
            late = [it for it in waiting if waited > it.patience_s]
            if late:
                for command in self.deployment.commands["logs"]:
                    self.run(command, must=False)
                raise WindtunnelError(f"{_names(late)} did not answer on /health within {late[0].patience_s:,.0f} s")
            if waiting:
                time.sleep(self._look_every_s)

    def status(self) -> bool:
        """Shows what runs, and whether each endpoint is healthy; returns whether all are."""
        self.check(("status",))
        done = [self.run(command, must=False) for command in self.deployment.commands["status"]]
        all_well = not any(done)
        for it in self.deployment.endpoints:
            url = self.deployment.reached(it.url)
            well = healthy(url)
            all_well = all_well and well
            self._say(f"{it.name}  {'healthy' if well else 'does not answer'}  {url}")
        return all_well

    def down(self) -> None:
        """Takes down all of it: every command is tried. Raises WindtunnelError where one failed."""
        self.check(("down",))
        failed = [command for command in self.deployment.commands["down"] if self.run(command, must=False)]
        if failed:
            raise WindtunnelError(f"could not take down all: {shlex.join(failed[0])} failed")

    def run(self, command: Command, *, must: bool = True) -> int:
        """Shows ``command``, runs it in the folder, returns its exit status. Raises WindtunnelError where it must not fail."""
        argv = [self.deployment.filled(word) for word in command]
        self._say(f"$ {shlex.join(argv)}")
        try:
            # standard output is for the answer: where the model is served, or what the status is
            out = None if command in self.deployment.commands["status"] else STANDARD_ERROR
            done = subprocess.run(argv, cwd=self.deployment.folder, env=self.environment(), stdout=out, check=False)
            status = done.returncode
        except OSError as error:
            raise WindtunnelError(f"{argv[0]} cannot be run: {error.strerror or error}") from None
        if must and status:
            raise WindtunnelError(f"{shlex.join(argv)} ended with status {status}")
        return status

    def _runs(self, command: Command) -> bool:
        """Whether a Ray job runs already. Compose and Kubernetes see for themselves; Ray takes no name twice, so that of a job
        which has ended is freed here."""
        if command[:3] != ("ray", "job", "submit"):
            return False
        options = dict(pairwise(command))
        job, at = options.get("--submission-id", ""), options.get("--address", "")
        look = ["ray", "job", "status", "--address", at, job]
        done = subprocess.run(look, env=self.environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            return False
        said = done.stdout + done.stderr
        if "RUNNING" in said or "PENDING" in said:
            self._say(f"{job} runs already")
            return True
        self.run(("ray", "job", "delete", "--address", at, job))
        return False

    def _quiet(self, command: Command) -> int:
        """The exit status of a command that only looks."""
        done = subprocess.run(command, env=self.environment(), capture_output=True, stdin=subprocess.DEVNULL, check=False)
        return done.returncode

    def environment(self) -> dict[str, str]:
        """For the programs: this process's own, and what ``.env`` says."""
        return {**os.environ, **self.deployment.values}


def healthy(url: str) -> bool:
    """Whether the endpoint answers on /health with 200."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=ANSWER_WITHIN_S) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _names(endpoints: Sequence[Endpoint]) -> str:
    names = [it.name for it in endpoints]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
