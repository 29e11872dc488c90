"""A command whose help shows its many options under headings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click


def given(context: click.Context) -> Iterator[tuple[str, str]]:
    """The options that were typed: the name of each parameter, and the option as it is written."""
    for parameter in context.command.params:
        name = parameter.name
        if name is not None and context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            yield name, parameter.opts[-1]


class Sectioned(click.Command):
    """sections: heading -> names of options, without dashes. What is in none comes first."""

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[str]], **more: Any) -> None:
        super().__init__(*args, **more)
        self.sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes them all."""
        heading = {name: title for title, names in self.sections.items() for name in names}
        rows: dict[str, list[tuple[str, str]]] = {"Options": [], **{title: [] for title in self.sections}}
        for param in self.get_params(ctx):
            row = param.get_help_record(ctx)
            if row is not None:
                rows[heading.get(param.opts[0].removeprefix("--"), "Options")].append(row)
        for title, found in rows.items():
            if found:
                with formatter.section(title):
                    formatter.write_dl(found)
