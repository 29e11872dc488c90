"""What one engine step works on, as one data-parallel rank sees it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StepTokens:
    """The tokens of one step on ONE data-parallel rank; decode and prefill may share the step.

    decode_batch: sequences that decode; decode_context: keys that a decoding token sees on average, itself
    included; decode_q: tokens a sequence puts through the model, 1 + drafted ones with multi-token prediction.
    prefill_tokens: new prompt tokens over all ``prefill_sequences`` (0 with tokens to do means one);
    prefill_context: tokens of each such sequence that are in the cache already, from earlier chunks or a
    prefix that was hit.
    """

    decode_batch: float = 0.0
    decode_context: float = 0.0
    prefill_tokens: float = 0.0
    prefill_context: float = 0.0
    prefill_sequences: float = 0.0
    decode_q: float = 1.0

    @property
    def decode_tokens(self) -> float:
        """Tokens that decoding sequences put through the model."""
        return self.decode_batch * self.decode_q

    @property
    def tokens(self) -> float:
        """All tokens of the step: the rows of its matrix products."""
        return self.decode_batch * self.decode_q + self.prefill_tokens

    @property
    def decode_kv(self) -> float:
        """Length of a decoding sequence once the step's tokens are in its cache."""
        return max(self.decode_context, 1.0) + self.decode_q - 1.0

    @property
    def sequences(self) -> float:
        """Sequences with prompt tokens in the step."""
        return (self.prefill_sequences or 1.0) if self.prefill_tokens else 0.0

    @property
    def chunk(self) -> float:
        """New prompt tokens of one sequence."""
        return self.prefill_tokens / (self.prefill_sequences or 1.0)

    @property
    def prefill_kv(self) -> float:
        """Length of a prefilled sequence once the step's tokens are in its cache."""
        return self.prefill_context + self.chunk

    @property
    def logit_rows(self) -> float:
        """Rows of the output head: every decoded token, the last token of every prompt."""
        return self.decode_batch * self.decode_q + self.sequences
