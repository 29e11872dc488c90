"""What engines add: every record parses, strangers borrow and say so, versions change what they name."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from typing import Any

import pytest

from windtunnel.catalog import engine, engines
from windtunnel.sim import behaviour as b
from windtunnel.sim.behaviour import Behaviour, behaviour, spread
from windtunnel.sim.predict import predict
from windtunnel.sim.prediction import Deployment, Load

ENGINES = b._data()["engines"]
FITTED = sorted(name for name, row in ENGINES.items() if "like" not in row)
NAMES = {f.name for f in fields(Behaviour)}


@pytest.mark.parametrize("name", FITTED)
def test_a_fitted_engine_is_one_of_the_catalogue_and_has_sane_times(name: str) -> None:
    found = behaviour(name)
    assert engine(name).id == name
    assert found.known == ""
    assert 0.2 < found.prefill < 3.0
    assert 0.0 <= found.mix <= 1.5
    assert 0.0 < found.drafting <= 1.0
    assert abs(found.layer_us) < 20.0
    assert min(found.step_us, found.host_us, found.latent_us, found.prefill_step_us, found.fixed_ms, found.tokens_wait) >= 0.0


def test_nothing_in_the_file_is_misspelt() -> None:
    table = b._data()
    for row in (*ENGINES.values(), table["any"]):
        assert set(row) <= NAMES | {"like"}, set(row) - NAMES
    for key, row in table.get("versions", {}).items():
        assert key.split(" ")[0] in table["engines"], key
        assert set(row) <= NAMES, set(row) - NAMES
    for name, row in ENGINES.items():
        assert engine(name).id == name
        assert row.get("like", "vllm") in FITTED


@pytest.mark.parametrize("metric", ["ttft", "tpot"])
def test_intervals_hold_the_value(metric: str) -> None:
    found = spread(metric)
    assert 0.0 < found.low < 1.0 < found.high


def test_the_source_is_told() -> None:
    assert b.source().strip()


@pytest.mark.parametrize("of", engines(), ids=lambda e: e.id)
def test_every_engine_has_a_behaviour(of: Any) -> None:
    found = behaviour(of.id)
    assert found.known in ("", "any", *FITTED)
    assert (found.known == "") == (of.id in FITTED)
    assert (found.known == "any") == (of.id not in ENGINES)


def test_an_engine_that_nobody_fitted_says_so() -> None:
    assert behaviour("tgi").known == "any"
    notes = predict(Deployment("llama-3.1-8b", "h100-sxm", engine="tgi"), Load(512, 128, 4)).notes
    assert any("tgi was never fitted" in note for note in notes)


def test_kin_are_named() -> None:
    assert replace(behaviour("vllm-ascend"), known="", layer_us=behaviour("vllm").layer_us) == behaviour("vllm")
    assert behaviour("vllm-ascend").layer_us > 10 * behaviour("vllm").layer_us
    notes = predict(Deployment("llama-3.1-8b", "ascend-910b2", engine="vllm-ascend"), Load(512, 128, 4)).notes
    assert any("from those fitted for vllm" in note for note in notes)


def test_a_version_changes_what_it_names_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {**b._data(), "versions": {"vllm 9.9.9": {"step_us": 1.5, "drafting": 0.6}}}
    monkeypatch.setattr(b, "_data", lambda: table)
    plain, special = behaviour("vllm", "9.9.8"), behaviour("vllm", "9.9.9")
    assert plain == behaviour("vllm")
    assert special == replace(plain, step_us=1.5, drafting=0.6)
    assert asdict(behaviour("vllm-ascend", "9.9.9"))["step_us"] == 1.5


@pytest.mark.parametrize("key", sorted(b._data().get("versions", {})))
def test_every_version_of_the_file_applies(key: str) -> None:
    name, version = key.split(" ")
    found, row = asdict(behaviour(name, version)), b._data()["versions"][key]
    assert {k: found[k] for k in row} == row
