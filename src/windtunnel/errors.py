"""The one tree of expected errors: each is one line that names the thing and the nearest that would do.

    WindtunnelError
    ├── UnknownNameError       a chip, model, engine ... that is not in the catalogue
    ├── MissingFactError       the thing is known, but no source gives the figure that is needed
    ├── UnsupportedError       the thing is known and cannot do what was asked
    ├── InvalidInputError      a field, an argument or a file is malformed
    │   └── ParallelismError   the degrees of parallelism do not divide what they cut
    ├── DoesNotFitError        the deployment needs more memory than there is
    ├── EngineError            an engine in a process of its own did not start, or ended
    └── InfeasibleError        nothing that was searched meets the targets

The command line prints the message after ``windtunnel: `` and exits with status 2. Anything else that
escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

_NAMED_ERROR = re.compile(r"\b\w*(?:Error|Exception): .*")


class WindtunnelError(Exception):
    """An error that a user can act on."""

    exit_status = 2

    def __reduce__(self) -> Any:
        """Errors travel between processes as they are, whatever their constructors take."""
        return _as_it_was, (type(self), self.args, dict(self.__dict__))


def _as_it_was(kind: type[WindtunnelError], args: tuple[Any, ...], state: dict[str, Any]) -> WindtunnelError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


def nearest(name: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """The known names that look most like ``name``, best first."""
    pool = sorted(set(known))
    lowered = {candidate.lower(): candidate for candidate in pool}
    found = difflib.get_close_matches(name.lower(), list(lowered), n=limit, cutoff=0.45)
    containing = [c for c in lowered if name.lower() in c and c not in found]
    return [lowered[c] for c in (found + containing)[:limit]]


MOST_NAMED = 24
"""Names up to which all are said where none is near."""
_LISTED_BY = {"model": "models", "chip": "chips", "chip or system": "chips", "system": "chips"}


def _all_of(kind: str, known: list[str]) -> str:
    """Where to find a right name: all of them where they are few, else the command that lists them."""
    if kind in _LISTED_BY:
        return f"; `windtunnel {_LISTED_BY[kind]}` lists what is known"
    return f"; known: {', '.join(dict.fromkeys(known))}" if 0 < len(known) <= MOST_NAMED else ""


def _one_line(text: str, limit: int = 120) -> str:
    """``text`` as a single printable line, cut in the middle where it is long."""
    flat = " ".join(str(text).split())
    flat = "".join(c if c.isprintable() else "?" for c in flat)
    return flat if len(flat) <= limit else f"{flat[: limit - 20]}...{flat[-15:]}"


class UnknownNameError(WindtunnelError):
    """A name that the catalogue does not hold. otherwise: what is said where none is near."""

    def __init__(self, kind: str, name: str, known: Iterable[str], otherwise: str = "") -> None:
        self.kind, self.name = kind, name
        known = list(known)
        self.nearest = nearest(name, known)
        hint = f"; nearest: {', '.join(self.nearest)}" if self.nearest else otherwise or _all_of(kind, known)
        super().__init__(f"unknown {kind} '{_one_line(name, 80)}'{hint}")


class MissingFactError(WindtunnelError):
    """No source gives a figure that is needed; nothing is guessed in its place."""

    def __init__(self, subject: str, field: str, hint: str = "") -> None:
        self.subject, self.field = subject, field
        super().__init__(f"not known: {field} of {subject}" + (f"; {hint}" if hint else ""))


class UnsupportedError(WindtunnelError):
    """A chip, engine or model cannot do what was asked of it."""


class InvalidInputError(WindtunnelError):
    """A field, an argument or a file is malformed."""

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        super().__init__(f"{_one_line(field, 80)}: {_one_line(problem, 240)}")


class ParallelismError(InvalidInputError):
    """Degrees of parallelism that do not divide what they cut."""


class DoesNotFitError(WindtunnelError):
    """A deployment needs more memory than its chips have."""


class EngineError(WindtunnelError):
    """An engine in a process of its own did not start, or ended. last_lines: of its log, of which the message holds the most
    telling one: the first that names an error, since later ones tell what followed from it; else the last."""

    def __init__(self, summary: str, last_lines: Iterable[str]) -> None:
        self.summary, self.last_lines = summary, tuple(last_lines)
        errors = (found[0] for line in self.last_lines if (found := _NAMED_ERROR.search(line)))
        telling = next(errors, self.last_lines[-1] if self.last_lines else "it logged nothing")
        super().__init__(f"{summary}: {_one_line(telling, 300)}")


class InfeasibleError(WindtunnelError):
    """Nothing that was searched meets the targets."""
