"""A serving engine that counts every step and every block: slow, plain, and what the fast one must agree with."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from windtunnel.sim.serving.request import Request
from windtunnel.sim.serving.settings import Settings


class Even:
    """Step times that grow evenly with the batch and the context."""

    def __init__(self, base: float = 0.01, each: float = 0.001, key: float = 1e-6, token: float = 1e-4) -> None:
        self.base, self.each, self.key, self.token = base, each, key, token
        self.ranks = 1

    def decode_s(self, running: int, context: float) -> float:
        return self.base + running * (self.each + self.key * context)

    def prompts_s(self, tokens: int, work: float, sequences: int, decoding: bool) -> tuple[float, float]:
        return 0.002 + tokens * self.token + work * 1e-8, 0.003 if decoding else 0.001


@dataclass
class Job:
    number: int
    request: Request
    done: int = 0
    made: int = 0
    target: int = 0
    shared: list[int] = field(default_factory=list)
    first_s: float = -1.0
    late_s: float = 0.0
    end_s: float = -1.0

    @property
    def context(self) -> int:
        """Tokens in the cache once prefilled."""
        return self.request.input_tokens + self.made - 1


class Literal:
    """One engine. Times of first token and end by request."""

    def __init__(self, times: Even, settings: Settings) -> None:
        self.times, self.s = times, settings
        self.now = 0.0
        self.jobs: list[Job] = []
        self.waiting: list[Job] = []
        self.partial: list[Job] = []
        self.running: list[Job] = []
        self.cached: dict[object, int] = {}  # segment: blocks; in the order in which they were last let go of
        self.users: dict[int, int] = {}
        self.preemptions = self.hits = self.left = 0
        self.shared_seen = False

    # blocks

    def segment_blocks(self, request: Request, i: int) -> int:
        def end(n: int) -> int:
            return min(n * request.segment_tokens, request.input_tokens) // self.s.block_tokens

        return end(i + 1) - end(i)

    def own_blocks(self, job: Job, tokens: int) -> int:
        shared = sum(self.segment_blocks(job.request, i) for i in range(len(job.shared)))
        return -(-(tokens - shared * self.s.block_tokens) // self.s.block_tokens) + self.s.fixed_blocks

    def taken(self, more: int = 0) -> int:
        own = sum(self.own_blocks(j, j.context + more) for j in self.running)
        own += sum(self.own_blocks(j, j.target) for j in self.partial)
        return own + sum(self.cached[segment] for segment in self.users)

    def shrink(self, more: int = 0) -> None:
        idle = [key for key in self.cached if key not in self.users]
        while idle and sum(self.cached[key] for key in idle) > self.s.blocks - self.taken(more):
            del self.cached[idle.pop(0)]

    def found(self, job: Job) -> tuple[int, int]:
        """Segments, and blocks, of the job that are here."""
        request, held = job.request, 0
        while self.s.prefix_caching and held < len(request.prefix) and request.prefix[held] in self.cached:
            held += 1
        return held, min(held * request.segment_tokens, request.input_tokens) // self.s.block_tokens

    # a request's way

    def admit(self, job: Job) -> bool:
        request, s = job.request, self.s
        held, hit = self.found(job)
        woken = sum(self.cached[x] for x in request.prefix[:held] if x not in self.users)
        need = -(-job.target // s.block_tokens) + s.fixed_blocks - hit + woken
        if need > s.blocks - self.taken(1):
            return False
        if s.prefix_caching and request.prefix:
            self.shared_seen = True
        for segment in request.prefix[:held]:
            self.users[segment] = self.users.get(segment, 0) + 1
        job.shared = list(request.prefix[:held])
        job.done = min(hit * s.block_tokens, job.target - 1)
        self.hits += job.done
        return True

    def prefilled(self, job: Job, at: float, late: float) -> None:
        self.partial.remove(job)
        job.made += 1
        if job.first_s < 0:
            job.first_s, job.late_s = at, late
        if self.s.prefix_caching:
            for i in range(len(job.shared), len(job.request.prefix)):
                segment = job.request.prefix[i]
                if segment in self.cached:
                    break
                self.cached[segment] = self.segment_blocks(job.request, i)
                self.users[segment] = 1
                job.shared.append(segment)
        self.running.append(job)
        if job.made >= job.request.output_tokens:
            self.leave(job)
            job.end_s = at + job.late_s

    def leave(self, job: Job) -> None:
        if self.shared_seen:
            self.shrink()
        own = self.own_blocks(job, job.context) - self.s.fixed_blocks
        self.running.remove(job)
        if self.shared_seen and own > 0:
            self.left += 1
            self.cached[("left", self.left)] = own
        for segment in reversed(job.shared):
            self.users[segment] -= 1
            if not self.users[segment]:
                del self.users[segment]
                self.cached[segment] = self.cached.pop(segment)  # now the latest
        job.shared = []

    def preempt(self) -> None:
        job = self.running[-1]
        self.leave(job)
        job.target, job.done = job.request.input_tokens + job.made, 0
        self.waiting.insert(0, job)
        self.preemptions += 1

    def run(self, requests: list[Request]) -> None:
        s = self.s
        coming = [Job(i, r, target=r.input_tokens) for i, r in enumerate(requests)]
        self.jobs = list(coming)
        while coming or self.waiting or self.partial or self.running:
            if not (self.waiting or self.partial or self.running):
                self.now = max(self.now, coming[0].request.arrival_s)
            while coming and coming[0].request.arrival_s <= self.now:
                self.waiting.append(coming.pop(0))
            short = False
            while self.running and self.taken(1) > s.blocks:
                self.preempt()
                short = True
            budget = s.chunk_tokens - (len(self.running) if s.chunked_prefill and s.mixed_steps else 0)
            parts: list[tuple[Job, int]] = []
            for job in self.partial:
                if budget > 0:
                    new = min(job.target - job.done, s.chunk_tokens, budget)
                    parts.append((job, new))
                    budget -= new
            while self.waiting and not short and budget > 0 and len(self.running) + len(self.partial) < s.max_running:
                job = self.waiting[0]
                if self.shared_seen:
                    self.shrink(1)
                hit = self.found(job)[1] * s.block_tokens
                if not s.chunked_prefill and parts and job.target - min(hit, job.target - 1) > budget:
                    break
                if not self.admit(job):
                    break
                self.waiting.pop(0)
                self.partial.append(job)
                if self.shared_seen:
                    self.shrink(1)
                left = job.target - job.done
                new = min(left, s.chunk_tokens, budget) if s.chunked_prefill else left
                parts.append((job, new))
                budget -= new
            self.step(parts)

    def step(self, parts: list[tuple[Job, int]]) -> None:
        count = len(self.running)
        start = self.now
        decodes = count > 0 and (not parts or self.s.mixed_steps)
        busy = late = 0.0
        if parts:
            work = sum(new * (job.done + new / 2.0) for job, new in parts)
            busy, late = self.times.prompts_s(sum(new for _, new in parts), work, len(parts), count > 0)
        if decodes:
            context = sum(job.context for job in self.running) / count + 1.0
            self.now += self.times.decode_s(count, context)
        self.now += busy
        if decodes:
            for job in list(self.running):
                job.made += 1
            finished = [j for j in self.running if j.made >= j.request.output_tokens]
            for job in sorted(finished, key=lambda j: j.number):
                self.leave(job)
                job.end_s = self.now + job.late_s
        for job, new in parts:
            job.done += new
            if job.done == job.target:
                self.prefilled(job, start + busy, late)
        assert math.isfinite(self.now)
