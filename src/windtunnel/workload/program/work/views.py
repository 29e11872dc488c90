"""Calls that only look at memory differently, ask about it, or set it aside: no kernel runs."""

from __future__ import annotations

from windtunnel.workload.program.work.naming import bare, names

VIEWS = frozenset(
    names(
        """
    view _unsafe_view t transpose transpose_ t_ permute expand expand_as slice select unsqueeze unsqueeze_ squeeze squeeze_
    split split_with_sizes chunk unsafe_split unsafe_split_with_sizes unsafe_chunk unbind as_strided as_strided_ detach
    detach_ alias _reshape_alias unfold view_as view_as_real view_as_complex _conj _neg_view real imag diagonal
    linalg_diagonal lift lift_fresh narrow swapaxes swapaxes_ swapdims swapdims_ movedim moveaxis adjoint mT mH matrix_H
    numpy_T unflatten tensor_split hsplit vsplit dsplit positive _fw_primal _make_dual _unpack_dual slice_inverse values
    indices _values _indices _nested_get_values _nested_view_from_jagged _nested_view_from_buffer broadcast_to reshape_as
    _sparse_broadcast_to broadcast_in_dim collapse_view split_dim
    """
    )
)
"""Other shapes and strides over the same memory (the last line: PyTorch's ``prims``)."""

SET_ASIDE = frozenset(
    names(
        """
    empty empty_like empty_strided empty_permuted empty_quantized new_empty new_empty_strided _efficientzerotensor resize_
    resize_as_ set_ record_stream _empty_affine_quantized _resize_output_ _lazy_clone
    """
    )
)
"""Memory set aside or given a name, not written."""

ASKED = frozenset(
    names(
        """
    sym_size sym_numel sym_stride sym_storage_offset size stride numel dim is_contiguous is_same_size is_pinned
    _is_zerotensor is_complex is_floating_point _assert_async _functional_assert_async _assert_scalar
    _functional_assert_scalar _assert_tensor_metadata sym_constrain_range sym_constrain_range_for_size _version
    _has_compatible_shallow_copy_type _nested_tensor_size _nested_tensor_strides _nested_get_lengths _nested_get_offsets
    _nested_get_ragged_idx _nested_get_jagged_dummy _nested_get_min_seqlen _nested_get_max_seqlen is_set_to
    _debug_has_internal_overlap retain_grad requires_grad_ output_nr is_leaf data set_data promote_types result_type
    can_cast _record_function_enter _record_function_enter_new _record_function_exit _local_scalar_dense item is_nonzero
    _fused_sdp_choice _linalg_check_errors _use_cudnn_ctc_loss _use_cudnn_rnn_flatten_weight cudnn_is_acceptable is_conj
    is_neg is_signed is_inference storage_offset get_device sym_is_contiguous _shape_as_tensor dense_dim sparse_dim
    retains_grad
    """
    )
)
"""Questions that the host answers by itself, and values that it fetches (their few bytes over the link are the caller's)."""

NO_KERNEL = VIEWS | SET_ASIDE | ASKED


def is_view(op: str) -> bool:
    """Whether the operator (full name or bare) returns its operand's memory under another shape, so that no kernel runs."""
    return bare(op) in VIEWS
