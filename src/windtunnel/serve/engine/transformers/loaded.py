"""A model of a folder on a device, with its tokenizer and what its makers say of how to sample it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from windtunnel.errors import UnsupportedError
from windtunnel.run.devices import Device, device_named, present
from windtunnel.workload.program.vision import declare_torchvision

SAMPLING = ("temperature", "top_p", "top_k", "repetition_penalty")


@dataclass(frozen=True)
class Loaded:
    """context: tokens of a request, 0 where the model sets no limit; ends: tokens that end an answer; sampling: the makers' own
    defaults, by the API's names; template: of chats, "" where there is none."""

    model: Any
    tokenizer: Any
    device: Device
    context: int
    ends: tuple[int, ...]
    sampling: Mapping[str, float]
    template: str

    @property
    def config(self) -> Any:
        """The part of the model's configuration that tells of its text."""
        return self.model.config.get_text_config()

    @property
    def kv_bytes(self) -> int:
        """Of one token, over all layers; 0 where the configuration does not tell."""
        config = self.config
        layers, all_heads, hidden, heads, size = (
            int(getattr(config, name, None) or 0)
            for name in ("num_hidden_layers", "num_attention_heads", "hidden_size", "num_key_value_heads", "head_dim")
        )
        size = size or (hidden // all_heads if all_heads else 0)
        return 2 * layers * (heads or all_heads) * size * int(self.model.dtype.itemsize)


def best_device() -> str:
    """The accelerator that PyTorch has here, else the CPU."""
    return next((kind for kind in present() if kind != "cpu"), "cpu")


def load(folder: Path, device: str = "", template: str = "") -> Loaded:
    """Reads the model of a folder; nothing is fetched, nothing unpickled, and no code of the model's own is run.

    device: ``cpu``, ``cuda``, ``npu:1`` ...; the accelerator that is here without it. template: of chats, in place of the
    model's own. Raises UnknownNameError and
    UnsupportedError, also where transformers cannot be imported or does not know the model.
    """
    where = device_named(device or best_device())
    declare_torchvision()
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
        from transformers.utils import logging
    except Exception as error:  # what it imports on the way fails in many ways
        raise UnsupportedError(f"transformers cannot be imported: {_first_line(error)}") from None
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=_dtype(folder, where), use_safetensors=True, **safe)
        model = model.to(where.torch_name).eval()
    except Exception as error:  # a missing class, a wrong shape, too little memory: each of its own type
        raise UnsupportedError(f"transformers does not load {folder}: {_first_line(error)}") from None
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise UnsupportedError(f"{folder} has no tokenizer.json; convert its tokenizer with transformers' save_pretrained")
    if template:
        tokenizer.chat_template = template
    own = model.generation_config.to_diff_dict()
    ends = own.get("eos_token_id", tokenizer.eos_token_id)
    model.generation_config = GenerationConfig()  # what a request says holds, with nothing beneath it
    return Loaded(
        model,
        tokenizer,
        where,
        int(getattr(model.config.get_text_config(), "max_position_embeddings", 0) or 0),
        tuple(ends) if isinstance(ends, list | tuple) else () if ends is None else (int(ends),),
        {name: float(own[name]) for name in SAMPLING if isinstance(own.get(name), int | float)},
        _template(tokenizer),
    )


def _dtype(folder: Path, device: Device) -> Any:
    """As stored; on a CPU, which computes FP16 slowly or not at all, in FP32 where that is how it is stored."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "auto"
    stored = config.get("dtype", config.get("torch_dtype")) if isinstance(config, dict) else None
    return torch.float32 if device.kind == "cpu" and stored == "float16" else "auto"


def _template(tokenizer: Any) -> str:
    found = tokenizer.chat_template
    return "\n".join(map(str, found.values())) if isinstance(found, dict) else found or ""


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:300]
