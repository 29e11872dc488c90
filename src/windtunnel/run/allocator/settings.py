"""How a caching allocator is set, as PYTORCH_CUDA_ALLOC_CONF and its kin say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from windtunnel.errors import InvalidInputError, UnknownNameError, UnsupportedError

KIB, MIB, GIB = 1024, 1024**2, 1024**3

BLOCK = 512
"""Sizes are multiples of this."""

ROUNDING_INTERVALS = 16
"""Powers of two that may each have their own rounding: sizes from 1 MiB, from 2 MiB, ... from 32 GiB."""

ENVIRONMENT: Mapping[str, tuple[str, ...]] = {
    "cuda": ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF", "PYTORCH_ALLOC_CONF"),
    "npu": ("PYTORCH_NPU_ALLOC_CONF",),
}
"""Device type -> the variables that set its allocator, the first that is there counts; other types read PYTORCH_ALLOC_CONF.
**Source:** PyTorch 2.13, c10/cuda/CUDAAllocatorConfig.h; torch_npu's guide, PYTORCH_NPU_ALLOC_CONF."""

_MODELLED = (
    "max_split_size_mb",
    "max_non_split_rounding_mb",
    "large_segment_size_mb",
    "roundup_power2_divisions",
    "garbage_collection_threshold",
    "expandable_segments",
    "per_process_memory_fraction",
    "backend",
)
_WITHOUT_EFFECT = (
    # host memory, locks and graph capture: they do not change what lies where on the device
    "pinned_use_background_threads",
    "pinned_max_round_threshold_mb",
    "pinned_max_cached_size_mb",
    "pinned_use_cuda_host_register",
    "pinned_use_hip_host_register",
    "pinned_num_register_threads",
    "pinned_reserve_segment_size_mb",
    "pinned_free_catch_all",
    "release_lock_on_cudamalloc",
    "release_lock_on_hipmalloc",
    "graph_capture_record_stream_reuse",
    "throw_on_cudamalloc_oom",
)
_NPU = ("max_split_size_mb", "garbage_collection_threshold", "expandable_segments")
_NPU_WITHOUT_EFFECT = ("base_addr_aligned_kb", "multi_stream_lazy_reclaim")
_NPU_NOT_MODELLED = ("page_size",)


@dataclass(frozen=True, slots=True)
class AllocatorSettings:
    """Sizes in bytes.

    max_split_size: blocks of this size or more are never split (None: all may be). max_non_split_rounding: how much
    larger than its request such a block may be. large_segment: what a request under 10 MiB takes from the device.
    roundup_divisions: for each of the ROUNDING_INTERVALS, into how many parts a power of two is cut when a request is
    rounded up (0 and 1: rounded to 512 bytes instead). gc_threshold: share of the allowed memory above which old cached
    segments are given back (0: never; works with memory_fraction alone, as PyTorch's does). padding: bytes added to each
    request before it is rounded. ignored: settings that were read and change nothing on the device.
    """

    max_split_size: int | None = None
    max_non_split_rounding: int = 20 * MIB
    large_segment: int = 20 * MIB
    roundup_divisions: tuple[int, ...] = (0,) * ROUNDING_INTERVALS
    gc_threshold: float = 0.0
    expandable_segments: bool = False
    memory_fraction: float | None = None
    padding: int = 0
    ignored: tuple[str, ...] = ()

    def round_size(self, padded: int) -> int:
        """Bytes that a request takes up, its padding included: a multiple of 512, or of a part of a power of two."""
        if padded >= BLOCK:
            index = min(max(padded.bit_length() - 21, 0), ROUNDING_INTERVALS - 1)
            divisions = self.roundup_divisions[index]
            if divisions > 1 and padded > BLOCK * divisions:
                step = (1 << (padded.bit_length() - 1)) // divisions
                return -(-padded // step) * step
        return -(-padded // BLOCK) * BLOCK

    def is_oversize(self, size: int) -> bool:
        """Whether a block of ``size`` is one that is never split."""
        return self.max_split_size is not None and size >= self.max_split_size

    @staticmethod
    def of(device: str) -> AllocatorSettings:
        """The settings that a device type starts with.

        **Source:** of "npu": torch_npu's NPUCachingAllocator adds 32 bytes to each request before it rounds to 512, since
        kernels may read that far beyond a buffer (its public source, not checked on a device).
        """
        return AllocatorSettings(padding=32) if device == "npu" else AllocatorSettings()

    @staticmethod
    def parse(text: str, device: str = "cuda") -> AllocatorSettings:
        """Settings from ``key:value,key:[a:b,>:c]``. Raises UnknownNameError, InvalidInputError, UnsupportedError."""
        settings = AllocatorSettings.of(device)
        ignored: list[str] = []
        for key, value in _pairs(text):
            if key in (_NPU_WITHOUT_EFFECT if device == "npu" else _WITHOUT_EFFECT):
                ignored.append(key)
            elif device == "npu" and key in _NPU_NOT_MODELLED:
                raise UnsupportedError(f"the allocator setting {key} is not modelled; leave it out")
            elif key in (_NPU if device == "npu" else _MODELLED):
                settings = _set(settings, key, value)
            else:
                known = (*_NPU, *_NPU_WITHOUT_EFFECT) if device == "npu" else (*_MODELLED, *_WITHOUT_EFFECT)
                raise UnknownNameError("allocator setting", key, known)
        return replace(settings, ignored=tuple(ignored))

    @staticmethod
    def from_environment(device: str, environment: Mapping[str, str]) -> AllocatorSettings:
        """Settings by the first of the device type's variables that is set; without one, what the type starts with."""
        for name in ENVIRONMENT.get(device, ("PYTORCH_ALLOC_CONF",)):
            if name in environment:
                return AllocatorSettings.parse(environment[name], device)
        return AllocatorSettings.of(device)


def _pairs(text: str) -> list[tuple[str, str]]:
    """Keys and values; a value in brackets keeps its commas. White space anywhere is dropped."""
    pairs: list[tuple[str, str]] = []
    rest = "".join(text.split())
    while rest:
        key, colon, rest = rest.partition(":")
        if not key or not colon or not rest or "," in key:
            raise InvalidInputError("allocator settings", f"'{text}' is not key:value,key:value")
        end = "]" if rest.startswith("[") else ","
        value, found, rest = rest.partition(end)
        if end == "]":
            if not found or rest[:1] not in ("", ","):
                raise InvalidInputError("allocator settings", f"a list in '{text}' does not end in ]")
            value, rest = value + end, rest[1:]
        pairs.append((key, value))
    return pairs


def _set(settings: AllocatorSettings, key: str, value: str) -> AllocatorSettings:
    """``settings`` with one of them changed; the limits are PyTorch's."""
    match key:
        case "max_split_size_mb":
            return replace(settings, max_split_size=_mib(key, value, settings.large_segment // MIB))
        case "max_non_split_rounding_mb":
            return replace(settings, max_non_split_rounding=_mib(key, value, settings.large_segment // MIB))
        case "large_segment_size_mb":
            return replace(settings, large_segment=_mib(key, value, 11))
        case "garbage_collection_threshold":
            return replace(settings, gc_threshold=_share(key, value, one=False))
        case "per_process_memory_fraction":
            return replace(settings, memory_fraction=_share(key, value, one=True))
        case "roundup_power2_divisions":
            return replace(settings, roundup_divisions=_divisions(key, value))
        case "expandable_segments":
            if value not in ("True", "False"):
                raise InvalidInputError(key, f"'{value}' is neither True nor False")
            return replace(settings, expandable_segments=value == "True")
        case _:
            if value not in ("native", "cudaMallocAsync"):
                raise UnknownNameError("allocator backend", value, ("native", "cudaMallocAsync"))
            if value != "native":
                raise UnsupportedError("the allocator cudaMallocAsync is the driver's and is not modelled; use backend:native")
            return settings


def _whole(key: str, value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise InvalidInputError(key, f"'{value}' is not a whole number")
    return int(value)


def _mib(key: str, value: str, least: int) -> int:
    number = _whole(key, value)
    if number < least:
        raise InvalidInputError(key, f"{number} is too small; it must be at least {least} (MiB)")
    return number * MIB


def _share(key: str, value: str, one: bool) -> float:
    try:
        number = float(value)
    except ValueError:
        raise InvalidInputError(key, f"'{value}' is not a number")
    if not (0.0 < number < 1.0 or (one and number == 1.0)):
        raise InvalidInputError(key, f"{value} is not between 0 and 1")
    return number


def _power_of_two(key: str, value: str) -> int:
    number = _whole(key, value)
    if number < 1 or number & (number - 1):
        raise InvalidInputError(key, f"{number} is not a power of two")
    return number


def _divisions(key: str, value: str) -> tuple[int, ...]:
    """One number for all sizes, or ``[MiB:number,...,>:number]``: each holds from that size to the next power of two,
    the first for all smaller ones too, ``>`` for all above the last; what lies between is not rounded.

    **Source:** what PyTorch 2.13 itself makes of such lists; its guide reads as if each held up to its size.
    """
    if not value.startswith("["):
        return (_power_of_two(key, value),) * ROUNDING_INTERVALS
    divisions = [0] * ROUNDING_INTERVALS
    first, last = True, 0
    for entry in value[1:-1].split(","):
        size, colon, number = entry.partition(":")
        if not colon:
            raise InvalidInputError(key, f"'{entry}' is not size:divisions")
        parts = _power_of_two(key, number)
        if size == ">":
            divisions[last + 1 :] = [parts] * (ROUNDING_INTERVALS - last - 1)
            continue
        index = min(_power_of_two(key, size).bit_length() - 1, ROUNDING_INTERVALS - 1)
        if first:
            divisions[:index] = [parts] * index
            first = False
        divisions[index] = parts
        last = index
    return tuple(divisions)
