"""Writes docs/port-examples.md anew: runs each command of the page and puts what it printed below it.

    python docs/generate_port_examples.py FOLDER

Commands are the lines of ``console`` blocks that begin with ``$``; they run in bash, one after the other, in FOLDER, with the
windtunnel of this checkout on the path. Nothing that they print is altered: where a page shows a part, its command says which.
It needs a network, since the pages begin with the download of what is ported, and so no test runs it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).with_name("port-examples.md")
_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
_END = "=== the command has ended ==="


def commands(block: str) -> list[str]:
    """The commands of a block; one goes on over lines where a backslash or an open quotation mark ends its line."""
    found: list[str] = []
    open_ = False
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append(line.removeprefix("$ "))
        elif open_:
            found[-1] += "\n" + line
        else:
            continue
        open_ = line.endswith("\\") or found[-1].count('"') % 2 == 1
    return found


def printed(wanted: list[str], folder: Path) -> list[str]:
    """What each command printed, run one after the other in one shell."""
    script = "".join(f"{command}\necho '{_END}'\n" for command in wanted)
    ended = subprocess.run(
        ["bash"], input=script, cwd=folder, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )  # fmt: skip
    return [part.strip("\n") for part in ended.stdout.split(_END)[:-1]]


def anew(page: str, folder: Path) -> str:
    """The page with each command's output as it is now."""
    blocks = [commands(block) for block in _BLOCK.findall(page)]
    outputs = iter(printed([command for block in blocks for command in block], folder))
    whole = iter(blocks)

    def block(_: re.Match[str]) -> str:
        shown = []
        for command in next(whole):
            output = next(outputs)
            shown += [f"$ {command}", *([output] if output else [])]
        return "```console\n" + "\n".join(shown) + "\n```"

    return _BLOCK.sub(block, page)


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["COLUMNS"] = "100"
    PAGE.write_text(anew(PAGE.read_text(encoding="utf-8"), folder), encoding="utf-8")


if __name__ == "__main__":
    main()
