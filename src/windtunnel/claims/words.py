"""Claims and what was found of them in words, for the terminal and the page alike."""

from __future__ import annotations

import math

from windtunnel.claims.found import Found
from windtunnel.claims.record import Claim, Part
from windtunnel.claims.result import PartResult, Result
from windtunnel.claims.verdict import claimed_range, leaning

LARGE = (("trillion", 1e12), ("billion", 1e9), ("million", 1e6))

LONGEST_LABEL = 32


def number(value: float) -> str:
    """A number as one reads it aloud: ``0.667``, ``12,308``, ``1.3 million``, ``3.3e+24``."""
    size = abs(value)
    if size >= 1e15:
        return f"{value:.3g}"
    for word, scale in LARGE:
        if size >= scale * 0.9995:
            return f"{float(f'{value / scale:.4g}'):,g} {word}"
    return f"{value:,.0f}" if size >= 1000 else f"{value:.3g}"


def _with_unit(text: str, unit: str) -> str:
    return f"{text} {unit}".strip()


def says(part: Part) -> str:
    """What a part claims: ``about 0.6 x``, ``over 1 x``, ``ascend``."""
    if part.relation == "is":
        return part.text
    if part.relation == "between":
        return _with_unit(f"{number(part.value)} to {number(part.high)}", part.unit)
    word = "" if part.relation == "possible" else f"{part.relation} "
    return _with_unit(f"{word}{number(part.value)}", part.unit)


def would_do(part: Part) -> str:
    """The numbers that would make a part true: ``0.55 to 0.65``; empty for names and bounds."""
    if part.relation in ("is", "over", "under"):
        return ""
    low, high = claimed_range(part)
    return " to ".join(number(end) if end >= 1000 else f"{end:.4g}" for end in (low, high))


def found(of: Found) -> str:
    """What was found: ``0.492 x (0.166 to 1.39)``, a name, or ``not known``."""
    if of.unknown:
        return "not known"
    if of.text:
        return of.text
    text = _with_unit(number(of.value), of.unit)
    if math.isclose(of.low, of.high):
        return text
    return f"{text} ({number(of.low)} to {number(of.high)})"


def in_short(result: Result) -> str:
    """What the catalogue and the models say, in one line for the table."""
    if not result.parts:
        return result.reason
    known = [part for part in result.parts if not part.found.unknown]
    if not known:
        return result.reason
    told = "; ".join(_labelled(part, len(result.parts)) for part in known)
    return told if len(known) == len(result.parts) else f"{told}; the rest is not known"


def _labelled(part: PartResult, parts: int) -> str:
    """What was found, after the first words of the part's name where there are several."""
    label = part.part.name.partition(",")[0].partition(" (")[0]
    return f"{label} {found(part.found)}" if parts > 1 and len(label) <= LONGEST_LABEL else found(part.found)


def why(result: Result) -> str:
    """What the reason of a result is called: why nothing can be told, or what of it is not known."""
    return "why" if result.verdict == "cannot be told" else "not known"


def judged(part: PartResult) -> str:
    """The verdict on a part, with where the best value lies where it holds in part."""
    lean = leaning(part.part, part.found)
    return f"{part.verdict} ({lean})" if lean else part.verdict


def basis(part: PartResult) -> str:
    """How the number was got: the arithmetic, and for a prediction its evidence."""
    of = part.found
    if of.unknown:
        return of.unknown
    evidence = f"a prediction, {of.evidence.label}" if of.evidence is not None else ""
    return "; ".join(text for text in (of.how, evidence) if text)


def said_by(claim: Claim) -> str:
    return f"{claim.who}, {claim.date}"
