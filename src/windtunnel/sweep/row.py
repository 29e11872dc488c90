"""What a simulation came to, as a row of the table."""

from __future__ import annotations

from windtunnel.sim.instance import instance
from windtunnel.sim.serving.fleet import Fleet
from windtunnel.sim.serving.result import Metric, PoolResult, Result
from windtunnel.sweep.columns import percentile
from windtunnel.sweep.journal import Row


def resolved(fleet: Fleet) -> Row:
    """What the inputs came down to. Raises the errors of ``windtunnel.errors`` where they come down to nothing."""
    of = fleet.deployment
    one = instance(of, fleet.parameters)
    weights = dict.fromkeys((one.precision.attention, one.precision.dense, *([one.precision.experts] if one.spec.is_moe else ())))
    row: Row = {
        "chips": fleet.chips,
        "chip": of.chip,
        "system": of.system or None,
        "instance_chips": of.chips,
        "instance_tp": of.tp,
        "instance_pp": of.pp,
        "instance_dp": of.dp,
        "instance_ep": of.moe_ep or None,
        "instance_moe_tp": of.moe_tp or None,
        "weights_precision": ", ".join(weights),
        "cache_precision": one.precision.kv,
        "serving_engine": f"{one.engine} {one.traits.version or one.traits.known}".strip(),
    }
    if fleet.prefill is not None:
        row["prefill_chip"] = fleet.prefill.chip
        row["prefill_system"] = fleet.prefill.system or None
        row["prefill_instance_chips"] = fleet.prefill.chips
    return row


def outputs(result: Result) -> Row:
    known = not result.saturated
    row: Row = {
        "arrived": result.arrived,
        "answered": result.answered,
        "refused": sum(result.refused.values()),
        "in_flight": result.in_flight,
        "restarted": result.restarted,
        "simulated_s": result.seconds,
        "input_tokens": result.input_tokens,
        "output_tokens": result.output_tokens,
        "offered_requests_per_s": result.offered_per_s or None,
        "answered_requests_per_s": result.answered_per_s if known else None,
        "saturated": result.saturated,
        "carried_requests_per_s": result.carried_requests_per_s,
        "goodput_requests_per_s": result.goodput_per_s if known else None,
        "within_targets": result.good if known and result.goodput_per_s is not None else None,
        "output_tokens_per_s": result.output_tokens_per_s if known else None,
        "kv_transfers": result.transfers if result.prefill_pool is not None else None,
        "kv_transfer_mean_s": result.transfer_s if result.transfers else None,
        "kv_transfer_wait_mean_s": result.transfer_wait_s if result.transfers else None,
        "evidence": result.evidence.name.lower(),
        "notes": "; ".join(result.notes) or None,
    }
    if known:
        for name, metric in (("ttft", result.ttft), ("tpot", result.tpot), ("e2e", result.e2e)):
            row |= _metric(name, metric)
    row |= _pool("pool", result.pool)
    if result.prefill_pool is not None:
        row |= _pool("prefill_pool", result.prefill_pool)
    return row


def _metric(name: str, metric: Metric) -> Row:
    count = metric.all.count
    if not count:
        return {f"{name}_samples": 0}
    row: Row = {f"{name}_mean_s": metric.mean_s, f"{name}_max_s": metric.most_s, f"{name}_samples": count}
    for each in metric.quantiles:
        row[f"{name}_{percentile(each.q)}_s"] = each.value_s
        row[f"{name}_{percentile(each.q)}_samples_beyond"] = each.beyond
    if metric.within is not None:
        row |= {f"{name}_factor_low": metric.within.low, f"{name}_factor_high": metric.within.high}
    return row


def _pool(name: str, pool: PoolResult) -> Row:
    return {
        f"{name}_busy_share": pool.busy,
        f"{name}_running_per_instance": pool.running,
        f"{name}_waiting": pool.waiting,
        f"{name}_most_waiting_at_an_instance": pool.most_waiting,
        f"{name}_kv_used_share": pool.kv if pool.kv_tokens else None,
        f"{name}_kv_tokens_per_instance": pool.kv_tokens or None,
        f"{name}_prefix_hit_share": pool.hit_rate,
        f"{name}_preemptions": pool.preemptions,
        f"{name}_downtime_share": pool.downtime,
    }
