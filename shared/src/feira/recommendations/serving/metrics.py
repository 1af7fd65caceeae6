"""What the API is watched by, in the form of Prometheus."""

from __future__ import annotations

from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
)

from feira.recommendations.serving.reading import FAILURES
from feira.recommendations.serving.requests import REFUSED

_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.5)


class Metrics:
    """What Prometheus is shown; no label has a user's id or an item."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        labels = ("route", "slot", "source", "status")
        self.seconds = Histogram(
            "feira_recommendations_request_seconds",
            "From a request to its answer, in the API",
            labels,
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.refused = Counter(
            "feira_recommendations_requests_refused_total",
            "Requests that were not understood, by parameter or field",
            ("route", "parameter"),
            registry=self.registry,
        )
        self.failures = Counter(
            "feira_recommendations_valkey_failures_total",
            "Reads of Valkey that gave nothing: timeout, error, or damaged lists",
            ("kind",),
            registry=self.registry,
        )
        self.up = Gauge(
            "feira_recommendations_valkey_up",
            "Whether Valkey answers",
            registry=self.registry,
        )
        self.version_read = Gauge(
            "feira_recommendations_version_read",
            "Whether a version of the lists is read from Valkey",
            registry=self.registry,
        )
        self.file_read = Gauge(
            "feira_recommendations_file_read",
            "Whether the file that was baked at publish was read",
            registry=self.registry,
        )
        self.events = Counter(
            "feira_recommendations_events_total",
            "Posted events: accepted, and of these stored in Kafka or lost",
            ("outcome",),
            registry=self.registry,
        )
        self.kafka_up = Gauge(
            "feira_recommendations_kafka_up",
            "Whether events are taken for Kafka",
            registry=self.registry,
        )
        # What first appears with a value has not risen for Prometheus.
        for route, names in REFUSED.items():
            for name in names:
                self.refused.labels(route, name)
        for kind in FAILURES:
            self.failures.labels(kind)
        for outcome in ("accepted", "stored", "lost"):
            self.events.labels(outcome)
        self._of: dict[tuple[str, str, str, int], Any] = {}

    def answered(
        self, route: str, seconds: float, *, slot: str = "", source: str = "", status: int = 200
    ) -> None:
        """Counts an answer; slot and source are those of a list."""
        key = (route, slot, source, status)
        child = self._of.get(key)
        if child is None:
            child = self._of[key] = self.seconds.labels(*key)
        child.observe(seconds)

    def failed(self, kind: str) -> None:
        """Counts a failure of Valkey."""
        self.failures.labels(kind).inc()

    def posted(self, outcome: str, events: int) -> None:
        """Counts events."""
        self.events.labels(outcome).inc(events)
