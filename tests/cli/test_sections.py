"""Help under headings."""

from __future__ import annotations

import click
from click.testing import CliRunner

from windtunnel.cli.sections import Sectioned
from windtunnel.cli.serve import serve
from windtunnel.cli.serve_kinds import SECTIONS


def test_options_stand_under_their_heading_and_the_rest_first() -> None:
    @click.command(cls=Sectioned, sections={"Wind": ("gust",), "Nothing": ()})
    @click.option("--gust", "gusts", help="How strong.")
    @click.option("--calm", is_flag=True)
    def blow(**said: object) -> None: ...

    lines = CliRunner().invoke(blow, ["--help"]).output.splitlines()
    assert lines.index("Options:") < lines.index("Wind:")
    assert any("--gust" in line for line in lines[lines.index("Wind:") :])
    assert any("--calm" in line for line in lines[: lines.index("Wind:")])
    assert "Nothing:" not in lines


def test_every_name_in_the_sections_of_serve_is_an_option_of_it() -> None:
    known = {option.removeprefix("--") for param in serve.params for option in param.opts}
    named = [name for names in SECTIONS.values() for name in names]
    assert set(named) <= known
    assert len(named) == len(set(named))
