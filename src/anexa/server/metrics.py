"""Figures for Prometheus, by the names that vLLM gives them, so that its dashboards fit."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """Of a server; each figure has the model's name with it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ["model_name"]

        def counter(name: str, words: str, more: tuple[str, ...] = ()) -> Counter:
            return Counter(f"vllm:{name}", words, [*labels, *more], registry=self.registry)

        def histogram(name: str, words: str) -> Histogram:
            return Histogram(f"vllm:{name}", words, labels, registry=self.registry, buckets=SECONDS)

        def gauge(name: str, words: str) -> Gauge:
            return Gauge(f"vllm:{name}", words, labels, registry=self.registry)

        self.running = gauge("num_requests_running", "Texts that are being written.")
        self.waiting = gauge("num_requests_waiting", "Texts that wait for a place.")
        self.prompt_tokens = counter("prompt_tokens", "Tokens of prompts that were read.")
        self.generation_tokens = counter("generation_tokens", "Tokens that were written.")
        self.success = counter(
            "request_success", "Texts that came to their end.", ("finished_reason",)
        )
        self.first_token = histogram(
            "time_to_first_token_seconds", "From the request to the first token."
        )
        self.between_tokens = histogram(
            "inter_token_latency_seconds", "From one token to the next."
        )
        self.whole = histogram("e2e_request_latency_seconds", "From the request to the last token.")
