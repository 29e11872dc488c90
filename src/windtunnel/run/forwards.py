"""The forwards of language models that a program runs: how many tokens each takes, what lies in its cache, where it is launched.

Models of ``transformers`` are told by what they carry, a configuration and an output head; the library is not imported.
"""

from __future__ import annotations

import json
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from windtunnel.catalog.models import parse_json
from windtunnel.errors import WindtunnelError
from windtunnel.run.machine import Machine, Mark
from windtunnel.workload.program.observe import dtype_name
from windtunnel.workload.program.tensors import held, native_device, native_device_of, value_of

ATTENTION, EXPERTS, FEED_FORWARD = "attention", "experts and their router", "feed-forward"
NORMS, HEAD, REST = "norms, rotary, residuals", "output head", "embedding, masks and the rest"

_WRAPPED = ("_orig_mod", "module")
"""Where compilers and data parallelism keep the module that they wrap."""
_QUANTISED = frozenset({"fp8", "fp4", "int8", "uint8", "int32"})


@dataclass(eq=False)
class Model:
    """A language model that the program called. config: its config.json; dtype: the type of most of its parameters; parts: what
    each of its modules belongs to, by name; problem: why nothing can be said of it ("" where something can)."""

    name: str
    config: Mapping[str, object]
    dtype: str
    parts: Mapping[str, str]
    problem: str = ""

    @property
    def quantised(self) -> bool:
        """Whether its parameters are stored in a type that its configuration's quantisation says how to read."""
        return self.dtype in _QUANTISED

    def part(self, module: str) -> str:
        """What a module's launches belong to: its own part, else that of the nearest module around it."""
        while module and module not in self.parts:
            module = module.rpartition(".")[0]
        return self.parts.get(module, REST)


@dataclass(frozen=True, slots=True)
class Forward:
    """One call of a model, from ``start`` to ``end``: ``tokens`` new ones of each of ``sequences`` behind ``context`` that are
    in its cache. cached: whether there is a cache at all."""

    model: Model
    sequences: int
    tokens: int
    context: int
    cached: bool
    start: Mark
    end: Mark


class Forwards:
    """Hears of the outermost modules that a program calls on ``machine``. problems: what could not be told, and how often."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.seen: list[Forward] = []
        self.problems: Counter[str] = Counter()
        self._models: weakref.WeakKeyDictionary[torch.nn.Module, Model | None] = weakref.WeakKeyDictionary()
        self._starts: dict[int, Mark] = {}
        machine.sites.on_enter = self._entered
        machine.sites.on_leave = self._left

    def _entered(self, module: torch.nn.Module, name: str) -> None:
        if module not in self._models:
            self._models[module] = _model_of(module, name)
        if self._models[module] is not None:
            self._starts[id(module)] = self._mark()

    def _left(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        start, model = self._starts.pop(id(module), None), self._models.get(module)
        if start is None or model is None:
            return
        if model.problem:
            self.problems[f"{model.name}: not known: {model.problem}"] += 1
            return
        if module.training and torch.is_grad_enabled():
            self.problems[f"{model.name}: not known: it is trained, and engines only serve"] += 1
            return
        if output is None:
            self.problems[f"{model.name}: a call that ended in an exception is left out"] += 1
            return
        end = self._mark()
        try:
            sequences, tokens = _taken(args, kwargs)
            cache = _cache_of(args, kwargs, output)
            behind = 0 if cache is None else _length(cache.get_seq_length()) - tokens
        except Exception as problem:  # whatever a model's own classes do here is no concern of the program's
            self.problems[f"{model.name}: not known: {problem}"] += 1
            return
        self.seen.append(Forward(model, sequences, tokens, max(behind, 0), cache is not None, start, end))

    def _mark(self) -> Mark:
        self.machine.flush()
        return Mark(self.machine.timeline, len(self.machine.launches))


def _model_of(module: torch.nn.Module, name: str) -> Model | None:
    """The language model that a module is; None for a module that is no model of transformers."""
    root = module
    for inner in _WRAPPED:
        if isinstance(getattr(module, inner, None), torch.nn.Module):
            module = getattr(module, inner)
    config = getattr(module, "config", None)
    if not callable(getattr(config, "to_dict", None)) or not getattr(config, "model_type", ""):
        return None
    known = type(module).__name__
    model = Model(known, {}, "", {})
    try:
        head = module.get_output_embeddings()  # type: ignore[operator]
    except (AttributeError, NotImplementedError, TypeError):
        head = None
    if head is None:
        model.problem = "it has no output head, so it is no causal language model"
    elif getattr(config, "is_encoder_decoder", False):
        model.problem = "engines of encoder-decoder models are not modelled"
    elif any(type(p).__name__ == "DTensor" for p in module.parameters()):
        model.problem = "its parameters are spread over ranks, and how an engine would spread them is the user's choice"
    if model.problem:
        return model
    try:
        told = parse_json(json.dumps(config.to_dict(), default=str), f"{known}.config")  # type: ignore[union-attr]
    except (WindtunnelError, TypeError, ValueError) as problem:
        model.problem = str(problem)
        return model
    model.config = {**told, "architectures": told.get("architectures") or [known]}
    sizes: Counter[str] = Counter()
    for parameter in module.parameters():
        sizes[dtype_name(parameter.dtype)] += parameter.numel()
    model.dtype = sizes.most_common(1)[0][0] if sizes else ""
    model.parts = dict(_parts(root, name, head))
    return model


def _parts(root: torch.nn.Module, base: str, head: Any) -> Iterator[tuple[str, str]]:
    """Every module below ``root``, under the name by which launches know it, with the part of the model that it belongs to."""
    found: dict[str, str] = {"": REST}
    for name, module in root.named_modules():
        above, _, own = name.rpartition(".")
        if name:
            found[name] = HEAD if module is head else _part(type(module).__name__.lower(), own, found[above])
        yield ".".join(filter(None, (base, name))), found[name]


def _part(kind: str, own: str, above: str) -> str:
    """By the words that all models of transformers name their classes with."""
    if "norm" in kind or "rotary" in kind:
        return NORMS
    if own.startswith("shared_expert"):
        return FEED_FORWARD
    if "attention" in kind or "deltanet" in kind or "mamba" in kind:
        return ATTENTION
    if "expert" in kind or "router" in kind or kind.endswith(("moe", "moeblock")):
        return EXPERTS
    if "mlp" in kind or "feedforward" in kind:
        return EXPERTS if above == EXPERTS else FEED_FORWARD
    return NORMS if kind.endswith(("layer", "block")) else above


def _taken(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int, int]:
    """Sequences, and the new tokens of each."""
    given = args[0] if args else kwargs.get("input_ids")
    given = kwargs.get("inputs_embeds") if given is None else given
    if not isinstance(given, torch.Tensor) or given.dim() < 2:
        raise ValueError("it was called without input_ids of sequences and tokens")
    return int(given.shape[0]), int(given.shape[1])


def _cache_of(args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> Any:
    """The cache that the call filled; None where it had none."""
    inside = output if isinstance(output, (tuple, list)) else (getattr(output, "past_key_values", None),)
    for value in (kwargs.get("past_key_values"), *args, *inside):
        if callable(getattr(value, "get_seq_length", None)):
            return value
    return None


def _length(told: Any) -> int:
    """A cache's length, which caches of fixed size keep in a tensor."""
    if not isinstance(told, torch.Tensor):
        return int(told)
    if native_device_of(told).type == native_device().type:
        value = value_of(told) if held(told).value is not None else None
        if value is None:
            raise ValueError("the length of its cache was not computed")
        told = value
    return int(told.reshape(-1)[0])
