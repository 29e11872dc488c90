"""Plots as SVG without scripts: text, headings, legends, axes, and the page that shows one for a desk or for a phone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from windtunnel.web.file import page_file
from windtunnel.web.markup import esc

WIDE, NARROW = 960, 380
"""Widths in pixels for a desk and for a phone; below the first limit names stand above their bands."""
FONT = 13
LETTER = 0.56 * FONT
"""Mean width of a letter; generous, so that no label runs over."""

SWITCH = """
.narrow{display:none}figure{margin:0 0 2rem}svg{max-width:100%;height:auto}pre{overflow-x:auto;font-size:.85rem}
@media (max-width:760px){.wide{display:none}.narrow{display:block}}
"""


def svg(width: int, height: float, title: str, parts: Iterable[str], style: str) -> str:
    """The whole picture on its paper; style: its CSS."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:.0f}" viewBox="0 0 {width} {height:.0f}" '
        f'role="img" aria-label="{esc(title)}"><style>{style}</style><rect class="paper" width="100%" height="100%"/>'
        f"{''.join(parts)}</svg>\n"
    )


def text(x: float, y: float, said: str, kind: str = "", anchor: str = "start", fill: str = "") -> str:
    """One line of text. kind: its CSS class; anchor: start, middle or end."""
    style = f' style="fill:{fill}"' if fill else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}"{style}>{esc(said)}</text>'


def wrapped(said: str, room: float) -> list[str]:
    """Lines that fit into ``room`` pixels."""
    lines: list[str] = []
    for word in said.split():
        if lines and (len(lines[-1]) + 1 + len(word)) * LETTER <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def heading(said: str, width: int) -> tuple[list[str], float]:
    """The heading's lines, and the y below them."""
    lines = wrapped(said, width - 24)
    return [text(12, 24 + 18 * i, line, "b") for i, line in enumerate(lines)], 24.0 + 18 * len(lines)


def legend(items: Sequence[tuple[str, str]], y: float, width: int) -> tuple[list[str], float]:
    """Colours with their words, in as many lines as that takes, and the y below them."""
    parts, at = [], 12.0
    for colour, said in items:
        needed = 20 + len(said) * LETTER + 18
        if at > 12 and at + needed > width - 8:
            at, y = 12.0, y + 20
        parts.append(f'<rect x="{at:.1f}" y="{y - 11:.1f}" width="13" height="13" rx="2" fill="{colour}"/>')
        parts.append(text(at + 19, y, said))
        at += needed
    return parts, y + 24


def ticks(high: float) -> tuple[list[float], float]:
    """Four or five round values from 0, and the axis's end."""
    raw = high / 4
    scale = 10.0 ** math.floor(math.log10(raw)) if raw > 0 else 1.0
    step = next(m * scale for m in (1, 2, 2.5, 5, 10) if m * scale >= raw)
    count = math.ceil(high / step)
    return [step * i for i in range(count + 1)], step * count


def page(title: str, draw: Callable[[int], str], table: str) -> str:
    """A page without scripts: the plot for a desk or for a phone, whichever fits, then the table as text."""
    style = page_file("report.css") + SWITCH
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>{esc(title)}</title>'
    return (
        f'<!doctype html><html lang="en"><head>{head}<style>{style}</style></head><body><h1>{esc(title)}</h1>'
        f'<figure class="wide">{draw(WIDE)}</figure><figure class="narrow">{draw(NARROW)}</figure>'
        f'<section><pre tabindex="0">{esc(table)}</pre></section></body></html>\n'
    )
