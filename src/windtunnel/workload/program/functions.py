"""The function mode of the virtual device: what must be caught before PyTorch's core sees it.

Device names that this build of PyTorch cannot parse ("cuda" without CUDA), attention (which the core would take apart for a
device that it does not know), recurrent layers, pinned memory.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import FunctionType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes

from windtunnel.workload.program.tensors import is_pinned, native_device, native_device_of, native_type, pinned, value_of

_aten = torch.ops.aten
Region = Callable[[str], AbstractContextManager[None]]


class Functions(TorchFunctionMode):
    """Passes a program's PyTorch functions on, with what the virtual device needs changed.

    visible: the device's name in the program, names: every name by which it may call it. check: refuses the number of a
    device that there is not. region: enters a stretch whose operators are one kernel, or compiled. layer: runs a recurrent
    layer where its values are computed.
    """

    def __init__(self, visible: str, region: Region, *, values: bool) -> None:
        super().__init__()
        self.visible = visible
        self.native = native_device()
        self.values = values
        self.mapped = visible != self.native.type
        self.names = {visible}
        self.check: Callable[[int], None] = lambda index: None
        self.layer: Callable[[Callable[..., Any], Any, Any], Any] | None = None
        self._region = region
        self._special: dict[Any, Callable[..., Any]] = {
            torch.nn.functional.scaled_dot_product_attention: self._attention,
            torch.Tensor.pin_memory: lambda tensor, *_: tensor if is_pinned(tensor) else pinned(tensor.clone()),
            torch.Tensor.is_pinned: lambda tensor, *_: is_pinned(tensor),
            torch.Tensor.type: self._type,
            torch.Tensor.cuda: self._cuda,
            torch.device: self._device,
            torch.Tensor.data.__set__: self._set_data,  # type: ignore[attr-defined]
            torch.lstm: self._recurrent(torch.lstm),
            torch.gru: self._recurrent(torch.gru),
            torch.rnn_tanh: self._recurrent(torch.rnn_tanh),
            torch.rnn_relu: self._recurrent(torch.rnn_relu),
            torch.lstm_cell: self._recurrent(torch.lstm_cell, one_kernel=False),
            torch.gru_cell: self._recurrent(torch.gru_cell, one_kernel=False),
        }

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        special = self._special.get(func)
        if special is not None:
            return special(*args, **kwargs)
        if "pin_memory" in kwargs:
            kwargs = dict(kwargs)
            if kwargs.pop("pin_memory"):
                if func is torch.empty:  # libraries fill such buffers through their address, so it must be a real one
                    with _disable_current_modes():
                        return pinned(func(*args, **kwargs))
                return pinned(self.__torch_function__(func, types, args, kwargs))
        if "device" in kwargs:
            kwargs = {**kwargs, "device": self.place(kwargs["device"])}
        if func in _PLACED:
            args = tuple(self.place(a) if isinstance(a, (str, torch.device)) else a for a in args)
        # arguments of a kind that answers for itself, such as torch.fx's while it traces, are asked below
        if isinstance(func, FunctionType) and func.__module__ in _MADE_OF_OTHERS and _PLAIN.issuperset(types):
            with self:  # the functions that it calls come here as well, attention within multi-head attention for one
                return torch._C._skip_one_hop_torch_function(func, types, args, kwargs)
        return func(*args, **kwargs)

    def _type(self, tensor: torch.Tensor, dtype: Any = None, non_blocking: bool = False, **_: Any) -> Any:
        """``tensor.type()`` and ``tensor.type("torch.cuda.FloatTensor")`` under the device's name in the program."""
        if dtype is None:
            return tensor.type().replace(f"torch.{self.native.type}.", f"torch.{self.visible}.")
        prefix = f"torch.{self.visible}."
        if isinstance(dtype, str) and dtype.startswith(prefix):
            number = torch.empty(0).type(dtype.replace(prefix, "torch.")).dtype
            return tensor.to(self.native, number, non_blocking)
        return tensor.type(dtype, non_blocking)

    def place(self, device: Any) -> Any:
        """A device as PyTorch's core must be told it; everything else unchanged."""
        if isinstance(device, torch.device):
            kind: str = device.type
            index: int | None = device.index
        elif isinstance(device, str):
            kind, _, number = device.partition(":")
            index = int(number) if number.isdecimal() else None
        elif isinstance(device, int) and not isinstance(device, bool):
            kind, index = self.visible, device
        else:
            return device
        if kind in self.names:
            if index:
                self.check(index)
            return self.native
        if isinstance(device, str) and kind == self.native.type:
            raise RuntimeError(f"Expected one of cpu, {self.visible}, meta ... device type at start of device string: {kind}")
        if kind in _ABSENT:
            getattr(torch, kind)._lazy_init()  # says that this build has none, as it would there
        return device

    def _device(self, *args: Any, **kwargs: Any) -> torch.device:
        """``torch.device(0)``: by its name in the program."""
        if len(args) == 1 and isinstance(args[0], int) and not kwargs:
            return torch.device(self.visible, args[0])
        return torch.device(*args, **kwargs)

    def _cuda(self, tensor: torch.Tensor, device: Any = None, non_blocking: bool = False, **options: Any) -> torch.Tensor:
        return tensor.to(self.place("cuda" if device is None else device), non_blocking=non_blocking)

    def _set_data(self, tensor: torch.Tensor, value: torch.Tensor) -> None:
        """``tensor.data = value``: between the host and the device too, which are two kinds of tensors to PyTorch's core."""
        if native_type(tensor) == native_type(value) or type(tensor) not in (torch.Tensor, torch.nn.Parameter):
            tensor.data = value
            return
        with torch.no_grad():
            moved = value.detach().requires_grad_(tensor.requires_grad)
        torch._C._swap_tensor_impl(tensor, moved)

    def _attention(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
    ) -> torch.Tensor:  # fmt: skip
        """One fused kernel, as accelerators run it; with values, what the CPU would run, so that the numbers are the CPU's."""
        plain: dict[str, Any] = {
            "attn_mask": attn_mask, "dropout_p": dropout_p, "is_causal": is_causal, "scale": scale, "enable_gqa": enable_gqa,
        }  # fmt: skip
        if native_type(query) != self.native.type or type(query) not in (torch.Tensor, torch.nn.Parameter) or query.dim() != 4:
            return torch.nn.functional.scaled_dot_product_attention(query, key, value, **plain)
        if not self.values:
            fused = _aten._scaled_dot_product_fused_attention_overrideable(
                query, key, value, attn_mask, dropout_p, is_causal, False, scale=scale
            )
            return fused[0]  # type: ignore[no-any-return]
        with torch._C.DisableTorchFunction():
            behind = [value_of(t) for t in (query, key, value)]
            fused_on_cpu = all(t is not None for t in behind) and torch._fused_sdp_choice(*behind, **plain) == 1  # type: ignore[arg-type]
        if not fused_on_cpu:
            return torch.nn.functional.scaled_dot_product_attention(query, key, value, **plain)
        if attn_mask is not None and attn_mask.dtype is torch.bool:
            attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype).masked_fill_(attn_mask.logical_not(), float("-inf"))
        out = _aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale
        )
        return out[0]  # type: ignore[no-any-return]

    def _recurrent(self, func: Callable[..., Any], *, one_kernel: bool = True) -> Callable[..., Any]:
        """A recurrent layer, whose many small operators are one library kernel, or a single cell, whose few are not."""

        def run(*args: Any, **kwargs: Any) -> Any:
            if isinstance(args[0], torch.Tensor) and native_device_of(args[0]).type == self.native.type:
                with self._region("recurrent") if one_kernel else nullcontext():
                    return func(*args, **kwargs) if self.layer is None else self.layer(func, args, kwargs)
            return func(*args, **kwargs)

        return run


_ABSENT = frozenset({"cuda", "xpu"})
"""Devices that PyTorch's core knows and that raise an error of their own where they are not built in."""

_MADE_OF_OTHERS = frozenset({"torch.nn.functional", "torch.functional"})
"""Modules whose functions are Python that calls further functions of PyTorch."""
_PLAIN = frozenset({torch.Tensor, torch.nn.Parameter})
"""Types that leave the answer to PyTorch."""

_PLACED = {
    torch.Tensor.to, torch.Tensor.type, torch.empty, torch.zeros, torch.ones, torch.Tensor.new_empty, torch.Tensor.new_zeros,
    torch.Tensor.new_ones, torch.Tensor.new_full, torch.Tensor.new_tensor,
}  # fmt: skip
"""Functions that may take a device among their positional arguments."""
