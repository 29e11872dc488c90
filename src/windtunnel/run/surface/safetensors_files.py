"""Files of safetensors from weights that nothing computed: whole in form, of zeros, and sparse on the disk.

**Source:** the format, as safetensors' README has it: the header's length in eight bytes, the header as JSON, the data.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from windtunnel.workload.program.device import VirtualDevice
from windtunnel.workload.program.tensors import is_host, native_type

_NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
}  # fmt: skip


def install_safetensors(device: VirtualDevice) -> None:
    """Let ``save_file`` write weights of which only shapes are known, until ``device`` is left."""
    if importlib.util.find_spec("safetensors") is None:
        return
    library = importlib.import_module("safetensors.torch")  # only where the program has it

    plain = library.save_file

    def save_file(tensors: Mapping[str, torch.Tensor], filename: Any, metadata: Mapping[str, str] | None = None) -> None:
        there = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        if not any(_shape_only(tensor) for tensor in there.values()):
            plain(dict(tensors), filename, dict(metadata) if metadata else None)
            return
        device.recorder.listener.stood_in("weights written to a file", "all 0")
        write(there, Path(filename), metadata)

    device.patch(library, "save_file", save_file)


def write(tensors: Mapping[str, torch.Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """The file: values where they are known, zeros that take no room on the disk where only shapes are. Raises KeyError for
    a number type that the format has not."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.numel() * tensor.dtype.itemsize
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, tensor in tensors.items():
            if not _shape_only(tensor) and tensor.numel():
                file.seek(8 + len(text) + header[name]["data_offsets"][0])
                file.write(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
        file.truncate(8 + len(text) + end)


def _shape_only(tensor: torch.Tensor) -> bool:
    with torch._C.DisableTorchFunction():
        return native_type(tensor) == "meta" and is_host(tensor)
