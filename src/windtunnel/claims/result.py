"""Claims recomputed: each part judged, and the facts behind it."""

from __future__ import annotations

from dataclasses import dataclass

from windtunnel.claims import checks as _checks
from windtunnel.claims.check import CHECKS
from windtunnel.claims.found import Found, Used
from windtunnel.claims.ledger import Ledger
from windtunnel.claims.record import Claim, Part, claim, claims
from windtunnel.claims.verdict import Verdict, judge, overall

__all__ = ["PartResult", "Result", "recompute", "recompute_all"]
assert _checks.__all__, "importing them enters the checks"


@dataclass(frozen=True, slots=True)
class PartResult:
    """One part of a claim, what was found of it, and the verdict on it."""

    part: Part
    found: Found
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Result:
    """A claim recomputed. reason: why nothing of it can be told; beside: what else follows; used: the facts that were looked
    up; recalled: market rows among them that are from memory; function: the check that did it, as module.name."""

    claim: Claim
    parts: tuple[PartResult, ...]
    verdict: Verdict
    reason: str
    beside: tuple[str, ...]
    used: tuple[Used, ...]
    recalled: tuple[str, ...]
    function: str


def recompute(name: str) -> Result:
    """One claim by its id. Raises UnknownNameError with the nearest."""
    return _recompute(claim(name))


def recompute_all() -> tuple[Result, ...]:
    """Every claim, by id; predictions are made once."""
    return tuple(_recompute(each) for each in claims())


def _recompute(of: Claim) -> Result:
    check = CHECKS[of.id]
    ledger = Ledger(of.article)
    answer = check(ledger)
    parts = tuple(PartResult(part, found, judge(part, found)) for part, found in zip(of.parts, answer.found, strict=True))
    verdict = overall([part.verdict for part in parts])
    missing = "; ".join(dict.fromkeys(part.found.unknown for part in parts if part.found.unknown))
    where = f"{check.__module__.rpartition('.')[2]}.{check.__name__}"
    used = tuple(ledger.used.values())
    reason = answer.reason or missing
    return Result(of, parts, verdict, reason, answer.beside, used, tuple(ledger.recalled), where)
