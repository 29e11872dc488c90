"""What every report is made of and how it is written: its files, the vendored scripts, whole or not at all."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from string import Template

from windtunnel.errors import InvalidInputError

VENDORED = ("d3.min.js", "plot.umd.min.js")


def page_file(name: str) -> str:
    """The text of a file of the page: template, style or script."""
    return (resources.files("windtunnel.web") / "page" / name).read_text("utf-8")


def page(
    *,
    title: str,
    body: str,
    styles: Sequence[str],
    scripts: Sequence[str] = (),
    data: str = "null",
    live: bool = False,
) -> str:
    """A whole page: one file that needs nothing else, and asks nothing of the network but, where it is live, its own server.

    title, body: HTML; styles, scripts: files of the page, which runs no script where there are none; data: JSON that they read.
    """
    policy = "; script-src 'unsafe-inline'; img-src data:" if scripts else ""
    return Template(page_file("frame.html")).substitute(
        title=title,
        body=body,
        style="".join(page_file(name) for name in styles),
        policy=policy + ("; connect-src 'self'" if live else ""),
        scripts=_scripts(scripts, data, live=live) if scripts else "",
    )


def _scripts(names: Sequence[str], data: str, *, live: bool) -> str:
    return Template(page_file("frame_scripts.html")).substitute(
        noscript="This page needs JavaScript." if live else "The tables are complete; the plots need JavaScript.",
        data=data,
        vendored=_vendored(),
        script="\n".join(page_file(name) for name in names),
    )


def _vendored() -> str:
    """The plotting libraries, as script elements."""
    folder = resources.files("windtunnel.web") / "vendor"
    return "\n".join(f"<script>{(folder / name).read_text('utf-8')}</script>" for name in VENDORED)


def version() -> str:
    """Of this program, for the reader who wonders which made the report."""
    try:
        return importlib.metadata.version("windtunnel")
    except importlib.metadata.PackageNotFoundError:
        return "from a source tree"


def write_whole(text: str, target: Path) -> None:
    """Writes ``text`` to ``target``, whole or not at all. Raises InvalidInputError where that cannot be."""
    if target.exists() and not target.is_file():
        raise InvalidInputError(str(target), "is no ordinary file, so it is not replaced")
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            os.chmod(name, 0o666 & ~_umask())  # noqa: PTH101
            Path(name).replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as problem:
        raise InvalidInputError(str(target), f"cannot be written: {problem.strerror or problem}")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
