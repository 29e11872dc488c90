"""Element by element: arithmetic, comparisons, activations and their gradients, random numbers."""

from __future__ import annotations

from collections.abc import Mapping

from windtunnel.workload.program.call import Call
from windtunnel.workload.program.work.naming import names
from windtunnel.workload.program.work.traffic import Ops, Rule, operands, read, size, walk, written

_CHEAP = names(
    """
    add sub rsub mul addcmul neg negative abs absolute maximum minimum fmax fmin clamp clamp_min clamp_max clip relu relu6
    leaky_relu threshold hardtanh hardshrink softshrink eq ne lt le gt ge equal logical_and logical_or logical_xor
    logical_not bitwise_and bitwise_or bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift __and__ __or__ __xor__
    __lshift__ __rshift__ __iand__ __ior__ __ixor__ __ilshift__ __irshift__ square sign sgn signbit floor ceil round trunc
    frac isnan isinf isfinite isposinf isneginf isreal isclose heaviside lerp where masked_fill nan_to_num copysign
    conj_physical _conj_physical resolve_conj resolve_neg sigmoid_backward tanh_backward threshold_backward
    leaky_relu_backward hardtanh_backward hardshrink_backward softshrink_backward hardsigmoid hardsigmoid_backward
    native_dropout_backward prelu _prelu_kernel _prelu_kernel_backward rrelu rrelu_with_noise_backward tril triu glu_jvp
    addr ger outer deg2rad rad2deg nextafter ldexp frexp greater greater_equal less less_equal not_equal subtract multiply
    convert_element_type broadcast_tensors _add_relu complex polar _masked_scale fake_quantize_per_tensor_affine
    fake_quantize_per_channel_affine quantize_per_tensor quantize_per_channel dequantize isin linalg_cross fix
    batch_norm_backward_elemt batch_norm_gather_stats batch_norm_gather_stats_with_counts
    fake_quantize_per_tensor_affine_cachemask fake_quantize_per_channel_affine_cachemask
    fake_quantize_per_tensor_affine_cachemask_backward fake_quantize_per_channel_affine_cachemask_backward
    _fake_quantize_per_tensor_affine_cachemask_tensor_qparams _transform_bias_rescale_qkv int_repr allclose
    """
)
_COSTLY = {
    4.0: """div divide true_divide floor_divide reciprocal sqrt rsqrt addcdiv remainder fmod hardswish hardswish_backward
        gcd lcm""",
    10.0: """exp exp2 expm1 log log2 log10 log1p sin cos tan sigmoid silu tanh elu celu selu softplus logit log_sigmoid
        log_sigmoid_forward elu_backward softplus_backward log_sigmoid_backward logit_backward logaddexp logaddexp2 xlogy
        special_xlog1py special_entr glu glu_backward silu_backward sinc hypot asin acos atan atan2 sinh cosh asinh acosh
        atanh arctan2 special_expit arcsin arccos arctan""",
    20.0: """gelu gelu_backward mish mish_backward erf erfc erfinv pow float_power i0 angle lgamma digamma polygamma mvlgamma
        igamma igammac special_erfcx special_i0e special_i1 special_i1e special_ndtri special_log_ndtr special_airy_ai
        special_bessel_j0 special_bessel_j1
        special_bessel_y0 special_bessel_y1 special_modified_bessel_i0 special_modified_bessel_i1
        special_modified_bessel_k0 special_modified_bessel_k1 special_scaled_modified_bessel_k0 special_scaled_modified_bessel_k1
        special_spherical_bessel_j0 special_zeta special_chebyshev_polynomial_t special_chebyshev_polynomial_u
        special_chebyshev_polynomial_v special_chebyshev_polynomial_w special_shifted_chebyshev_polynomial_t
        special_shifted_chebyshev_polynomial_u special_shifted_chebyshev_polynomial_v special_shifted_chebyshev_polynomial_w
        special_hermite_polynomial_h special_hermite_polynomial_he special_laguerre_polynomial_l special_legendre_polynomial_p""",
}
FLOPS = dict.fromkeys(_CHEAP, 1.0) | {name: flops for flops, text in _COSTLY.items() for name in names(text)}
"""Operations of the vector unit an element, roughly: a quotient or root a few, an exponential ten, an error function twenty."""

_MADE = names(
    """
    fill fill_ zero zero_ zeros ones full zeros_like ones_like full_like new_zeros new_ones new_full arange linspace
    logspace eye scalar_tensor tril_indices triu_indices range hann_window hamming_window blackman_window bartlett_window
    kaiser_window iota
    """
)

_DRAWN = names(
    """
    normal_ uniform_ bernoulli_ random_ exponential_ geometric_ cauchy_ log_normal_ rand randn randint rand_like randn_like
    randint_like normal_functional uniform randperm normal philox_rand random exponential geometric cauchy log_normal
    poisson binomial _standard_gamma _sample_dirichlet _philox_normal_ _philox_uniform_ _philox_normal _philox_uniform
    _fill_mem_eff_dropout_mask_
    """
)


def _pointwise(call: Call) -> Ops:
    name = call.name
    flops = FLOPS.get(name)
    return walk(call, "pointwise", flops_each=FLOPS[name.rstrip("_")] if flops is None else flops)


def _made(call: Call) -> Ops:
    """Written, whatever was there before."""
    return walk(call, "pointwise", reads=0.0)


def _drawn(call: Call) -> Ops:
    """Counter-based random numbers: some ten integer operations each."""
    reads = size(operands(call)[1:]) if call.name.endswith("_") else read(call)
    return walk(call, "random", reads=0.0 if call.name.endswith("_like") else reads, flops_each=10.0)


def _dropped(call: Call) -> Ops:
    return walk(call, "random", reads=float(call.args[0].bytes), writes=written(call), flops_each=12.0)


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(FLOPS, _pointwise),
    **dict.fromkeys(_MADE, _made),
    **dict.fromkeys(_DRAWN, _drawn),
    **dict.fromkeys(("native_dropout", "_fused_dropout", "dropout", "rrelu_with_noise", "bernoulli", "multinomial"), _dropped),
}
