"""Prometheus metrics with vLLM's names, so that vLLM's dashboards can be used."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from anexa.server.request import Request, RequestOutput

# Upper bounds of the histograms' buckets, in seconds.
LATENCY_BUCKETS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
    120,
)


class Metrics:
    """All metrics of a server, each with the label `model_name`.

    Attributes:
        registry: registry of all metrics, for the exposition format of Prometheus. Each other
            attribute is a metric, with its description.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ["model_name"]

        def counter(name: str, description: str, more_labels: tuple[str, ...] = ()) -> Counter:
            return Counter(
                f"vllm:{name}", description, [*labels, *more_labels], registry=self.registry
            )

        def histogram(name: str, description: str) -> Histogram:
            return Histogram(
                f"vllm:{name}", description, labels, registry=self.registry, buckets=LATENCY_BUCKETS
            )

        def gauge(name: str, description: str) -> Gauge:
            return Gauge(f"vllm:{name}", description, labels, registry=self.registry)

        self.num_running = gauge(
            "num_requests_running", "Number of requests whose sequences are being generated."
        )
        self.num_waiting = gauge("num_requests_waiting", "Number of queued requests.")
        self.prompt_tokens = counter("prompt_tokens", "Number of prompt tokens processed.")
        self.prefix_cache_queries = counter(
            "prefix_cache_queries", "Number of prompt tokens looked up in the prefix cache."
        )
        self.prefix_cache_hits = counter(
            "prefix_cache_hits", "Number of prompt tokens whose keys and values were reused."
        )
        self.generation_tokens = counter("generation_tokens", "Number of tokens generated.")
        self.request_success = counter(
            "request_success", "Number of finished requests.", ("finished_reason",)
        )
        self.time_to_first_token = histogram(
            "time_to_first_token_seconds", "Seconds from the request to its first token."
        )
        self.inter_token_latency = histogram(
            "inter_token_latency_seconds", "Seconds between consecutive tokens of a request."
        )
        self.request_latency = histogram(
            "e2e_request_latency_seconds", "Seconds from the request to its last token."
        )

    def for_model(self, name: str) -> ModelMetrics:
        """Create the metrics of one served model.

        Args:
            name: served model name.
        """
        return ModelMetrics(self, name)


class ModelMetrics:
    """Metrics of one served model, updated from the outputs of its requests.

    Args:
        metrics: metrics of the server.
        name: served model name.
    """

    def __init__(self, metrics: Metrics, name: str) -> None:
        self._name, self._request_success = name, metrics.request_success
        # Looking up a label takes longer than counting, so each is looked up once.
        self._prompt_tokens = metrics.prompt_tokens.labels(name)
        self._prefix_cache_queries = metrics.prefix_cache_queries.labels(name)
        self._prefix_cache_hits = metrics.prefix_cache_hits.labels(name)
        self._generation_tokens = metrics.generation_tokens.labels(name)
        self._time_to_first_token = metrics.time_to_first_token.labels(name)
        self._inter_token_latency = metrics.inter_token_latency.labels(name)
        self._request_latency = metrics.request_latency.labels(name)

    def count_output(self, request: Request, output: RequestOutput) -> None:
        """Count the tokens of an output and their latencies, and the request if it has finished.

        The next outputs of a request need the time of its last token, which is stored in the
        request: `last_token_time`. An output with an error is not counted.
        """
        if output.error:
            return
        self._generation_tokens.inc(output.num_tokens)
        for token_time in output.token_times:
            if request.last_token_time is None:
                num_prompt_tokens = len(request.text.prompt.ids)
                self._prompt_tokens.inc(num_prompt_tokens)
                if request.num_prompt_logprobs is None:  # else all positions are computed
                    self._prefix_cache_queries.inc(num_prompt_tokens)
                    self._prefix_cache_hits.inc(request.num_cached_tokens)
                self._time_to_first_token.observe(token_time - request.arrival_time)
            else:
                self._inter_token_latency.observe(token_time - request.last_token_time)
            request.last_token_time = token_time
        if output.finish_reason:
            self.count_finished(output.finish_reason)
            self._request_latency.observe(output.token_times[-1] - request.arrival_time)

    def count_task(self, num_tokens: int) -> None:
        """Count a finished worker task, and the tokens that it has processed."""
        self._prompt_tokens.inc(num_tokens)
        self.count_finished("stop")

    def count_finished(self, reason: str) -> None:
        """Count a finished request: "stop", "length", or "abort" for a canceled one."""
        self._request_success.labels(self._name, reason).inc()
