"""Metrics in Prometheus's form: what is asked, how fast it is answered, and how full the models are."""

from collections.abc import Iterable

from openai.types import CompletionUsage
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from groundup.serving.models import Models

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The metrics of one server."""

    def __init__(self, models: Models) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "groundup_requests", "Requests answered.", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "groundup_request_seconds",
            "Time from a request to the end of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._first = Histogram(
            "groundup_first_token_seconds",
            "Time from a request to the first token of its answer.",
            ["model"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._tokens = Counter(
            "groundup_tokens", "Tokens read and written.", ["model", "kind"], registry=self._registry
        )
        self._models = models
        self._registry.register(self)

    def count(self, route: str, status: int, seconds: float) -> None:
        """Count a request by how it ended, which of a stream may differ from the status that was sent."""
        self._requests.labels(route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def count_tokens(self, model: str, usage: CompletionUsage) -> None:
        """Count the tokens of a request."""
        self._tokens.labels(model, "prompt").inc(usage.prompt_tokens)
        self._tokens.labels(model, "generated").inc(usage.completion_tokens)

    def first_token(self, model: str, seconds: float) -> None:
        """Record how long the first token of an answer took."""
        self._first.labels(model).observe(seconds)

    def collect(self) -> Iterable[Metric]:
        """Return what the models do at this moment; called by the registry."""
        running = GaugeMetricFamily("groundup_running", "Texts and calls in progress.", labels=["model"])
        waiting = GaugeMetricFamily(
            "groundup_waiting", "Texts and calls that wait for a place.", labels=["model"]
        )
        positions = GaugeMetricFamily(
            "groundup_cache_positions", "Positions in the key/value cache.", labels=["model"]
        )
        for model in self._models:
            for gauge, value in zip((running, waiting, positions), model.gauges, strict=True):
                gauge.add_metric([model.name], value)
        return [running, waiting, positions]

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self._registry)
