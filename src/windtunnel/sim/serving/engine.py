"""One serving engine: continuous batching over a paged cache, moved from event to event rather than step by step.

Between two events every decoding request gains a token a step, so one clock of tokens (``clock``) serves them all, and a run of
steps is one *plan*: it ends when a request finishes, when the cache may be full, or where an arrival cuts it. What
a request costs does not depend on how many tokens it makes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush

from windtunnel.sim.serving.prefix_cache import PrefixCache
from windtunnel.sim.serving.request import Task
from windtunnel.sim.serving.settings import Settings
from windtunnel.sim.serving.step_times import StepTimes

_LEAST_JUMP = 64
_JUMP = 0.25
"""Steps of one plan over the mean context at most: within it, a step's time grows evenly."""


class Engine:
    """Requests wait, are prefilled in chunks beside what decodes, decode together, and leave.

    The owner calls ``submit``, and at ``end_s`` ``complete`` and then ``plan``. finished: called with a task that left, and
    when.
    """

    def __init__(self, times: StepTimes, settings: Settings, name: str = "") -> None:
        self.times, self.settings, self.name = times, settings, name
        self.prefill_only = False
        self.finished: Callable[[Engine, Task, float], None] = lambda engine, task, at: None
        self.cache = PrefixCache(settings.block_tokens)
        self.up = True
        self.coming = 0  # requests on their way here, which count as load
        self.busy_s = self.running_s = self.context_s = self.waited_s = 0.0
        self.prefilled = self.asked = self.hits = self.preemptions = self.most_waiting = 0
        self.start_s = self.first_at_s = 0.0
        self._reset()

    def _reset(self) -> None:
        self.load = self.coming
        self.waiting: deque[Task] = deque()
        self.partial: list[Task] = []
        self.running: dict[int, Task] = {}
        self.clock = self.context = self.shared = self.reserved = 0
        self.late_s = 0.0
        self._ends: list[tuple[int, int, Task]] = []
        self._residues = [0] * self.settings.block_tokens
        self.end_s = math.inf
        self.steps = 0
        self.parts: list[tuple[Task, int]] = []
        self.cache.clear()

    # what others ask

    def free_blocks(self, steps: int = 0) -> int:
        """Blocks that nobody holds after so many more decode steps; what the prefix cache keeps idle counts as free."""
        size, at, running = self.settings.block_tokens, self.clock + steps, len(self.running)
        own = self.context - self.shared + running * steps
        if size > 1:
            own += sum(count * (-(residue + at) % size) for residue, count in enumerate(self._residues) if count)
        return self.settings.blocks - own // size - running * self.settings.fixed_blocks - self.reserved - self.cache.active

    def _surely_free(self, steps: int) -> int:
        """At most ``free_blocks(steps)``, for a fraction of the price."""
        size, running = self.settings.block_tokens, len(self.running)
        own = self.context - self.shared + running * (steps + size - 1)
        return self.settings.blocks - own // size - running * self.settings.fixed_blocks - self.reserved - self.cache.active

    def step_end_s(self, steps: int) -> float:
        """When so many steps of the present plan are done, if it only decodes."""
        running = len(self.running)
        context = self.context / running + 1.0
        return self.start_s + steps * self.times.decode_s(running, context + (steps - 1) * 0.5) if steps else self.start_s

    # what happens

    def submit(self, task: Task, now: float) -> bool:
        """A request arrives; True where the plan now ends earlier."""
        task.asked_s = now
        waiting = self.waiting
        waiting.append(task)
        self.load += 1
        if len(waiting) > self.most_waiting:
            self.most_waiting = len(waiting)
        if self.end_s == math.inf:
            self.start_s = self.end_s = now
            self.steps = 0
            return True
        if len(waiting) > 1 or self.parts or self.steps < 2:
            return False  # somebody waits already, so the plan ends at the next step's end, or nobody can be admitted
        return self._cut(now)

    def _cut(self, now: float) -> bool:
        """End the plan with the step that is under way at ``now``."""
        passed = now - self.start_s
        steps = min(int(passed / (self.end_s - self.start_s) * self.steps), self.steps)
        start = self.start_s
        while steps < self.steps and self.step_end_s(steps) - start < passed:
            steps += 1
        while steps and self.step_end_s(steps - 1) - start >= passed:
            steps -= 1
        if steps >= self.steps:
            return False
        self.steps, self.end_s = steps, self.step_end_s(steps)
        return True

    def complete(self) -> None:
        """The plan is over: tokens are made, prompts are in the cache, who is finished leaves."""
        now, steps, running = self.end_s, self.steps, self.running
        passed = now - self.start_s
        self.busy_s += passed
        count = len(running)
        self.running_s += count * passed
        self.context_s += (self.context + 0.5 * count * steps) * passed
        if steps:
            self.clock += steps
            self.context += count * steps
        ends, clock = self._ends, self.clock
        while ends and ends[0][0] <= clock:
            end, number, task = heappop(ends)
            if task.end == end and number in running:
                self._finish(task, now + task.late_s)
        for task, tokens in self.parts:
            task.done += tokens
            self.prefilled += tokens
            if task.done == task.target:
                self._prefilled(task, now)
        self.start_s, self.end_s, self.steps, self.parts = now, math.inf, 0, []

    def _prefilled(self, task: Task, now: float) -> None:
        """A prompt is in the cache, and the step has made its next token."""
        self.partial.remove(task)
        task.generated += 1
        if task.first_s < 0.0:
            task.first_s, task.late_s = self.first_at_s, self.late_s
        if task.prefix and self.settings.prefix_caching:
            before = task.shared
            self.cache.add(task)
            self._reserve(task, -((task.shared - before) // self.settings.block_tokens))
        self._join(task)
        if self.prefill_only or task.generated >= task.output_tokens:
            self._finish(task, self.first_at_s + task.late_s)

    def _reserve(self, task: Task, blocks: int) -> None:
        task.blocks += blocks
        self.reserved += blocks

    def _join(self, task: Task) -> None:
        """From here on the task decodes."""
        self._reserve(task, -task.blocks)
        task.base = task.target - self.clock
        task.end = self.clock + task.output_tokens - task.generated
        self.context += task.target
        self.shared += task.shared
        self._residues[task.base % self.settings.block_tokens] += 1
        self.running[task.id] = task
        heappush(self._ends, (task.end, task.id, task))

    def _finish(self, task: Task, at: float) -> None:
        self._release(task)
        self.load -= 1
        self.finished(self, task, at)

    def _release(self, task: Task) -> None:
        """The task stops to decode, and its blocks are free."""
        context = task.base + self.clock
        size = self.settings.block_tokens
        if self.cache.seen:
            self.cache.shrink(self.free_blocks())
        del self.running[task.id]
        self.context -= context
        self.shared -= task.shared
        self._residues[task.base % size] -= 1
        if task.segments or self.cache.seen:
            self.cache.leave(task, -(-(context - task.shared) // size))

    def _preempt(self) -> None:
        """The last that came loses its cache, and waits at the front to be computed again."""
        task = next(reversed(self.running.values()))
        task.generated = task.output_tokens - (task.end - self.clock)
        self._release(task)
        task.end, task.done, task.preempted = -1, 0, task.preempted + 1
        task.asked_s = self.start_s
        task.target = task.input_tokens + task.generated
        self.waiting.appendleft(task)
        self.preemptions += 1

    def plan(self) -> None:
        """What happens next, from ``start_s`` on: sets ``end_s``."""
        running = self.running
        short = False
        while running and self._surely_free(1) < 0 and self.free_blocks(1) < 0:
            self._preempt()
            short = True
        parts = self._chosen() if (self.waiting or self.partial) and not short else []
        if short and self.partial:
            parts = self._chosen(admit=False)
        count = len(running)
        if parts:
            tokens, work = 0, 0.0
            for task, new in parts:
                tokens += new
                work += new * (task.done + 0.5 * new)
            busy, late = self.times.prompts_s(tokens, work, len(parts), count > 0)
            self.first_at_s, self.late_s = self.start_s + busy, late
            both = count > 0 and self.settings.mixed_steps
            decode = self.times.decode_s(count, self.context / count + 1.0) if both else 0.0
            self.parts, self.steps, self.end_s = parts, 1 if both else 0, self.start_s + busy + decode
        elif count:
            ends = self._ends
            while ends[0][2].end != ends[0][0] or ends[0][1] not in running:
                heappop(ends)
            context = self.context / count + 1.0
            # after a preemption nobody was asked whether there is room, so the next step asks
            steps = 1 if short else min(ends[0][0] - self.clock, max(_LEAST_JUMP, int(context * _JUMP)))
            if self._surely_free(steps) < 0 and self.free_blocks(steps) < 0:
                steps = self._until_full(steps)
            self.steps = steps
            self.end_s = self.start_s + steps * self.times.decode_s(count, context + (steps - 1) * 0.5)
        else:
            self.end_s = math.inf

    def _until_full(self, steps: int) -> int:
        """The most decode steps for which there are blocks, less than ``steps``; one always is."""
        low, high = 1, steps
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.free_blocks(middle) >= 0 else (low, middle)
        return low

    def _chosen(self, admit: bool = True) -> list[tuple[Task, int]]:
        """Prompts of the next step, each with its new tokens: those begun first, then whoever waits, in order."""
        s = self.settings
        most, chunked = s.chunk_tokens, s.chunked_prefill
        budget = most * self.times.ranks - (len(self.running) if chunked and s.mixed_steps else 0)
        parts = []
        for task in self.partial:
            if budget <= 0:
                break
            new = min(task.target - task.done, most, budget)
            parts.append((task, new))
            budget -= new
        waiting = self.waiting
        while admit and waiting and budget > 0 and len(self.running) + len(self.partial) < s.max_running:
            task = waiting[0]
            if self.cache.seen:
                self.cache.shrink(self.free_blocks(1))
            if not chunked and parts and self._left(task) > budget:
                break
            if not self._admitted(task):
                break
            left = task.target - task.done
            if not left:  # prefilled elsewhere
                waiting.popleft()
                self.waited_s += self.start_s - task.asked_s
                if task.joined_s < 0.0:
                    task.joined_s = self.start_s
                self._join(task)
                continue
            waiting.popleft()
            self.waited_s += self.start_s - task.asked_s
            if task.first_s < 0.0:
                task.admitted_s = self.start_s
            self.partial.append(task)
            new = min(left, most, budget) if chunked else left
            parts.append((task, new))
            budget -= new
        return parts

    def _left(self, task: Task) -> int:
        """Tokens that would have to be computed, were the task admitted now."""
        hit = self.cache.hit_tokens(task) if self.settings.prefix_caching else 0
        return task.target - max(task.done, min(hit, task.target - 1))

    def _admitted(self, task: Task) -> bool:
        """Takes blocks for the whole prompt, if there are; what the prefix cache holds of it is shared and not computed."""
        s = self.settings
        size = s.block_tokens
        caching = s.prefix_caching and bool(task.prefix)
        need = -(-task.target // size) + s.fixed_blocks
        if caching or self.cache.seen:
            if caching:
                need += self.cache.wake(task) - self.cache.hit_tokens(task) // size
            if need > self.free_blocks(1):
                return False
        elif self._surely_free(1) < need and self.free_blocks(1) < need:
            return False
        if caching:
            self.cache.take(task)
        if s.prefix_caching and not task.done:
            hit = min(task.shared, task.target - 1)
            task.done = task.hit = hit
            self.asked += task.target
            self.hits += hit
        self._reserve(task, -(-(task.target - task.shared) // size) + s.fixed_blocks)
        if self.cache.seen:
            self.cache.shrink(self.free_blocks(1))
        return True

    def abort(self, task: Task, now: float) -> bool:
        """Nobody wants the rest of a request that is here; True where the plan now ends earlier, and the request with it."""
        if task.id in self.running:
            cut = not self.parts and self.steps > 1 and self._cut(now)
            generated = task.output_tokens - (task.end - self.clock) + self.steps
            task.end, task.output_tokens = self.clock + self.steps, generated
            heappush(self._ends, (task.end, task.id, task))
            return cut
        if task in self.partial:
            self.partial.remove(task)
            self.parts = [part for part in self.parts if part[0] is not task]
            self._reserve(task, -task.blocks)
            if task.segments:
                self.cache.leave(task, 0)
        else:
            self.waiting.remove(task)
        self.load -= 1
        return False

    def holds(self, task: Task) -> bool:
        """Whether the request waits or runs here."""
        return task.id in self.running or task in self.partial or task in self.waiting

    def fail(self, now: float) -> list[Task]:
        """The engine goes down; what it held is lost and returned, oldest first."""
        lost = sorted([*self.running.values(), *self.partial, *self.waiting], key=lambda task: task.id)
        if self.end_s < math.inf:
            self.busy_s += now - self.start_s
        self.up = False
        self._reset()
        return lost
