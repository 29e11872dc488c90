"""Who makes the tokens: answers in a batch by transformers' continuous batching, or one after the other by its ``generate``.

Both give each token to the job that it is for, from a thread of their own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from queue import Empty, SimpleQueue
from typing import Any

import torch

from windtunnel.serve.engine.hardware import free_bytes
from windtunnel.serve.engine.transformers.loaded import Loaded
from windtunnel.serve.engine.transformers.wanted import Wanted

PAGE_TOKENS = 256
"""Of the KV cache; what transformers takes by itself."""
MOST_TOGETHER = 32
"""Answers in a batch."""
STEP_TOKENS = 512
"""Of prompts in a step."""
CPU_SHARE = 0.25
"""Of the free memory, for the KV cache beside a model on the CPU; accelerators' memory is shared out by transformers itself."""
TRIAL_S = 120.0
"""For the first token of all, before continuous batching is taken for not working here."""
LOG = logging.getLogger("windtunnel.serve")
logging.getLogger("ContinuousBatchingLogger").setLevel(logging.CRITICAL)  # what ends it is told by `ill`


class Job:
    """One answer to be made. put: called with each token, from another thread; over: with "" at the end, or with what failed."""

    def __init__(self, wanted: Wanted, put: Callable[[int], None], over: Callable[[str], None]) -> None:
        self.wanted, self.put, self.over = wanted, put, over
        self.left = threading.Event()
        self.running = False
        self.name = ""


class Alone:
    """One answer after the other. pause: holds whoever else uses the model."""

    def __init__(self, loaded: Loaded, pause: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self._loaded, self._pause = loaded, pause
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="transformers", daemon=True)
        self._thread.start()

    def add(self, job: Job) -> None:
        self._jobs.put(job)

    def leave(self, job: Job) -> None:
        """Nobody wants the rest: it ends with the token that is being made."""
        job.left.set()

    def close(self) -> None:
        self._jobs.put(None)
        self._thread.join(10.0)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if job.left.is_set():
                continue
            job.running = True
            try:
                with self._pause():
                    self._make(job)
                failed = ""
            except Exception as error:  # of the model's own code: of any type, and no reason to end the others
                LOG.exception("transformers")
                failed = _first_line(error)
            job.running = False
            job.over(failed)

    def _make(self, job: Job) -> None:
        from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList
        from transformers.generation.streamers import BaseStreamer

        class Left(StoppingCriteria):  # type: ignore[misc, unused-ignore]
            def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
                return torch.full((input_ids.shape[0],), job.left.is_set(), device=input_ids.device, dtype=torch.bool)

        class Tokens(BaseStreamer):  # type: ignore[misc, unused-ignore]
            prompted = False

            def put(self, value: Any) -> None:
                if self.prompted:
                    job.put(int(value.reshape(-1)[0]))
                self.prompted = True

            def end(self) -> None: ...

        it = job.wanted
        samples = it.temperature > 0 and it.top_k != 1
        choosing = {"temperature": it.temperature, "top_p": it.top_p or 1e-6, "top_k": it.top_k} if samples else {}
        config = GenerationConfig(
            max_new_tokens=it.most,
            min_new_tokens=it.least or None,
            do_sample=samples,
            repetition_penalty=it.repetition_penalty,
            eos_token_id=list(it.ends) or None,
            pad_token_id=it.ends[0] if it.ends else 0,
            **choosing,
        )
        ids = torch.tensor([it.ids], device=self._loaded.device.torch_name)
        if it.seed is not None:
            torch.manual_seed(it.seed)
        with torch.inference_mode():
            self._loaded.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                generation_config=config,
                streamer=Tokens(),
                stopping_criteria=StoppingCriteriaList([Left()]),
            )


class Batch:
    """Answers side by side. Raises RuntimeError where transformers' continuous batching does not work for this model here.

    context: tokens that a request may have, since its cache has to hold the longest whole.
    """

    def __init__(self, loaded: Loaded) -> None:
        from transformers import ContinuousBatchingConfig, GenerationConfig

        if loaded.config._attn_implementation != "sdpa":
            raise RuntimeError(f"its attention is {loaded.config._attn_implementation}, not sdpa")
        blocks = _cpu_blocks(loaded) if loaded.device.kind == "cpu" else None
        config = ContinuousBatchingConfig(
            page_size=PAGE_TOKENS,
            num_blocks=blocks,
            max_batch_tokens=STEP_TOKENS if blocks else None,
            max_requests_per_batch=MOST_TOGETHER,
            per_request_processors=True,  # a temperature for each
            auto_switch_to_flash=False,  # the other maker uses the same model
            use_cuda_graph=False,  # which a second user of the model would break
            use_async_batching=False,
        )
        # those ways to choose that are set here can be set for each request
        basis = GenerationConfig(do_sample=True, temperature=0.5, top_p=0.5, top_k=50, max_new_tokens=1)
        self._jobs: dict[str, Job] = {}
        self._given: dict[str, int] = {}
        self._count = 0
        self._vocabulary = int(loaded.config.vocab_size)
        self._closed = False
        self._manager = loaded.model.init_continuous_batching(generation_config=basis, continuous_batching_config=config)
        self._manager.start()
        self._reader = threading.Thread(target=self._read, name="transformers-batch", daemon=True)
        self._reader.start()
        try:
            self._try(loaded)
        except BaseException:
            self.close()
            raise
        held = getattr(getattr(self._manager.batch_processor, "cache", None), "num_blocks", blocks)
        holds = (held or 0) * PAGE_TOKENS
        self.context = min(filter(None, (loaded.context, holds)), default=0)

    def _try(self, loaded: Loaded) -> None:
        done = threading.Event()
        failed: list[str] = []

        def over(why: str) -> None:
            failed.append(why)
            done.set()

        start = loaded.ends[:1] or (0,)
        self.add(Job(Wanted(start, 1, 0, 1.0, 1.0, 0, 1.0, None, (), (), False), lambda _: None, over))
        until = time.monotonic() + TRIAL_S
        while not done.wait(0.1):
            if time.monotonic() > until:
                raise RuntimeError(f"it gave no token in {TRIAL_S:.0f} s")
            if not self._manager.is_running():
                raise RuntimeError(self.ill())
        if failed[0]:
            raise RuntimeError(failed[0])

    def add(self, job: Job) -> None:
        it = job.wanted
        self._count += 1
        name = job.name = f"r{self._count}"
        self._jobs[name] = job
        greedy = it.temperature == 0
        taken = self._manager.add_request(
            list(it.ids),
            request_id=name,
            max_new_tokens=it.most,
            streaming=True,
            eos_token_id=list(it.ends) or -1,
            temperature=1.0 if greedy else it.temperature,
            top_p=1.0 if greedy else it.top_p or 1e-6,
            top_k=1 if greedy else it.top_k or self._vocabulary,
        )
        if taken is None:
            self._end(name, self.ill() or "transformers takes no more requests")

    def _read(self) -> None:
        """Gives each token to its job, until the manager stops."""
        while not self._closed:
            try:
                output = self._manager.get_result(timeout=0.1)
            except Empty:  # pragma: no cover - of other releases
                output = None
            if output is not None:
                self._heard(output)
            elif not self._manager.is_running() and not self._closed:
                for name in list(self._jobs):
                    self._end(name, self.ill())
                time.sleep(0.1)

    def _heard(self, output: Any) -> None:
        job = self._jobs.get(output.request_id)
        if job is None:
            return  # it was left
        job.running = True
        given = self._given.get(output.request_id, 0)
        for token in output.generated_tokens[given:]:
            job.put(token)
        self._given[output.request_id] = len(output.generated_tokens)
        if output.is_finished():
            self._end(output.request_id, _first_line(output.error) if output.error else "")

    def leave(self, job: Job) -> None:
        """Nobody wants the rest: it ends with the step that is under way."""
        job.left.set()
        if self._forget(job.name) is not None:
            self._manager.cancel_request(job.name)

    def _forget(self, name: str) -> Job | None:
        self._given.pop(name, None)
        return self._jobs.pop(name, None)

    def _end(self, name: str, failed: str) -> None:
        job = self._forget(name)
        if job is not None:
            job.running = False
            job.over(failed)

    def ill(self) -> str:
        """Why no more tokens come, "" while they do."""
        if self._manager.is_running():
            return ""
        fatal = getattr(self._manager.background_thread_status, "fatal_error", None)
        return f"transformers has stopped: {_first_line(fatal)}" if fatal else "transformers has stopped"

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Nobody else uses the model meanwhile."""
        with self._manager.pause():
            yield

    def close(self) -> None:
        self._closed = True
        self._manager.stop(block=True, timeout=10.0)
        if threading.current_thread() is not self._reader:
            self._reader.join(1.0)


def _cpu_blocks(loaded: Loaded) -> int:
    """Pages of the KV cache beside a model on the CPU: for as many answers as run together, or what the memory has room for."""
    free, each = free_bytes(), loaded.kv_bytes * PAGE_TOKENS
    whole = -(-(loaded.context or 4096) // PAGE_TOKENS)
    if not each or free is None:
        return whole
    return max(4, min(whole * MOST_TOGETHER, int(CPU_SHARE * free / each)))


def _first_line(error: object) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:300]
