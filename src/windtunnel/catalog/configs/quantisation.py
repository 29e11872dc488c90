"""How a checkpoint's weights are stored: quantization_config, and modelopt's hf_quant_config.json, as precisions of parts.

A checkpoint has three parts here: the projections of the mixers ("attention"), the routed experts ("experts") and the
other matrices of the layers ("rest"). What a scheme leaves out, by the names of modules, stays 16 bit. Names
are compared by their words alone; no pattern of the file is ever run as a regular expression.

**Source:** the schemes' own files, as written by compressed-tensors, modelopt 0.22 to 0.46, AutoGPTQ and AutoAWQ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from windtunnel.catalog.configs.fields import MAX_NAMED_MODULES, Fields, shown
from windtunnel.errors import UnsupportedError, nearest

ALGORITHMS = {
    "fp8": "fp8",
    "fp8_pb_wo": "fp8",
    "fp8_pb_real": "fp8",
    "fp8_per_channel_per_token": "fp8",
    "mxfp8": "fp8",
    "nvfp4": "fp4",
    "nvfp4_awq": "fp4",
    "mxfp4": "fp4",
    "w4a16_nvfp4": "w4a16",
    "w4a16_awq": "w4a16",
    "w4a16": "w4a16",
    "int4_awq": "w4a16",
    "w4a8_awq": "w4a8",
    "w4a8_mxfp4_fp8": "w4a8",
    "w8a8_sq_per_channel": "int8",
    "int8_sq": "int8",
    "int8": "int8",
}
DTYPES = {"bfloat16": "bf16", "float16": "fp16", "half": "fp16", "float32": "fp32", "float": "fp32", "float8_e4m3fn": "fp8"}
EXPERT_DTYPES = {"fp4": "fp4", "mxfp4": "fp4", "nvfp4": "fp4", "fp8": "fp8", "int8": "int8", "bf16": "bf16", "bfloat16": "bf16"}
PARTS = ("attention", "experts", "rest")

_LAYER = re.compile(r"layers\.(\d{1,6})(?:\.|\*|$)")
_ATTENTION = re.compile(r"attn|attention|mixer\.(?:in|out|q|k|v|o)_proj")
_ASIDE = re.compile(r"norm|indexer|conv1d|bias|gate$|router|lm_head|embed|vision|visual|patch|mtp")
_SHARED = re.compile(r"shared_?expert")
_DENSE = re.compile(r"mlp(?:\.|\\\.|\*|$)|feed_forward|ffn")


@dataclass(frozen=True, slots=True)
class Storage:
    """Stored types of the parts; kv: what is asked of the cache, empty where nothing is said."""

    attention: str
    experts: str
    rest: str
    kv: str = ""


def _part_of(module: str) -> str:
    """The part that a module's name or pattern belongs to; empty for norms, routers, heads and the like."""
    name = module.lower().rstrip("*$.").removesuffix(".weight")
    if _ASIDE.search(name):
        return ""
    if _ATTENTION.search(name):
        return "attention"
    if _SHARED.search(name):
        return "rest"
    if "experts" in name:
        return "experts"
    return "rest" if _DENSE.search(name) else ""


def _left_out(modules: Iterable[object], n_layers: Mapping[str, int]) -> set[str]:
    """The parts that a list of excluded modules leaves out: named by a pattern, or in at least half of their layers."""
    layers: dict[str, set[int]] = {part: set() for part in PARTS}
    out: set[str] = set()
    for module in modules:
        if not isinstance(module, str) or not (part := _part_of(module[:300])):
            continue
        found = _LAYER.search(module[:300])
        if found:
            layers[part].add(int(found[1]))
        else:
            out.add(part)
    return out | {part for part, named in layers.items() if named and 2 * len(named) >= n_layers[part]}


def _group_type(group: Fields) -> str:
    """The stored type that a group of compressed-tensors (or of modelopt in its words) states."""
    weights = group.nested("weights")
    bits = weights.whole("num_bits", high=16)
    kind = weights.text("type", default="int")
    inputs = group.has("input_activations")
    table = {(8, "float"): "fp8", (8, "int"): "int8", (4, "int"): "w4a16", (4, "float"): "fp4" if inputs else "w4a16"}
    if (bits, kind) not in table:
        raise UnsupportedError(f"{weights.name('num_bits')}: weights of {bits} bit {kind} are not supported; 4 and 8 bit are")
    if (bits, kind) == (4, "int") and inputs and group.nested("input_activations").whole("num_bits", high=16, default=8) == 8:
        return "w4a8"
    return table[bits, kind]


def _near(name: str) -> str:
    return (nearest(name, ALGORITHMS, limit=1) or ["fp8"])[0]


def _algorithm(fields: Fields, field: str) -> str:
    """The stored type of a named algorithm."""
    name = fields.text(field).lower()
    if name not in ALGORITHMS:
        raise UnsupportedError(f"{fields.name(field)}: {shown(name)} is not supported; nearest known: {_near(name)}")
    return ALGORITHMS[name]


def _mixed(fields: Fields, base: str) -> dict[str, str]:
    """The commonest type of each part where every layer's is listed (modelopt's MIXED_PRECISION)."""
    listed = fields.nested("quantized_layers").values
    if len(listed) > MAX_NAMED_MODULES:
        fields.fail("quantized_layers", f"{len(listed)} layers are too many; at most {MAX_NAMED_MODULES}")
    counts: dict[str, dict[str, int]] = {part: {} for part in PARTS}
    for module, value in listed.items():
        part = _part_of(module[:300]) if isinstance(module, str) else ""
        if not part or (isinstance(module, str) and ".mtp" in module):
            continue
        algorithm = value.get("quant_algo") if isinstance(value, dict) else None
        stored = ALGORITHMS.get(algorithm.lower()) if isinstance(algorithm, str) else None
        if stored is None:
            fields.fail("quantized_layers", f"{shown(algorithm)} is not a known quant_algo; FP8, NVFP4, W4A16_NVFP4 ... are")
        counts[part][stored] = counts[part].get(stored, 0) + 1
    return {part: max(found, key=lambda stored: found[stored]) if found else base for part, found in counts.items()}


def _excluded(fields: Fields) -> list[object]:
    names = ("ignore", "modules_to_not_convert", "exclude_modules", "ignored_layers")
    return [module for name in names for module in fields.items(name, MAX_NAMED_MODULES)]


def cache_type(fields: Fields) -> str:
    """fp8 where the checkpoint asks for an eight-bit cache."""
    value = fields.values.get("kv_cache_quant_algo") or fields.values.get("kv_cache_scheme")
    if isinstance(value, dict):
        value = "FP8" if value.get("num_bits") == 8 else None
    return "fp8" if isinstance(value, str) and value.upper() == "FP8" else ""


def storage(fields: Fields, config: Fields, n_layers: Mapping[str, int]) -> Storage:
    """What the stored types of a checkpoint's parts are.

    fields: quantization_config, or the "quantization" object of hf_quant_config.json; config: the model's own
    fields (dtype, expert_dtype); n_layers: in how many layers each part is.
    """
    dtype = config.text("dtype", "torch_dtype", default="bfloat16").removeprefix("torch.")
    base = DTYPES.get(dtype)
    if base is None:
        config.fail(config.first("dtype", "torch_dtype"), f"{shown(dtype)} is not known; one of {', '.join(DTYPES)} is needed")
    if not fields.values:
        return Storage(base, base, base)
    method = fields.text("quant_method").lower()
    algorithm = fields.text("quant_algo").lower()
    mixed = algorithm == "mixed_precision" and fields.has("quantized_layers")
    if algorithm and not mixed:
        stored = _algorithm(fields, "quant_algo")
    elif method in ("fp8", "fbgemm_fp8"):
        stored = "fp8"
    elif method == "mxfp4":
        stored = "fp4"
    elif method in ("gptq", "awq", "gptq_marlin", "awq_marlin", "auto-round"):
        bits = fields.whole("bits", "w_bit", low=2, high=8, default=4)
        if bits not in (4, 8):
            raise UnsupportedError(f"{fields.name('bits')}: {bits}-bit weights are not supported; 4 or 8 are")
        stored = "w4a16" if bits == 4 else "int8"
    elif fields.has("config_groups"):
        groups = fields.nested("config_groups")
        names = [name for name in groups.values if isinstance(name, str)]
        if not names:
            fields.fail("config_groups", "is empty; one group is needed")
        stored = _group_type(groups.nested(names[0]))
    elif mixed:
        stored = base
    else:
        raise UnsupportedError(
            f"{fields.name('quant_method')}: {shown(method)} is not supported; fp8, mxfp4, gptq, awq and modelopt are"
        )
    parts = dict.fromkeys(PARTS, stored)
    if mixed:
        # what a mixed scheme does not list keeps the type that the method beside it states
        parts = _mixed(fields, stored if method == "fp8" else base)
    elif method == "mxfp4":
        parts = {"attention": base, "experts": stored, "rest": base}  # this scheme is for experts alone
    left = _left_out(_excluded(fields), n_layers)
    parts |= dict.fromkeys(left, "fp8" if mixed and method == "fp8" else base)
    stated = fields if fields.has("expert_dtype") else config
    expert = stated.text("expert_dtype").lower()
    if expert and not mixed:
        if expert not in EXPERT_DTYPES:
            stated.fail("expert_dtype", f"{shown(expert)} is not known; one of {', '.join(EXPERT_DTYPES)} is needed")
        parts["experts"] = EXPERT_DTYPES[expert]
    return Storage(parts["attention"], parts["experts"], parts["rest"], cache_type(fields))
