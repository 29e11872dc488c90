"""Specifiers as people say them, and as pip takes them."""

from __future__ import annotations

import re

from windtunnel.catalog.version import clauses, local_label

_WORDS = {">=": "{} or later", "<": "before {}", "<=": "at most {}", ">": "later than {}", "!=": "not {}", "~=": "about {}"}
CPU_INDEX = "--index-url https://download.pytorch.org/whl/cpu"


def spoken(spec: str) -> str:
    """``>=3.10,<3.13`` as ``3.10 or later, before 3.13``; ``==2.13.*`` as ``2.13.x``."""
    parts = clauses(spec) or ()
    shown = [_WORDS.get(relation, "{}").format(_series(version)) for relation, version in parts if relation != "!="]
    return ", ".join(shown or [_WORDS["!="].format(_series(version)) for _, version in parts])


def _series(version: str) -> str:
    """``2.13.x`` of ``2.13.*``; of ``2.13.0.*`` all are builds of 2.13.0."""
    stem = version.removesuffix(".*")
    return version if stem == version else stem if stem.count(".") >= 2 else f"{stem}.x"


def pip_line(name: str, spec: str) -> str:
    """The line that installs what ``spec`` asks for."""
    parts = clauses(spec) or ()
    exact = next((version for relation, version in parts if relation in ("==", "===")), "")
    if exact:
        stem = exact.removesuffix(".*")
        wanted = f"{name}=={stem}" if stem == exact or stem.count(".") >= 2 else f"'{name}=={exact}'"
        return f"pip install {wanted}" + (f" {CPU_INDEX}" if local_label(exact) == "cpu" else "")
    asked = re.sub(r"\s+", "", spec)
    return f"pip install '{name}{asked}'" if asked else f"pip install {name}"
