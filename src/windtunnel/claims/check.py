"""What a check is, and which belongs to which claim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from windtunnel.claims.found import Found
from windtunnel.claims.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Answer:
    """found: one for each part of the claim, in its order. beside: what else follows, a line each; reason: why a claim
    without parts cannot be told."""

    found: tuple[Found, ...] = ()
    beside: tuple[str, ...] = ()
    reason: str = ""


Check = Callable[[Ledger], Answer]
CHECKS: dict[str, Check] = {}


def checks(*claims: str) -> Callable[[Check], Check]:
    """Enters a function as the check of these claims."""

    def enter(check: Check) -> Check:
        for name in claims:
            if name in CHECKS:
                raise ValueError(f"{name} has two checks")
            CHECKS[name] = check
        return check

    return enter


def answer(*found: Found, beside: tuple[str, ...] = ()) -> Answer:
    """What was found of each part, and what else follows."""
    return Answer(found, beside)


def no_matter(reason: str, *beside: str) -> Answer:
    """For a claim that nothing here can decide."""
    return Answer((), beside, reason)
