"""Writes docs/port-rules.md from the rules of `windtunnel port` and their tables of cases."""

from __future__ import annotations

import difflib
from pathlib import Path

from windtunnel.port.registry import all_rules
from windtunnel.port.rule import Case, Language, Rule

PAGE = Path(__file__).with_name("port-rules.md")

HEAD = """# Rules of `windtunnel port`

What `windtunnel port scan` looks for. This page is generated from the rules and the cases that test them: `make docs` writes it
anew, and a test compares. How scan, fix and proof go together is in [port.md](port.md).

*spelling*: only a name binds, and another name does the same elsewhere. *capability*: something is used that others lack or do
otherwise. *safe*: `port fix` makes it, and CUDA and a machine without an accelerator see no difference. *unsafe*: only with
`--unsafe`. *none*: left to you, with the reason.
"""

FENCES: dict[Language, str] = {
    "python": "py", "notebook": "json", "cpp": "cuda", "build": "cmake", "shell": "bash", "dockerfile": "dockerfile",
    "compose": "yaml", "kubernetes": "yaml", "requirements": "text", "ci": "yaml", "slurm": "bash", "config": "text",
}  # fmt: skip
MOST_LINES = 16
"""Longer cases test more than they show."""
FIXES = {"safe": "safe", "unsafe": "unsafe, on request", "none": "none"}


def fenced(rule: Rule, text: str, mark: str = "") -> str:
    lines = [f"{mark}{line}".rstrip() for line in text.rstrip("\n").splitlines()]
    kind = "diff" if mark else FENCES[rule.languages[0]]
    return "\n".join([f"```{kind}", *lines, "```"])


def short(cases: list[Case]) -> list[Case]:
    """Cases that can be shown, shortest first: whole, of few lines, without a fence of their own."""
    fit = [c for c in cases if c.before.count("\n") < MOST_LINES and "```" not in c.before]
    return sorted(fit, key=lambda case: len(case.before))


def example(rule: Rule) -> list[str]:
    found = [case for case in rule.cases if case.found]
    fixed = short([case for case in found if case.after is not None or case.unsafe is not None])
    plain = short([case for case in found if case.after is None and case.unsafe is None])
    none = short([case for case in rule.cases if not case.found and case.note])
    parts = []
    if fixed:
        case = fixed[0]
        after = case.after if case.after is not None else case.unsafe
        assert after is not None
        old, new = case.before.rstrip("\n").splitlines(), after.rstrip("\n").splitlines()
        lines = [line.rstrip() for line in difflib.ndiff(old, new) if not line.startswith("?")]
        parts.append("\n".join(["```diff", *lines, "```"]))
    elif plain:
        parts.append(f"{fenced(rule, plain[0].before)}")
    if none:
        note = none[0].note
        parts.append(f"Left alone ({note}):\n\n{fenced(rule, none[0].before)}")
    return parts


def section(rule: Rule) -> str:
    facts = f"*{rule.kind}*; fix: *{FIXES[rule.safety]}*; in: {', '.join(rule.languages)}; concerns: {', '.join(rule.targets)}"
    parts = [f"## {rule.id}", rule.what, f"**Why it binds.** {rule.why}", f"**Instead.** {rule.instead}", facts, *example(rule)]
    return "\n\n".join(parts) + "\n"


def page() -> str:
    """The page as it should be."""
    rules = all_rules()
    rows = [f"| [{r.id}](#{r.id}) | {r.kind} | {r.safety} | {r.what.replace('|', chr(92) + '|')} |" for r in rules]
    table = "\n".join(["| rule | kind | fix | finds |", "|---|---|---|---|", *rows])
    return "\n".join([HEAD, f"{table}\n", *(section(rule) for rule in rules)])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
