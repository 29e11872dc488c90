"""How one micro-batch of one layer is cut over chips."""

from __future__ import annotations

from dataclasses import dataclass

from windtunnel.workload.llm.precision import PrecisionPlan
from windtunnel.workload.llm.tokens import StepTokens

WIDE = PrecisionPlan()


@dataclass(frozen=True, slots=True)
class Cut:
    """One micro-batch on one rank.

    sequences: of the micro-batch, each of ``length`` tokens, cut cp ways (context parallel). Heads and widths are cut tp
    ways. Experts lie on ep ranks, each cut etp ways. split_sequence: between products a rank holds 1/tp of the tokens
    (sequence parallel), not a copy of all. once: a token goes once to a rank that holds several of its experts. permute:
    one kernel each way puts tokens in the order of experts, their probabilities in the activation function; else plain
    PyTorch does. flash: attention keeps no scores. dropout: two masks a layer, and one of the scores where they are kept,
    as GPT had.
    """

    sequences: int
    length: int
    tp: int = 1
    cp: int = 1
    ep: int = 1
    etp: int = 1
    precision: PrecisionPlan = WIDE
    split_sequence: bool = True
    once: bool = True
    permute: bool = True
    flash: bool = True
    dropout: bool = False

    @property
    def tokens(self) -> float:
        """Tokens that the ranks of one tensor-parallel group work on together."""
        return self.sequences * self.length / self.cp

    @property
    def own(self) -> float:
        """Tokens that one rank holds between products."""
        return self.tokens / self.tp if self.split_sequence else self.tokens

    @property
    def shared(self) -> StepTokens:
        """The same for the blocks of ``workload.llm``: each rank of a context-parallel group takes an early and a late part
        of a sequence, so that its queries see on average what those of the whole sequence see: half of it."""
        part = self.length / self.cp
        return StepTokens(
            prefill_tokens=self.tokens, prefill_sequences=self.sequences, prefill_context=(self.length - part) / 2.0
        )
