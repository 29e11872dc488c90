"""JSON: keys that stay, units in the keys, unknown as null, numbers that every parser reads."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from tests.cli import made_up
from windtunnel.cli.as_json import candidate_json, dumps, plan_json, prediction_json


def test_a_prediction_has_these_keys_in_this_order() -> None:
    assert list(prediction_json(made_up.prediction())) == [
        "deployment", "load", "ttft_s", "tpot_s", "output_tokens_per_s", "output_tokens_per_s_per_chip", "memory_per_chip",
        "decode_step_s", "prefill_s", "batch", "queued", "bound", "power_w", "energy_j_per_token", "evidence", "notes",
        "operators",
    ]  # fmt: skip


def test_a_plan_has_these_keys_in_this_order() -> None:
    plan = plan_json(made_up.plan())
    assert list(plan) == ["model", "targets", "to", "date", "ranked", "chips", "notes"]
    assert list(plan["chips"][0]) == ["name", "best", "why_not", "searched", "export", "pareto"]
    assert list(plan["chips"][0]["best"]) == [
        "mode", "chips", "replicas", "prefill_replicas", "requests_per_s", "output_tokens_per_s", "output_tokens_per_s_per_chip",
        "ttft_s", "tpot_s", "kv_transfer_s", "usd_per_hour", "usd_per_mtok", "price_basis", "power_kw", "joules_per_token",
        "simulated",
        "prediction", "prefill",
    ]  # fmt: skip


def test_an_estimate_carries_interval_and_evidence() -> None:
    assert prediction_json(made_up.prediction())["tpot_s"] == {
        "value": 0.0421,
        "low": pytest.approx(0.0421 * 0.9),
        "high": pytest.approx(0.0421 * 1.1),
        "evidence": "fitted",
    }


def test_apart_the_first_token_waits_for_the_cache_to_cross_the_network() -> None:
    candidate = made_up.apart("ascend-910c")
    found = candidate_json(candidate)
    assert found["mode"] == "disaggregated"
    assert found["ttft_s"]["value"] == pytest.approx(candidate.ttft_s)
    assert found["prefill"]["deployment"]["tp"] == 16


def test_the_front_leaves_out_the_operators() -> None:
    front = plan_json(made_up.plan())["chips"][0]["pareto"]
    assert len(front) == 6
    assert all("operators" not in point["prediction"] for point in front)


def test_unknown_is_null_and_the_text_is_json() -> None:
    odd = replace(made_up.prediction(), prefill_s=float("nan"), decode_step_s=float("inf"), power_w=None)
    text = dumps(prediction_json(odd))
    read = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (read["prefill_s"], read["decode_step_s"], read["power_w"]) == (None, None, None)
    assert not re.search(r"\b(NaN|Infinity)\b", text)
