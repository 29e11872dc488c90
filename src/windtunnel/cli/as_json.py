"""Results as plain JSON objects: stable keys, SI numbers with the unit in the key, unknown as null.

docs/json.md describes every key; a test holds it to this module.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from typing import Any

from windtunnel.cli.rules.check import verdict_json
from windtunnel.plan import words
from windtunnel.plan.result import Candidate, ChipPlan, Plan, Targets
from windtunnel.sim.prediction import Deployment, Estimate, Load, MemoryUse, OperatorRow, Prediction

Json = dict[str, Any]


def dumps(value: object) -> str:
    """``value`` as JSON text; a number that is not finite is unknown, hence null."""
    return json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False)


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value


def estimate_json(estimate: Estimate, shift: float = 0.0) -> Json:
    return {
        "value": estimate.value + shift,
        "low": estimate.low + shift,
        "high": estimate.high + shift,
        "evidence": estimate.evidence.name.lower(),
    }


def deployment_json(deployment: Deployment) -> Json:
    return {
        "model": deployment.model,
        "chip": deployment.chip,
        "system": deployment.system or None,
        "chips": deployment.chips,
        "precision": deployment.precision or None,
        "precision_name": words.precision(replace(deployment, kv_precision="")),
        "kv_precision": deployment.kv_precision or None,
        "tp": deployment.tp,
        "pp": deployment.pp,
        "dp": deployment.dp,
        "moe_tp": deployment.moe_tp or None,
        "moe_ep": deployment.moe_ep or None,
        "engine": deployment.engine or None,
        "engine_version": deployment.engine_version or None,
    }


def load_json(load: Load) -> Json:
    return {
        "isl_tokens": load.isl,
        "osl_tokens": load.osl,
        "concurrency": load.concurrency,
        "prefix_hit": load.prefix_hit,
        "mtp_accept": load.mtp_accept,
    }


def memory_json(memory: MemoryUse) -> Json:
    return {
        "capacity_bytes": memory.capacity,
        "weights_bytes": memory.weights,
        "kv_cache_bytes": memory.kv_cache,
        "activations_bytes": memory.activations,
        "reserved_bytes": memory.reserved,
        "headroom_bytes": memory.headroom,
    }


def operator_json(row: OperatorRow) -> Json:
    return {
        "phase": row.phase,
        "name": row.name,
        "family": row.family,
        "count": row.count,
        "time_s": row.time_s,
        "flops": row.flops,
        "bytes": row.bytes,
        "bound": row.bound,
        "evidence": row.evidence.name.lower(),
    }


def prediction_json(prediction: Prediction, *, operators: bool = True) -> Json:
    """One prediction; ``operators`` False leaves out the table, as for the points of a Pareto front."""
    result: Json = {
        "deployment": deployment_json(prediction.deployment),
        "load": load_json(prediction.load),
        "ttft_s": estimate_json(prediction.ttft),
        "tpot_s": estimate_json(prediction.tpot),
        "output_tokens_per_s": estimate_json(prediction.output_tokens_per_s),
        "output_tokens_per_s_per_chip": prediction.output_tokens_per_s_per_chip,
        "memory_per_chip": memory_json(prediction.memory),
        "decode_step_s": prediction.decode_step_s,
        "prefill_s": prediction.prefill_s,
        "batch": prediction.batch,
        "queued": prediction.queued,
        "bound": prediction.bound,
        "power_w": prediction.power_w,
        "energy_j_per_token": prediction.energy_j_per_token,
        "evidence": prediction.evidence.name.lower(),
        "notes": list(prediction.notes),
    }
    if operators:
        result["operators"] = [operator_json(row) for row in prediction.operators]
    return result


def candidate_json(candidate: Candidate, *, operators: bool = True) -> Json:
    first = candidate.prefill or candidate.prediction
    return {
        "mode": candidate.mode,
        "chips": candidate.chips,
        "replicas": candidate.replicas,
        "prefill_replicas": candidate.prefill_replicas,
        "requests_per_s": candidate.requests_per_s,
        "output_tokens_per_s": candidate.output_tokens_per_s,
        "output_tokens_per_s_per_chip": candidate.output_tokens_per_s_per_chip,
        "ttft_s": estimate_json(first.ttft, candidate.kv_transfer_s if candidate.prefill else 0.0),
        "tpot_s": estimate_json(candidate.prediction.tpot),
        "kv_transfer_s": candidate.kv_transfer_s,
        "usd_per_hour": candidate.usd_per_hour,
        "usd_per_mtok": candidate.usd_per_mtok,
        "price_basis": candidate.price_basis or None,
        "power_kw": candidate.power_kw,
        "joules_per_token": candidate.joules_per_token,
        "simulated": asdict(candidate.simulated) if candidate.simulated else None,
        "prediction": prediction_json(candidate.prediction, operators=operators),
        "prefill": prediction_json(candidate.prefill, operators=operators) if candidate.prefill else None,
    }


def targets_json(targets: Targets) -> Json:
    return {
        "isl_tokens": targets.isl,
        "osl_tokens": targets.osl,
        "ttft_s": targets.ttft_s or None,
        "tpot_s": targets.tpot_s or None,
        "requests_per_s": targets.requests_per_s or None,
    }


def chip_plan_json(chip: ChipPlan) -> Json:
    return {
        "name": chip.name,
        "best": candidate_json(chip.best) if chip.best else None,
        "why_not": chip.why_not or None,
        "searched": chip.searched,
        "export": verdict_json(chip.verdict) if chip.verdict else None,
        "pareto": [candidate_json(point, operators=False) for point in chip.pareto],
    }


def plan_json(plan: Plan) -> Json:
    return {
        "model": plan.model,
        "targets": targets_json(plan.targets),
        "to": plan.to or None,
        "date": plan.date or None,
        "ranked": [chip.name for chip in plan.ranked],
        "chips": [chip_plan_json(chip) for chip in plan.chips],
        "notes": list(plan.notes),
    }
