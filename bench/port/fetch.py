"""Fetches the labelled source distributions and unpacks them, without building or running anything of theirs.

    python bench/port/fetch.py FOLDER [--only PACKAGE ...] [--split dev]

Archives come from whatever index pip is set up with, by pip's own finder and session (its configuration, certificates and
retries): ``pip download`` would also run each package's setup.py for its metadata. Versions and SHA-256 are in
packages.csv; an archive that differs is refused. FOLDER/ROOT is left alone where it is already there.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import logging
import shutil
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Package:
    """A source distribution. split: dev (rules may be written by looking at it), held-out or test. root: its folder unpacked."""

    package: str
    version: str
    split: str
    archive: str
    sha256: str
    root: str


def packages(table: Path = HERE / "packages.csv") -> list[Package]:
    """What is labelled, by name."""
    with table.open(newline="", encoding="utf-8") as rows:
        return [Package(**row) for row in csv.DictReader(rows)]


def download(wanted: list[Package], folder: Path) -> dict[str, str]:
    """Archives fetched into ``folder``; says for each package that could not be had why, by name."""
    from pip._internal.commands import create_command
    from pip._internal.commands.download import DownloadCommand

    logging.getLogger("pip").setLevel(logging.ERROR)  # it warns of each configured place that lacks a package
    why: dict[str, str] = {}
    command = create_command("download")
    assert isinstance(command, DownloadCommand)
    options, _ = command.parse_args(["--quiet", "--no-deps", "--no-binary", ":all:", "any"])
    with command.main_context():
        session = command.get_default_session(options)
        finder = command._build_package_finder(options=options, session=session, ignore_requires_python=True)
        for package in wanted:
            if _sound(folder / package.archive, package.sha256):
                continue
            try:
                links = [found.link for found in finder.find_all_candidates(package.package)]
                link = next((link for link in links if link.filename == package.archive), None)
                if link is None:
                    why[package.package] = f"the index does not have {package.archive}"
                    continue
                # identity: a server that compresses the archive once more would change its bytes
                answer = session.get(link.url_without_fragment, headers={"Accept-Encoding": "identity"})
                answer.raise_for_status()
            except Exception as error:  # pip raises what its vendored parts raise
                why[package.package] = f"{type(error).__name__}: {error}".split("\n")[0]
                continue
            if hashlib.sha256(answer.content).hexdigest() != package.sha256:
                why[package.package] = f"{package.archive} differs from the one that was labelled (SHA-256)"
                continue
            (folder / package.archive).write_bytes(answer.content)
    return why


def _sound(archive: Path, sha256: str) -> bool:
    return archive.is_file() and hashlib.sha256(archive.read_bytes()).hexdigest() == sha256


def unpack(archive: Path, root: str, folder: Path) -> None:
    """Plain files and folders of the archive below ``folder / root``; links are left out, since labels name no link."""
    partial = folder / f".{root}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    with tarfile.open(archive) as tar:
        tar.extractall(partial, [member for member in tar if member.isfile() or member.isdir()], filter="data")
    (partial / root).rename(folder / root)
    shutil.rmtree(partial)


def fetch(folder: Path, only: list[str] | None = None, split: str | None = None) -> tuple[list[Package], dict[str, str]]:
    """Packages that lie unpacked below ``folder``, and why the others do not."""
    wanted = [p for p in packages() if (not only or p.package in only) and (not split or p.split == split)]
    folder.mkdir(parents=True, exist_ok=True)
    missing = [p for p in wanted if not (folder / p.root).is_dir()]
    why = download(missing, folder) if missing else {}
    for package in missing:
        if package.package not in why:
            unpack(folder / package.archive, package.root, folder)
    return [p for p in wanted if p.package not in why], why


def main() -> int:
    """Exit status 1 where a package could not be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", metavar="PACKAGE")
    parser.add_argument("--split", choices=("dev", "held-out", "test"))
    asked = parser.parse_args()
    there, why = fetch(asked.folder, asked.only, asked.split)
    for package in there:
        print(f"{package.package} {package.version} ({package.split}): {asked.folder / package.root}")
    for name, reason in sorted(why.items()):
        print(f"{name}: {reason}", file=sys.stderr)
    return 1 if why else 0


if __name__ == "__main__":
    sys.exit(main())
