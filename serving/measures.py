"""What is counted and timed while the service runs, as Prometheus reads it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitoring.log import LogState
from serving.versions import Deployed

BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
RECENT = 2_000
"""Latencies of which quantiles are told."""


class Measures:
    """Counters and times of one service."""

    def __init__(self, deployed: Callable[[], Deployed], log: Callable[[], LogState]) -> None:
        self.registry = CollectorRegistry()
        self.recent_ms: deque[float] = deque(maxlen=RECENT)
        self.hits = self.lookups = 0
        self._parts: dict[tuple[Any, ...], Any] = {}
        self._requests = Counter("clipcast_requests", "Requests answered.", ("path", "status"), registry=self.registry)
        self._request_s = Histogram(
            "clipcast_request_seconds", "Time to answer.", ("path",), registry=self.registry, buckets=BUCKETS_S
        )
        self._predictions = Counter(
            "clipcast_predictions", "Posts answered.", ("model", "role"), registry=self.registry
        )
        self._failures = Counter(
            "clipcast_challenger_failures", "Posts that a challenger failed on.", ("model",), registry=self.registry
        )
        self.registry.register(_Present(deployed, log, self))

    def requested(self, path: str, status: int, seconds: float) -> None:
        """Count a request by its route, never by what the caller made up."""
        self._counter(self._requests, path, status).inc()
        self._counter(self._request_s, path).observe(seconds)

    def predicted(self, model: str, role: str, latency_ms: float) -> None:
        """Count a post that was answered."""
        self._counter(self._predictions, model, role).inc()
        self.recent_ms.append(latency_ms)

    def _counter(self, metric: Any, *labels: Any) -> Any:
        """Return the part of a metric with these labels, which Prometheus' own look-up takes long to find."""
        key = (metric, *labels)
        if key not in self._parts:
            self._parts[key] = metric.labels(*labels)
        return self._parts[key]

    def failed(self, model: str, posts: int) -> None:
        """Count posts that a challenger could not answer."""
        self._failures.labels(model).inc(posts)

    def looked_up(self, *, hit: bool) -> None:
        """Count a look into the memory of repeated posts."""
        self.lookups += 1
        self.hits += hit

    @property
    def hit_rate(self) -> float | None:
        """Share of looks that found the post; None before the first."""
        return self.hits / self.lookups if self.lookups else None

    def latency_ms(self) -> dict[str, float | None]:
        """Quantiles of the latest latencies, from the question to the answer within the process."""
        if not self.recent_ms:
            return {"p50": None, "p99": None}
        p50, p99 = np.quantile(list(self.recent_ms), [0.5, 0.99]).tolist()
        return {"p50": p50, "p99": p99}

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)


class _Present(Collector):
    """What is not counted up but looked at when Prometheus asks."""

    def __init__(self, deployed: Callable[[], Deployed], log: Callable[[], LogState], measures: Measures) -> None:
        self._deployed = deployed
        self._log = log
        self._measures = measures

    def collect(self) -> Iterable[Metric]:
        """Yield the state of versions, log and memory."""
        deployed, log = self._deployed(), self._log()
        labels = ("model", "role", "version")
        serving = GaugeMetricFamily("clipcast_version", "1 for each version in memory.", labels=labels)
        for role, versions in (("champion", deployed.champions), ("challenger", deployed.challengers)):
            for each in versions.values():
                serving.add_metric((each.name, role, each.production.semver), 1)
        yield serving
        degraded = bool(deployed.problems or log.error)
        yield GaugeMetricFamily("clipcast_degraded", "1 while something is not as it should be.", degraded)
        yield GaugeMetricFamily("clipcast_log_waiting", "Predictions not written yet.", log.waiting)
        yield CounterMetricFamily("clipcast_log_written", "Predictions written.", log.written)
        yield CounterMetricFamily("clipcast_log_dropped", "Predictions that had to be dropped.", log.dropped)
        yield CounterMetricFamily("clipcast_cache_hits", "Repeated posts.", self._measures.hits)
        yield CounterMetricFamily("clipcast_cache_lookups", "Looks for repeated posts.", self._measures.lookups)
