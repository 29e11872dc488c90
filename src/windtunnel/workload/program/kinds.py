"""Operators of PyTorch by what the recorder must know of them beside their shapes."""

from __future__ import annotations

import torch

_aten = torch.ops.aten
NEW = {
    _aten.new_empty.default,
    _aten.new_zeros.default,
    _aten.new_ones.default,
    _aten.new_full.default,
    _aten.new_empty_strided.default,
}
"""Operators that make a tensor like another in all but its size."""
FACTORIES = NEW | {
    _aten.empty.memory_format, _aten.empty_strided.default, _aten.zeros.default, _aten.ones.default, _aten.full.default,
    _aten.rand.default, _aten.randn.default, _aten.rand.generator, _aten.randn.generator, _aten.empty_like.default,
    _aten.zeros_like.default, _aten.ones_like.default, _aten.full_like.default, _aten.rand_like.default, _aten.randn_like.default,
}  # fmt: skip
"""Operators that make a tensor of nothing."""
BY_NUMBERS = {
    _aten.arange.default, _aten.arange.start, _aten.arange.start_step, _aten.linspace.default, _aten.logspace.default,
    _aten.upsample_nearest1d.vec, _aten.upsample_nearest2d.vec, _aten.upsample_nearest3d.vec, _aten.upsample_bilinear2d.vec,
    _aten.upsample_bicubic2d.vec, _aten.upsample_linear1d.vec, _aten.upsample_trilinear3d.vec,
    _aten._upsample_bilinear2d_aa.vec, _aten._upsample_bicubic2d_aa.vec, _aten.range.default, _aten.range.step,
}  # fmt: skip
"""Operators whose shapes depend on floating-point arguments."""
MIXED = FACTORIES | {
    _aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default, _aten._index_put_impl_.default, _aten.copy_.default,
    _aten._to_copy.default, _aten.set_.source_Tensor, _aten.set_.source_Storage_storage_offset,
    _aten.set_.source_Storage,
}  # fmt: skip
"""Operators that take operands of the CPU beside the device's."""
OVERWRITING = {
    _aten.fill_.Scalar, _aten.fill_.Tensor, _aten.zero_.default, _aten.copy_.default, _aten.normal_.default,
    _aten.uniform_.default, _aten.random_.default, getattr(_aten.random_, "from"), _aten.random_.to,
    _aten.bernoulli_.float, _aten.exponential_.default,
}  # fmt: skip
"""Operators that do not look at what they write over."""
