"""How an engine of a deployment is set up: step size, running requests, and how many blocks its cache has."""

from __future__ import annotations

import math
from dataclasses import dataclass

from windtunnel.errors import DoesNotFitError, InvalidInputError
from windtunnel.sim.instance import Instance
from windtunnel.sim.prediction import Load
from windtunnel.sim.working_point import CHUNK_TOKENS, OWN_STEPS, room
from windtunnel.workload import llm

BLOCK_TOKENS = {"vllm": 16, "vllm-ascend": 128, "sglang": 1, "trtllm": 32}
"""Tokens of a cache block. **Source:** the engines' argument defaults, recalled; vLLM's stands in for other engines."""
NO_LIMIT = 1 << 40
_FULL = 1e4


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for in place of the engine's own settings; None leaves the engine's."""

    chunk_tokens: int | None = None
    max_running: int | None = None
    block_tokens: int | None = None
    kv_tokens: int | None = None
    prefix_caching: bool | None = None
    chunked_prefill: bool | None = None
    mtp_accept: float = 0.0


@dataclass(frozen=True, slots=True)
class Settings:
    """One engine, over all of its data-parallel ranks, which share requests evenly.

    chunk_tokens: new tokens of a step, a rank; blocks: of the KV cache, ``block_tokens`` each; fixed_blocks: what a
    request takes beside those that grow with it (recurrent state, sliding windows). chunked_prefill: whether a prompt
    may take several steps; mixed_steps: whether requests decode in a
    step that prefills too, and their tokens count towards its tokens; else they stand still for it.
    """

    chunk_tokens: int = 8192
    max_running: int = NO_LIMIT
    blocks: int = NO_LIMIT
    block_tokens: int = 16
    fixed_blocks: int = 0
    prefix_caching: bool = False
    chunked_prefill: bool = True
    mixed_steps: bool = True
    notes: tuple[str, ...] = ()

    @property
    def kv_tokens(self) -> int:
        """Tokens that the cache holds."""
        return self.blocks * self.block_tokens

    def blocks_of(self, tokens: int) -> int:
        """Blocks of one request with so many tokens in the cache."""
        return -(-tokens // self.block_tokens) + self.fixed_blocks

    def fits(self, input_tokens: int, output_tokens: int) -> bool:
        """Whether a request alone finds room to its last token, whose own cache is never written."""
        return self.blocks_of(input_tokens + output_tokens - 1) <= self.blocks


def settings_of(of: Instance, isl: float, osl: float, options: Options | None = None) -> Settings:
    """The engine of ``of`` for requests of about isl tokens in and osl out. Raises DoesNotFitError, InvalidInputError."""
    asked = options or Options()
    traits, notes = of.traits, []
    chunk = int(asked.chunk_tokens or traits.get("chunk_tokens", CHUNK_TOKENS))
    size = asked.block_tokens or BLOCK_TOKENS.get(of.engine, BLOCK_TOKENS["vllm"])
    for field, value in (("chunk tokens", chunk), ("block tokens", size)):
        if not 1 <= value <= 1 << 24:
            raise InvalidInputError(field, f"{value} is not between 1 and {1 << 24:,}")
    running = asked.max_running or traits.get("max_running", math.inf) * of.parallel.dp
    blocks, fixed = NO_LIMIT, 0
    if asked.kv_tokens is not None:
        blocks = asked.kv_tokens // size
    else:
        space = room(of, Load(isl, osl, _FULL))
        if space.raised:
            notes.append(f"needs {space.fraction:.0%} of device memory, more than {of.engine} takes by default")
        free = (of.capacity * space.fraction - of.weights - space.activations) * of.parallel.dp
        growth = llm.kv_bytes_per_token(of.spec, of.parallel, of.precision)
        context = isl + osl / 2.0
        beside = of.kv_bytes(context) - growth * context
        if growth > 0.0:
            blocks = int(free / (growth * size))
            fixed = math.ceil(beside / (growth * size) - 1e-9)
        elif beside > 0.0:
            running = min(running, free // beside)
    if blocks < 1:
        raise DoesNotFitError(f"the KV cache of {of.deployment.model} on {of.deployment.chip} has no room for one block")
    return Settings(
        chunk_tokens=chunk,
        max_running=int(min(running, NO_LIMIT)),
        blocks=blocks,
        block_tokens=size,
        fixed_blocks=fixed,
        prefix_caching=traits.does("prefix_caching") if asked.prefix_caching is None else asked.prefix_caching,
        chunked_prefill=traits.does("chunked_prefill") if asked.chunked_prefill is None else asked.chunked_prefill,
        mixed_steps=of.engine not in OWN_STEPS,
        notes=tuple(notes),
    )
