"""Language models as training loops execute them: a layer forward and backward, what it keeps, what it holds."""

from windtunnel.workload.training.collected import Exchange, LayerWork
from windtunnel.workload.training.cut import Cut
from windtunnel.workload.training.layer import embedding_work, head_work, layer_work
from windtunnel.workload.training.numbers import LayerNumbers, layer_numbers, model_flops_per_token
from windtunnel.workload.training.passes import as_pass, quantises

__all__ = [
    "Cut",
    "Exchange",
    "LayerNumbers",
    "LayerWork",
    "as_pass",
    "embedding_work",
    "head_work",
    "layer_numbers",
    "layer_work",
    "model_flops_per_token",
    "quantises",
]
