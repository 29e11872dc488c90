"""Writes docs/rules.md and its two pictures from the record of export rules (``make docs``)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from windtunnel.catalog import chip, chips
from windtunnel.catalog.destination import maker_country, record
from windtunnel.catalog.instrument import Instrument, instruments
from windtunnel.rules.check import check
from windtunnel.rules.classify import below_2026, classify_2022, classify_2023, letter_hit
from windtunnel.rules.crossover import crossover
from windtunnel.rules.metrics import dram_bandwidth, io_bandwidth, performance_density, total_processing_performance
from windtunnel.rules.threshold import threshold
from windtunnel.rules.timeline import timeline
from windtunnel.rules.verdict import Status
from windtunnel.web.rules_plot import crossover_svg, timeline_svg

PAGE = Path(__file__).with_name("rules.md")
TIMELINE = "rules-timeline.svg"
CROSSOVER = "rules-crossover.svg"
SHOWN = ("h20", "h200-sxm", "b200-sxm", "mi308x", "mi325x", "gaudi3", "rtx-4090", "rtx-5090", "rtx-5090d-v2", "l20", "mlu590",
         "ascend-910c")  # fmt: skip
DAYS = ("2023-01-01", "2024-01-01", "2025-05-01", "2026-02-01")
SHORT = {
    Status.FREE: "free", Status.EXCEPTION: "exception", Status.APPROVAL: "approval", Status.CASE_BY_CASE: "case by case",
    Status.LICENCE: "licence", Status.DENIAL: "denial", Status.NOT_COVERED: "not in the record",
}  # fmt: skip

HEAD = """# Export rules

What `windtunnel rules` knows: US rules on AI chips from October 2022 to {until}, as dated data, and the arithmetic beside
them. This page is generated: `make docs` writes it anew, and a test compares. **Engineering data, not legal advice.**

```sh
windtunnel rules check h20 --to CN --date 2025-04-20
windtunnel rules timeline --chips h20,h200-sxm,mi308x,rtx-4090 --plot timeline.svg
windtunnel rules threshold --best-of ascend-910c,mlu590 --buffer 0.5
windtunnel rules crossover --maker Huawei --seller Nvidia --html crossover.html
windtunnel rules hbm --gb-per-s 819 --mm2 121
windtunnel rules list
windtunnel plan meta-llama/Llama-3.1-8B --on h20,ascend-910c --isl 1024 --osl 256 --to CN --date 2025-09-01
```

## What is modelled

- **TPP**, total processing performance: the largest product of bit length and dense TOPS over the precisions, of all units
  of the chip together. Sparse figures do not count, nor does TF32, whose bit length the rule leaves open; the verdict says
  where that matters.
- **PD**, performance density: TPP over the area of all logic dies in mm2. Where no source gives the area the verdict is
  "needs die area" from 1,600 TPP on, never a guess.
- **I/O bandwidth**: scale-up links and PCIe of 16 lanes, both directions together. The letters of 2025 do not say how to
  count.
- **What a chip is marketed for** decides Note 2 and License Exceptions NAC and ACA.
- **A system** is judged by the chip inside (4A090), a die by the package that is sold.
- **Bare stacks of memory** (3A090.c) by bandwidth over area.
- **Chips that are no US items** get the verdict that they would get as US items, and are told so; BIS guidance of
  2025-05-13 says that those of the 3A090 class likely violate the rules wherever they are used (General Prohibition 10).

Statuses, the freest first: {statuses}.

In `plan --to --date`, a chip drops out where a licence is required and nothing published says that it would be granted
("licence required", "presumption of denial"), and where it was not launched by then. What is reviewed case by case, goes
under an exception or cannot be told stays, with a note. A chip that is no US item never drops out by these rules.
"""


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: int = 0) -> str:
    """A table in Markdown; the last ``right`` columns to the right."""
    marks = ["---"] * (len(head) - right) + ["---:"] * right
    lines = [head, marks, *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"


def number(value: float | None, places: int = 0) -> str:
    return "?" if value is None else f"{value:,.{places}f}"


def limits(each: Instrument) -> str:
    return "; ".join(f"{t.paragraph} {t.value:,.10g} {t.unit} [{t.tag}]" for t in (each.thresholds or {}).values())


def instrument_table() -> str:
    rows = []
    for each in instruments():
        days = each.since + (f", ended {each.ended}" if each.ended else "")
        rows.append([days, each.name, "yes" if each.binds else "no", each.tag, each.summary, limits(each)])
    return table(["since", "instrument", "binds", "text known", "what", "numbers"], rows)


def verdict_table() -> str:
    rows = []
    for each in chips():
        if each.part_of:
            continue
        mark = "" if maker_country(each.vendor) == "US" else " *"
        cells = []
        for day in DAYS:
            verdict = check(each, "CN", day)
            told = SHORT.get(verdict.status) or f"needs {verdict.missing}"
            gone = verdict.launch is not None and verdict.launch.earliest > verdict.date
            cells.append(f"({told})" if gone else told)
        rows.append([f"`{each.id}`{mark}", *cells])
    return table(["chip", *DAYS], rows)


def number_table() -> str:
    rows = []
    for each in chips():
        tpp, pd = total_processing_performance(each), performance_density(each)
        if tpp.value is None or each.part_of:
            continue
        new = classify_2023(each)
        letter, review = letter_hit(each), below_2026(each)
        told = "-" if not new.eccn.startswith("3A090.a") else {True: "case by case", False: "denial", None: "?"}[review.hit]
        mark = "" if maker_country(each.vendor) == "US" else " *"
        area = each.figures.get("die_area_m2")
        size = "?" if area is None else f"{area.value * 1e6:,.6g}" + (" (estimate)" if area.kind == "estimate" else "")
        old = classify_2022(each)
        rows.append(
            [
                f"`{each.id}`{mark}", f"needs {old.missing}" if old.missing else "yes" if old.eccn else "no",
                new.text + (" (exception)" if new.exception else ""), {True: "yes", False: "no", None: "?"}[letter.hit], told,
                number(tpp.value), size, number(pd.value, 2), number(dram_bandwidth(each).value),
                number(io_bandwidth(each).value),
            ]
        )  # fmt: skip
    head = ["chip", "2022", "class since 2023", "letter 2025", "review 2026", "TPP", "mm2", "PD", "DRAM GB/s", "I/O GB/s"]
    return table(head, rows, right=5)


def threshold_table() -> str:
    report = threshold(["ascend-910c", "mlu590"], 0.5)
    rows = []
    for year in report.years:
        limit = f"{year.low:,.0f}" if year.high == year.low else f"{year.low:,.0f} to {year.high:,.0f}"
        best = year.best_low.chip if year.high == year.low else f"{year.best_low.chip}, perhaps {year.best_high.chip}"
        held: dict[bool | None, list[str]] = {True: [], False: [], None: []}
        for each in year.held:
            if chip(each.chip).datacenter:
                held[each.passes].append(each.chip)
        day = f"{year.day}{' (roadmap)' if year.planned else ''}"
        rows.append([day, limit, best, *(", ".join(f"`{name}`" for name in held[key][:6]) or "-" for key in (True, None, False))])
    return table(["day", "limit, TPP", "from", "strongest that pass", "perhaps", "strongest that fail"], rows)


def crossing_lines() -> str:
    found = []
    for metric in ("tpp", "dram", "memory"):
        told = crossover(metric=metric)
        for track in told.tracks:
            lines = [f"  - {crossing.text(told)}" for crossing in track.crossings] or ["  - no change of leader"]
            found += [f"- {told.metric}, {told.seller} {track.name}:", *lines]
    return "\n".join(found) + "\n"


def unknowns() -> str:
    """What the record cannot tell, by what is missing."""
    no_area = [c.id for c in chips() if classify_2023(c).missing == "die area"]
    no_peak = [c.id for c in chips() if total_processing_performance(c).value is None]
    estimates = [c.id for c in chips() if c.has("die_area_m2") and c.figure("die_area_m2").kind == "estimate"]
    turned = [c.id for c in chips() if any("by another" in note for note in check(c, "CN", "2026-02-01").notes)]

    def listed(names: list[str]) -> str:
        return ", ".join(f"`{name}`" for name in names)

    return f"""- **Die area is not known** where it decides, so that the class cannot be told: {listed(no_area)}.
- **No peak is known**, so that nothing can be told: {listed(no_peak)}.
- **Die area is an estimate**: {listed(estimates)}.
- **Sources disagree so far that the class turns on which is right**: {listed(turned)}; `rules check` says both.
- **The letters of April 2025 are not published.** Their numbers come from the press; how I/O is counted, and whether they
  were ever withdrawn, is not known.
- **How licences are reviewed** is second-hand for 2023 and from memory for 2022; that 4A090 follows the chip is from
  memory.
- **Destinations.** Only China with Hong Kong, Macau and the country groups themselves are in the record. A country's group
  is yours to name.
- **Headquarters.** A buyer elsewhere whose parent is in D:5 or Macau counts as there; the tool is not told who buys.
- **What happened is not what was allowed.** Licences were promised and not used, imports were stopped on the Chinese side;
  those records are told beside a verdict and decide none.
- **The letters to Nvidia and AMD of August 2022**, before the first rule, are not in the record (from memory).
- **Nothing after {record().known_until}** is in the record; every verdict on a later day says so.
"""


def page() -> str:
    """The page as it should be."""
    statuses = ", ".join(f"*{status}*" for status in Status)
    return "\n".join(
        [
            HEAD.format(until=record().known_until, statuses=statuses),
            "## The instruments\n",
            "*official*: quoted from the official text; *second-hand*: law firms and the press; *memory*: not confirmed. What "
            "does not bind is told beside a verdict and decides none.\n",
            instrument_table(),
            "## Verdicts for China\n",
            f"![Verdicts on twelve chips for China over time]({TIMELINE})\n",
            "In brackets: not launched on that day. *: no US item, the limits applied as if it were.\n",
            verdict_table(),
            "## The numbers\n",
            "2022: whether both limits of that year are reached. Letter: whether a limit of April 2025 is; it went to Nvidia, "
            "AMD and Intel alone. Review: for China and Macau since 2026-01-15. ?: no source gives it.\n",
            number_table(),
            "## A limit that is not there\n",
            "Half again above the best of Ascend 910C and MLU590, at the end of each year; chips marketed for datacenters.\n",
            threshold_table(),
            "## Who is ahead\n",
            f"![Best TPP of a Huawei chip, and of what Nvidia may sell to China]({CROSSOVER})\n",
            "The best chip of Huawei by one number, against the best that Nvidia may sell to China. An interval: the launch is "
            "known to the month, quarter or year only. Roadmaps are those announced, and the rules are taken to stay.\n",
            crossing_lines(),
            "## What cannot be told\n",
            unknowns(),
            "## Sources\n",
            "\n".join(f"- {each.name}: {'; '.join(each.sources)}" for each in instruments()) + "\n",
        ]
    )


def pictures() -> dict[str, str]:
    """The two plots, by file name."""
    return {TIMELINE: timeline_svg(timeline(SHOWN)), CROSSOVER: crossover_svg(crossover())}


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    for name, text in pictures().items():
        PAGE.with_name(name).write_text(text, encoding="utf-8")
