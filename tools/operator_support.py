"""Writes the tables of what plugins do with PyTorch's operators (catalog/data/support).

    python tools/operator_support.py table OPERATORS.csv             # a table of overloads with one column a plugin
    python tools/operator_support.py wheel TORCH_NPU.whl ...         # the list that a torch_npu wheel carries
    python tools/operator_support.py cuda .../torchgen/packaged/ATen/native

Development only.
"""

from __future__ import annotations

import csv
import re
import sys
import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from windtunnel.catalog.plugin_wheel import read_wheel
from windtunnel.catalog.store import Table, parse_toml
from windtunnel.catalog.support import parse_support

OUT = Path(__file__).parent.parent / "src" / "windtunnel" / "catalog" / "data" / "support"
TORCH = "2.13.0"
CAVEAT = "a registration is not a promise: some kernels fall back inside, and number types differ by chip"
LISTED = "an overload that the list does not name may still work through others that it is made of"

COLUMNS = {
    "torch_npu_2_13_0": (
        "torch_npu",
        "2.13.0",
        "torch_npu 2.13.0 (BSD-3-Clause), read from PyTorch 2.13's dispatcher with the plugin imported",
    ),
    "torch_musa_2026_01": ("torch_musa", "2026-01", "torch_musa's own list of operators, as of 2026-01"),
    "torch_mlu_2024_09": ("torch_mlu", "2024-09", "torch_mlu's own list of operators, as of 2024-09"),
    "torch_xpu_ops_2026_06": ("xpu", "2026-06", "torch-xpu-ops' own list of operators, as of 2026-06"),
}


def write(
    plugin: str,
    version: str,
    source: str,
    lists: Mapping[str, Sequence[str]],
    *,
    complete: bool = False,
    upstream: bool = False,
    namespace: str = "",
    custom: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> None:
    """One record, its lists wrapped so that a change of version can be read as a difference of lines."""
    lines = [f'plugin = "{plugin}"', f'version = "{version}"', f'source = "{source}"']
    lines += ["complete = true"] * complete + ["upstream = true"] * upstream
    lines += [f'notes = ["{note}"]' for note in ["; ".join(notes)] if note]
    if custom:
        lines += [f'namespace = "{namespace}"', "custom = '''", _wrapped(custom), "'''"]
    lines += ["", "[overloads]"]
    for word, names in lists.items():
        lines += [f"{word} = '''", _wrapped(names), "'''"]
    OUT.mkdir(exist_ok=True)
    record = re.sub(r"[^a-z0-9]+", "-", f"{plugin}-{version}".lower())
    (OUT / f"{record}.toml").write_text("\n".join(lines) + "\n")
    print(record, {word: len(names) for word, names in lists.items()}, len(custom), "custom")


def _wrapped(names: Sequence[str]) -> str:
    return textwrap.fill(" ".join(sorted(set(names))), 128, break_long_words=False, break_on_hyphens=False)


def from_table(path: str) -> None:
    with Path(path).open(newline="") as file:
        rows = list(csv.DictReader(file))
    for column, (plugin, version, source) in COLUMNS.items():
        lists: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            if row[column]:
                lists[row[column]].append(row["aten_overload"])
        complete = "listed" not in lists
        write(plugin, version, source, dict(sorted(lists.items(), reverse=True)), complete=complete,
              notes=[CAVEAT] if complete else [CAVEAT, LISTED])  # fmt: skip


def from_yaml(folder: str) -> None:
    """CUDA: what PyTorch's own native_functions.yaml (in the folder torchgen/packaged/ATen/native of its wheel) dispatches to."""
    from torchgen.gen import parse_native_yaml
    from torchgen.model import DispatchKey

    parsed = parse_native_yaml(f"{folder}/native_functions.yaml", f"{folder}/tags.yaml")
    kernels = parsed.backend_indices[DispatchKey.CUDA].index
    lists: dict[str, list[str]] = defaultdict(list)
    for f in parsed.native_functions:
        if f.func.name in kernels:
            word = "native"
        elif f.structured_delegate is not None and f.structured_delegate in kernels:
            word = "native_via_out"
        elif f.has_composite_implicit_autograd_kernel:
            word = "composite_implicit"
        elif f.has_composite_kernel:
            word = "composite_explicit"
        else:
            continue
        lists[word].append(str(f.func.name))
    source = f"PyTorch {TORCH} (BSD-3-Clause): kernels for CUDA and composites in its native_functions.yaml"
    write("cuda", TORCH, source, dict(sorted(lists.items(), reverse=True)), complete=True, upstream=True)


def from_wheel(path: str) -> None:
    """A plugin version by the list in its wheel; 2.13.0, which the dispatcher tells, is given the plugin's own operators only."""
    table = read_wheel(path)
    record = OUT / f"torch-npu-{table.version.replace('.', '-')}.toml"
    told = parse_support(Table(record.name, parse_toml(record.read_text(), record.name))) if record.exists() else table
    lists: dict[str, list[str]] = defaultdict(list)
    for name, word in told.words.items():
        lists[word].append(name)
    source = told.source if told is table else f"{told.source.split('; ')[0]}; its own operators: {table.source.split(', ')[1]}"
    write(table.plugin, table.version, source, lists, complete=told.complete, namespace=table.namespace,
          custom=sorted(table.custom), notes=told.notes)  # fmt: skip


def main() -> None:
    what, *paths = sys.argv[1:]
    for path in paths:
        {"table": from_table, "wheel": from_wheel, "cuda": from_yaml}[what](path)


if __name__ == "__main__":
    main()
