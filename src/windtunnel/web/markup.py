"""Pieces of HTML that the tables share; whatever comes from outside goes through ``esc``."""

from __future__ import annotations

import html
from collections.abc import Iterable

from windtunnel.web import words

COLOURS = 8
"""Chips whose colour differs; the marks tell the others apart."""


def esc(text: object) -> str:
    return html.escape(str(text), quote=True)


def chip_name(name: str, place: int) -> str:
    """A chip's name with the mark and colour that it has in every plot."""
    kind = "chip" if len(name) <= 24 else "chip long"
    return (
        f'<span class="{kind}" data-place="{place}" style="--c:var(--c{place % COLOURS})">'
        f'<span class="mark" aria-hidden="true"></span>{esc(name)}</span>'
    )


def unknown(text: str = words.NOT_KNOWN) -> str:
    return f'<span class="unknown">{esc(text)}</span>'


def known(value: float | None) -> str:
    """A figure, or that nobody knows it."""
    return unknown() if value is None else words.number(value)


def definitions(items: Iterable[tuple[str, str]], kind: str = "") -> str:
    """A list of terms; both parts are HTML already."""
    inner = "".join(f"<div><dt>{term}</dt><dd>{value}</dd></div>" for term, value in items)
    return f'<dl class="{kind}">{inner}</dl>' if kind else inner


def head(cells: Iterable[str], figures: Iterable[str] = ()) -> str:
    """The head of a table; the names in ``figures`` stand over numbers, to the right."""
    right = set(figures)
    row = "".join(f'<th scope="col"{" class=n" if cell in right else ""}>{cell}</th>' for cell in cells)
    return f"<thead><tr>{row}</tr></thead>"


def row(first: str, cells: Iterable[tuple[str, str]]) -> str:
    """A row of ``first`` as its heading and (kind, html) cells: kind ``n`` for a figure, ``t`` for text that wraps."""
    inner = "".join(f'<td class="{kind}">{value}</td>' if kind else f"<td>{value}</td>" for kind, value in cells)
    return f'<tr><th scope="row">{first}</th>{inner}</tr>'


def table(caption: str, header: str, rows: Iterable[str], kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f"<table{named}><caption>{caption}</caption>{header}<tbody>{''.join(rows)}</tbody></table>"
