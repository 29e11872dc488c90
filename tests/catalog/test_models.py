"""The catalogue of models: names, records, sizes against what the makers publish, and users' own files."""

from __future__ import annotations

import contextlib
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.catalog import models as catalogue
from windtunnel.catalog.model_config import spec_from_config
from windtunnel.catalog.models import SHELF, model, models, parse_json, record, resolve
from windtunnel.catalog.store import ID, name_key
from windtunnel.errors import InvalidInputError, UnknownNameError, WindtunnelError
from windtunnel.workload.ops import BITS

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 1000,
}


def test_there_are_many() -> None:
    assert len(models()) >= 100
    assert list(models()) == sorted(models())


@pytest.mark.parametrize("key", models())
def test_record_is_sound(key: str) -> None:
    entry = record(key)
    spec = entry.spec
    assert ID.match(key)
    assert name_key(spec.id.rpartition("/")[2]) == key, "the file is named after the model"
    assert len(SHELF.text(key)) < 2500
    assert spec.source.strip()
    assert "not known" not in " ".join(spec.notes), "every model of the catalogue is of a known family"
    assert {spec.precision_of(part) for part in ("attention", "experts", "rest")} <= set(BITS)
    assert spec.max_context >= 4096
    assert 4e8 < spec.active_parameters <= spec.parameters < 4e12


@pytest.mark.parametrize("key", [key for key in models() if record(key).published])
def test_size_is_what_was_published(key: str) -> None:
    """Within 2.5 percent, or what rounding to the digits that were printed allows."""
    spec, published = record(key).spec, record(key).published
    assert published is not None
    assert published.source.strip()
    assert spec.parameters == pytest.approx(published.parameters, rel=0.025)
    if published.active_parameters != published.parameters:
        active = spec.active_parameters - published.left_out * spec.vocab * spec.hidden
        printed = 10.0 ** math.floor(math.log10(published.active_parameters))
        unit = next(u for u in (printed, printed / 10, printed / 100, printed / 1000) if published.active_parameters % u < 1)
        assert abs(active - published.active_parameters) <= max(0.03 * published.active_parameters, unit / 2)


@pytest.mark.parametrize(
    ("name", "parameters", "active"),
    [
        ("deepseek-ai/DeepSeek-V3", 671e9, 37e9),
        ("moonshotai/Kimi-K2-Instruct", 1.04e12, 32.6e9),
        ("Qwen/Qwen3-235B-A22B", 235e9, 22e9),
        ("Qwen/Qwen3-30B-A3B", 30.5e9, 3.3e9),
        ("Qwen/Qwen3.5-397B-A17B", 397e9, 17e9),
        ("meta-llama/Llama-3.1-70B", 70.6e9, 70.6e9),
        ("meta-llama/Llama-3.1-405B", 405.9e9, 405.9e9),
        ("meta-llama/Llama-3.1-8B", 8.03e9, 8.03e9),
    ],
)
def test_totals_that_everybody_knows(name: str, parameters: float, active: float) -> None:
    spec = model(name)
    assert spec.parameters == pytest.approx(parameters, rel=0.025)
    assert spec.active_parameters == pytest.approx(active, rel=0.025)


@pytest.mark.parametrize(
    ("spelling", "key"),
    [
        ("deepseek-ai/DeepSeek-R1", "deepseek-r1"),
        ("DEEPSEEK-R1", "deepseek-r1"),
        ("deepseek_r1", "deepseek-r1"),
        ("meta-llama/Llama-3.1-70B", "llama-3-1-70b"),
        ("llama-3.1-70b", "llama-3-1-70b"),
        ("Meta-Llama-3.1-70B-Instruct", "llama-3-1-70b"),
        ("Llama-3.3-70B-Instruct", "llama-3-1-70b"),
        ("openai/gpt-oss-120b", "gpt-oss-120b"),
        ("Qwen/Qwen3.5-397B-A17B", "qwen3-5-397b-a17b"),
        ("Qwen/Qwen3-235B-A22B-FP8", "qwen3-235b-a22b-fp8"),
        ("MiniMaxAI/MiniMax-M2.5", "minimax-m2-5"),
        ("zhipuai/GLM-5", "glm-5"),
        ("zai-org/glm-5", "glm-5"),
        ("moonshotai/Kimi-K2.5", "kimi-k2-5"),
        ("nvidia/Llama-3.1-8B-Instruct-FP8", "llama-3-1-8b-instruct-fp8"),
        ("qwen3-32b", "qwen3-32b"),
        ("Pangu Pro MoE", "pangu-pro-moe"),
    ],
)
def test_spellings(spelling: str, key: str) -> None:
    assert resolve(spelling) == key


def test_every_name_and_alias_resolves_with_and_without_its_organisation() -> None:
    for key in models():
        spec = record(key).spec
        for name in (spec.id, *spec.aliases):
            assert resolve(name) == key
            assert resolve(name.upper()) == key
            resolve(name.rpartition("/")[2])


@pytest.mark.parametrize("name", ["deepseek-v9", "nobody/deepseek-v3", "x" * 10_000, "модель", "a\nb", "\ud800"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(UnknownNameError) as error:
        model(name)
    assert "\n" not in str(error.value)


def test_the_nearest_is_named() -> None:
    with pytest.raises(UnknownNameError, match="deepseek-v3"):
        model("deepseek-v3x")


def test_naming_a_model_reads_only_its_own_record(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = type(SHELF).text

    def text(self: Any, key: str) -> str:
        read.append(key)
        return original(self, key)

    monkeypatch.setattr(type(SHELF), "text", text)
    catalogue._load.cache_clear()
    catalogue._names.cache_clear()
    assert model("qwen3-8b").n_layers == 36
    assert read == ["qwen3-8b"]


def test_a_variant_takes_the_shapes_of_its_base() -> None:
    fp8, plain = model("Qwen/Qwen3-32B-FP8"), model("Qwen/Qwen3-32B")
    assert fp8.layers == plain.layers
    assert (fp8.precision, plain.precision) == ("fp8", "bf16")


def test_what_the_measured_models_store() -> None:
    kimi, oss, deepseek = model("moonshotai/Kimi-K2.5"), model("gpt-oss-120b"), model("deepseek-r1")
    assert (kimi.precision_of("experts"), kimi.precision_of("attention")) == ("w4a16", "bf16")
    assert (oss.precision_of("experts"), oss.precision_of("attention")) == ("fp4", "bf16")
    assert (deepseek.precision_of("experts"), deepseek.precision_of("attention")) == ("fp8", "fp8")


def folder(path: Path, config: object, quantisation: object = None) -> Path:
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    if quantisation is not None:
        (path / "hf_quant_config.json").write_text(json.dumps(quantisation))
    return path


def test_a_folder_and_its_config_are_read(tmp_path: Path) -> None:
    place = folder(tmp_path / "mine", LLAMA, {"quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}})
    for spelling in (place, str(place), place / "config.json"):
        spec = model(spelling)
        assert (spec.id, spec.precision, spec.kv_precision) == ("mine", "fp8", "fp8")


def test_a_folder_in_the_working_directory_needs_no_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path / "my-model", LLAMA)
    monkeypatch.chdir(tmp_path)
    assert model("my-model").id == "my-model"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not valid JSON"),
        ("[1]", "an object is needed"),
        ("null", "an object is needed"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "nested deeper|not valid JSON"),
        ('{"a":' * 100_000, "nested deeper|not valid JSON"),
        ('{"a":' * 300 + "1" + "}" * 300, "nested deeper"),
        ('{"hidden_size": ' + "9" * 5000 + "}", "not valid JSON"),
        ('{"hidden_size": NaN, "architectures": ["LlamaForCausalLM"]}', "num_hidden_layers"),
    ],
)
def test_a_hostile_file_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        model(folder(tmp_path, text))
    assert re.search(says, str(error.value))
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InvalidInputError, match="UTF-8"):
        model(tmp_path)


@pytest.mark.parametrize("name", ["./nowhere", "nowhere.json", "/", "~", "~nobody/x", ".", "", " ", "a\0b", "/" + "x" * 5000])
def test_a_path_to_nothing(name: str) -> None:
    with pytest.raises(InvalidInputError):
        model(name)


@given(st.text(max_size=60))
def test_any_text_is_an_object_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidInputError):
        assert isinstance(parse_json(text, "t"), dict)


@given(st.text(max_size=60))
def test_any_name_is_found_or_refused(name: str) -> None:
    with contextlib.suppress(WindtunnelError):
        model(name)


@given(st.sampled_from(models()), st.data())
def test_a_spoilt_record_is_read_or_refused(key: str, data: st.DataObject) -> None:
    """One field of a real configuration replaced by what does not belong there."""
    config: dict[str, Any] = json.loads(json.dumps(SHELF.load(key, lambda table: catalogue._config(table, catalogue.MAX_BASES))))
    part = config.get("text_config", config) if data.draw(st.booleans()) else config
    field = data.draw(st.sampled_from(sorted(part)))
    part[field] = data.draw(
        st.sampled_from([None, True, -1, 0, 1, 3, 10**12, 10**30, math.nan, math.inf, 2.5, "", "x", [], {}, [1], {"a": 1}])
    )
    with contextlib.suppress(WindtunnelError):
        spec = spec_from_config(config, id="m", source="test")
        assert spec.parameters >= spec.active_parameters > 0
        assert spec.cache_numbers_of(1e6) >= 0
