"""Counters and times of the requests that an endpoint answers, in Prometheus' format and under vLLM's names, so that dashboards
and autoscalers made for a real deployment read this one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

TTFT_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
TOKEN_S = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.5, 1.0)
WHOLE_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)

Gauges = Callable[[], Iterable[tuple[str, str, float]]]
"""Name, help and value of what is read when somebody asks."""
Rows = Callable[[], Iterable[tuple[str, str, list[tuple[dict[str, str], float]]]]]
"""Name and help of a gauge, and its values with their labels, read when somebody asks."""


class Read(Collector):
    """Gauges that are read when Prometheus asks, and kept nowhere."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def collect(self) -> Iterable[Metric]:
        for name, told, values in self.rows():
            labels = list(values[0][0]) if values else []
            family = GaugeMetricFamily(name, told, labels=labels)
            for found, value in values:
                family.add_metric([found[label] for label in labels], value)
            yield family


class Metrics:
    """What is counted. gauges: of whoever makes the tokens (requests that run and wait, the cache's use)."""

    def __init__(self, gauges: Gauges = tuple) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(Read(lambda: ((name, told, [({}, value)]) for name, told, value in gauges())))
        r, label = self.registry, ("model_name",)
        self.ttft = Histogram("vllm:time_to_first_token_seconds", "Time to first token", label, registry=r, buckets=TTFT_S)
        self.between = Histogram("vllm:inter_token_latency_seconds", "Between two tokens", label, registry=r, buckets=TOKEN_S)
        self.tpot = Histogram(
            "vllm:request_time_per_output_token_seconds",
            "A request's mean time per output token",
            label,
            registry=r,
            buckets=TOKEN_S,
        )
        self.whole = Histogram("vllm:e2e_request_latency_seconds", "A whole request", label, registry=r, buckets=WHOLE_S)
        self.prompt_tokens = Counter("vllm:prompt_tokens", "Tokens of prompts", label, registry=r)
        self.made_tokens = Counter("vllm:generation_tokens", "Tokens made", label, registry=r)
        self.finished = Counter("vllm:request_success", "Requests that were answered", (*label, "finished_reason"), registry=r)
        self.refused = Counter("windtunnel:requests_refused", "Requests that were not answered", ("status",), registry=r)
        self.left = Counter("windtunnel:requests_abandoned", "Requests whose client left", label, registry=r)

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)


class Watch:
    """The times of one answer."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self.metrics, self.model = metrics, model
        self.begun_s = self.last_s = time.perf_counter()
        self.first_s = 0.0
        self.tokens = 0
        self.finish = ""

    def piece(self, tokens: int) -> None:
        """Some tokens have come."""
        now = time.perf_counter()
        if not self.tokens:
            self.first_s = now
            self.metrics.ttft.labels(self.model).observe(now - self.begun_s)
        elif tokens > 0:
            self.metrics.between.labels(self.model).observe((now - self.last_s) / tokens)
        self.tokens += tokens
        self.last_s = now

    def end(self, prompt_tokens: int, finish: str) -> None:
        """The answer is whole."""
        m, model = self.metrics, self.model
        self.finish = finish
        if self.tokens > 1:
            m.tpot.labels(model).observe((self.last_s - self.first_s) / (self.tokens - 1))
        m.whole.labels(model).observe(self.last_s - self.begun_s)
        m.prompt_tokens.labels(model).inc(prompt_tokens)
        m.made_tokens.labels(model).inc(self.tokens)
        m.finished.labels(model, finish).inc()
