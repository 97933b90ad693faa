"""Figures for Prometheus, by the names that vLLM gives them, so that its dashboards fit."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from anexa.server.jobs import Request, RequestOutput

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

    def of(self, name: str) -> Figures:
        """Those of one model."""
        return Figures(self, name)


class Figures:
    """What is counted of the texts of one model."""

    def __init__(self, metrics: Metrics, name: str) -> None:
        self._name, self._success = name, metrics.success
        # To look for the one with a label takes longer than to count.
        self._prompt_tokens = metrics.prompt_tokens.labels(name)
        self._generation_tokens = metrics.generation_tokens.labels(name)
        self._first_token = metrics.first_token.labels(name)
        self._between_tokens = metrics.between_tokens.labels(name)
        self._whole = metrics.whole.labels(name)

    def count(self, job: Request, news: RequestOutput) -> None:
        """Keep what is new of a text, if that is not an error."""
        if news.error:
            return
        written = job.text.tokens
        self._generation_tokens.inc(written - job.counted)
        job.counted = written
        for at in news.times:
            if job.latest:
                self._between_tokens.observe(at - job.latest)
            else:
                self._prompt_tokens.inc(len(job.text.prompt.ids))
                self._first_token.observe(at - job.begun)
            job.latest = at
        if news.done:
            self.end(str(job.text.finish_reason))
            self._whole.observe(job.latest - job.begun)

    def end(self, reason: str) -> None:
        """A text came to its end."""
        self._success.labels(self._name, reason).inc()
