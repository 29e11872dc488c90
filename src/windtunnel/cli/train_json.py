"""A training plan as one JSON object: stable keys, SI numbers with the unit in the key, unknown as null."""

from __future__ import annotations

from dataclasses import asdict

from windtunnel.cli.as_json import Json, estimate_json
from windtunnel.cli.rules.check import verdict_json
from windtunnel.plan.training.failures import Failures
from windtunnel.plan.training.result import ChipTraining, Training, TrainingPlan
from windtunnel.plan.training.step import Step


def step_json(step: Step) -> Json:
    inside = step.inside
    return {
        "total_s": step.total_s,
        "products_s": inside.products,
        "attention_s": inside.attention,
        "passes_s": inside.passes,
        "recompute_s": step.again_s,
        "tensor_parallel_s": inside.tensor,
        "context_parallel_s": inside.context,
        "expert_parallel_s": inside.experts,
        "slowed_s": inside.slowed,
        "bubble_s": step.bubble_s,
        "pipeline_sends_s": step.sends_s,
        "replicas_s": step.replicas_s,
        "optimizer_s": step.optimizer_s,
        "beyond_s": step.beyond_s,
        "tokens": step.tokens,
        "micro_batches": step.micro_batches,
    }


def failures_json(failures: Failures, wall_s: float) -> Json:
    return {
        "mtbf_s": {"value": failures.mtbf_s, "low": failures.mtbf_low_s, "high": failures.mtbf_high_s},
        "expected": failures.expected(wall_s),
        "checkpoint_s": failures.checkpoint_s,
        "interval_s": failures.interval_s,
        "restart_s": failures.restart_s,
        "goodput": {"value": failures.goodput, "low": failures.goodput_low, "high": failures.goodput_high},
        "source": failures.source,
    }


def run_json(run: Training) -> Json:
    layout, memory = run.step.layout, run.step.memory
    return {
        "chips": run.chips,
        "framework": run.framework,
        "precision": run.precision,
        "layout": {**asdict(layout), "text": layout.text},
        "tokens_per_s_per_chip": estimate_json(run.tokens_per_s_per_chip),
        "mfu": run.mfu,
        "mfu_own": run.mfu_own,
        "hfu": run.hfu,
        "days": estimate_json(run.days),
        "chip_hours": estimate_json(run.chip_hours),
        "usd": estimate_json(run.usd) if run.usd else None,
        "energy_kwh": run.energy_kwh,
        "price_basis": run.price_basis or None,
        "step": step_json(run.step),
        "memory_bytes": {**asdict(memory), "total": memory.total, "headroom": memory.headroom},
        "failures": failures_json(run.failures, run.days.value * 86_400.0),
        "naive_days": run.naive_days,
        "searched": run.searched,
    }


def chip_json(chip: ChipTraining) -> Json:
    return {
        "name": chip.name,
        "training": run_json(chip.training) if chip.training else None,
        "why_not": chip.why_not or None,
        "export": verdict_json(chip.verdict) if chip.verdict else None,
    }


def training_json(plan: TrainingPlan) -> Json:
    return {
        "model": plan.model,
        "tokens": plan.tokens,
        "days": plan.days or None,
        "sequence_tokens": plan.length,
        "batch_sequences": plan.batch,
        "precision": plan.precision,
        "optimizer": plan.optimizer,
        "to": plan.to or None,
        "date": plan.date or None,
        "ranked": [chip.name for chip in plan.ranked],
        "chips": [chip_json(chip) for chip in plan.chips],
        "notes": list(plan.notes),
    }
