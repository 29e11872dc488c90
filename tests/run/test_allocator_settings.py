"""The strings that set PyTorch's allocator: what they mean, and what is said of wrong ones."""

from __future__ import annotations

import pytest

from windtunnel.errors import InvalidInputError, UnknownNameError, UnsupportedError, WindtunnelError
from windtunnel.run.allocator import AllocatorSettings
from windtunnel.run.allocator.settings import MIB


def test_nothing_set_is_what_pytorch_starts_with() -> None:
    assert AllocatorSettings.parse("") == AllocatorSettings() == AllocatorSettings.from_environment("cuda", {})
    assert AllocatorSettings.from_environment("npu", {}).padding == 32


def test_all_that_changes_the_device_is_read() -> None:
    text = "expandable_segments : True, max_split_size_mb: 64,garbage_collection_threshold:0.8,max_non_split_rounding_mb:30,"
    assert AllocatorSettings.parse(text) == AllocatorSettings(
        max_split_size=64 * MIB, max_non_split_rounding=30 * MIB, gc_threshold=0.8, expandable_segments=True
    )
    assert AllocatorSettings.parse("large_segment_size_mb:32,max_split_size_mb:32").large_segment == 32 * MIB


@pytest.mark.parametrize(
    ("text", "divisions"),
    [
        ("4", (4,) * 16),
        # as PyTorch 2.13 itself reads them: each entry from its size to the next power of two
        ("[256:1,512:2,1024:4,>:8]", (1,) * 9 + (2, 4) + (8,) * 5),
        ("[1:2,16:8]", (2, 0, 0, 0, 8) + (0,) * 11),
        ("[64:8,>:1]", (8,) * 7 + (1,) * 9),
        ("[>:4]", (0,) + (4,) * 15),
        ("[65536:4,>:2]", (4,) * 16),
    ],
)
def test_divisions_by_size(text: str, divisions: tuple[int, ...]) -> None:
    assert AllocatorSettings.parse(f"roundup_power2_divisions:{text}").roundup_divisions == divisions


def test_the_first_variable_counts() -> None:
    both = {"PYTORCH_ALLOC_CONF": "max_split_size_mb:40", "PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:50"}
    assert AllocatorSettings.from_environment("cuda", both).max_split_size == 50 * MIB
    assert AllocatorSettings.from_environment("xpu", both).max_split_size == 40 * MIB
    assert AllocatorSettings.from_environment("npu", both).max_split_size is None
    npu = AllocatorSettings.from_environment("npu", {"PYTORCH_NPU_ALLOC_CONF": "expandable_segments:True"})
    assert (npu.expandable_segments, npu.padding) == (True, 32)


def test_what_changes_nothing_on_the_device_is_named() -> None:
    settings = AllocatorSettings.parse("pinned_use_background_threads:True,backend:native")
    assert settings.ignored == ("pinned_use_background_threads",)
    assert AllocatorSettings.parse("base_addr_aligned_kb:0", "npu").ignored == ("base_addr_aligned_kb",)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("max_split_size:128", UnknownNameError, "unknown allocator setting 'max_split_size'; nearest: max_split_size_mb"),
        ("expandable_segment:True", UnknownNameError, "nearest: expandable_segments"),
        ("backend:cudaMallocAsync", UnsupportedError, "cudaMallocAsync is the driver's"),
        ("backend:nativ", UnknownNameError, "unknown allocator backend 'nativ'; nearest: native"),
        ("expandable_segments:true", InvalidInputError, "'true' is neither True nor False"),
        ("max_split_size_mb:19", InvalidInputError, "19 is too small; it must be at least 20"),
        ("large_segment_size_mb:10", InvalidInputError, "at least 11"),
        ("max_split_size_mb:abc", InvalidInputError, "'abc' is not a whole number"),
        ("max_split_size_mb", InvalidInputError, "is not key:value"),
        ("max_split_size_mb:[32", InvalidInputError, "does not end in ]"),
        ("garbage_collection_threshold:1", InvalidInputError, "not between 0 and 1"),
        ("garbage_collection_threshold:x", InvalidInputError, "'x' is not a number"),
        ("roundup_power2_divisions:3", InvalidInputError, "3 is not a power of two"),
        ("roundup_power2_divisions:[3:4]", InvalidInputError, "3 is not a power of two"),
        ("roundup_power2_divisions:[4]", InvalidInputError, "'4' is not size:divisions"),
    ],
)
def test_wrong_settings_are_one_line(text: str, error: type[WindtunnelError], message: str) -> None:
    with pytest.raises(error) as caught:
        AllocatorSettings.parse(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_each_plugin_has_its_own_settings() -> None:
    with pytest.raises(UnknownNameError, match="unknown allocator setting 'roundup_power2_divisions'"):
        AllocatorSettings.parse("roundup_power2_divisions:4", "npu")
    with pytest.raises(UnsupportedError, match="page_size is not modelled"):
        AllocatorSettings.parse("page_size:1g", "npu")
