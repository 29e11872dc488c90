"""The plots of export rules as SVG: verdicts over time, and two makers' best chips. No scripts; dark and light."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence

from windtunnel.catalog.destination import record
from windtunnel.rules.crossover import Crossover, Step, Track
from windtunnel.rules.timeline import ItemTimeline, Span
from windtunnel.rules.verdict import NO_ADVICE, Status
from windtunnel.web.markup import esc
from windtunnel.web.svg import LETTER, WIDE, heading, legend, svg, text, ticks, wrapped

BANDS: dict[Status, tuple[str, str, str]] = {
    Status.FREE: ("free", "#7fc8a9", "#0b2118"),
    Status.EXCEPTION: ("exception", "#b9dca0", "#16210b"),
    Status.APPROVAL: ("approval", "#a9cde6", "#0b1a26"),
    Status.CASE_BY_CASE: ("case by case", "#f3cf6b", "#261d03"),
    Status.LICENCE: ("licence", "#eb9a5b", "#2b1303"),
    Status.DENIAL: ("denial", "#b3402a", "#ffffff"),
    Status.NEEDS_FIGURE: ("figure missing", "#c4c9cf", "#14171a"),
    Status.NOT_COVERED: ("not in the record", "#e3e6e9", "#14171a"),
}
"""Status -> its short word, and the colours of the band and of the word on it."""

STYLE = """
text{font:13px ui-sans-serif,system-ui,-apple-system,"Segoe UI","Noto Sans","Liberation Sans",sans-serif;fill:#1b1d21}
.soft{fill:#5a606b;font-size:12px}.b{font-weight:600}.grid{stroke:#dcdfe3}.mark{stroke:#5a606b;stroke-dasharray:3 3}
.paper{fill:#fdfdfb}.maker{stroke:#0b5fa5;fill:none;stroke-width:2.5}.seller{stroke:#c4581c;fill:none;stroke-width:2.5}
.maker-t{fill:#0b5fa5}.seller-t{fill:#b04a12}.maker-r{fill:#0b5fa5;opacity:.16}.seller-r{fill:#c4581c;opacity:.16}
.cross{fill:#fdfdfb;stroke:#1b1d21;stroke-width:1.5}
@media (prefers-color-scheme:dark){text{fill:#e9ebee}.soft{fill:#a3abb6}.grid{stroke:#343941}.mark{stroke:#a3abb6}
.paper{fill:#14161a}.maker{stroke:#6db6f2}.seller{stroke:#ff9a5b}.maker-t{fill:#6db6f2}.seller-t{fill:#ffab75}
.maker-r{fill:#6db6f2}.seller-r{fill:#ff9a5b}.cross{fill:#14161a;stroke:#e9ebee}}
"""


def _days(first: datetime.date, last: datetime.date, left: float, right: float) -> Callable[[datetime.date], float]:
    span = (last - first).days or 1
    return lambda day: left + (right - left) * min(max((day - first).days / span, 0.0), 1.0)


def timeline_svg(timelines: Sequence[ItemTimeline], width: int = WIDE) -> str:
    """A band for each item, coloured and labelled by verdict; pale before it was launched."""
    narrow = width < 600
    place = timelines[0].spans[0].verdict.destination.name
    title = f"What US export rules let go to {place}"
    parts, top = heading(title, width)
    names = [each.item + (" *" if each.spans[0].verdict.hypothetical else "") for each in timelines]
    left = 12.0 if narrow else 24 + max(len(name) for name in names) * LETTER
    right = width - 16.0
    first, last = timelines[0].spans[0].start, timelines[0].spans[-1].end
    x = _days(first, last, left, right)
    row, band = (52.0, 26.0) if narrow else (38.0, 26.0)
    bottom = top + 26 + row * len(timelines)
    parts += _years(x, first, last, top + 8, bottom, 1)
    for i, each in enumerate(timelines):
        y = top + 26 + row * i
        if narrow:
            parts.append(text(left, y + 13, names[i]))
            y += 19
        else:
            parts.append(text(left - 10, y + 18, names[i], anchor="end"))
        for span in each.spans:
            parts += _band(span, each, x, y, band)
    foot = bottom + 20
    used = list(dict.fromkeys(span.verdict.status for each in timelines for span in each.spans))
    keys, foot = legend([(BANDS[s][1], str(s)) for s in Status if s in used], foot, width)
    parts += keys
    said = "Pale: not launched yet. " + (
        "* No US item: the limits applied as if it were. " if any("*" in n for n in names) else ""
    )
    for line in wrapped(f"{said}{NO_ADVICE} Known up to {timelines[0].spans[0].verdict.known_until}.", width - 24):
        parts.append(text(12, foot, line, "soft"))
        foot += 16
    return svg(width, foot + 2, title, parts, STYLE)


def _years(
    x: Callable[[datetime.date], float], first: datetime.date, last: datetime.date, top: float, bottom: float, step: int
) -> list[str]:
    parts = []
    for year in range(first.year + 1, last.year + 1, step):
        at = x(datetime.date(year, 1, 1))
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{top + 8:.1f}" y2="{bottom:.1f}"/>')
        parts.append(text(at, top + 4, str(year), "soft", "middle"))
    return parts


def _band(span: Span, each: ItemTimeline, x: Callable[[datetime.date], float], y: float, height: float) -> list[str]:
    word, colour, ink = BANDS[span.verdict.status]
    came = each.launch.earliest if each.launch else span.start
    cut = min(max(came, span.start), span.end)
    parts = []
    tip = f"<title>{esc(f'{span.start}: {span.verdict.headline}; {span.verdict.clause}')}</title>"
    for start, end, pale in ((span.start, cut, True), (cut, span.end, False)):
        wide = x(end) - x(start)
        if wide <= 0.3:
            continue
        faint = ' opacity=".28"' if pale else ""
        box = f'x="{x(start):.1f}" y="{y:.1f}" width="{max(wide - 1.5, 1):.1f}" height="{height}" rx="3" fill="{colour}"'
        parts.append(f"<rect {box}{faint}>{tip}</rect>")
        if not pale and len(word) * LETTER + 10 <= wide:
            parts.append(text(x(start) + 6, y + 17.5, word, fill=ink))
    return parts


def crossover_svg(found: Crossover, width: int = WIDE) -> str:
    """Two panels, one a reading of what may be sold: each side's best over time, the launch intervals as areas."""
    title = f"Best {found.metric} of a {found.maker} chip, and of what {found.seller} may sell to {found.destination}"
    parts, top = heading(title, width)
    high = max(best.value for track in found.tracks for step in track.steps for best in (step.maker_high, step.seller_high))
    for track in found.tracks:
        panel, top = _panel(found, track, width, top + 6, high)
        parts += panel
    for line in wrapped(
        "Areas: launches of which only the month, quarter or year is known. Right of the dashed line: roadmaps, rules "
        f"unchanged. {NO_ADVICE}",
        width - 24,
    ):
        parts.append(text(12, top + 8, line, "soft"))
        top += 16
    return svg(width, top + 6, title, parts, STYLE)


def _panel(found: Crossover, track: Track, width: int, top: float, high: float) -> tuple[list[str], float]:
    narrow = width < 600
    left, right, height = 54.0, width - (16.0 if narrow else 116.0), 190.0 if narrow else 220.0
    lines = wrapped(track.name[0].upper() + track.name[1:], width - 24)
    parts = [text(12, top + 14 + 17 * i, line) for i, line in enumerate(lines)]
    top += 10 + 17 * len(lines)
    if narrow:  # no room at the lines' ends: who is who stands above
        last_step = track.steps[-1]
        for who, name, best in (("maker", found.maker, last_step.maker_low), ("seller", found.seller, last_step.seller_low)):
            parts.append(text(12, top + 8, f"{name}, in the end {best.chip or 'nothing'}", f"{who}-t"))
            top += 17
        top += 4
    first, last = track.steps[0].start, track.steps[-1].end
    x, bottom = _days(first, last, left, right), top + height
    marks, ceiling = ticks(high)

    def y(value: float) -> float:
        return bottom - 12 - (height - 34) * value / ceiling

    for tick in marks:
        parts.append(f'<line class="grid" x1="{left}" x2="{right:.1f}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(text(left - 6, y(tick) + 4, f"{tick:,.0f}", "soft", "end"))
    parts.append(text(left, top + 10, found.unit, "soft", "end"))
    years = [year for year in range(first.year + 1, last.year + 1) if year % 2 or not narrow]
    parts += [text(x(datetime.date(year, 1, 1)), bottom + 6, str(year), "soft", "middle") for year in years]
    known = _known_until(track.steps)
    parts.append(f'<line class="mark" x1="{x(known):.1f}" x2="{x(known):.1f}" y1="{top + 14:.1f}" y2="{bottom - 12:.1f}"/>')
    parts += _side(track.steps, x, y, "seller") + _side(track.steps, x, y, "maker")
    parts += [] if narrow else _ends(found, track.steps[-1], y, right)
    for crossing in track.crossings:
        at = x(crossing.first) / 2 + x(crossing.last) / 2
        level = y(min(crossing.maker.value, ceiling))
        parts.append(
            f'<circle class="cross" cx="{at:.1f}" cy="{level:.1f}" r="4.5"><title>{esc(crossing.text(found))}</title></circle>'
        )
    top = bottom + 26
    for crossing in track.crossings or ():
        for line in wrapped(crossing.text(found), width - 30):
            parts.append(text(18, top, line, "soft"))
            top += 16
    if not track.crossings:
        parts.append(text(18, top, "No change of leader.", "soft"))
        top += 16
    return parts, top + 4


def _known_until(steps: Sequence[Step]) -> datetime.date:
    return min(record().known_until, steps[-1].end)


def _side(steps: Sequence[Step], x: Callable[[datetime.date], float], y: Callable[[float], float], who: str) -> list[str]:
    """The certain best as a stepped line; the perhaps better as an area above it."""
    line: list[str] = []
    parts: list[str] = []
    for step in steps:
        low = step.maker_low if who == "maker" else step.seller_low
        most = step.maker_high if who == "maker" else step.seller_high
        a, b = x(step.start), x(step.end)
        line.append(f"{'L' if line else 'M'}{a:.1f} {y(low.value):.1f}L{b:.1f} {y(low.value):.1f}")
        if most.value > low.value:
            tall = y(low.value) - y(most.value)
            tip = f"<title>{esc(f'{step.start}: perhaps {most.chip}, {most.value:,.0f}')}</title>"
            parts.append(
                f'<rect class="{who}-r" x="{a:.1f}" y="{y(most.value):.1f}" width="{b - a:.1f}" height="{tall:.1f}">{tip}</rect>'
            )
    return [*parts, f'<path class="{who}" d="{"".join(line)}"/>']


def _ends(found: Crossover, last: Step, y: Callable[[float], float], right: float) -> list[str]:
    """Who is who, at the lines' right ends."""
    maker, seller = y(last.maker_low.value), y(last.seller_low.value)
    if abs(maker - seller) < 34:
        middle = (maker + seller) / 2
        maker, seller = (middle - 17, middle + 17) if maker <= seller else (middle + 17, middle - 17)
    parts = []
    for who, name, best, at in (("maker", found.maker, last.maker_low, maker), ("seller", found.seller, last.seller_low, seller)):
        parts += [text(right + 6, at, name, f"{who}-t b"), text(right + 6, at + 15, best.chip, f"{who}-t")]
    return parts
