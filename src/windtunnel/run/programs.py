"""Programs by name, recorded once for every chip: ``timm:NAME`` or ``module:factory`` to the operator calls of one inference.

The model is made and called on a virtual device and nothing is computed. What depends on the batch is recorded for a batch that
is a large prime: a number of the recording that is a multiple of it stands for that many batches, and one beyond it that is
none is refused and recorded anew. So one recording serves every batch size, to the number.
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from windtunnel.errors import InvalidInputError, UnknownNameError, UnsupportedError
from windtunnel.workload.program.call import Call, Step, TensorSpec
from windtunnel.workload.program.device import VirtualDevice
from windtunnel.workload.program.sites import Sites
from windtunnel.workload.program.tensors import native_device

if TYPE_CHECKING:
    from collections.abc import Iterator

    from windtunnel.workload.program.plans import Plan

BATCH = 2_147_483_647
"""The prime 2**31 - 1: larger than any size within a model, small enough that a tensor's bytes stay below 2**63."""

LARGEST = 2**63 - 1
"""What PyTorch writes for the end of a slice that has none."""

PRECISIONS = ("amp-fp16", "amp-bf16", "fp16", "bf16", "fp32")
LAYOUTS = ("nchw", "nhwc")
_TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
_KEPT = 4
_FOLDS = ("reparameterize", "switch_to_deploy", "fuse")
"""What timm's ``reparameterize_model`` looks for on a module."""
_folding: dict[str, bool] = {}
_FAILURES = (RuntimeError, AssertionError, ValueError, TypeError, IndexError, NotImplementedError, AttributeError)
"""What a model raises that does not take such images."""

_libraries: list[Any] = []


def record_program(
    name: str, image_size: int, batch: int, precision: str = "amp-fp16", layout: str = "nchw", *, folded: bool = False
) -> tuple[Step, ...]:
    """The calls of one inference of ``batch`` square images, as timm's benchmark runs it: evaluation mode, no gradients.

    name: ``timm:NAME``, or ``module:factory`` of a callable that is called without arguments and returns a module that takes
    images of three channels. precision: amp-fp16 and amp-bf16 keep FP32 weights under autocast; the others convert weights and
    images. layout: nhwc puts channels innermost. folded: branches that a model can fold into one for inference are (timm's
    ``reparameterize_model``). Raises UnknownNameError, InvalidInputError, UnsupportedError where timm is missing.
    """
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, PRECISIONS)
    if layout not in LAYOUTS:
        raise UnknownNameError("layout", layout, LAYOUTS)
    if batch < 1 or image_size < 1:
        raise InvalidInputError("batch" if batch < 1 else "image_size", "should be 1 or more")
    folded = folded and can_fold(name)
    steps = _recorded(name, image_size, precision, layout, folded)
    if steps is None:
        return _record(name, image_size, batch, precision, layout, folded)
    return at_batch(steps, batch)


def can_fold(name: str) -> bool:
    """Whether a model has branches that it can fold into one for inference."""
    if name not in _folding:
        _made(name, {}, False)
    return _folding[name]


@lru_cache(maxsize=_KEPT)
def _recorded(name: str, image_size: int, precision: str, layout: str, folded: bool) -> tuple[Step, ...] | None:
    """The calls at BATCH; None where they cannot be had so."""
    try:
        steps = _record(name, image_size, BATCH, precision, layout, folded)
    except InvalidInputError:
        return None  # sizes that overflow; whatever else is wrong comes up again with the true batch
    return None if any(n > BATCH and n % BATCH and n != LARGEST for n in numbers(steps)) else steps


def numbers(steps: Sequence[Step]) -> set[int]:
    """Every whole number that a recording holds."""
    found: set[int] = set()

    def walk(value: Any) -> None:
        if isinstance(value, TensorSpec):
            found.update(value.shape)
            found.update(value.stride)
        elif isinstance(value, tuple):
            for part in value:
                walk(part)
        elif type(value) is int:
            found.add(value)

    for step in steps:
        walk(step.call.args)
        walk(tuple(value for _, value in step.call.kwargs))
        walk(step.call.outputs)
    return found


def at_batch(steps: Sequence[Step], batch: int) -> tuple[Step, ...]:
    """A recording at BATCH as it is at ``batch``. Calls that are alike share one record."""
    specs: dict[TensorSpec, TensorSpec] = {}
    calls: dict[int, Call] = {}

    def told(value: Any) -> Any:
        if isinstance(value, TensorSpec):
            found = specs.get(value)
            if found is None:
                found = specs[value] = TensorSpec(told(value.shape), value.dtype, told(value.stride))
            return found
        if isinstance(value, tuple):
            return tuple(told(part) for part in value)
        return value // BATCH * batch if type(value) is int and value >= BATCH and value % BATCH == 0 else value

    out: list[Step] = []
    for step in steps:
        call = calls.get(id(step.call))
        if call is None:
            old = step.call
            call = calls[id(old)] = Call(old.op, told(old.args), tuple((k, told(v)) for k, v in old.kwargs), told(old.outputs))
        out.append(Step(call, step.reads, step.writes))
    return tuple(out)


class _Block:
    """A place in a memory that nobody counts."""

    __slots__ = ("address",)

    def __init__(self, address: int) -> None:
        self.address = address


class Collector:
    """Hears the virtual device and keeps the calls, with numbers for the values that they take and make."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._address = 0
        self._values: dict[tuple[int, int], int] = {}
        self._versions: dict[int, int] = {}
        self._storages: dict[int, Any] = {}

    def allocate(self, nbytes: int) -> _Block:
        self._address += 512
        return _Block(self._address)

    def free(self, block: Any) -> None:
        """Nothing was taken."""

    def copied(self, nbytes: int, way: str, blocking: bool) -> None:
        """The host's business."""

    def waited(self) -> None:
        """Likewise."""

    def stood_in(self, what: str, given: str) -> None:
        """Shapes do not depend on it, or the recording could not be made."""

    def launched(self, plan: Plan, tensors: Sequence[torch.Tensor], outputs: Sequence[Any]) -> None:
        reads = tuple(self._value(t) for t in tensors)
        for i in plan.written:
            key = tensors[i].untyped_storage()._cdata
            self._versions[key] = self._versions.get(key, 0) + 1
        self.steps.append(Step(plan.call, reads, tuple(self._value(t) for t in outputs if isinstance(t, torch.Tensor))))

    def _value(self, tensor: torch.Tensor) -> int:
        storage = tensor.untyped_storage()
        key = storage._cdata
        self._storages.setdefault(key, storage)  # kept, so that no other storage gets its place
        return self._values.setdefault((key, self._versions.get(key, 0)), len(self._values))


def _record(name: str, image_size: int, batch: int, precision: str, layout: str, folded: bool) -> tuple[Step, ...]:
    """The calls of one inference. Models that are made for one size of image are made for this one."""
    try:
        return _record_made(_made(name, {}, folded), image_size, batch, precision, layout)
    except _FAILURES as first:
        try:
            return _record_made(_made(name, {"img_size": image_size}, folded), image_size, batch, precision, layout)
        except _FAILURES:
            line = next(iter(str(first).strip().splitlines()), type(first).__name__)
            raise InvalidInputError("program", f"{name} does not run at {image_size} x {image_size}: {line[:160]}") from first


def _record_made(model: torch.nn.Module, image_size: int, batch: int, precision: str, layout: str) -> tuple[Step, ...]:
    listener = Collector()
    last = torch.channels_last if layout == "nhwc" else torch.contiguous_format
    dtype = _TYPES.get(precision, torch.float32)
    channels = (getattr(model, "default_cfg", None) or {}).get("input_size", (3,))[0]
    device = VirtualDevice("cuda", listener, Sites())
    with device, torch.no_grad():
        _move(model, dtype, last)
        image = torch.empty(batch, channels, image_size, image_size, dtype=dtype, device="cuda").to(memory_format=last)
        listener.steps.clear()
        with _autocast(precision), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of kernels that a real device would choose
            model(image)
    return tuple(listener.steps)


@contextmanager
def _autocast(precision: str) -> Iterator[None]:
    """Mixed precision of the virtual device, switched where PyTorch keeps it: ``torch.autocast`` asks for a real one first."""
    if not precision.startswith("amp-"):
        yield
        return
    native = native_device().type
    torch.set_autocast_dtype(native, _TYPES[precision.removeprefix("amp-")])
    torch.set_autocast_enabled(native, True)
    try:
        yield
    finally:
        torch.set_autocast_enabled(native, False)
        torch.clear_autocast_cache()


def _move(model: torch.nn.Module, dtype: torch.dtype, layout: torch.memory_format) -> None:
    """Parameters and buffers as tensors of the virtual device, whatever made them; one that is shared stays shared."""
    moved: dict[int, torch.Tensor] = {}

    def on_device(tensor: torch.Tensor) -> torch.Tensor:
        found = moved.get(id(tensor))
        if found is None:
            kind = dtype if tensor.is_floating_point() else tensor.dtype
            format_ = layout if tensor.dim() == 4 else torch.contiguous_format
            # integers are indices more often than not: values within every bound
            fill = torch.empty if kind.is_floating_point else torch.zeros
            found = fill(tensor.shape, dtype=kind, device="cuda").to(memory_format=format_)
            if isinstance(tensor, torch.nn.Parameter):
                found = torch.nn.Parameter(found, tensor.requires_grad)
            moved[id(tensor)] = found
        return found

    for module in model.modules():
        for held in (module._parameters, module._buffers):
            for key, tensor in held.items():
                if tensor is not None:
                    held[key] = on_device(tensor)  # type: ignore[assignment]


def _made(name: str, options: dict[str, Any], folded: bool) -> torch.nn.Module:
    source, _, what = name.partition(":")
    if not source or not what:
        raise InvalidInputError("program", f"'{name[:60]}' should be timm:NAME or module:factory")
    made = _from_timm(what, options, folded) if source == "timm" else _from_factory(source, what, options)
    if not folded:
        folds = source == "timm" and any(hasattr(module, key) for module in made.modules() for key in _FOLDS)
        _folding.setdefault(name, folds)
    return made


def _from_timm(name: str, options: dict[str, Any], folded: bool) -> torch.nn.Module:
    """A model of timm with shapes for weights, set up as its benchmark's tables were made.

    Measured models with group norm are as fast as only norms in the autocast type make them, so that is set (``fast_norm``).
    """
    timm = _timm()
    if not timm.is_model(name):
        raise UnknownNameError("timm model", name, timm.list_models())
    with torch.device("meta"):
        model: torch.nn.Module = timm.create_model(name, pretrained=False, **options)
    for module in model.modules():
        for key in ("fast_norm", "_fast_norm"):
            if hasattr(module, key):
                setattr(module, key, True)
    if folded:
        told = getattr(model, "default_cfg", None)
        with torch.no_grad(), torch.device("meta"):
            model = importlib.import_module("timm.utils.model").reparameterize_model(model)
        if told is not None and not hasattr(model, "default_cfg"):
            model.default_cfg = told
    return model.eval()


def _timm() -> Any:
    """timm, importable beside a torchvision that has no compiled operators: the two that it asks for are declared."""
    if importlib.util.find_spec("timm") is None:
        raise UnsupportedError("programs of timm need it installed: pip install timm")
    fragment: Any = torch.library.Library
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for schema in (
            "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
            "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        ):
            if not _declared(f"torchvision::{schema.partition('(')[0]}"):
                library = fragment("torchvision", "FRAGMENT")
                library.define(schema)
                _libraries.append(library)
        return importlib.import_module("timm")


def _declared(name: str) -> bool:
    return any(schema.name == name for schema in torch._C._jit_get_schemas_for_operator(name))


def _from_factory(module: str, what: str, options: dict[str, Any]) -> torch.nn.Module:
    if options:
        raise ValueError("a factory takes no arguments")
    try:
        factory = getattr(importlib.import_module(module), what)
    except (ImportError, AttributeError) as problem:
        raise InvalidInputError("program", f"{module}:{what} cannot be imported ({problem})") from None
    with torch.device("meta"):
        made = factory()
    if not isinstance(made, torch.nn.Module):
        raise InvalidInputError("program", f"{module}:{what} returns {type(made).__name__}, not a torch.nn.Module")
    return made.eval()
