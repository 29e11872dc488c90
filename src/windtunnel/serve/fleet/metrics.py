"""Counters and times of a fleet, in Prometheus' format: by back end, and by the model that clients asked for."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from windtunnel.serve.api.metrics import TOKEN_S, TTFT_S, WHOLE_S, Read, Rows


@dataclass(frozen=True, slots=True)
class OfBackend:
    """One back end's, with its label bound: looking labels up costs more than counting."""

    requests: Counter
    failed: Counter
    retried: Counter
    prompt_tokens: Counter
    tokens: Counter
    ttft: Histogram
    tpot: Histogram
    whole: Histogram
    predicted_ttft: Histogram
    predicted_tpot: Histogram


class FleetMetrics:
    """What is counted. rows: gauges of the fleet as it is."""

    def __init__(self, rows: Rows) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(Read(rows))
        r, label = self.registry, ("backend",)

        def counter(name: str, told: str) -> Counter:
            return Counter(f"windtunnel:fleet_{name}", told, label, registry=r)

        def histogram(name: str, told: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"windtunnel:fleet_{name}_seconds", told, label, registry=r, buckets=buckets)

        self._all = {
            "requests": counter("tries", "Requests that were sent to a back end"),
            "failed": counter("failures", "Of them, those that it did not answer"),
            "retried": counter("retries", "Of those, sent to another or again"),
            "prompt_tokens": counter("prompt_tokens", "Tokens of prompts that were answered"),
            "tokens": counter("generation_tokens", "Tokens of answers"),
            "ttft": histogram("time_to_first_token", "Time to first token, from when a request came", TTFT_S),
            "tpot": histogram("time_per_output_token", "An answer's mean time per token after the first", TOKEN_S),
            "whole": histogram("request", "A whole request", WHOLE_S),
            "predicted_ttft": histogram("predicted_time_to_first_token", "Predicted for the same requests", TTFT_S),
            "predicted_tpot": histogram("predicted_time_per_output_token", "Predicted for the same requests", TOKEN_S),
        }
        self.requests = Counter(
            "windtunnel:fleet_requests", "Requests of clients, by how they ended", ("model", "status"), registry=r
        )
        self.refused = Counter("windtunnel:requests_refused", "Requests that were not answered", ("status",), registry=r)

    def of(self, backend: str) -> OfBackend:
        return OfBackend(**{name: metric.labels(backend) for name, metric in self._all.items()})  # type: ignore[arg-type]

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)
