"""OpenVINO GenAI in a process of its own. A step of its pipeline keeps Python's lock (the GIL) for as long as it computes, which
for a long prompt is seconds: whatever shared a process with it would stand still.

Reads lines of JSON and writes lines of JSON. First comes one that says what to load, and ``{"ready": true}`` or
``{"unsupported": why}`` answers it. Then:

    {"ask": 7, "ids": [1, 2] or "text": "..." or "history": [...], "config": {...}, "most": 100, "least": 0,
     "said": "", "made": 0}
    {"leave": 7}

    {"taken": 7, "tokens": 2}                   its prompt is this long
    {"too_long": 7, "tokens": 5000}
    {"refused": 7, "why": "...", "param": "messages"}
    {"made": [[7, [345], ""], ...], "texts": {"345": " four"}}    of each answer: tokens, and why it is over

``said`` and ``made``: of an answer that began elsewhere, its text and how many tokens that was. ``texts``: what tokens spell that
were not made before, where ``spelled`` was asked for.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO

GATHER_S = 0.002
"""How long the first request after none waits for another one: those that come together are computed together."""
BATCH_TOKENS = 2048
"""Of prompts, that one step takes in: a client that leaves is noticed between two."""


class NotTakenError(Exception):
    """A request that is answered by a line instead of tokens."""

    def __init__(self, line: Mapping[str, Any]) -> None:
        super().__init__(str(line))
        self.line = line


class Child:
    """The pipeline, and the answers under way. Raises RuntimeError where OpenVINO does not take the model."""

    def __init__(self, load: Mapping[str, Any]) -> None:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # nobody is told of who serves what
        self._genai: Any = importlib.import_module("openvino_genai")
        self._openvino: Any = importlib.import_module("openvino")
        self._numpy: Any = importlib.import_module("numpy")
        config = self._genai.SchedulerConfig()
        config.max_num_batched_tokens, config.max_num_seqs = BATCH_TOKENS, load["parallel"]
        config.enable_prefix_caching = True
        config.cache_size = load["cache_gib"]
        options = {"INFERENCE_NUM_THREADS": load["threads"]} if load["threads"] else {}
        self._pipeline: Any = self._genai.ContinuousBatchingPipeline(load["path"], config, "CPU", options)
        self._tokenizer: Any = self._pipeline.get_tokenizer()
        reason = self._genai.GenerationFinishReason
        self._finish = {int(reason.STOP): "stop", int(reason.LENGTH): "length"}
        self._running = self._genai.GenerationStatus.RUNNING
        self._vocabulary = 1 + max(self._tokenizer.get_vocab().values(), default=-1)
        self._context, self._template = load["context"], load["template"]
        self._told: set[int] | None = set() if load["spelled"] else None
        self._handles: dict[int, Any] = {}

    def at_work(self) -> bool:
        return bool(self._handles)

    def take(self, line: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Does what a line asks; the line that answers it."""
        if "leave" in line:
            handle = self._handles.pop(line["leave"], None)
            if handle is not None:
                handle.cancel()
            return None
        try:
            return {"taken": line["ask"], "tokens": self._begin(line)}
        except NotTakenError as error:
            return error.line
        except (RuntimeError, TypeError, ValueError) as error:
            return {"refused": line["ask"], "why": f"OpenVINO GenAI does not take the request: {_last_line(error)}"}

    def _begin(self, line: Mapping[str, Any]) -> int:
        """Tokens of the prompt."""
        number, most, made = line["ask"], line["most"], line["made"]
        ids = self._ids(line)
        tokens = int(ids.shape[-1])
        if tokens + (most or 1) > self._context:
            raise NotTakenError({"too_long": number, "tokens": tokens})
        whole = ids
        if line["said"]:
            more = self._tokenizer.encode(line["said"], add_special_tokens=False).input_ids.data
            whole = self._numpy.concatenate([ids, more], axis=1)
        room = self._context - int(whole.shape[-1])  # text cut anew may be a few tokens more than were made
        rest = max(1, min((most or self._context - tokens) - made, room))
        least = min(max(0, line["least"] - made), rest)
        config = self._genai.GenerationConfig(**line["config"], min_new_tokens=least, max_new_tokens=rest)
        config.set_eos_token_id(self._tokenizer.get_eos_token_id())
        self._handles[number] = self._pipeline.add_request(number, self._openvino.Tensor(whole), config)
        return tokens

    def _ids(self, line: Mapping[str, Any]) -> Any:
        """The prompt's tokens, as an array of one row."""
        if "ids" in line:
            if not 0 <= min(line["ids"]) <= max(line["ids"]) < self._vocabulary:
                why = f"a token of the prompt is not one of the model's {self._vocabulary:,}"
                raise NotTakenError({"refused": line["ask"], "why": why, "param": "prompt"})
            return self._numpy.array([line["ids"]], dtype=self._numpy.int64)
        text, special = line.get("text"), True
        if text is None:
            try:
                text, special = self._tokenizer.apply_chat_template(line["history"], True, self._template), False
            except (RuntimeError, TypeError) as error:
                why = f"the model's chat template does not take the messages: {error}"
                raise NotTakenError({"refused": line["ask"], "why": why, "param": "messages"}) from None
        return self._tokenizer.encode(text, add_special_tokens=special).input_ids.data.copy()

    def step(self) -> Mapping[str, Any] | None:
        """Computes a token of each answer, or takes prompts in; what came of it."""
        if self._pipeline.has_non_finished_requests():
            self._pipeline.step()
        made = []
        for number, handle in list(self._handles.items()):
            tokens, finish = self._new_of(handle)
            if finish:
                del self._handles[number]
            if tokens or finish:
                made.append((number, tokens, finish))
        if not made:
            return None
        return {"made": made} if self._told is None else {"made": made, "texts": self._texts(made)}

    def _new_of(self, handle: Any) -> tuple[list[int], str]:
        """Tokens of an answer since the last step, and why it is over. All other answers wait for it: each call counts."""
        if not handle.can_read():
            return [], "" if handle.get_status() == self._running else "length"
        (output,) = handle.read().values()
        return output.generated_ids, self._finish.get(int(output.finish_reason), "")

    def _texts(self, made: list[tuple[int, list[int], str]]) -> Mapping[int, str]:
        assert self._told is not None
        new = {token for _, tokens, _ in made for token in tokens} - self._told
        self._told |= new
        return {token: str(self._tokenizer.decode([token])) for token in new}


def run(child: Child, lines: SimpleQueue[Mapping[str, Any]], out: BinaryIO) -> None:
    """Until the process ends."""
    while True:
        for line in _come(lines, wait=not child.at_work()):
            answer = child.take(line)
            if answer is not None:
                _write(out, answer)
        made = child.step()
        if made is not None:
            _write(out, made)


def _come(lines: SimpleQueue[Mapping[str, Any]], *, wait: bool) -> Iterator[Mapping[str, Any]]:
    """What has come. wait: for the first one, and for a moment after each."""
    if wait:
        yield lines.get()
    while True:
        try:
            yield lines.get(timeout=GATHER_S) if wait else lines.get_nowait()
        except Empty:
            return


def _write(out: BinaryIO, line: Mapping[str, Any]) -> None:
    out.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
    out.flush()


def _last_line(error: Exception) -> str:
    """What OpenVINO means, which it says after where in its sources."""
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), "it says no reason")[:300]


def _read(told: BinaryIO, lines: SimpleQueue[Mapping[str, Any]]) -> None:
    try:
        for line in told:
            lines.put(json.loads(line))
    finally:
        os._exit(0)  # nobody asks any more


def main() -> None:
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what OpenVINO prints is no line of ours
    told = os.fdopen(os.dup(0), "rb")  # of our own: Python closes its own one at the end, and waits for who reads it
    load = json.loads(told.readline())
    lines: SimpleQueue[Mapping[str, Any]] = SimpleQueue()
    threading.Thread(target=_read, args=(told, lines), daemon=True).start()
    try:
        child = Child(load)
    except RuntimeError as error:
        _write(out, {"unsupported": _last_line(error)})
        return
    _write(out, {"ready": True})
    run(child, lines, out)
