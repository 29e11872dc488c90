"""Whether programs written for CUDA compute the same after `windtunnel port fix`, and run on other chips.

    python bench/port/proofs.py [FOLDER] [--only NAME ...]

Real ones come from source distributions of PyPI, pinned in programs.csv with their SHA-256; they are fetched and unpacked below
FOLDER (default .cache/proofs) and nothing of them is built or installed. What they import besides PyTorch lies in a folder of its
own there, installed without dependencies. Those of programs/ are written for this benchmark. Needs torch, torchvision, pandas.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT)]

from bench.port.fetch import Package, download, unpack  # noqa: E402

TARGETS = "npu,musa"
AT_ONCE = 2
"""Proofs that run side by side; each is one process with one thread."""


@dataclass(frozen=True, slots=True)
class Program:
    """A row of programs.csv. package: empty for a program of programs/. root: the folder that is proven. needs: packages that it
    imports, with their versions. prepare: Python that is run in the folder first, as to generate the data that is not there."""

    name: str
    package: str
    version: str
    archive: str
    sha256: str
    root: str
    program: str
    args: str
    needs: str
    prepare: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What became of one program. proven: None where it could not be tried. identical: before and after computed the same."""

    name: str
    proven: bool | None
    identical: bool
    verdict: str
    seconds: float


def programs(table: Path = HERE / "programs.csv") -> list[Program]:
    """The programs, real ones first."""
    with table.open(newline="", encoding="utf-8") as rows:
        return [Program(**row) for row in csv.DictReader(rows)]


def proven(cache: Path, only: Iterable[str] = ()) -> list[Proof]:
    """Proves each program; ``cache``: folder for what is downloaded. In the order of the table."""
    chosen = list(only)
    wanted = [one for one in programs() if not chosen or one.name in chosen]
    folder = cache / "proofs"
    folder.mkdir(parents=True, exist_ok=True)
    why = _fetch(wanted, folder)
    why |= _install({need for one in wanted for need in one.needs.split()}, folder / "site")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda one: _prove(one, folder, why), wanted))


def _fetch(wanted: Iterable[Program], folder: Path) -> dict[str, str]:
    """Unpacks the source distributions that are not there; gives why one is not to be had, by its package's name."""
    packages = {
        one.package: Package(one.package, one.version, "", one.archive, one.sha256, one.root) for one in wanted if one.package
    }
    missing = [package for package in packages.values() if not (folder / package.root).is_dir()]
    why = download(missing, folder) if missing else {}
    for package in missing:
        if package.package not in why:
            unpack(folder / package.archive, package.root, folder)
    return why


def _install(needs: set[str], site: Path) -> dict[str, str]:
    """Installs what the programs import, each by itself; gives why not, by requirement."""
    why = {}
    for need in sorted(needs):
        mark = site / f".{need}"
        if mark.exists():
            continue
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--upgrade", "--target", str(site), need]
        got = subprocess.run(command, check=False, capture_output=True, text=True)
        if got.returncode:
            why[need] = (got.stderr.strip().splitlines() or ["pip failed"])[-1]
        else:
            mark.touch()
    return why


def _prove(one: Program, folder: Path, why: dict[str, str]) -> Proof:
    lacking = [name for name in (one.package, *one.needs.split()) if name in why]
    if lacking:
        return Proof(one.name, None, False, f"not tried: {lacking[0]} is not to be had: {why[lacking[0]]}", 0.0)
    tree = (folder if one.package else HERE) / one.root
    began = time.perf_counter()
    paths = [str(ROOT / "src"), str((folder / "site").resolve()), os.environ.get("PYTHONPATH", "")]
    env = dict(os.environ) | {"PYTHONPATH": os.pathsep.join(path for path in paths if path), "OMP_NUM_THREADS": "1"}
    if one.prepare:
        subprocess.run([sys.executable, "-c", one.prepare], cwd=tree, env=env, check=True)
    prove = [sys.executable, "-m", "windtunnel", "port", "prove", str(tree), "--to", TARGETS, "--json", "--"]
    ended = subprocess.run(
        [*prove, one.program, *shlex.split(one.args)], env=env, check=False, capture_output=True, text=True
    )  # fmt: skip
    seconds = time.perf_counter() - began
    if not ended.stdout:
        return Proof(one.name, False, False, (ended.stderr.strip().splitlines() or ["no answer"])[-1], seconds)
    told = json.loads(ended.stdout)
    return Proof(one.name, told["proven"], told["identical"], _verdict(told), seconds)


def _verdict(told: dict[str, object]) -> str:
    """The report of `port prove --json` in a few words, with where it was compared."""
    where = "on virtual CUDA, which it needs" if told["needs_cuda"] else "on the CPU and on virtual CUDA"
    if told["proven"]:
        return f"proven {where}"
    obstacles, items, targets = told["obstacles"], [], told["targets"]
    assert isinstance(obstacles, list)
    assert isinstance(targets, list)
    for part in (told["on_cpu"], told["on_cuda"]):
        assert isinstance(part, list)
        items += [item for item in part if item["status"] in ("different", "varies")]
    if items:
        return f"not proven: {items[0]['name']}: {items[0]['detail']}"
    if obstacles:
        return f"not proven: {obstacles[0]}"
    stopped = [f"{one['target']}: {one['detail']}" for one in targets if not one["ran"]]
    return f"the same {where}, but not shown to run on {'; '.join(stopped)}"


def main() -> int:
    """Exit status 1 where a program that was tried is not proven."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / ".cache")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[])
    asked = parser.parse_args()
    began = time.perf_counter()
    found = proven(asked.folder, asked.only)
    width = max((len(proof.name) for proof in found), default=0)
    for proof in found:
        print(f"{proof.name.ljust(width)}  {proof.seconds:5.0f} s  {proof.verdict}")
    tried = [proof for proof in found if proof.proven is not None]
    same, good = sum(proof.identical for proof in tried), sum(bool(proof.proven) for proof in tried)
    print(f"{len(tried)} tried: {same} compute the same, {good} proven; {time.perf_counter() - began:.0f} s")
    return 0 if good == len(tried) else 1


if __name__ == "__main__":
    sys.exit(main())
