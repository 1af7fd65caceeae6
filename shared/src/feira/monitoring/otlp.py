"""Sums metrics of many processes, which they send by OTLP, to the series that Prometheus is shown.

Each process, and so each task, is a service instance of its own that ends with what it counted. Counters and
histograms are therefore added up over all that ever sent, by the labels that are taken; of a gauge the latest
value of any instance counts that has counted something too since it last sent. What is kept is bounded by the
labels, not by the number of processes.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    ExponentialHistogramDataPoint,
    Metric,
)
from prometheus_client import Metric as Family
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from feira.monitoring.airflow_metrics import PREFIX, Taken

BOUNDS = (0.01, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 1800)
_DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
_LONGEST_LABEL = 200
_MILLI = 1e-3
_LARGEST_POWER = 1000
# OpenTelemetry's own histograms begin at 20, and end at -10.
_SCALES = range(-10, 21)
# OpenTelemetry's have 160 at most, unless they are told otherwise; a point is kept until its process' next.
_MOST_BUCKETS = 200
# Longer than from one scrape to the next.
_AT_ZERO_SECONDS = 70.0


@dataclass
class _Observed:
    """An exponential histogram's observations: ``counts`` by index at ``scale``, in the unit that was sent."""

    count: int
    total: float
    zero: int = 0
    scale: int = 0
    counts: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(cls, point: Any) -> _Observed:
        counts = Counter(
            {
                point.positive.offset + at: found
                for at, found in enumerate(point.positive.bucket_counts)
                if found
            }
        )
        return cls(point.count, point.sum, point.zero_count, point.scale, counts)

    def since(self, earlier: _Observed) -> _Observed:
        """What came after, all of it where it has begun anew; at the coarser scale of the two, of which each
        step down puts two buckets into one."""
        if self.count < earlier.count:
            return self
        scale = min(self.scale, earlier.scale)
        counts = self._at(scale)
        counts.subtract(earlier._at(scale))
        return _Observed(
            self.count - earlier.count,
            self.total - earlier.total,
            self.zero - earlier.zero,
            scale,
            counts,
        )

    def _at(self, scale: int) -> Counter[int]:
        found: Counter[int] = Counter()
        for index, count in self.counts.items():
            found[index >> (self.scale - scale)] += count
        return found

    def in_bounds(self, bounds: Sequence[float], unit: float) -> list[int]:
        """How many are in each bound and not in one below, the last above all; ``unit`` is in seconds. One whose
        bucket has a bound in it counts above the bound."""
        found = [self.zero] + [0] * len(bounds)
        for index, count in self.counts.items():
            # A bucket ends at base^(index + 1), its base being 2^(2^-scale).
            end = 2.0 ** min((index + 1) * 2.0**-self.scale, _LARGEST_POWER) * unit
            found[bisect_left(bounds, end * (1 - 1e-9))] += count
        return found


_Value = TypeVar("_Value")


@dataclass
class _Histogram:
    """In seconds: the sum, and how many are in each of ``BOUNDS``, the last above all."""

    total: float = 0.0
    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))

    def add(self, observed: _Observed) -> None:
        self.total += observed.total * _MILLI
        for at, count in enumerate(observed.in_bounds(BOUNDS, _MILLI)):
            self.counts[at] += count


class Sums(Collector):
    """The sums, which a registry of Prometheus' client takes as a collector.

    :param taken: the metrics that are, by name; all others are dropped
    :param since: nanoseconds of the epoch at which this began to count. What a process had summed up before is
        not known to be new, so of its running sums only what is added counts
    :param most_series: label sets, of all metrics; further ones are dropped
    :param most_streams: running sums that are remembered; the one that was longest silent is forgotten first
    :param clock: seconds; a new sum is shown as 0 for 70 of them, since what first appears with a value has
        not risen for Prometheus, and a process would count for nothing that is the first of its labels
    """

    def __init__(
        self,
        taken: Iterable[Taken],
        since: int,
        most_series: int = 5_000,
        most_streams: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._taken = {PREFIX + each.name: each for each in taken}
        self._since, self._most_series, self._most_streams = since, most_series, most_streams
        self._lock = threading.Lock()
        self._counters: dict[tuple[str, tuple[str, ...]], float] = {}
        self._gauges: dict[tuple[str, tuple[str, ...]], tuple[int, float]] = {}
        self._histograms: dict[tuple[str, tuple[str, ...]], _Histogram] = {}
        self._streams: OrderedDict[bytes, tuple[int, Any]] = OrderedDict()
        self._requests: OrderedDict[bytes, None] = OrderedDict()
        self._dropped: Counter[str] = Counter(unknown=0, form=0, limit=0)
        self._clock = clock
        self._begun: dict[tuple[str, tuple[str, ...]], float] = {}

    def take(self, body: bytes) -> None:
        """Adds a request's points, once: a sender that had no answer sends the same again.

        Raises google.protobuf.message.DecodeError for what is no ``ExportMetricsServiceRequest``.
        """
        request = ExportMetricsServiceRequest.FromString(body)
        seen = hashlib.blake2b(body, digest_size=16).digest()
        with self._lock:
            if seen in self._requests:
                return
            _remember(self._requests, seen, None, 256)
            for resource in request.resource_metrics:
                instance = resource.resource.SerializeToString(deterministic=True)
                sent = [metric for scope in resource.scope_metrics for metric in scope.metrics]
                forms = {metric.WhichOneof("data") for metric in sent}
                for metric in sent:
                    # A process that was forked goes on sending its parent's gauges as they were then, as of now.
                    # It counts nothing of its own, while each that sets gauges has its heartbeat.
                    if forms != {"gauge"} or metric.name not in self._taken:
                        self._add(instance, metric)

    def _add(self, instance: bytes, metric: Metric) -> None:
        taken = self._taken.get(metric.name)
        form = metric.WhichOneof("data")
        sent: Any = getattr(metric, form) if form else None
        if taken is None:
            self._dropped["unknown"] += len(sent.data_points) if sent else 0
        elif form == "sum" and taken.kind == "counter" and sent.is_monotonic:
            for point in self._usable(sent):
                if (key := self._key(taken, point, self._counters)) is not None:
                    more = self._added(instance, metric, sent, point, _number(point), _risen)
                    self._counters[key] = self._counters.get(key, 0.0) + (more or 0.0)
        elif form == "gauge" and taken.kind == "gauge":
            for point in self._usable(sent):
                if (key := self._key(taken, point, self._gauges)) is not None:
                    at, _ = self._gauges.get(key, (0, 0.0))
                    if point.time_unix_nano >= at:
                        self._gauges[key] = (point.time_unix_nano, _number(point))
        elif form == "exponential_histogram" and taken.kind == "timer" and metric.unit == "ms":
            for point in self._usable(sent):
                if (key := self._key(taken, point, self._histograms)) is not None:
                    series = self._histograms.setdefault(key, _Histogram())
                    observed = _Observed.of(point)
                    if new := self._added(instance, metric, sent, point, observed, _Observed.since):
                        series.add(new)
        else:
            self._dropped["form"] += len(sent.data_points) if sent else 0

    def _usable(self, sent: Any) -> list[Any]:
        """The points but for those, which are counted, whose value, scale or number of buckets no process means: a
        sum that is once no number would stay none."""
        found = [point for point in sent.data_points if _is_usable(point)]
        self._dropped["form"] += len(sent.data_points) - len(found)
        return found

    def _key(
        self, taken: Taken, point: Any, series: dict[tuple[str, tuple[str, ...]], Any]
    ) -> tuple[str, tuple[str, ...]] | None:
        """A series' key; None, and counted, where there are as many as may be."""
        given = {each.key: each.value.string_value for each in point.attributes}
        values = tuple(given.get(of, "")[:_LONGEST_LABEL] for of in taken.labels.values())
        key = (taken.name, values)
        held = len(self._counters) + len(self._gauges) + len(self._histograms)
        if key not in series and held >= self._most_series:
            self._dropped["limit"] += 1
            return None
        self._begun.setdefault(key, self._clock())
        return key

    def _added(
        self,
        instance: bytes,
        metric: Metric,
        sent: Any,
        point: Any,
        value: _Value,
        since: Callable[[_Value, _Value], _Value],
    ) -> _Value | None:
        """What a point adds; of a running sum what came since the process' point before, if that is known."""
        if sent.aggregation_temporality == _DELTA:
            return value
        stream = hashlib.blake2b(digest_size=16)
        attributes: list[bytes] = sorted(each.SerializeToString() for each in point.attributes)
        # A process that begins anew has another start.
        start = point.start_time_unix_nano.to_bytes(8, "big")
        for part in (instance, metric.name.encode(), start, *attributes):
            stream.update(len(part).to_bytes(4, "big") + part)
        at, before = self._streams.get(stream.digest(), (0, None))
        if point.time_unix_nano <= at:
            return None
        _remember(self._streams, stream.digest(), (point.time_unix_nano, value), self._most_streams)
        if before is None:
            return value if point.start_time_unix_nano >= self._since else None
        return since(value, before)

    def collect(self) -> Iterator[Family]:
        """Every series that there is, and what was dropped."""
        nothing = _Histogram()
        with self._lock:
            until = self._clock() - _AT_ZERO_SECONDS
            new = {key for key, begun in self._begun.items() if begun > until}
            counters = {key: 0.0 if key in new else it for key, it in self._counters.items()}
            gauges = dict(self._gauges)
            histograms = {
                key: (it.total, list(it.counts))
                for key, each in self._histograms.items()
                for it in (nothing if key in new else each,)
            }
            dropped = dict(self._dropped)
        for taken in self._taken.values():
            labels = tuple(taken.labels)
            if taken.kind == "counter":
                counter = CounterMetricFamily(taken.exported, taken.what, labels=labels)
                for (name, values), value in counters.items():
                    if name == taken.name:
                        counter.add_metric(values, value)
                yield counter
            elif taken.kind == "gauge":
                gauge = GaugeMetricFamily(taken.exported, taken.what, labels=labels)
                for (name, values), (_, value) in gauges.items():
                    if name == taken.name:
                        gauge.add_metric(values, value)
                yield gauge
            else:
                histogram = HistogramMetricFamily(taken.exported, taken.what, labels=labels)
                for (name, values), (total, counts) in histograms.items():
                    if name == taken.name:
                        histogram.add_metric(values, _cumulative(counts), total)
                yield histogram
        family = CounterMetricFamily(
            "feira_otlp_dropped_points",
            "Points that were sent and not taken: of another metric or form, of no finite value, or beyond the limit",
            labels=("reason",),
        )
        for reason, count in dropped.items():
            family.add_metric((reason,), count)
        yield family


def _cumulative(counts: Sequence[int]) -> list[tuple[str, float]]:
    found, so_far = [], 0
    for bound, count in zip((*BOUNDS, float("inf")), counts, strict=True):
        so_far += count
        found.append(("+Inf" if bound == float("inf") else str(float(bound)), float(so_far)))
    return found


def _risen(value: float, before: float) -> float:
    """What a running sum has above what it had; all of it where it has begun anew."""
    return value - before if value >= before else value


def _is_usable(point: Any) -> bool:
    if isinstance(point, ExponentialHistogramDataPoint):
        buckets = len(point.positive.bucket_counts)
        return point.scale in _SCALES and buckets <= _MOST_BUCKETS and math.isfinite(point.sum)
    return math.isfinite(_number(point))


def _number(point: Any) -> float:
    return float(point.as_int if point.WhichOneof("value") == "as_int" else point.as_double)


def _remember(kept: OrderedDict[bytes, Any], key: bytes, value: Any, most: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)
