"""Versions of packages, drivers and toolkits: how they are ordered, and whether one meets what another asks for.

A part of the Python packaging rules, with makers' spellings (``8.3.RC1``, ``v25.2.0``); what fits none of it is not known.

**Source:** PyPA, Version specifiers.
"""

from __future__ import annotations

import math
import re
from functools import cache

_VERSION = re.compile(
    r"v?(?:0!)?(?P<release>\d{1,9}(?:\.\d{1,9}){0,5})"
    r"(?:[._-]?(?P<pre>a|b|c|rc|alpha|beta|pre)[._-]?(?P<prenumber>\d{0,9}))?"
    r"(?:(?:-|[._-]?post[._-]?)(?P<post>\d{1,9}))?"
    r"(?:[._-]?dev(?P<dev>\d{0,9}))?"
    r"(?:\+(?P<local>[a-z0-9]+(?:[._-][a-z0-9]+)*))?",
    re.I,
)
_CLAUSE = re.compile(r"(===|==|!=|>=|<=|~=|>|<)\s*([^\s,;()]{1,80})")
_STAGE = {"a": 0, "alpha": 0, "b": 1, "beta": 1, "c": 2, "rc": 2, "pre": 2}

Key = tuple[tuple[int, ...], tuple[int, int], int, float]


@cache
def version_order(version: str) -> Key | None:
    """What orders versions, local labels aside; None where it is no version."""
    found = _VERSION.fullmatch(version.strip()[:80])
    if found is None:
        return None
    release = tuple(int(part) for part in found["release"].split("."))
    while len(release) > 1 and release[-1] == 0:
        release = release[:-1]
    dev = math.inf if found["dev"] is None else float(found["dev"] or 0)
    if found["pre"]:
        stage = (_STAGE[found["pre"].lower()], int(found["prenumber"] or 0))
    else:
        # a development release without a stage comes before all stages
        stage = (-1, 0) if found["dev"] is not None and found["post"] is None else (3, 0)
    return release, stage, int(found["post"]) + 1 if found["post"] else 0, dev


def local_label(version: str) -> str:
    """What stands after the plus: ``cu128`` of ``2.9.0+cu128``."""
    return version.partition("+")[2].lower()


def public(version: str) -> str:
    """A version without its local label."""
    return version.partition("+")[0]


def clauses(spec: str) -> tuple[tuple[str, str], ...] | None:
    """``>=3.10,<3.13`` as pairs; None where it is no such list."""
    parts = [part.strip() for part in spec.strip().strip("()").split(",") if part.strip()]
    found = [_CLAUSE.fullmatch(part) for part in parts]
    return tuple((one[1], one[2]) for one in found if one) if all(found) else None


def satisfies(version: str, spec: str) -> bool | None:
    """Whether a version meets every clause of ``spec``; None where either cannot be read. The empty spec takes any."""
    wanted = clauses(spec)
    if wanted is None or version_order(version) is None:
        return None
    answers = [_meets(version, relation, other) for relation, other in wanted]
    if False in answers:
        return False
    return None if None in answers else True


def _meets(version: str, relation: str, other: str) -> bool | None:
    if relation == "===":
        return version == other
    if other.endswith(".*"):
        same = _begins(version, other[:-2])
        return same if relation == "==" or same is None else not same if relation == "!=" else None
    mine, theirs = version_order(version), version_order(other)
    if mine is None or theirs is None:
        return None
    if relation == "~=":
        stem = public(other).lower().removeprefix("v").rpartition(".")[0]
        series = _begins(version, re.split(r"[a-z]", stem)[0].rstrip(".")) if stem else None
        return None if series is None else mine >= theirs and series
    if relation in ("==", "!="):
        same = mine == theirs and (not local_label(other) or local_label(version) == local_label(other))
        return same if relation == "==" else not same
    if relation == ">":  # a post-release of what is named is not later in this sense
        return mine > theirs and not (mine[:2] == theirs[:2] and mine[2] and not theirs[2])
    if relation == "<":  # nor is its candidate earlier
        return mine < theirs and not (mine[0] == theirs[0] and mine[1] < (3, 0) and theirs[1] == (3, 0))
    return mine >= theirs if relation == ">=" else mine <= theirs


def _begins(version: str, stem: str) -> bool | None:
    """Whether a release begins with the numbers of ``stem``."""
    found = _VERSION.fullmatch(version.strip()[:80])
    if found is None or not re.fullmatch(r"v?\d{1,9}(\.\d{1,9}){0,5}", stem):
        return None
    wanted = [int(part) for part in stem.removeprefix("v").split(".")]
    have = [int(part) for part in found["release"].split(".")]
    return (have + [0] * len(wanted))[: len(wanted)] == wanted
