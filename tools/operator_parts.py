"""Writes what PyTorch's composite operators are made of (catalog/data/composites).

    python tools/operator_parts.py

Needs the CPU wheel of PyTorch. Which overloads are composite is the wheel's native_functions.yaml; a structured operator hands
its work to its variant that writes into a given tensor, says that file too. Development only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torchgen
from torchgen.gen import parse_native_yaml
from torchgen.model import NativeFunction

OUT = Path(__file__).parent.parent / "src" / "windtunnel" / "catalog" / "data" / "composites"


def native_functions() -> list[NativeFunction]:
    folder = Path(torchgen.__file__).parent / "packaged" / "ATen" / "native"
    return list(parse_native_yaml(str(folder / "native_functions.yaml"), str(folder / "tags.yaml")).native_functions)


def composites() -> dict[str, str | None]:
    """Overload -> the variant that it delegates to; None: it is made of others."""
    found: dict[str, str | None] = {}
    for f in native_functions():
        if f.structured_delegate is not None:
            found[str(f.func.name)] = str(f.structured_delegate)
        elif f.has_composite_kernel:
            found[str(f.func.name)] = None
    return found


def write(parts: Mapping[str, str]) -> None:
    version = torch.__version__.partition("+")[0]
    lines = [
        f'torch = "{version}"',
        f'source = "PyTorch {version} (BSD-3-Clause): parts read from its dispatcher, with sample inputs of its own test suite"',
        "",
        "parts = '''",
        *(f"{name}: {made_of}" for name, made_of in sorted(parts.items())),
        "'''",
    ]
    OUT.mkdir(exist_ok=True)
    (OUT / f"torch-{version.replace('.', '-')}.toml").write_text("\n".join(lines) + "\n")


def main() -> None:
    parts = {name: delegate or "-" for name, delegate in composites().items()}
    write(parts)
    print(len(parts), "composites,", sum(made_of == "-" for made_of in parts.values()), "not recorded")


if __name__ == "__main__":
    main()
