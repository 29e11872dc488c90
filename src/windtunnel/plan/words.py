"""How a deployment is said, in the terminal, in the report and beside the launch commands alike."""

from __future__ import annotations

from functools import lru_cache

from windtunnel.catalog.model import ModelSpec
from windtunnel.catalog.models import model as read_model
from windtunnel.errors import WindtunnelError
from windtunnel.sim.prediction import Deployment
from windtunnel.units import GIBI, KIBI, MEBI

_TYPES = {"w8a8_dynamic": "W8A8"}
_ENGINES = {"vllm": "vLLM", "vllm-ascend": "vLLM Ascend", "sglang": "SGLang", "trtllm": "TensorRT-LLM", "mindie": "MindIE"}


def number_type(name: str) -> str:
    """``FP8``, ``W8A8``: a number type as people write it."""
    return _TYPES.get(name, name.upper())


def stored(spec: ModelSpec) -> str:
    """``FP8``, ``BF16 with FP4 experts``: how a checkpoint holds its weights."""
    parts = [f"{number_type(own)} attention" for own in (spec.precision_of("attention"),) if own != spec.precision]
    parts += [f"{number_type(own)} experts" for own in (spec.precision_of("experts"),) if spec.is_moe and own != spec.precision]
    return number_type(spec.precision) + (f" with {' and '.join(parts)}" if parts else "")


@lru_cache(maxsize=64)
def _stored_name(model: str) -> str:
    try:
        return stored(read_model(model))
    except WindtunnelError:  # a plan that was made where the file was, and is shown where it is not
        return "as stored"


def precision(deployment: Deployment) -> str:
    """``FP8``, ``BF16 with FP4 experts (KV FP8)``: what the weights are, by name also where they stay as stored."""
    weights = number_type(deployment.precision) if deployment.precision else _stored_name(deployment.model)
    cache = deployment.kv_precision
    return f"{weights} (KV {number_type(cache)})" if cache and cache != deployment.precision else weights


def engine(deployment: Deployment) -> str:
    """``vLLM 0.11``, empty where no engine is named."""
    return f"{_ENGINES.get(deployment.engine, deployment.engine)} {deployment.engine_version}".strip()


def memory(value: float) -> str:
    """``69.4 GiB``: bytes of memory, which come in powers of two; three figures."""
    for factor, unit in ((1024.0 * GIBI, "TiB"), (GIBI, "GiB"), (MEBI, "MiB"), (KIBI, "KiB")):
        if abs(value) >= 0.9995 * factor:
            shown = value / factor
            places = 2 if abs(shown) < 9.995 else 1 if abs(shown) < 99.95 else 0
            return f"{shown:,.{places}f} {unit}"
    return f"{value:,.0f} B"
