"""The columns of a sweep's table, units in their names, the same for every sweep."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from windtunnel.sim.serving.result import SHOWN
from windtunnel.sweep.journal import Row

Type = Literal["text", "int", "float", "bool"]

INPUTS: Mapping[str, tuple[str, Type]] = {
    "model": ("model", "text"),
    "on": ("on", "text"),
    "prefill": ("prefill", "text"),
    "decode": ("decode", "text"),
    "replicas": ("replicas", "int"),
    "prefill-replicas": ("prefill_replicas", "int"),
    "trace": ("trace", "text"),
    "requests-per-s": ("requests_per_s", "float"),
    "burstiness": ("burstiness_cv", "float"),
    "concurrency": ("concurrency", "int"),
    "isl": ("isl_tokens", "text"),
    "osl": ("osl_tokens", "text"),
    "prefix-tokens": ("prefix_tokens", "int"),
    "prefixes": ("prefixes", "int"),
    "requests": ("requests", "int"),
    "duration": ("duration_s", "float"),
    "ttft": ("ttft_target_s", "float"),
    "tpot": ("tpot_target_s", "float"),
    "seed": ("seed", "int"),
    "router": ("router", "text"),
    "precision": ("precision", "text"),
    "kv-precision": ("kv_precision", "text"),
    "tp": ("tp", "int"),
    "pp": ("pp", "int"),
    "dp": ("dp", "int"),
    "ep": ("ep", "int"),
    "moe-tp": ("moe_tp", "int"),
    "prefill-tp": ("prefill_tp", "int"),
    "prefill-pp": ("prefill_pp", "int"),
    "prefill-dp": ("prefill_dp", "int"),
    "prefill-ep": ("prefill_ep", "int"),
    "kv-link": ("kv_link_gb_per_s", "float"),
    "engine": ("engine", "text"),
    "engine-version": ("engine_version", "text"),
    "chunk-tokens": ("chunk_tokens", "int"),
    "max-running": ("max_running", "int"),
    "kv-tokens": ("kv_tokens", "int"),
    "prefix-cache": ("prefix_cache", "bool"),
    "mtp-accept": ("mtp_accept_tokens", "float"),
    "mtbf": ("mtbf_s", "float"),
    "repair": ("repair_s", "float"),
    "parameters": ("parameters", "text"),
}
"""Option of ``windtunnel simulate`` -> its column and the type of it: what was asked for, null where nothing was."""

RESOLVED: tuple[tuple[str, Type], ...] = (
    ("chips", "int"),
    ("chip", "text"),
    ("system", "text"),
    ("instance_chips", "int"),
    ("instance_tp", "int"),
    ("instance_pp", "int"),
    ("instance_dp", "int"),
    ("instance_ep", "int"),
    ("instance_moe_tp", "int"),
    ("weights_precision", "text"),
    ("cache_precision", "text"),
    ("serving_engine", "text"),
    ("prefill_chip", "text"),
    ("prefill_system", "text"),
    ("prefill_instance_chips", "int"),
)
"""What it came down to."""

METRICS = ("ttft", "tpot", "e2e")


def _metric(name: str) -> list[tuple[str, Type]]:
    columns: list[tuple[str, Type]] = [(f"{name}_mean_s", "float")]
    columns += [(f"{name}_{percentile(q)}_s", "float") for q in SHOWN]
    columns += [(f"{name}_max_s", "float"), (f"{name}_samples", "int")]
    columns += [(f"{name}_{percentile(q)}_samples_beyond", "int") for q in SHOWN]
    return [*columns, (f"{name}_factor_low", "float"), (f"{name}_factor_high", "float")]


def percentile(q: float) -> str:
    """``p50``, ``p99``: a quantile as people say it."""
    return f"p{100.0 * q:g}"


_POOL: tuple[tuple[str, Type], ...] = (
    ("busy_share", "float"),
    ("running_per_instance", "float"),
    ("waiting", "float"),
    ("most_waiting_at_an_instance", "int"),
    ("kv_used_share", "float"),
    ("kv_tokens_per_instance", "int"),
    ("prefix_hit_share", "float"),
    ("preemptions", "int"),
    ("downtime_share", "float"),
)

OUTPUTS: tuple[tuple[str, Type], ...] = (
    ("arrived", "int"),
    ("answered", "int"),
    ("refused", "int"),
    ("in_flight", "int"),
    ("restarted", "int"),
    ("simulated_s", "float"),
    ("input_tokens", "int"),
    ("output_tokens", "int"),
    ("offered_requests_per_s", "float"),
    ("answered_requests_per_s", "float"),
    ("saturated", "bool"),
    ("carried_requests_per_s", "float"),
    ("goodput_requests_per_s", "float"),
    ("within_targets", "int"),
    ("output_tokens_per_s", "float"),
    *(column for name in METRICS for column in _metric(name)),
    *((f"pool_{name}", kind) for name, kind in _POOL),
    *((f"prefill_pool_{name}", kind) for name, kind in _POOL),
    ("kv_transfers", "int"),
    ("kv_transfer_mean_s", "float"),
    ("kv_transfer_wait_mean_s", "float"),
    ("evidence", "text"),
    ("notes", "text"),
)
"""What came of it; times are null where the load saturates, since they would only tell how long it came."""

MONEY: tuple[tuple[str, Type], ...] = (
    ("usd_per_hour", "float"),
    ("usd_per_mtok", "float"),
    ("usd_per_mtok_within_targets", "float"),
    ("price_basis", "text"),
    ("power_kw", "float"),
    ("chips_tdp_kw", "float"),
)

COLUMNS: tuple[tuple[str, Type], ...] = (
    ("point", "int"),
    ("outcome", "text"),
    ("reason", "text"),
    *INPUTS.values(),
    *RESOLVED,
    *OUTPUTS,
    *MONEY,
    ("command", "text"),
    ("windtunnel_version", "text"),
    ("windtunnel_digest", "text"),
)
"""All of them, in order. outcome: simulated; saturated; refused (it cannot be, ``reason`` says why); died (it took two
workers along); failed (a bug, of which ``reason`` tells the line)."""

_NONE = {"ttft": 0.0, "tpot": 0.0, "duration": 0.0, "mtbf": 0.0}
"""Options whose default stands for "not asked"."""


def inputs(said: Mapping[str, Any]) -> Row:
    """The input columns of options as the command read them, by their names."""
    row: Row = {}
    for name, value in said.items():
        if isinstance(value, tuple):
            value = f"{value[0]}:{value[1]}" if value[1] else value[0]
        elif isinstance(value, Path):
            value = str(value)
        row[INPUTS[name][0]] = None if value == "" or (name in _NONE and value == _NONE[name]) else value
    without = {
        "mtbf": ("repair",),
        "prefix-tokens": ("prefixes",),
        "requests-per-s": ("burstiness",),
        "prefill": ("prefill-replicas",),
    }
    for name, meaningless in without.items():
        if row.get(INPUTS[name][0]) is None:
            row.update({INPUTS[other][0]: None for other in meaningless if other in said})
    return row
