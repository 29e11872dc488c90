"""Recurrent layers: products of all steps at once for the inputs, one after another for the state, and the gates between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from windtunnel.workload.ops import Gemm, Op, Pass
from windtunnel.workload.program.call import ITEM_BYTES, Call, TensorSpec
from windtunnel.workload.program.work.traffic import Ops, Rule, tensors, walk

_GATES = {0: 1.0, 1: 1.0, 2: 4.0, 3: 3.0}
"""Gates by cuDNN's mode: ReLU, tanh, LSTM, GRU."""
_NAMED = {"lstm": 4.0, "gru": 3.0, "rnn_tanh": 1.0, "rnn_relu": 1.0}
GATE_FLOPS = 12.0
"""Arithmetic a gate and hidden unit, roughly: a sigmoid or tanh, and its part of the update."""


@dataclass(frozen=True, slots=True)
class Layers:
    """A recurrent network: ``steps`` of ``batch`` sequences (a mean where they are packed), numbers of ``dtype``."""

    gates: float
    steps: float
    batch: float
    width: float
    hidden: float
    projected: float
    layers: int
    directions: int
    dtype: str

    def forward(self, name: str) -> Ops:
        made: list[Op] = []
        out = self.projected or self.hidden
        wide = self.gates * self.hidden
        for layer in range(self.layers):
            width = self.width if not layer else out * self.directions
            made.append(Gemm(name, self.steps * self.batch, wide, width, self.dtype, float(self.directions)))
            count = self.steps * self.directions
            made.append(Gemm(name, self.batch, wide, out, self.dtype, count))
            if self.projected:
                made.append(Gemm(name, self.batch, self.projected, self.hidden, self.dtype, count))
            made.append(self._gated(name, count, 1.0))
        return tuple(made)

    def backward(self, name: str, *, data: bool = True, weights: bool = True) -> Ops:
        made: list[Op] = []
        out = self.projected or self.hidden
        wide = self.gates * self.hidden
        rows, both = self.steps * self.batch, float(self.directions)
        for layer in range(self.layers):
            width = self.width if not layer else out * self.directions
            count = self.steps * self.directions
            made.append(self._gated(name, count, 2.0))
            made.append(Gemm(name, self.batch, out, wide, self.dtype, count))
            if self.projected:
                made.append(Gemm(name, self.batch, self.hidden, self.projected, self.dtype, count))
            if layer or data:
                made.append(Gemm(name, rows, width, wide, self.dtype, both))
            if weights:
                made.append(Gemm(name, wide, width, rows, self.dtype, both))
                made.append(Gemm(name, wide, out, rows, self.dtype, both))
                if self.projected:
                    made.append(Gemm(name, self.projected, self.hidden, rows, self.dtype, both))
        return tuple(made)

    def _gated(self, name: str, count: float, more: float) -> Pass:
        """The gates of one step: both products' results and the state read, gates kept, the state written."""
        unit = self.batch * self.hidden * ITEM_BYTES[self.dtype]
        numel = self.batch * self.hidden * self.gates
        return Pass(
            f"{name}.gates", "pointwise", (2.0 * self.gates + 1.0) * unit * more, (self.gates + 2.0) * unit, numel, self.dtype,
            flops=GATE_FLOPS * numel * more, count=count,
        )  # fmt: skip


def _sizes(x: TensorSpec, batch_sizes: object, batch_first: bool) -> tuple[float, float, float]:
    """(steps, batch, width) of [steps, batch, width], or of packed rows with the batch of each step."""
    if isinstance(batch_sizes, tuple) and batch_sizes:
        return float(len(batch_sizes)), x.shape[0] / len(batch_sizes), float(x.shape[-1])
    if len(x.shape) == 2:
        return float(x.shape[0]), 1.0, float(x.shape[1])
    first, second = float(x.shape[0]), float(x.shape[1])
    return (second, first, float(x.shape[2])) if batch_first else (first, second, float(x.shape[2]))


def _cudnn(call: Call, after: int) -> Layers:
    """after: how many places the gradients take between the state and the rest."""
    x = call.args[0]
    mode, hidden, projected, layers = call.args[6 + after : 10 + after]
    batch_first, _, _, both, batch_sizes = call.args[10 + after : 15 + after]
    steps, batch, width = _sizes(x, batch_sizes, bool(batch_first))
    return Layers(_GATES[mode], steps, batch, width, float(hidden), float(projected), layers, 1 + bool(both), x.dtype)


def _cudnn_forward(call: Call) -> Ops:
    return _cudnn(call, 0).forward(call.name)


def _cudnn_backward(call: Call) -> Ops:
    mask = call.option("output_mask", 21, (True, True, True, True))
    return _cudnn(call, 4).backward(call.name, data=bool(mask[0]), weights=bool(mask[3]))


def _named(call: Call) -> Ops:
    """``lstm.input`` and its kin (x, state, weights, has_biases, layers, dropout, train, both ways, batch first) or ``.data``."""
    x = call.args[0]
    packed = call.op.endswith(".data")
    at = 2 if packed else 1
    hidden_state = tensors(call.args[at])
    layers, both = call.args[at + 3], call.args[at + 6]
    steps, batch, width = _sizes(x, None, not packed and bool(call.option("batch_first", at + 7, False)))
    if packed:
        steps = float(call.args[1].shape[0])
        batch = x.shape[0] / max(steps, 1.0)
    weights = tensors(call.args[at + 1])
    hidden = weights[0].shape[0] / _NAMED[call.name]
    out = float(hidden_state[0].shape[-1])
    return Layers(
        _NAMED[call.name], steps, batch, width, hidden, 0.0 if out == hidden else out, layers, 1 + bool(both), x.dtype
    ).forward(call.name)


def _cell(call: Call) -> Ops:
    """The gates of one step, fused."""
    return walk(call, "pointwise", flops_each=GATE_FLOPS)


RULES: Mapping[str, Rule] = {
    "_cudnn_rnn": _cudnn_forward,
    "_cudnn_rnn_backward": _cudnn_backward,
    **dict.fromkeys(_NAMED, _named),
    **dict.fromkeys(
        ("_thnn_fused_lstm_cell", "_thnn_fused_lstm_cell_backward", "_thnn_fused_lstm_cell_backward_impl", "_thnn_fused_gru_cell",
         "_thnn_fused_gru_cell_backward"),
        _cell,
    ),
}  # fmt: skip
