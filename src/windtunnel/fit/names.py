"""What rows call models, engines and number types, read as whoever works with them would read it.

A name that the catalogue holds is never read otherwise. Every other reading is a note of the report:

- a model under another organisation, with a number type or a release at its end, written together, or with its number of
  parameters: the model of the catalogue whose name is left when these are taken off. What its name says of the number
  type counts where the row says nothing.
- an engine that the catalogue does not hold: the known engine within its name (``dynamo-trt``), else the chip's usual one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from windtunnel.catalog import engine
from windtunnel.catalog.model import ModelSpec
from windtunnel.catalog.models import SHELF, model
from windtunnel.catalog.store import name_key
from windtunnel.errors import UnknownNameError
from windtunnel.workload.ops import BITS

OTHER_MODEL = "model not in the catalogue by that name: read as the one that it is made from"
OTHER_ENGINE = "engine not in the catalogue: read as the one in its name, else as the chip's usual one"

_TYPES: Mapping[str, str] = {
    **{name: name for name in BITS},
    "bfloat16": "bf16", "w16a16": "bf16", "float16": "fp16", "half": "fp16", "float32": "fp32", "float": "fp32",
    "float8": "fp8", "e4m3": "fp8", "fp8_e4m3": "fp8", "float8_e4m3fn": "fp8", "fp8_block": "fp8", "fp8_static": "fp8",
    "fp8_dynamic": "fp8", "mxfp8": "fp8", "w8a8_fp8": "fp8", "w8a8": "w8a8_dynamic", "w8a8_int8": "w8a8_dynamic",
    "int8_w8a8": "w8a8_dynamic", "w8a8_static": "w8a8_dynamic", "mxfp4": "fp4", "nvfp4": "fp4", "w4a4": "fp4",
    "int4": "w4a16", "awq": "w4a16", "gptq": "w4a16", "w4a16_awq": "w4a16", "w4a16_gptq": "w4a16", "int4_awq": "w4a16",
    "awq_int4": "w4a16", "int4_wo": "w4a16", "w4a16_mxfp4": "w4a16", "w4a8_dynamic": "w4a8",
    "w4afp8": "w4a8", "w4a8_mxfp4_mxfp8": "fp4",
}  # fmt: skip
_AS_STORED = ("", "auto", "default", "native", "none")
_RELEASE = re.compile(r"instruct|chat|base|thinking|it|hf|preview|dynamic|static|block|quantized|kv|w|a|v\d|\d{4}")
_SIZE = re.compile(r"(\d+)([bt])")
_ACTIVE = re.compile(r"a\d+b")
_ABOUT = 0.06
"""Of what a name says of the number of parameters, which is rounded."""


def number_type(text: str) -> str:
    """The number type that a row's spelling stands for, empty where it is as stored; an unknown spelling comes back as it is."""
    key = re.sub(r"[\s.-]+", "_", text.strip().lower())
    return "" if key in _AS_STORED else _TYPES.get(key, key)


def model_named(name: str) -> tuple[str, str, bool]:
    """(name for the catalogue, number type in the name or empty, whether it was read otherwise). Raises UnknownNameError."""
    try:
        model(name)
        return name, "", False
    except UnknownNameError as unknown:
        found = _taken_apart(name_key(name[:200].rpartition("/")[2]))
        if found is None:
            raise unknown
        return (*found, True)


@cache
def _taken_apart(key: str) -> tuple[str, str] | None:
    """The catalogue's key and the number type of a name, its last words taken off one by one."""
    words, stored = key.split("-"), ""
    size: float | None = None
    while words:
        found = _known("-".join(words))
        if found is not None:
            return (found.id, stored) if size is None or abs(found.parameters / size - 1.0) < _ABOUT else None
        last = words.pop()
        if last in _TYPES:
            stored = _TYPES[last]
        elif said := _SIZE.fullmatch(last):
            size = float(said[1]) * {"b": 1e9, "t": 1e12}[said[2]]
        elif not (_RELEASE.fullmatch(last) or _ACTIVE.fullmatch(last)):
            return None
    return None


def _known(key: str) -> ModelSpec | None:
    try:
        return model(_together().get(_close(key), key))
    except UnknownNameError:
        return None


def _close(key: str) -> str:
    """A key without its hyphens and without the number of active parameters."""
    return "".join(word for word in key.split("-") if not _ACTIVE.fullmatch(word))


@cache
def _together() -> Mapping[str, str]:
    """Names of the catalogue written together, where only one model is meant."""
    index: dict[str, str] = {}
    for record in SHELF.ids():
        head = SHELF.head(record)
        for name in (record, head.text("name"), *head.texts("aliases")):
            key = _close(name_key(name.rpartition("/")[2]))
            index[key] = record if index.get(key, record) == record else ""
    return {key: record for key, record in index.items() if record}


def engine_named(name: str) -> tuple[str, bool]:
    """(id of the engine, empty for the chip's usual one; whether it was read otherwise than it stands)."""
    if not name:
        return "", False
    words = name_key(name[:100]).split("-")
    for one in (name[:100], *words):
        try:
            return engine(one).id, one != name
        except UnknownNameError:
            continue
    return "", True
