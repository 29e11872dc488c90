"""The plots of export rules as SVG: verdicts over time, and two makers' best chips. No scripts; dark and light."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable, Sequence

from windtunnel.catalog.destination import record
from windtunnel.rules.crossover import Crossover, Step, Track
from windtunnel.rules.timeline import ItemTimeline, Span
from windtunnel.rules.verdict import NO_ADVICE, Status
from windtunnel.web.file import page_file
from windtunnel.web.markup import esc

WIDE, NARROW = 960, 380
"""Widths in pixels for a desk and for a phone; below the first limit names stand above their bands."""
FONT = 13
LETTER = 0.56 * FONT
"""Mean width of a letter; generous, so that no label runs over."""

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

SWITCH = """
.narrow{display:none}figure{margin:0 0 2rem}svg{max-width:100%;height:auto}pre{overflow-x:auto;font-size:.85rem}
@media (max-width:760px){.wide{display:none}.narrow{display:block}}
"""


def _svg(width: int, height: float, title: str, parts: Iterable[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:.0f}" viewBox="0 0 {width} {height:.0f}" '
        f'role="img" aria-label="{esc(title)}"><style>{STYLE}</style><rect class="paper" width="100%" height="100%"/>'
        f"{''.join(parts)}</svg>\n"
    )


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start", fill: str = "") -> str:
    style = f' style="fill:{fill}"' if fill else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}"{style}>{esc(text)}</text>'


def _wrapped(text: str, room: float) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and (len(lines[-1]) + 1 + len(word)) * LETTER <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _title(text: str, width: int) -> tuple[list[str], float]:
    """The heading's lines, and the y below them."""
    lines = _wrapped(text, width - 24)
    return [_text(12, 24 + 18 * i, line, "b") for i, line in enumerate(lines)], 24.0 + 18 * len(lines)


def _days(first: datetime.date, last: datetime.date, left: float, right: float) -> Callable[[datetime.date], float]:
    span = (last - first).days or 1
    return lambda day: left + (right - left) * min(max((day - first).days / span, 0.0), 1.0)


def timeline_svg(timelines: Sequence[ItemTimeline], width: int = WIDE) -> str:
    """A band for each item, coloured and labelled by verdict; pale before it was launched."""
    narrow = width < 600
    place = timelines[0].spans[0].verdict.destination.name
    title = f"What US export rules let go to {place}"
    parts, top = _title(title, width)
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
            parts.append(_text(left, y + 13, names[i]))
            y += 19
        else:
            parts.append(_text(left - 10, y + 18, names[i], anchor="end"))
        for span in each.spans:
            parts += _band(span, each, x, y, band)
    foot = bottom + 20
    used = list(dict.fromkeys(span.verdict.status for each in timelines for span in each.spans))
    keys, foot = _legend([(BANDS[s][1], str(s)) for s in Status if s in used], foot, width)
    parts += keys
    said = "Pale: not launched yet. " + (
        "* No US item: the limits applied as if it were. " if any("*" in n for n in names) else ""
    )
    for line in _wrapped(f"{said}{NO_ADVICE} Known up to {timelines[0].spans[0].verdict.known_until}.", width - 24):
        parts.append(_text(12, foot, line, "soft"))
        foot += 16
    return _svg(width, foot + 2, title, parts)


def _years(
    x: Callable[[datetime.date], float], first: datetime.date, last: datetime.date, top: float, bottom: float, step: int
) -> list[str]:
    parts = []
    for year in range(first.year + 1, last.year + 1, step):
        at = x(datetime.date(year, 1, 1))
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{top + 8:.1f}" y2="{bottom:.1f}"/>')
        parts.append(_text(at, top + 4, str(year), "soft", "middle"))
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
            parts.append(_text(x(start) + 6, y + 17.5, word, fill=ink))
    return parts


def _legend(items: Sequence[tuple[str, str]], y: float, width: int) -> tuple[list[str], float]:
    parts, at = [], 12.0
    for colour, text in items:
        needed = 20 + len(text) * LETTER + 18
        if at > 12 and at + needed > width - 8:
            at, y = 12.0, y + 20
        parts.append(f'<rect x="{at:.1f}" y="{y - 11:.1f}" width="13" height="13" rx="2" fill="{colour}"/>')
        parts.append(_text(at + 19, y, text))
        at += needed
    return parts, y + 24


def crossover_svg(found: Crossover, width: int = WIDE) -> str:
    """Two panels, one a reading of what may be sold: each side's best over time, the launch intervals as areas."""
    title = f"Best {found.metric} of a {found.maker} chip, and of what {found.seller} may sell to {found.destination}"
    parts, top = _title(title, width)
    high = max(best.value for track in found.tracks for step in track.steps for best in (step.maker_high, step.seller_high))
    for track in found.tracks:
        panel, top = _panel(found, track, width, top + 6, high)
        parts += panel
    for line in _wrapped(
        "Areas: launches of which only the month, quarter or year is known. Right of the dashed line: roadmaps, rules "
        f"unchanged. {NO_ADVICE}",
        width - 24,
    ):
        parts.append(_text(12, top + 8, line, "soft"))
        top += 16
    return _svg(width, top + 6, title, parts)


def _panel(found: Crossover, track: Track, width: int, top: float, high: float) -> tuple[list[str], float]:
    narrow = width < 600
    left, right, height = 54.0, width - (16.0 if narrow else 116.0), 190.0 if narrow else 220.0
    lines = _wrapped(track.name[0].upper() + track.name[1:], width - 24)
    parts = [_text(12, top + 14 + 17 * i, line) for i, line in enumerate(lines)]
    top += 10 + 17 * len(lines)
    if narrow:  # no room at the lines' ends: who is who stands above
        last_step = track.steps[-1]
        for who, name, best in (("maker", found.maker, last_step.maker_low), ("seller", found.seller, last_step.seller_low)):
            parts.append(_text(12, top + 8, f"{name}, in the end {best.chip or 'nothing'}", f"{who}-t"))
            top += 17
        top += 4
    first, last = track.steps[0].start, track.steps[-1].end
    x, bottom = _days(first, last, left, right), top + height
    ticks, ceiling = _ticks(high)

    def y(value: float) -> float:
        return bottom - 12 - (height - 34) * value / ceiling

    for tick in ticks:
        parts.append(f'<line class="grid" x1="{left}" x2="{right:.1f}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(_text(left - 6, y(tick) + 4, f"{tick:,.0f}", "soft", "end"))
    parts.append(_text(left, top + 10, found.unit, "soft", "end"))
    years = [year for year in range(first.year + 1, last.year + 1) if year % 2 or not narrow]
    parts += [_text(x(datetime.date(year, 1, 1)), bottom + 6, str(year), "soft", "middle") for year in years]
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
        for line in _wrapped(crossing.text(found), width - 30):
            parts.append(_text(18, top, line, "soft"))
            top += 16
    if not track.crossings:
        parts.append(_text(18, top, "No change of leader.", "soft"))
        top += 16
    return parts, top + 4


def _known_until(steps: Sequence[Step]) -> datetime.date:
    return min(record().known_until, steps[-1].end)


def _ticks(high: float) -> tuple[list[float], float]:
    """Four or five round values from 0, and the axis's end."""
    raw = high / 4
    scale = 10.0 ** math.floor(math.log10(raw)) if raw > 0 else 1.0
    step = next(m * scale for m in (1, 2, 2.5, 5, 10) if m * scale >= raw)
    count = math.ceil(high / step)
    return [step * i for i in range(count + 1)], step * count


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
        parts += [_text(right + 6, at, name, f"{who}-t b"), _text(right + 6, at + 15, best.chip, f"{who}-t")]
    return parts


def page(title: str, draw: Callable[[int], str], table: str) -> str:
    """A page without scripts: the plot for a desk or for a phone, whichever fits, then the table as text."""
    style = page_file("report.css") + SWITCH
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>{esc(title)}</title>'
    return (
        f'<!doctype html><html lang="en"><head>{head}<style>{style}</style></head><body><h1>{esc(title)}</h1>'
        f'<figure class="wide">{draw(WIDE)}</figure><figure class="narrow">{draw(NARROW)}</figure>'
        f'<section><pre tabindex="0">{esc(table)}</pre></section></body></html>\n'
    )
