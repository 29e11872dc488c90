"""Engines: versions in order, defaults by version and by device memory."""

from __future__ import annotations

import pytest

from windtunnel.catalog import chip, chips, engine, engines, engines_for
from windtunnel.catalog.engine import FIGURES, version_key
from windtunnel.errors import MissingFactError, UnknownNameError


@pytest.mark.parametrize(
    "ordered",
    [
        ["0.5.9", "0.5.10.post1", "0.5.23"],
        ["1.1.0rc2.post2", "1.2.0rc2", "1.2.0rc6.post3", "1.2.0", "1.2.1"],
        ["v0.9.1", "0.12.0", "0.18"],
    ],
)
def test_versions_are_ordered_as_releases_are(ordered: list[str]) -> None:
    keys = [version_key(v) for v in ordered]
    assert None not in keys
    assert keys == sorted(k for k in keys if k is not None)


@pytest.mark.parametrize("name", ["glm5-hopper", "nightly-dev", "", "main"])
def test_what_is_no_version_has_no_place(name: str) -> None:
    assert version_key(name) is None


@pytest.mark.parametrize(
    ("name", "version", "on", "chunk", "fraction"),
    [
        ("vllm", "0.6.6", "h100-sxm", 2048, 0.9),
        ("vllm", "0.8.5", "a100-sxm-80gb", 8192, 0.9),
        ("vllm", "0.12.0", "a100-sxm-80gb", 2048, 0.9),
        ("vllm", "0.12.0", "h100-sxm", 8192, 0.9),
        ("vllm", "0.19.0", "b200-sxm", 8192, 0.9),
        ("vllm", "0.28.0", "b200-sxm", 16384, 0.92),
        ("sglang", "0.5.9", "h200-sxm", 8192, 0.907),
        ("sglang", "0.5.9", "b200-sxm", 16384, 0.858),
        ("sglang", "0.5.9", "l40s", 4096, 0.86),
        ("vllm-ascend", "0.18.0", "ascend-910b2", 2048, 0.9),
        ("trtllm", "1.2.0rc2.post2", "h200-sxm", 8192, 0.9),
    ],
)
def test_defaults(name: str, version: str, on: str, chunk: int, fraction: float) -> None:
    traits = engine(name).traits_at(version, chip(on))
    assert (traits.value("chunk_tokens"), traits.value("memory_fraction")) == (chunk, fraction)
    assert traits.notes == () or name == "vllm-ascend"


def test_scheduling_changed_with_versions() -> None:
    assert not engine("vllm").traits_at("0.12.0").does("overlap_schedule")
    assert engine("vllm").traits_at("0.14.0").does("overlap_schedule")
    assert not engine("vllm-ascend").traits_at("0.7.3").does("graphs")
    assert engine("vllm-ascend").traits_at("0.9.1").does("graphs")


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("", "no version given"),
        ("nightly-dev", "no version number"),
        ("0.0.1", "older than the oldest"),
        ("99.0", "newer than the newest"),
    ],
)
def test_what_had_to_be_assumed_is_said(version: str, said: str) -> None:
    assert any(said in note for note in engine("sglang").traits_at(version).notes)


def test_a_fork_keeps_the_defaults_of_what_it_extends_and_says_so() -> None:
    traits = engine("vllm-kunlun").traits_at("0.11.0", chip("kunlun-p800"))
    assert traits.engine == "vllm-kunlun"
    assert traits.value("chunk_tokens") == engine("vllm").traits_at("0.11.0", chip("kunlun-p800")).value("chunk_tokens")
    assert any("vllm, which it extends" in note for note in traits.notes)


def test_an_engine_without_records_refuses() -> None:
    with pytest.raises(MissingFactError, match="chunk_tokens of tgi"):
        engine("tgi").traits_at("").value("chunk_tokens")
    assert engine("tgi").traits_at("").get("chunk_tokens", 1.0) == 1.0


def test_every_default_has_its_unit_and_source() -> None:
    for found in engines():
        for release in found.releases:
            assert release.source.strip()
            for key, tiers in release.tiers.items():
                assert all(t.fact.unit == FIGURES[key][0] and t.fact.source.strip() for t in tiers)


def test_engines_of_a_chip() -> None:
    assert engines_for(chip("ascend-910b2"))[0].id == "vllm-ascend"
    assert {"vllm", "sglang", "trtllm"} <= {e.id for e in engines_for(chip("h100"))}
    assert all(engines_for(c) for c in chips())
    assert engine("TensorRT-LLM").id == "trtllm"
    with pytest.raises(UnknownNameError, match="nearest: vllm"):
        engine("vlm")
