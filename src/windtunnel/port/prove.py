"""Whether a rewritten repository computes what it computed: a program of it is run before and after, and everything compared.

The tree is copied, the copy is fixed, the original is never touched. Both run at the same path, on the CPU, with the same seeds
and one thread; then on a virtual CUDA chip with its numbers computed; and the rewritten one on the targets.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from windtunnel.catalog.chip import shelf as chip_shelf
from windtunnel.errors import InvalidInputError, UnknownNameError, nearest
from windtunnel.port.evidence import Item, Run, compared
from windtunnel.port.finding import TARGETS
from windtunnel.port.stage import Stage, check_size

CHIPS = {"cuda": "h100-sxm", "npu": "ascend-910b2", "musa": "mtt-s4000", "mlu": "mlu590"}
"""The virtual chip that stands for each device of PyTorch; the catalogue has none of the others."""
REPEATS = 4
"""Runs of the program as it was, at most, where what it prints or computes differs after the fix: to know what varies anyway."""
_NEEDS = ("cuda", "nvidia", "no gpu", "nccl")


@dataclass(frozen=True, slots=True)
class TargetRun:
    """The rewritten program on one target. where: the virtual chip or the real device; ran: None where it was not tried."""

    target: str
    where: str
    real: bool
    ran: bool | None
    detail: str = ""


@dataclass(frozen=True)
class ProveReport:
    """What was shown of one program.

    changed: files that the fix changed; run_changed: those of them that the program loaded. left: places that the fix left.
    items: comparison on the CPU; cuda_items: on CUDA, ``cuda_where`` says which. needs_cuda: why the program does nothing on
    the CPU, empty where it runs there. obstacles: what keeps the comparison from being one, each a sentence.
    """

    program: str
    changed: tuple[str, ...]
    run_changed: tuple[str, ...]
    left: int
    items: tuple[Item, ...]
    cuda_items: tuple[Item, ...]
    cuda_where: str
    targets: tuple[TargetRun, ...]
    needs_cuda: str = ""
    obstacles: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def identical(self) -> bool:
        """Whether everything that could be compared is the same, and something could."""
        items = [*self.items, *self.cuda_items]
        compared_once = bool(self.items) or bool(self.cuda_items)
        return compared_once and all(item.status in ("same", "none") for item in items)

    @property
    def runs(self) -> bool:
        return bool(self.targets) and all(one.ran for one in self.targets)

    @property
    def proven(self) -> bool:
        return self.identical and self.runs and not self.obstacles


def prove(
    path: str | Path, script: str, args: Sequence[str] = (), *, to: Sequence[str] = ("npu", "musa"), unsafe: bool = False,
    timeout_s: float | None = None,
) -> ProveReport:  # fmt: skip
    """Copies the folder ``path``, fixes the copy, runs ``script ARGS`` of it before and after, and compares.

    script: relative to ``path``, which is also the working folder. to: devices of PyTorch, or chips of the catalogue by name.
    unsafe: with the unsafe fixes too. timeout_s: of each run. Raises InvalidInputError, UnknownNameError for what is not there.
    """
    began = time.perf_counter()
    root = Path(path)
    script = _script_in(root, script)
    chips = [_chip_of(target) for target in to]
    check_size(root)
    with tempfile.TemporaryDirectory(prefix="windtunnel-prove-") as folder:
        stage = Stage(root, Path(folder), script, list(args), unsafe, timeout_s)
        before = stage.run("before")
        after = stage.run("after")
        needs = _needs_cuda(before)
        items = () if needs else _held(before, after, lambda: stage.run("before"))
        notes, obstacles = list(stage.notes), list(_obstacles(stage, before, after, needs))
        cuda_items, where, said = _on_cuda(stage)
        notes += said
        if needs and not cuda_items:
            obstacles.append("the program does nothing without CUDA, and could not be compared on a virtual one either")
        targets = [*_virtual_runs(stage, to, chips, after), *_real_runs(stage, to)]
        loaded = set(after.loaded(stage.tree))
        return ProveReport(
            program=" ".join([script, *args]),
            changed=stage.changed,
            run_changed=tuple(name for name in stage.changed if name in loaded),
            left=stage.left,
            items=items,
            cuda_items=cuda_items,
            cuda_where=where,
            targets=tuple(targets),
            needs_cuda=needs,
            obstacles=tuple(obstacles),
            notes=tuple(notes),
            seconds=time.perf_counter() - began,
        )


def _script_in(root: Path, script: str) -> str:
    """The script's path within the tree. Raises InvalidInputError."""
    if not root.is_dir():
        raise InvalidInputError("PATH", f"{root} is no folder; name the repository's, and after -- the script within it")
    for candidate in (root / script, Path(script)):
        if candidate.is_file() and candidate.resolve().is_relative_to(root.resolve()):
            return candidate.resolve().relative_to(root.resolve()).as_posix()
    if Path(script).name in ("python", "python3", "torchrun", "accelerate", "deepspeed"):
        raise InvalidInputError("SCRIPT", f"leave out '{script}': name the script itself after --")
    close = nearest(script, [p.relative_to(root).as_posix() for p in sorted(root.rglob("*.py"))[:5000]])
    hint = f"; nearest: {', '.join(close)}" if close else ""
    raise InvalidInputError("SCRIPT", f"there is no file {script} in {root}{hint}")


def _chip_of(target: str) -> str:
    """The virtual chip for a target, empty where the catalogue has none. Raises UnknownNameError."""
    if target in TARGETS:
        return CHIPS.get(target, "")
    try:
        return chip_shelf.resolve(target)
    except UnknownNameError:
        raise UnknownNameError("target", target, [*TARGETS, *chip_shelf.ids(), *chip_shelf.aliases()])


def _held(before: Run, after: Run, repeat: Callable[[], Run]) -> tuple[Item, ...]:
    """The two compared. While they differ, the program is run as it was once more, a few times: a short time is often the same
    in two runs and another in the third."""
    again: list[Run] = []
    items = compared(before, after)
    while len(again) < REPEATS and any(item.status == "different" for item in items):
        again.append(repeat())
        items = compared(before, after, again)
    return items


def _needs_cuda(run: Run) -> str:
    """Why the program ends at once on the CPU, in a line, where that is for want of CUDA; else empty."""
    line = run.complaint(place=False).lower()
    return run.complaint() if run.failed and any(word in line for word in _NEEDS) else ""


def _obstacles(stage: Stage, before: Run, after: Run, needs_cuda: str) -> Iterator[str]:
    if before.failed and not needs_cuda:
        yield f"the program fails as it is, before any change, so that little is shown: {before.complaint()}"
    for name, run in (("before", before), ("after", after)):
        if run.timed_out_s is not None:
            yield f"{name} the fix it was ended after {run.timed_out_s:g} s"
        elif not run.record and not needs_cuda:
            yield f"{name} the fix it left no record: it ended without letting Python finish"
    root = os.path.realpath(stage.root)
    for file in after.record.get("modules", ()):
        if file.startswith(root + os.sep) and not os.path.realpath(stage.tree).startswith(root + os.sep):
            yield f"it imported {os.path.relpath(file, root)} from the original, not from the copy"
            return
    elsewhere = [f for f in after.record.get("modules", ()) if not f.startswith(str(stage.tree) + os.sep)]
    for name in stage.changed:
        inner = name.removeprefix("src/")
        if "/" in inner and any(file.endswith("/" + inner) for file in elsewhere):
            yield f"it imported another {inner} than the copy's: the package is installed; uninstall it for the proof"
            return


def _on_cuda(stage: Stage) -> tuple[tuple[Item, ...], str, list[str]]:
    """Before and after on CUDA: a virtual chip whose numbers are computed."""
    chip = CHIPS["cuda"]
    where = f"virtual {chip}"
    before = stage.run("before", chip=chip, values=True)
    if before.failed:
        return (), where, [f"not compared on a {where}: there the program ends with: {before.complaint()}"]
    after = stage.run("after", chip=chip, values=True)
    return _held(before, after, lambda: stage.run("before", chip=chip, values=True)), where, []


def _virtual_runs(stage: Stage, to: Sequence[str], chips: Sequence[str], on_cpu: Run) -> Iterator[TargetRun]:
    """on_cpu: the rewritten program's run on the CPU, which needs no other."""
    for target, chip in zip(to, chips, strict=True):
        if target == "cpu":
            told = on_cpu.complaint() if on_cpu.failed else ""
            yield TargetRun(target, "this machine's CPU", True, not on_cpu.failed, told)
            continue
        if not chip:
            yield TargetRun(target, "no chip of the catalogue", False, None, "not tried: the catalogue has no chip of it")
            continue
        yield _virtual_run(stage, target, chip)


def _virtual_run(stage: Stage, target: str, chip: str) -> TargetRun:
    """Without numbers first, which costs little; a program that hangs on its numbers is run with them."""
    where = f"virtual {chip}"
    run = stage.run("after", chip=chip)
    told = run.record
    if not run.failed:
        if not told["operators"]:
            return TargetRun(target, where, False, False, "it ended well without one operator on the device")
        steps = f"; {told['steps']} {told['step_kind']}s" if told["steps"] else ""
        return TargetRun(target, where, False, True, f"{told['operators']:,} operators{steps}")
    valued = stage.run("after", chip=chip, values=True)
    if not valued.failed:
        return TargetRun(target, where, False, True, f"with its numbers computed; without them it stops at {run.stopped_at}")
    return TargetRun(target, where, False, False, run.complaint())


def _real_runs(stage: Stage, to: Sequence[str]) -> Iterator[TargetRun]:
    """The rewritten program on each real device of a target that this machine has."""
    from windtunnel.run.devices import present

    there = present()
    for target in dict.fromkeys(to):
        if target in there and target != "cpu":
            run = stage.run("after", hidden=False)
            yield TargetRun(target, f"this machine's {target}", True, not run.failed, run.complaint() if run.failed else "")
