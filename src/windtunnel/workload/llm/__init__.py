"""Language models as serving engines execute them: operators of a step, and what a rank must hold."""

from windtunnel.workload.llm.memory import activation_bytes, kv_bytes, kv_bytes_per_token, state_bytes, weights_bytes
from windtunnel.workload.llm.parallel import ParallelPlan, parallel_plan
from windtunnel.workload.llm.precision import PrecisionPlan, precision_plan
from windtunnel.workload.llm.step import Workload, step_ops
from windtunnel.workload.llm.tokens import StepTokens

__all__ = [
    "ParallelPlan",
    "PrecisionPlan",
    "StepTokens",
    "Workload",
    "activation_bytes",
    "kv_bytes",
    "kv_bytes_per_token",
    "parallel_plan",
    "precision_plan",
    "state_bytes",
    "step_ops",
    "weights_bytes",
]
