"""A simulation as a plain JSON object: stable keys, SI numbers with the unit in the key, unknown as null."""

from __future__ import annotations

from windtunnel.cli.as_json import Json, deployment_json
from windtunnel.sim.serving.fleet import Fleet
from windtunnel.sim.serving.result import Metric, PoolResult, Result


def simulation_json(fleet: Fleet, result: Result) -> Json:
    saturated = result.saturated
    return {
        "deployment": deployment_json(fleet.deployment),
        "replicas": fleet.replicas,
        "prefill": deployment_json(fleet.prefill) if fleet.prefill is not None else None,
        "prefill_replicas": fleet.prefill_replicas,
        "chips": fleet.chips,
        "router": fleet.router,
        "seed": result.seed,
        "arrived": result.arrived,
        "answered": result.answered,
        "refused": result.refused,
        "in_flight": result.in_flight,
        "restarted": result.restarted,
        "partial": result.partial,
        "saturated": saturated,
        "carried_requests_per_s": result.carried_requests_per_s,
        "offered_requests_per_s": result.offered_per_s or None,
        "answered_requests_per_s": result.answered_per_s,
        "goodput_requests_per_s": None if saturated else result.goodput_per_s,
        "within_targets": result.good if result.goodput_per_s is not None else None,
        "input_tokens": result.input_tokens,
        "output_tokens": result.output_tokens,
        "output_tokens_per_s": result.output_tokens_per_s,
        "seconds": result.seconds,
        "ttft_s": None if saturated else metric_json(result.ttft),
        "tpot_s": None if saturated else metric_json(result.tpot),
        "e2e_s": None if saturated else metric_json(result.e2e),
        "pool": pool_json(result.pool),
        "prefill_pool": pool_json(result.prefill_pool) if result.prefill_pool is not None else None,
        "kv_transfers": result.transfers,
        "kv_transfer_s": result.transfer_s if result.transfers else None,
        "kv_transfer_wait_s": result.transfer_wait_s if result.transfers else None,
        "timeline": [
            {
                "at_s": s.at_s,
                "arrived": s.arrived,
                "answered": s.answered,
                "waiting": s.waiting,
                "running": s.running,
                "kv_tokens": s.kv_tokens,
            }
            for s in result.timeline
        ],
        "evidence": result.evidence.name.lower(),
        "notes": list(result.notes),
    }


def metric_json(metric: Metric) -> Json | None:
    if not metric.all.count:
        return None
    return {
        "mean": metric.mean_s,
        "most": metric.most_s,
        "samples": metric.all.count,
        "quantiles": [{"q": q.q, "value": q.value_s, "beyond": q.beyond, "firm": q.firm} for q in metric.quantiles],
        "factor_low": metric.within.low if metric.within is not None else None,
        "factor_high": metric.within.high if metric.within is not None else None,
    }


def pool_json(pool: PoolResult) -> Json:
    return {
        "replicas": pool.replicas,
        "busy": pool.busy,
        "running_per_instance": pool.running,
        "waiting": pool.waiting,
        "most_waiting_at_an_instance": pool.most_waiting,
        "kv_used": pool.kv if pool.kv_tokens else None,
        "kv_tokens_per_instance": pool.kv_tokens or None,
        "prefilled_tokens": pool.prefilled_tokens,
        "preemptions": pool.preemptions,
        "prefix_hit_rate": pool.hit_rate,
        "downtime": pool.downtime,
    }
