"""Writes what PyTorch's composite operators are made of (catalog/data/composites).

    python tools/operator_parts.py

Needs the CPU wheel of PyTorch, and `expecttest` for its test suite. Which overloads are composite is the wheel's
native_functions.yaml; a structured operator hands its work to its variant that writes into a given tensor, says that file too.
What the others call is recorded: the sample inputs of PyTorch's own test suite are wrapped as tensors of a device that is none
(PrivateUse1, the key of plugins, so that kernels which ask for their device take the way that they take there), each composite
kernel is run for itself, below autograd, and the operators are noted that it calls. Where no sample reaches an overload, it is
called with the arguments of its kin (its functional, in-place or out variant); if PyTorch's generator wrote its kernel, what
that writes is taken; else plain arguments are tried that its schema admits. Development only.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import signal
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torchgen
from torch._C import DispatchKey
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend
from torchgen.gen import get_grouped_native_functions, parse_native_yaml
from torchgen.model import NativeFunction, SchemaKind

OUT = Path(__file__).parent.parent / "src" / "windtunnel" / "catalog" / "data" / "composites"
READ = "parts read from its dispatcher with sample inputs of its own test suite (dense, real numbers)"
SAMPLES = 40
"""Sample inputs of one operator and type that are run."""
LOOKED_INTO = 4000
"""Calls of one overload that are looked into."""
KEPT = 6
"""Calls of one overload whose arguments are kept, to call its kin with."""
SECONDS = 5.0
"""The longest that the samples of one operator are run."""
HOST_ONLY = ("mkldnn", "_for_cpu", "quantized", "fbgemm", "xnnpack")
"""Operators that a kernel calls because its tensors are the CPU's: what it would call elsewhere cannot be read from that."""
OPAQUE = ("copy_",)
"""Composites that reach a plugin past the dispatcher, through hooks that only its own device has."""
STAND_INS = {
    "convolution_overrideable": lambda *a: torch.ops.aten.convolution(*a),
    "convolution_backward_overrideable": lambda g, x, w, *a: torch.ops.aten.convolution_backward(g, x, w, [w.shape[0]], *a),
}
"""Operators that only plugins have a kernel of, and what computes the same on the CPU."""
KERNELS = (
    DispatchKey.CompositeImplicitAutograd,
    DispatchKey.CompositeExplicitAutograd,
    DispatchKey.CompositeExplicitAutogradNonFunctional,
)


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
        f'source = "PyTorch {version} (BSD-3-Clause): {READ}"',
        "",
        "parts = '''",
        *(f"{name}: {made_of}" for name, made_of in sorted(parts.items())),
        "'''",
    ]
    OUT.mkdir(exist_ok=True)
    (OUT / f"torch-{version.replace('.', '-')}.toml").write_text("\n".join(lines) + "\n")


class There(torch.Tensor):
    """A tensor that says it is on the plugin's device; its values are a CPU tensor's."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> There:
        made = torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            device="privateuseone:0", requires_grad=inner.requires_grad,
        )  # fmt: skip
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{func} was called outside of the recording")


def inside(value: Any) -> Any:
    """The CPU's value behind an argument."""
    if isinstance(value, There):
        return value.inner
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return value


def overload_name(func: Any) -> str:
    return str(func._schema.name.partition("::")[2]) + (f".{func._overloadname}" if func._overloadname != "default" else "")


def as_tensors(func: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """The arguments with tensors where the schema asks for them: a number that PyTorch wrapped arrives as the number."""
    wanted = {a.name for a in func._schema.arguments if str(a.type) == "Tensor"}
    names = [a.name for a in func._schema.arguments]

    def fit(name: str, value: Any) -> Any:
        return torch.tensor(value) if name in wanted and isinstance(value, (bool, int, float, complex)) else value

    return tuple(fit(n, v) for n, v in zip(names, args, strict=False)), {n: fit(n, v) for n, v in kwargs.items()}


class Recorder(TorchDispatchMode):
    """Runs what is called on the CPU, and notes under every composite what it called, call by call."""

    def __init__(self, composites: Mapping[str, str | None]) -> None:
        super().__init__()
        self.composites = composites
        self.calls: dict[str, list[frozenset[str]]] = defaultdict(list)
        self.failed: dict[str, str] = {}
        self.kept: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
        self.above: list[set[str]] = []
        self.on_cpu = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = as_tensors(func, args, kwargs or {})
        if func.namespace == "prim":
            return func(*tree_map(inside, args), **tree_map(inside, kwargs))
        name = overload_name(func)
        if self.above:
            self.above[-1].add(name)
        if len(self.kept[name]) < KEPT:
            with contextlib.suppress(Exception):
                self.kept[name].append(
                    tree_map(lambda v: inside(v).detach().clone() if isinstance(v, There) else v, (args, kwargs))
                )
        if (
            name in self.composites
            and name not in OPAQUE
            and self.composites[name] is None
            and len(self.calls[name]) < LOOKED_INTO
            and len(self.above) < 8
        ):
            done, out = self.look_into(name, func, args, kwargs)
            if done:
                return out
        return self.run(func, args, kwargs)

    def look_into(self, name: str, func: Any, args: Any, kwargs: Any) -> tuple[bool, Any]:
        """One call of a composite's own kernel under this recording, on the plugin's device, else on the CPU's tensors."""
        key = next((k for k in KERNELS if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), k)), None)
        if key is None:
            self.failed.setdefault(name, "no composite kernel in this wheel")
            return False, None
        for on_cpu in (False, True):
            called: set[str] = set()
            given = tree_map(copied, (args, kwargs)) if on_cpu else (args, kwargs)
            self.above.append(called)
            self.on_cpu += on_cpu
            try:
                with self:
                    out = func._op_dk(key, *given[0], **given[1])
            except Exception as problem:
                said = str(problem).splitlines()[0][:150] if str(problem) else ""
                self.failed.setdefault(name, f"{type(problem).__name__}: {said}")
                if "DispatchStub" in str(problem):
                    return False, None  # it calls a kernel of its own for each device, past the dispatcher
                continue
            finally:
                self.above.pop()
                self.on_cpu -= on_cpu
            if on_cpu and (not called or any(word in part for part in called for word in HOST_ONLY)):
                return False, None
            self.calls[name].append(frozenset(called))
            lost = on_cpu or any(isinstance(v, torch.Tensor) and not isinstance(v, There) for v in tree_leaves(out))
            return (False, None) if lost and not self.on_cpu else (True, out)
        return False, None

    def run(self, func: Any, args: Any, kwargs: Any) -> Any:
        """The call on the CPU; a tensor that was given comes back as the one that it was."""
        given: dict[int, There] = {}

        def enter(value: Any) -> Any:
            if isinstance(value, There):
                given[id(value.inner)] = value
            return inside(value)

        def leave(value: Any) -> Any:
            if not isinstance(value, torch.Tensor) or isinstance(value, There) or self.on_cpu:
                return value
            return given[id(value)] if id(value) in given else There(value)

        args, kwargs = tree_map(enter, (args, kwargs))
        out = STAND_INS.get(overload_name(func), func)(*args, **kwargs)
        for there in given.values():
            if there.shape != there.inner.shape:
                raise RuntimeError("a tensor was resized")
        return tree_map(leave, out)


def copied(value: Any) -> Any:
    """An argument as the CPU has it, safe to be written into."""
    return inside(value).detach().clone() if isinstance(value, torch.Tensor) else inside(value)


def there(value: Any) -> Any:
    """A sample's argument on the device that is none."""
    if isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_quantized:
        return There(value.detach().clone().requires_grad_(value.requires_grad))
    return torch.device("privateuseone:0") if isinstance(value, torch.device) else value


def try_out(recorder: Recorder, call: Callable[[], Any]) -> bool:
    """Whether a call ran to its end below autograd, where composites are seen whole."""
    try:
        with warnings.catch_warnings(), torch._C._AutoDispatchBelowAutograd(), recorder:
            warnings.simplefilter("ignore")
            call()
    except Exception:
        return False
    finally:
        recorder.above.clear()
    return True


def run_samples(recorder: Recorder) -> None:
    """Every operator that PyTorch's test suite has samples of, forward below autograd, then with its backward."""
    from torch.testing._internal.common_methods_invocations import op_db

    real = {torch.float32, torch.int64}
    for info, dtype in itertools.product(op_db, (torch.float32, torch.int64, torch.bool, torch.complex64)):
        started = time.monotonic()
        if dtype not in info.dtypes or (dtype not in real and real & set(info.dtypes)):
            continue
        for grad in (False, True):
            if grad and not (info.supports_autograd and dtype.is_floating_point):
                continue
            try:
                samples = list(itertools.islice(info.sample_inputs("cpu", dtype, requires_grad=grad), SAMPLES))
            except Exception as problem:
                print(f"  no samples of {info.name}: {str(problem)[:80]}", file=sys.stderr)
                continue
            for sample in samples:
                if time.monotonic() - started > SECONDS:
                    break
                first, args, kwargs = tree_map(there, (sample.input, sample.args, sample.kwargs))
                for f in (info.op,) if grad else (info.op, info.inplace_variant):
                    if f is None:
                        continue
                    if not grad:
                        try_out(recorder, lambda f=f, x=first, a=args, k=kwargs: f(x, *a, **k))
                        continue
                    with contextlib.suppress(Exception), warnings.catch_warnings(), recorder:
                        warnings.simplefilter("ignore")
                        out = f(first, *args, **kwargs)
                        flat = [t for t in tree_leaves(out) if isinstance(t, There) and t.requires_grad]
                        torch.autograd.backward([t.sum() for t in flat])
                    recorder.above.clear()


def run_by_hand(recorder: Recorder) -> None:
    """Networks' operators that the samples do not reach on a plugin's device."""
    r = torch.rand
    cell = [r(12, 4), r(12, 3), r(12), r(12)]
    packed = torch.tensor([2, 2, 1])
    calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
        (torch.lstm, (r(5, 2, 4), [r(1, 2, 3), r(1, 2, 3)], cell, True, 1, 0.0, False, False, False)),
        (torch.lstm, (r(5, 4), packed, [r(1, 2, 3), r(1, 2, 3)], cell, True, 1, 0.0, False, False)),
        (torch.lstm_cell, (r(2, 4), [r(2, 3), r(2, 3)], *cell)),
        (torch.gru, (r(5, 2, 4), r(1, 2, 3), [t[:9] for t in cell], True, 1, 0.0, False, False, False)),
        (torch.gru, (r(5, 4), packed, r(1, 2, 3), [t[:9] for t in cell], True, 1, 0.0, False, False)),
        (torch.gru_cell, (r(2, 4), r(2, 3), *[t[:9] for t in cell])),
        (torch.rnn_tanh, (r(5, 2, 4), r(1, 2, 3), [t[:3] for t in cell], True, 1, 0.0, False, False, False)),
        (torch.rnn_relu, (r(5, 2, 4), r(1, 2, 3), [t[:3] for t in cell], True, 1, 0.0, False, False, False)),
        (torch.affine_grid_generator, (r(1, 2, 3), [1, 1, 4, 4], False)),
        (torch.ops.aten.convolution_backward,
         (r(1, 4, 6, 6), r(1, 3, 8, 8), r(4, 3, 3, 3), [4], [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [True, True, True])),
        (torch.ops.aten._grouped_mm, (r(8, 16).bfloat16(), r(2, 16, 16).bfloat16(), torch.tensor([4, 8], dtype=torch.int32))),
        (torch.Tensor.contiguous, (r(3, 4).t(),)),
        (torch.where, (r(3, 3) > 0.5, r(3, 3), 1.0)),
        (torch.where, (r(3, 3) > 0.5, 0.0, 1.0)),
        (torch.clip, (r(3, 3), r(3, 3), r(3, 3))),
        (torch.batch_norm, (r(2, 3, 4, 4), r(3), r(3), r(3), r(3), True, 0.1, 1e-5, False)),
        *((torch.embedding_bag, (r(5, 3), torch.tensor([0, 1, 2, 4]), torch.tensor([0, 2]), False, mode, False, None, last))
          for mode in (0, 1, 2) for last in (False, True)),
    ]  # fmt: skip
    for f, args in calls:
        given = tree_map(there, args)
        for tried in range(2):
            if try_out(recorder, lambda f=f, given=given: f(*given)):
                break
            if tried:
                print(f"  by hand: {f.__name__} did not run", file=sys.stderr)


def overload_of(name: str) -> Any:
    base, _, overload = name.partition(".")
    return getattr(getattr(torch.ops.aten, base), overload or "default")


def inputs_of(func: Any) -> list[tuple[str, str]]:
    return [(a.name, str(a.type)) for a in func._schema.arguments if not a.is_out]


def run_kin(recorder: Recorder) -> None:
    """Overloads that no sample reached, with the arguments of an overload that takes the same."""
    of_packet: dict[str, list[str]] = defaultdict(list)
    for name in list(recorder.kept):
        of_packet[packet(name)].append(name)
    for name in unrecorded(recorder):
        func = overload_of(name)
        for kin in of_packet[packet(name)]:
            known = overload_of(kin)
            if inputs_of(known) != inputs_of(func) or any(a.is_out for a in known._schema.arguments):
                continue
            for args, kwargs in recorder.kept[kin][:KEPT]:
                call_with(recorder, func, known, args, kwargs)
            if recorder.calls.get(name):
                break


def call_with(recorder: Recorder, func: Any, known: Any, args: Any, kwargs: Any) -> None:
    """``func`` with what ``known`` was called with, and with tensors like its results to write into."""
    outs = [a.name for a in func._schema.arguments if a.is_out]
    given = dict(zip((a.name for a in known._schema.arguments), args, strict=False)) | dict(kwargs)
    given = tree_map(lambda v: v.clone() if isinstance(v, torch.Tensor) else v, given)
    if outs:
        try:
            made = known(**tree_map(lambda v: v.clone() if isinstance(v, torch.Tensor) else v, given))
        except Exception:
            return
        made = tuple(made) if isinstance(made, (tuple, list)) else (made,)
        if len(outs) == 1 and str(next(a.type for a in func._schema.arguments if a.is_out)).startswith("List"):
            given[outs[0]] = [torch.empty_like(t) for t in made]
        elif len(made) == len(outs) and all(isinstance(t, torch.Tensor) for t in made):
            given |= {name: torch.empty_like(t) for name, t in zip(outs, made, strict=True)}
        else:
            return
    there_given = tree_map(there, given)
    try_out(recorder, lambda: func(**there_given))


def generated_parts() -> dict[str, frozenset[str]]:
    """Variants whose kernels PyTorch's generator writes: with a tensor to write into, as the functional one, then copied; the
    functional one of an operator that has none, as a clone and the variant that writes.

    **Source:** torchgen's gen_functionalization_type.py (gen_composite_out_kernel, gen_composite_functional_kernel).
    """
    found: dict[str, frozenset[str]] = {}
    for group in get_grouped_native_functions(native_functions()):
        if isinstance(group, NativeFunction):
            continue
        for f in group.functions():
            if "generated" not in f.tags or f.structured_delegate is not None:
                continue
            if f.func.kind() is SchemaKind.out:
                found[str(f.func.name)] = frozenset({str(group.functional.func.name), "copy_"})
            elif f.func.kind() is SchemaKind.functional:
                writes = group.inplace or group.mutable or group.out
                found[str(f.func.name)] = frozenset({"clone", str(writes.func.name)})
    return found


def take_generated(recorder: Recorder) -> None:
    """What the generator wrote, where nothing was recorded; and how far the two agree where it was."""
    generated = generated_parts()
    differ = {n: parts_line(recorder.calls[n]) for n in generated if recorder.calls.get(n)
              and frozenset.intersection(*recorder.calls[n]) != generated[n]}  # fmt: skip
    both = sum(bool(recorder.calls.get(n)) for n in generated)
    print(f"generated kernels: {both} recorded too, {len(differ)} of them differ", list(differ.items())[:40], file=sys.stderr)
    for name, parts in generated.items():
        if name in recorder.composites and recorder.composites[name] is None and not recorder.calls.get(name):
            recorder.calls[name] = [parts]


def packet(name: str) -> str:
    """What an operator's functional, in-place and out variants have in common."""
    base = name.partition(".")[0]
    return base.removesuffix("_functional").removesuffix("_copy").rstrip("_")


def unrecorded(recorder: Recorder) -> list[str]:
    left = [name for name, delegate in recorder.composites.items() if delegate is None and not recorder.calls.get(name)]
    return [name for name in left if name not in OPAQUE]


def run_plain(recorder: Recorder) -> None:
    """What is left, with the first plain arguments that work; each in a process of its own, since kernels may crash on them."""
    for name in unrecorded(recorder):
        reading, writing = os.pipe()
        if not (child := os.fork()):
            signal.alarm(15)
            os.close(reading)
            try_plain(recorder, name)
            os.write(writing, pickle.dumps((recorder.calls.get(name, []), recorder.failed.get(name, "no plain arguments"))))
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read()
        os.waitpid(child, 0)
        calls, failed = pickle.loads(said) if said else ([], "crashed")
        if calls:
            recorder.calls[name] = calls
        else:
            recorder.failed.setdefault(name, failed)


def try_plain(recorder: Recorder, name: str) -> None:
    func = overload_of(name)
    for given in itertools.islice(plain_arguments(func), 300):
        there_given = tree_map(there, given)
        try_out(recorder, lambda func=func, given=there_given: func(**given))
        if len(recorder.calls[name]) >= 3:
            break


def plain_arguments(func: Any) -> Iterator[dict[str, Any]]:
    """Arguments by their types; those with a default keep it."""
    shapes: tuple[tuple[int, ...], ...] = ((3, 3), (2, 3, 3), (1, 2, 3, 3), (3,), (), (1, 2, 3, 3, 3))
    choices: list[list[Any]] = []
    names = []
    for a in func._schema.arguments:
        if a.has_default_value() and not a.is_out:
            continue
        kind = str(a.type)
        if kind == "Tensor":
            values: list[Any] = [make(s) for make in (torch.rand, lambda s: torch.ones(s, dtype=torch.int64)) for s in shapes]
        elif kind == "List[Tensor]":
            values = [[torch.rand(s), torch.rand(s)] for s in shapes[:4]]
        elif kind == "List[number]":
            values = [[1.0, 2.0]]
        elif kind in ("int", "SymInt", "number", "Optional[int]", "Optional[number]"):
            values = [1, 0, 2]
        elif kind in ("float", "Optional[float]"):
            values = [0.5, 1.0]
        elif kind in ("List[int]", "Optional[List[int]]", "List[SymInt]"):
            values = [[1], [3, 3], [1, 1], [0], [2, 3, 3], [1, 2, 3, 3], [1, 1, 1], []]
        elif kind == "bool":
            values = [False, True]
        elif kind == "str":
            values = ["none", "mean", "linear"]
        elif kind.startswith("Optional"):
            values = [None]
        else:
            return
        names.append(a.name)
        choices.append(values)
    # first all alike, then one by one
    for place in range(12):
        yield dict(zip(names, (c[min(place, len(c) - 1)] for c in choices), strict=True))
    for values in itertools.product(*(c[:6] for c in choices)):
        yield dict(zip(names, values, strict=True))


def parts_line(calls: list[frozenset[str]]) -> str:
    """``part part ?part``: those of every call, then those of some."""
    every, any_of = frozenset.intersection(*calls), frozenset.union(*calls)
    return " ".join([*sorted(every), *(f"?{name}" for name in sorted(any_of - every))])


def main() -> None:
    _setup_privateuseone_for_python_backend()
    torch.manual_seed(0)
    torch.set_num_threads(1)  # processes are forked later
    recorder = Recorder(composites())
    for stage in (run_samples, run_by_hand, run_kin, take_generated, run_plain):
        stage(recorder)
        print(stage.__name__, "leaves", len(unrecorded(recorder)), "unrecorded", flush=True)
    parts = {n: d or (parts_line(recorder.calls[n]) if recorder.calls.get(n) else "-") for n, d in recorder.composites.items()}
    write(parts)
    print(len(parts), "composites,", sum(made_of == "-" for made_of in parts.values()), "not recorded")
    for name in unrecorded(recorder):
        print("  ", name, recorder.failed.get(name, "not reached"), file=sys.stderr)


if __name__ == "__main__":
    main()
