"""Automatic mixed precision on the virtual device: PyTorch's lists of operators, registered for its dispatch key.

**Source:** which operators run narrow, in fp32 or in the widest type of their inputs: PyTorch's documentation, "Autocast Op
Reference" (CUDA); accelerators outside the core register the same lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from windtunnel.workload.program.tensors import native_type

_KEY = "AutocastPrivateUse1"
_aten = torch.ops.aten

NARROW = (
    "_convolution", "conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "convolution", "prelu", "addmm", "addmv", "addr", "matmul", "einsum", "mm", "mv", "linalg_vecdot", "linear", "addbmm",
    "baddbmm", "bmm", "chain_matmul", "linalg_multi_dot", "_thnn_fused_lstm_cell", "_thnn_fused_gru_cell", "lstm_cell",
    "gru_cell", "rnn_tanh_cell", "rnn_relu_cell", "_scaled_dot_product_fused_attention_overrideable",
    "_scaled_dot_product_flash_attention_for_cpu", "scaled_dot_product_attention",
)  # fmt: skip
WIDE = (
    "acos", "asin", "cosh", "erfinv", "exp", "expm1", "log", "log10", "log2", "log1p", "reciprocal", "rsqrt", "sinh", "tan",
    "pow", "softplus", "layer_norm", "native_layer_norm", "group_norm", "rms_norm", "cosine_similarity", "poisson_nll_loss",
    "cosine_embedding_loss", "nll_loss", "nll_loss2d", "hinge_embedding_loss", "kl_div", "l1_loss", "smooth_l1_loss",
    "huber_loss", "mse_loss", "margin_ranking_loss", "multilabel_margin_loss", "soft_margin_loss", "triplet_margin_loss",
    "multi_margin_loss", "binary_cross_entropy_with_logits", "dist", "pdist", "cdist", "renorm", "logsumexp",
    "upsample_nearest1d", "_upsample_nearest_exact1d", "upsample_nearest2d", "_upsample_nearest_exact2d",
    "upsample_nearest3d", "_upsample_nearest_exact3d", "upsample_linear1d", "upsample_bilinear2d", "_upsample_bilinear2d_aa",
    "upsample_trilinear3d", "upsample_bicubic2d", "_upsample_bicubic2d_aa",
)  # fmt: skip
WIDE_RESULT = ("prod", "softmax", "log_softmax", "cumprod", "cumsum", "sum", "linalg_vector_norm", "linalg_matrix_norm")
WIDEST = (
    "addcdiv", "addcmul", "atan2", "bilinear", "cross", "dot", "vdot", "grid_sampler", "index_put", "tensordot", "scatter_add",
    "cat", "stack",
)  # fmt: skip

_kept: list[torch.library.Library] = []
_narrowed: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
"""Weights narrowed within the running autocast context, by the identity of the wide one."""


def register() -> None:
    """Register the lists for the virtual device, once a process; later calls do nothing."""
    if _kept:
        return
    everything = torch.library.Library("_", "IMPL")
    everything.fallback(torch.library.fallthrough_kernel, _KEY)
    aten = torch.library.Library("aten", "IMPL")
    for names, wrap in ((NARROW, _narrow), (WIDE, _wide), (WIDE_RESULT, _wide_result), (WIDEST, _widest)):
        for op in _overloads(names):
            aten.impl(op.name().split("::")[1], wrap(op), _KEY)
    _kept.extend((everything, aten))


def forget() -> None:
    """Drop narrowed weights: the outermost autocast context has ended."""
    _narrowed.clear()


def _overloads(names: Iterable[str]) -> Iterable[Any]:
    for name in names:
        packet = getattr(_aten, name)
        for overload in packet.overloads():
            op = getattr(packet, overload)
            if not op._schema.is_mutable and "out" not in overload and "dimname" not in overload.lower():
                yield op


def _outside() -> Any:
    return torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, _KEY)))


def _eligible(value: Any) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.is_floating_point()
        and value.dtype is not torch.float64
        and native_type(value) == torch._C._get_privateuse1_backend_name()
    )


def _cast(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_cast(v, dtype) for v in value)
    if not _eligible(value) or value.dtype is dtype:
        return value
    keep = dtype is not torch.float32 and value.dtype is torch.float32 and value.requires_grad and value.is_leaf
    if not keep or not torch.is_autocast_cache_enabled():
        return value.to(dtype)
    known = _narrowed.get(id(value))
    if known is None or known[0] is not value:
        with torch.enable_grad():
            known = _narrowed[id(value)] = (value, value.to(dtype))
    return known[1]


def _narrow(op: Any) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        dtype = torch.get_autocast_dtype(torch._C._get_privateuse1_backend_name())
        with _outside():
            return op(*(_cast(a, dtype) for a in args), **{k: _cast(v, dtype) for k, v in kwargs.items()})

    return run


def _wide(op: Any) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        with _outside():
            return op(*(_cast(a, torch.float32) for a in args), **{k: _cast(v, torch.float32) for k, v in kwargs.items()})

    return run


def _wide_result(op: Any) -> Callable[..., Any]:
    typed = any(a.name == "dtype" for a in op._schema.arguments)
    place = next((i for i, a in enumerate(op._schema.arguments) if a.name == "dtype" and not a.kwarg_only), None)

    def run(*args: Any, **kwargs: Any) -> Any:
        with _outside():
            given = kwargs.get("dtype") is not None or (place is not None and len(args) > place and args[place] is not None)
            if typed and not given and _eligible(args[0]):
                if place is not None and len(args) > place:
                    args = (*args[:place], torch.float32, *args[place + 1 :])
                else:
                    kwargs = {**kwargs, "dtype": torch.float32}
            return op(*args, **kwargs)

    return run


def _widest(op: Any) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        with _outside():
            leaves = [v for a in args for v in (a if isinstance(a, (list, tuple)) else (a,)) if _eligible(v)]
            wide = any(v.dtype is torch.float32 for v in leaves)
            if wide:
                args = tuple(_cast(a, torch.float32) for a in args)
            return op(*args, **kwargs)

    return run
