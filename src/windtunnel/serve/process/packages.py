"""What is installed for one Python, as JSON. Also a script, which any other Python from 3.9 on can be asked to run.

It reads metadata alone, and imports nothing of what is installed.
"""

import contextlib
import json
import platform
import sys
from importlib import metadata

GROUPS = ("vllm.", "sglang.")
"""Beginnings of the groups of entry points by which engines find their plugins."""


def read_packages(files: "list[str]") -> "dict[str, object]":
    """files: texts of packages that are wanted too, each as ``PACKAGE PATH``."""
    found = []
    for one in metadata.distributions():
        with contextlib.suppress(Exception):  # half-removed packages fail in many ways
            points = [[p.group, p.name] for p in one.entry_points if p.group.startswith(GROUPS)]
            found.append(
                {"name": one.metadata["Name"], "version": one.version, "needs": list(one.requires or ()), "points": points}
            )
    texts = {}
    for wanted in files:
        with contextlib.suppress(Exception):  # as above, and packages that are not there
            name, _, path = wanted.partition(" ")
            with open(str(metadata.distribution(name).locate_file(path)), encoding="utf-8", errors="replace") as file:  # noqa: PTH123
                texts[wanted] = file.read(1_000_000)
    return {"python": platform.python_version(), "prefix": sys.prefix, "packages": found, "files": texts}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(read_packages(sys.argv[1:])))
