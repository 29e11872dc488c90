"""Objects as YAML that a person can read: keys in the order given, scripts as blocks."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

from windtunnel.errors import UnsupportedError


def check_yaml() -> None:
    """Raises UnsupportedError where PyYAML is not installed."""
    if importlib.util.find_spec("yaml") is None:
        raise UnsupportedError("manifests are written with PyYAML; install it with: pip install 'windtunnel[deploy]'")


def yaml_text(*documents: Any, about: Sequence[str] = ()) -> str:
    """``documents`` as one YAML file under comments. Raises UnsupportedError where PyYAML is not installed."""
    check_yaml()
    import yaml

    class Readable(yaml.SafeDumper):  # type: ignore[misc]
        def ignore_aliases(self, data: Any) -> bool:
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
            return super().increase_indent(flow, False)

    def text(dumper: Any, value: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Readable.add_representer(str, text)
    head = "".join(f"# {line}\n" for line in about)
    written: str = yaml.dump_all(
        documents, Dumper=Readable, sort_keys=False, allow_unicode=True, width=1_000_000, default_flow_style=False
    )
    return head + written
