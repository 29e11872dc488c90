"""What only moves: copies, casts, concatenations, padding, and reading or writing by index."""

from __future__ import annotations

import math
from collections.abc import Mapping

from windtunnel.workload.ops import Pass
from windtunnel.workload.program.call import ITEM_BYTES, Call, TensorSpec
from windtunnel.workload.program.work.naming import in_place, names
from windtunnel.workload.program.work.traffic import (
    Ops,
    Rule,
    alike,
    copied,
    fill,
    innermost,
    operands,
    read,
    results,
    size,
    tensors,
    walk,
    written,
)


def _copy(call: Call) -> Ops:
    """One tensor to another; a transposition where neighbours do not stay neighbours."""
    given = tensors(call.args[1]) if call.name.rstrip("_") == "copy" and len(call.args) > 1 else tensors(call.args[0])
    made = results(call)
    if not given or not made or not made[0].numel:
        return ()
    source, target = given[0], made[0]
    straight = source.numel < target.numel or alike((source, target))
    largest = max(source, target, key=lambda spec: spec.bytes)
    kind = "copy" if straight else "transpose"
    return (
        Pass(call.name, kind, float(source.bytes), float(target.bytes), float(target.numel), largest.dtype, 1.0, straight),  # type: ignore[arg-type]
    )


def _copy_if_changed(call: Call) -> Ops:
    """What returns its operand itself where that is already as asked."""
    x, made = call.args[0], results(call)
    if not made or (made[0].dtype == x.dtype and innermost(made[0]) == innermost(x)):
        return ()
    return _copy(call)


def _moved(call: Call) -> Ops:
    """Everything that is given, read and written elsewhere (of a list, one after another)."""
    return walk(call, "copy", reads=min(read(call), written(call)))


def _joined(call: Call) -> Ops:
    """Concatenation: contiguous where every piece lies as the result does."""
    pieces = [spec for spec in operands(call) if spec.numel]
    orders = alike((*pieces, *results(call))) if len({len(p.shape) for p in (*pieces, *results(call))}) == 1 else True
    return walk(call, "copy", contiguous=orders)


def _flipped(call: Call) -> Ops:
    return walk(call, "copy", contiguous=False)


def _gathered(call: Call, source: int, index: int) -> Ops:
    """Rows or elements fetched by index; of a small table no more than the table."""
    table = call.args[source]
    made = written(call)
    indices = size(tensors(call.args[index]))
    return walk(call, "gather", reads=min(made, float(table.bytes)) + indices, contiguous=False, row=_run(call, table))


def _run(call: Call, table: TensorSpec) -> float:
    """Elements that lie together at each index."""
    name = call.name
    if name in ("embedding", "_embedding_bag", "_embedding_bag_forward_only"):
        return float(table.shape[-1])
    if name in ("index_select", "index_add", "index_copy", "index_add_", "index_copy_"):
        dim = int(call.option("dim", 1, 0)) % max(len(table.shape), 1)
        return float(math.prod(table.shape[dim + 1 :]))
    if name.lstrip("_").startswith(("index", "unsafe_index")):
        places = call.args[1] if isinstance(call.args[1], tuple) else ()
        last = max((i for i, spec in enumerate(places) if isinstance(spec, TensorSpec)), default=0)
        spanned = (
            len(places[last].shape) if places and isinstance(places[last], TensorSpec) and places[last].dtype == "bool" else 1
        )
        return float(math.prod(table.shape[last + spanned :]))
    return 1.0


def _by_table(call: Call) -> Ops:
    return _gathered(call, 0, 1)


def _by_index(call: Call) -> Ops:
    return _gathered(call, 0, 2)


def _masked(call: Call) -> Ops:
    """Elements where a mask holds: the mask and the operand read, then what was chosen written."""
    return walk(call, "gather", contiguous=False)


def _put(call: Call, index: int, source: int, adds: bool) -> Ops:
    """Values written by index into a tensor, or into a copy of it where the operator is not in-place."""
    target: TensorSpec = call.args[0]
    value = call.args[source] if len(call.args) > source else None
    indices = tensors(call.args[index])
    run = _run(call, target)
    reached = sum(spec.numel for spec in tensors(value)) if call.name.lstrip("_")[:9] not in ("index_put", "unsafe_in") else 0.0
    if not reached:
        reached = max((spec.numel for spec in indices), default=0) * (
            run if call.name.lstrip("_").startswith(("index", "unsafe")) else 1.0
        )
    touched = min(reached * ITEM_BYTES[target.dtype], float(target.bytes))
    reads = size((*indices, *tensors(value))) + (touched if adds else 0.0)
    made = () if in_place(call.name) else copied(call.outputs[0] if call.outputs else target)
    if not reached:
        return made
    return (*made, Pass(call.name, "scatter", reads, touched, float(reached), target.dtype, run, False, reached if adds else 0.0))


def _scattered(call: Call) -> Ops:
    """scatter, index_add and their kind: self, dim, index, source."""
    return _put(call, 2, 3, "add" in call.name or "reduce" in call.name)


def _index_put(call: Call) -> Ops:
    return _put(call, 1, 2, bool(call.option("accumulate", 3, False)))


def _masked_put(call: Call) -> Ops:
    return walk(call, "scatter", contiguous=False)


def _embedding_backward(call: Call) -> Ops:
    """A table of zeros, and each row's gradient added to it."""
    grad, indices, table = call.args[0], call.args[1], call.outputs[0]
    touched = float(min(grad.numel * ITEM_BYTES[table.dtype], table.bytes))
    row = float(grad.shape[-1]) if grad.shape else 1.0
    if not grad.numel:
        return fill(call, table)
    reads = size((grad, indices)) + touched
    added = Pass(call.name, "scatter", reads, touched, float(grad.numel), grad.dtype, row, False, float(grad.numel))
    return (*fill(call, table), added)


def _slice_backward(call: Call) -> Ops:
    """Zeros, and the gradient copied to its place among them."""
    return (*fill(call, call.outputs[0]), *copied(call.args[0], call.name))


def _placed(call: Call) -> Ops:
    """A copy of the whole, and the part copied over it."""
    return (*copied(call.outputs[0]), *copied(call.args[1], call.name))


def _pieces(call: Call) -> Ops:
    """Every piece of one tensor copied to a tensor of its own."""
    return walk(call, "copy", contiguous=True)


_COPIES = names(
    """
    copy copy_ _to_copy clone _copy_from _copy_from_and_resize copy_strided lift_fresh_copy _cudnn_rnn_flatten_weight
    _pack_padded_sequence _pack_padded_sequence_backward
    """
)
_CHANGES = names(
    """
    contiguous to reshape flatten ravel pin_memory _pin_memory type_as
    """
)
_VIEW_COPIES = names(
    """
    view_copy permute_copy transpose_copy t_copy expand_copy slice_copy select_copy squeeze_copy unsqueeze_copy
    as_strided_copy detach_copy narrow_copy alias_copy diagonal_copy unfold_copy _reshape_copy _reshape_alias_copy
    view_as_real_copy view_as_complex_copy
    """
)
_MOVES = names(
    """
    repeat tile roll constant_pad_nd pad reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d
    replication_pad2d replication_pad3d diag diag_embed diagflat block_diag repeat_interleave channel_shuffle pixel_shuffle
    pixel_unshuffle native_channel_shuffle rot90 kron vander _chunk_cat chunk_cat im2col col2im
    unfold_backward reflection_pad1d_backward reflection_pad2d_backward reflection_pad3d_backward replication_pad1d_backward
    replication_pad2d_backward replication_pad3d_backward _padded_dense_to_jagged_forward _jagged_to_padded_dense_forward
    """
)


def _copied_in(call: Call) -> Ops:
    """FSDP's own shards copied to their place in what will be gathered; that place comes back with the whole."""
    shards = size(tensors(call.args[0]))
    return walk(call, "copy", reads=shards, writes=shards, contiguous=True)


_BY_FIRST = names("embedding _embedding_bag _embedding_bag_forward_only index _unsafe_index take _unsafe_masked_index")
_BY_SECOND = names("index_select gather take_along_dim")
_SCATTERS = names("scatter scatter_add scatter_reduce index_add index_copy index_fill index_reduce")
_PUTS = names("index_put _index_put_impl_ _unsafe_index_put _unsafe_masked_index_put_accumulate put")

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_COPIES, _copy),
    **dict.fromkeys(_VIEW_COPIES, _copy),
    **dict.fromkeys(_CHANGES, _copy_if_changed),
    **dict.fromkeys(_MOVES, _moved),
    **dict.fromkeys(("cat", "concat", "concatenate", "stack", "hstack", "vstack", "_stack"), _joined),
    "flip": _flipped,
    "all_gather_copy_in": _copied_in,
    **dict.fromkeys(("split_with_sizes_copy", "split_copy", "unbind_copy"), _pieces),
    **dict.fromkeys(_BY_FIRST, _by_table),
    **dict.fromkeys(_BY_SECOND, _by_index),
    "masked_select": _masked,
    **dict.fromkeys(_SCATTERS, _scattered),
    **dict.fromkeys(_PUTS, _index_put),
    **dict.fromkeys(("masked_scatter", "masked_scatter_backward"), _masked_put),
    **dict.fromkeys(("embedding_dense_backward", "_embedding_bag_dense_backward"), _embedding_backward),
    **dict.fromkeys(("slice_backward", "select_backward", "diagonal_backward"), _slice_backward),
    **dict.fromkeys(("slice_scatter", "select_scatter", "diagonal_scatter", "as_strided_scatter"), _placed),
}
