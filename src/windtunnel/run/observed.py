"""A script run with fixed seeds while what it computes is written down, so that two runs can be held side by side.

``python -m windtunnel.run.observed RECORD SCRIPT ARGS`` runs it on this machine and writes RECORD, a JSON file: a hash and a few
figures of every value that ``backward`` began from, of the gradients at each optimizer step, of what the outermost modules
returned, of the parameters at the end, and of the states of the random generators. ``--on CHIP`` runs it on a virtual chip.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import json
import os
import random
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch._subclasses.functional_tensor import FunctionalTensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from windtunnel.run.script import Ended, run_script
from windtunnel.workload.program.vision import declare_torchvision

SEED = 20250
MOST_KEPT = 20_000
"""Values of one kind that are told one by one; those after them are in one hash."""

Entry = list[str]
"""Hash, and the value in a few words."""


class Observer:
    """Writes down what a program computes while it is entered; computes nothing that the program could notice."""

    def __init__(self) -> None:
        self.losses: list[Entry] = []
        self.outputs: list[Entry] = []
        self.gradients: list[Entry] = []
        self._rest: dict[int, Any] = {}
        self._parameters: dict[int, torch.Tensor] = {}
        self._depth = 0

    @contextmanager
    def watching(self) -> Iterator[Observer]:
        backward, gradient = torch.autograd.backward, torch.autograd.grad

        def observed_backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            self._add(self.losses, _flat(tensors))
            return backward(tensors, *args, **kwargs)

        def observed_gradient(outputs: Any, *args: Any, **kwargs: Any) -> Any:
            self._add(self.losses, _flat(outputs))
            return gradient(outputs, *args, **kwargs)

        torch.autograd.backward, torch.autograd.grad = observed_backward, observed_gradient
        # said to whoever compiles a module; it is about our hooks, which do not mind
        warnings.filterwarnings("ignore", message=r"Using `torch.compile\(module\)` when there are global hooks")
        hooks = torch.nn.modules.module
        handles = [
            register_optimizer_step_pre_hook(self._step),
            hooks.register_module_forward_pre_hook(self._enter),
            hooks.register_module_forward_hook(self._leave, always_call=True),
        ]
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()
            torch.autograd.backward, torch.autograd.grad = backward, gradient

    def _add(self, to: list[Entry], tensors: Iterable[torch.Tensor]) -> None:
        for tensor in tensors:
            if traced(tensor):
                continue
            digest, words = told(tensor)
            if len(to) < MOST_KEPT:
                to.append([digest, words])
            else:
                self._rest.setdefault(id(to), hashlib.sha256()).update(digest.encode())

    def _step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        held = [p for group in optimizer.param_groups for p in group["params"]]
        self._parameters.update((id(p), p) for p in held)
        self._add(self.gradients, (p.grad for p in held if p.grad is not None))

    def _enter(self, module: torch.nn.Module, args: Any) -> None:
        if torch.compiler.is_compiling():
            return  # a compiler reads this too, and is to find nothing
        self._depth += 1

    def _leave(self, module: torch.nn.Module, args: Any, output: Any) -> None:
        if torch.compiler.is_compiling():
            return
        self._depth = max(self._depth - 1, 0)
        if not self._depth:
            self._add(self.outputs, _flat(output))

    def record(self, ended: Ended) -> dict[str, Any]:
        """Everything as plain values; lists of pairs of hash and words."""
        for to in (self.losses, self.outputs, self.gradients):
            if id(to) in self._rest:
                to.append([self._rest[id(to)].hexdigest()[:16], "all others"])
        parameters = [list(told(p)) for p in self._parameters.values()]
        return {
            "status": ended.status,
            "exit_status": ended.exit_status,
            "failure": _failure(ended),
            "losses": self.losses,
            "outputs": self.outputs,
            "gradients": self.gradients,
            "parameters": parameters,
            "random": random_states(),
            "modules": sorted(_files()),
        }


def traced(tensor: torch.Tensor) -> bool:
    """Whether a tensor only stands for values while PyTorch traces a program or transforms a function."""
    if isinstance(tensor, FakeTensor | FunctionalTensor) or torch._is_functional_tensor(tensor):
        return True
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(tensor))


def told(tensor: torch.Tensor) -> tuple[str, str]:
    """A hash of type, shape and bytes, and the value in a few words: a single number in full, of others size and sum."""
    # outside any dispatch that the program set up, and without a trace in its graph
    with torch.no_grad():
        value = tensor.detach()
        if value.is_sparse or value.layout != torch.strided:
            value = value.to_dense()
        if value.device.type == "meta":
            return f"{value.dtype}{tuple(value.shape)}", "not computed"
        value = value.cpu().contiguous()
        digest = hashlib.sha256(f"{value.dtype}{tuple(value.shape)}".encode())
        if value.numel():
            digest.update((ctypes.c_char * (value.numel() * value.element_size())).from_address(value.data_ptr()))
        if value.numel() == 1:
            words = f"{value.item():.9g}" if value.dtype.is_floating_point else str(value.item())
        else:
            size = "x".join(map(str, value.shape))
            kind = str(value.dtype).removeprefix("torch.")
            words = f"{kind} {size}" + (f", sum {value.double().sum().item():.9g}" if value.dtype.is_floating_point else "")
        return digest.hexdigest()[:16], words


def _flat(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in tuples, lists, dicts and the results of models of transformers, in their order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _flat(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _flat(part)


def random_states() -> list[Entry]:
    """Python's, PyTorch's and, where it is loaded, NumPy's."""
    found = [["python", repr(random.getstate())], ["torch", hashlib.sha256(bytes(torch.get_rng_state().tolist())).hexdigest()]]
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        found.append(["numpy", repr([*map(str, numpy.random.get_state()[1]), *numpy.random.get_state()[2:]])])
    return [[hashlib.sha256(text.encode()).hexdigest()[:16], name] for name, text in found]


def seed(value: int = SEED) -> None:
    """Seeds Python, NumPy where there is one, and PyTorch; one thread, so that sums are in one order."""
    random.seed(value)
    if importlib.util.find_spec("numpy") is not None:
        importlib.import_module("numpy").random.seed(value % 2**32)
    torch.manual_seed(value)
    torch.set_num_threads(1)


def _files() -> set[str]:
    """Files of the modules that were imported, the script's own among them."""
    found = {str(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}
    return {os.path.realpath(file) for file in found}


def _failure(ended: Ended) -> list[str] | None:
    if ended.failure is None:
        return None
    site = ended.failure.site
    return [ended.failure.error, ended.failure.message, f"{site.file}:{site.line}" if site else ""]


def observe(record: Path, script: str, args: Sequence[str]) -> int:
    """Runs the script in this process, writes the record; gives the script's exit status."""
    seed()
    declare_torchvision()
    observer = Observer()
    with observer.watching():
        ended = run_script(script, args)
    sys.stdout.flush()
    if ended.traceback:
        sys.stderr.write(ended.traceback)
    record.write_text(json.dumps({**observer.record(ended), "script": os.path.realpath(script)}), encoding="utf-8")
    return ended.exit_status


def on_virtual(record: Path, chip: str, script: str, args: Sequence[str], *, observed: bool) -> int:
    """Runs the script on a virtual chip and writes what the report says of it; observed: with numbers computed, through
    ``observe``, which then writes the record itself."""
    from windtunnel.run.launch import run_program

    if observed:
        report = run_program(
            "windtunnel.run.observed", [str(record), script, *args], on=chip, module=True, values=True, keep_launches=False
        )  # fmt: skip
        return report.exit_status
    report = run_program(script, args, on=chip, keep_launches=False)
    failure = report.failure
    site = failure.site if failure else None
    told = {
        "chip": report.chip,
        "device": report.device,
        "status": report.status,
        "exit_status": report.exit_status,
        "failure": [failure.error, failure.message, f"{site.file}:{site.line}" if site else ""] if failure else None,
        "operators": report.operators,
        "steps": len(report.steps),
        "step_kind": report.step_kind,
        "step_s": report.step_s,
        "not_native": [[s.op, s.status] for s in report.support],
        "stand_ins": [[s.what, s.given] for s in report.stand_ins],
        "notes": list(report.notes),
    }
    record.write_text(json.dumps(told), encoding="utf-8")
    return report.exit_status


def main(argv: Sequence[str]) -> int:
    """``[--on CHIP [--values]] RECORD SCRIPT ARGS``."""
    words = list(argv)
    if words[:1] == ["--on"]:
        chip, values = words[1], words[2] == "--values"
        words = words[3:] if values else words[2:]
        return on_virtual(Path(words[0]), chip, words[1], words[2:], observed=values)
    return observe(Path(words[0]), words[1], words[2:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
