"""Writes docs/claims.md from the claims, recomputed: ``python docs/generate_claims.py`` (or ``make docs``)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from windtunnel.claims import words
from windtunnel.claims.result import Result, recompute_all
from windtunnel.claims.verdict import VERDICTS

PAGE = Path(__file__).with_name("claims.md")

HEAD = """# Claims

What has been said in public about these chips, recomputed. `windtunnel claims` prints the table, `windtunnel claims S048` one
claim in full. This page is generated: `make docs` writes it anew, and a test compares. The texts of the claims are ours and
short; each is told apart in parts that can be held against a number or a name.

## How a verdict is made

No verdict is written down: each part of a claim is looked up or computed from the catalogue, the market rows, the export
rules and the predictions, and compared by one rule.

- **What a claim says** is a range. A number stands for all that round to it: half a unit of its last digit that is not zero (40 %
  is 35 to 45 %, 0.667 is 0.6665 to 0.6675), and at most a quarter of it (a million is 750,000 to 1,250,000). "More than", "less
  than" and "up to" are bounds. "Much" is at least twice, "comparable" at least three quarters, "competitive" at least four
  fifths; where a claim uses such a word, its part says so.
- **What is found** is a range as well: over sources that disagree, over the variants that are meant, or the interval of a
  prediction that holds the truth in 80 % of cases (a ratio of two predictions takes their errors as independent; a range over
  models goes from the lowest end to the highest).
- A part **holds** where all that is found lies in what is claimed, **does not hold** where none of it does, and **holds in part**
  where some does; then it is said whether the best value lies in it, above or below. For a prediction that means: it allows the
  claim, and does not confirm it.
- A claim of several parts holds, or does not, where all do alike; else it holds in part.
- **Cannot be told**: a fact is missing, which is named, or the matter is none of this tool's. Proposals and plans are neither
  true nor false; what would follow from them is computed.
- A row that rests on the same article as the claim is no evidence for it. What follows only from the article's own other numbers
  is called so.
- "A 910B" without a bin is one of those with 64 GB (910B1, B2, B3). TPP and verdicts on exports are those of `windtunnel rules`.
- Rows **from memory** were not looked up again; a claim that uses one says so.
"""


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def table(results: tuple[Result, ...]) -> str:
    rows = [
        f"| [{r.claim.id}](#{r.claim.id.lower()}) | {cell(r.claim.says)} | {cell(words.in_short(r))} | {r.verdict} |"
        for r in results
    ]
    return "\n".join(["| id | claim | the catalogue and the models say | verdict |", "|---|---|---|---|", *rows])


def section(result: Result) -> str:
    claim = result.claim
    parts = [f"### {claim.id}", f"{claim.says} *({words.said_by(claim)})*", f"**{result.verdict.capitalize()}.**"]
    if result.reason:
        parts[-1] += f" {words.why(result).capitalize()}: {result.reason}."
    if result.recalled:
        parts[-1] += f" Uses rows from memory: {', '.join(result.recalled)}."
    if result.parts:
        rows = ["| part | claimed | found | verdict |", "|---|---|---|---|"]
        for part in result.parts:
            cells = (part.part.name, words.says(part.part), words.found(part.found), words.judged(part))
            rows.append("| " + " | ".join(cell(text) for text in cells) + " |")
        parts.append("\n".join(rows))
    how = [f"- {part.part.name}: {words.basis(part)}" for part in result.parts if words.basis(part) and not part.found.unknown]
    lines = [*how, *(f"- {line}" for line in result.beside)]
    if lines:
        parts.append("\n".join(lines))
    if result.used:
        facts = [f"- {used.ref}: {used.value}. *{used.source.rstrip('.')}.*" for used in result.used]
        title = f"<details><summary>{len(facts)} {'fact' if len(facts) == 1 else 'facts'}</summary>"
        parts.append("\n".join([title, "", *facts, "", "</details>"]))
    parts.append(f"Computed by `windtunnel.claims.checks.{result.function}`.")
    return "\n\n".join(parts) + "\n"


def page() -> str:
    """The page as it should be."""
    results = recompute_all()
    counts = Counter(result.verdict for result in results)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS)
    told = told.replace("holds,", "hold,").replace("holds in part", "hold in part").replace("does not hold", "do not hold")
    return "\n".join(
        [
            HEAD,
            f"## All {len(results)}\n",
            f"Of {len(results)} claims, {told}.\n",
            f"{table(results)}\n",
            "## One by one\n",
            *(section(result) for result in results),
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
