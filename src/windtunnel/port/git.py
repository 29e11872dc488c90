"""What git says of a tree: changes that are not committed, files that are not the repository's own. Without git, nothing.

Only questions are asked, and none of the programs that a repository's settings name for such questions is run.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_QUIET = ("--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false")
"""No index is refreshed on disk (which would call a hook), and no monitor is started."""


def in_repository(folder: Path) -> bool:
    """Whether a folder, or one above it, is a git work tree."""
    here = Path(os.path.realpath(folder))
    return any((above / ".git").exists() for above in (here, *here.parents))


def uncommitted(path: Path) -> list[str]:
    """The files at or below ``path`` with changes that are not committed, new ones among them, by their paths from the
    repository's root. Files that git ignores are none."""
    folder = path if path.is_dir() else path.parent
    asked = path.name if path.is_file() else "."
    told = _asked(folder, "status", "--porcelain", "-z", "--untracked-files=normal", "--", f":(literal){asked}")
    entries = iter(told.split("\0"))
    found = []
    for entry in entries:
        if entry:
            found.append(entry[3:])
            if "R" in entry[:2] or "C" in entry[:2]:
                next(entries, None)  # what it was called before
    return found


def ignored(root: Path) -> frozenset[str]:
    """The files and folders below ``root`` that git ignores and does not hold, by their paths from it; a folder's name ends
    with a slash. Empty where ``root`` itself is ignored: it was asked for."""
    if not root.is_dir() or not in_repository(root):
        return frozenset()
    told = _asked(root, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
    found = frozenset(told.split("\0")) - {""}
    return frozenset() if "./" in found else found


def _asked(folder: Path, *words: str) -> str:
    """Git's answer; nothing where there is no git, or ``folder`` is in no repository of its."""
    # inside of a hook, git's variables speak of the repository whose hook it is
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", *_QUIET, "-C", str(folder), *words], stdin=subprocess.DEVNULL, capture_output=True, env=env, check=False
        )
    except OSError:
        return ""
    return os.fsdecode(done.stdout) if done.returncode == 0 else ""
