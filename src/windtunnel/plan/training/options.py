"""What may be said of a training run, and what is taken where nothing is: the model's published recipe, else the usual."""

from __future__ import annotations

from dataclasses import dataclass, field

from windtunnel.catalog.model import ModelSpec
from windtunnel.catalog.recipe import OPTIMIZERS, PRECISIONS, Recipe
from windtunnel.errors import InvalidInputError, UnknownNameError
from windtunnel.plan.training.search import FixedLayout
from windtunnel.plan.training.step import Work

USUAL_LENGTH = 8192
"""Tokens of a sequence where nobody says. **Source:** Llama 3 (arXiv 2407.21783, section 3.4.1)."""
USUAL_TOKENS = 16 * 2**20
"""Tokens of a step where nobody says. **Source:** the same, of its main phase."""


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """What may be said of a run beyond model, chips and tokens; 0, "" and None: to be chosen, or not told.

    length: tokens of a sequence; batch_tokens: of a step; drafts: with multi-token prediction. mtbf_s: of the cluster;
    storage_bytes_per_s: at which it writes checkpoints; network_chips: how many chips its network
    joins, network_bytes_per_s: what one chip sends over it.
    """

    length: int = 0
    batch_tokens: float = 0.0
    precision: str = ""
    optimizer: str = ""
    framework: str = ""
    drafts: bool | None = None
    fixed: FixedLayout = field(default_factory=FixedLayout)
    mtbf_s: float = 0.0
    storage_bytes_per_s: float = 0.0
    restart_s: float = 0.0
    every_s: float = 0.0
    network_chips: int = 0
    network_bytes_per_s: float = 0.0


def work_told(spec: ModelSpec, recipe: Recipe | None, options: TrainingOptions) -> tuple[Work, list[str]]:
    """What is trained, and lines on what was taken from where."""
    notes = []
    told = recipe.source.partition(",")[0] if recipe else ""
    length, batch_tokens, precision, optimizer, drafts = (
        options.length, options.batch_tokens, options.precision, options.optimizer, options.drafts
    )  # fmt: skip
    taken = []
    if not length:
        length = recipe.length if recipe else min(USUAL_LENGTH, spec.max_context or USUAL_LENGTH)
        taken.append(f"sequences of {length:,} tokens")
    if spec.max_context and length > spec.max_context:
        raise InvalidInputError("sequence", f"{length:,} tokens are over {spec.id}'s context of {spec.max_context:,}")
    exact = bool(batch_tokens)
    if exact and batch_tokens < length:
        raise InvalidInputError(
            "batch_tokens", f"{batch_tokens:,.0f} tokens are less than a sequence of {length:,}; nearest that would do: {length}"
        )  # fmt: skip
    if not exact:
        batch_tokens = recipe.batch_tokens if recipe else USUAL_TOKENS
        taken.append(f"{batch_tokens / 1e6:,.3g} million tokens a step")
    if not precision:
        precision = recipe.precision if recipe else "bf16"
        taken.append(precision.upper())
    if not optimizer:
        optimizer = recipe.optimizer if recipe else "adam"
        taken.append("Adam with BF16 moments" if optimizer == "adam-bf16" else "Adam in FP32")
    if drafts is None:
        drafts = recipe.drafts if recipe else False
        if drafts:
            taken.append("with multi-token prediction")
    elif drafts and not spec.mtp_layers:
        raise InvalidInputError("mtp", f"{spec.id} has no layers of multi-token prediction; leave it out")
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, PRECISIONS)
    if optimizer not in OPTIMIZERS:
        raise UnknownNameError("optimizer", optimizer, OPTIMIZERS)
    if taken:
        source = (
            f"as {spec.id} was trained ({recipe.id}: {told})" if recipe else "assumed, as Llama 3 was trained (arXiv 2407.21783)"
        )
        notes.append(f"{', '.join(taken)}: {source}.")
    batch = max(round(batch_tokens / length), 1)
    if exact and batch * length != batch_tokens:
        notes.append(f"{batch_tokens:,.0f} tokens a step are rounded to {batch:,} sequences of {length:,}.")
    return Work(spec, length, batch, precision, optimizer, drafts, exact), notes
