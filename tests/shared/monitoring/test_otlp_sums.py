"""What many processes send by OTLP is summed as if one had counted all, whatever each does and in what order."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from dataclasses import dataclass, field

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client import CollectorRegistry

from feira.monitoring.airflow_metrics import Taken
from feira.monitoring.otlp import BOUNDS, Sums

DELTA, CUMULATIVE = 1, 2
BEGAN = 1_000
TAKEN = (
    Taken("ti.finish", "counter", "ended", {"dag": "dag_id"}),
    Taken("pool.open_slots", "gauge", "free", {"pool": "pool_name"}),
    Taken("task.queued_duration", "timer", "waited", {"dag": "dag_id"}),
)


@dataclass
class Process:
    """What a process has counted, and how it sends it."""

    name: str
    start: int
    temporality: int
    scale: int = 20
    counts: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    waits: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    def request(self, now: int, slots: int | None = None, beats: bool = True) -> bytes:
        """What it sends now; what it sent by differences it forgets. With ``slots`` a gauge, and beside it the
        heartbeat of who sets it, or not, as of a fork."""
        request = ExportMetricsServiceRequest()
        resource = request.resource_metrics.add()
        resource.resource.attributes.add(key="service.instance.id").value.string_value = self.name
        scope = resource.scope_metrics.add()
        for (dag, run), count in self.counts.items():
            metric = scope.metrics.add(name="airflow.ti.finish")
            metric.sum.aggregation_temporality = self.temporality
            metric.sum.is_monotonic = True
            point = metric.sum.data_points.add(as_int=count)
            self._stamp(point, now, dag, run)
        for (dag, run), waits in self.waits.items():
            metric = scope.metrics.add(name="airflow.task.queued_duration", unit="ms")
            metric.exponential_histogram.aggregation_temporality = self.temporality
            point = metric.exponential_histogram.data_points.add(
                count=len(waits), sum=sum(waits), scale=self.scale
            )
            indexes = [math.ceil(math.log2(wait) * 2**self.scale) - 1 for wait in waits]
            point.positive.offset = min(indexes)
            point.positive.bucket_counts.extend(
                indexes.count(each) for each in range(min(indexes), max(indexes) + 1)
            )
            self._stamp(point, now, dag, run)
        if slots is not None:
            if beats:
                scope.metrics.add(name="airflow.heartbeat").sum.data_points.add(as_int=1)
            metric = scope.metrics.add(name="airflow.pool.open_slots")
            point = metric.gauge.data_points.add(as_int=slots, time_unix_nano=now)
            point.attributes.add(key="pool_name").value.string_value = "spark"
        if self.temporality == DELTA:
            self.counts.clear()
            self.waits.clear()
        return request.SerializeToString()

    def _stamp(self, point: object, now: int, dag: str, run: str) -> None:
        point.start_time_unix_nano, point.time_unix_nano = self.start, now  # type: ignore[attr-defined]
        for name, value in (("dag_id", dag), ("run_id", run)):
            point.attributes.add(key=name).value.string_value = value  # type: ignore[attr-defined]


class Clock:
    """A clock on which two minutes pass from each look to the next."""

    seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 120
        return self.seconds


def summing(since: int = BEGAN, **limits: int) -> Sums:
    return Sums(TAKEN, since=since, clock=Clock(), **limits)


def shown(sums: Sums) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(sums)
    return registry


PROCESSES = st.integers(0, 3)
DAGS = st.sampled_from(["sales_etl", "user_events"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("count"), PROCESSES, DAGS, st.integers(1, 50)),
        # In seconds, none within a bucket that has a bound in it.
        st.tuples(
            st.just("wait"), PROCESSES, DAGS, st.sampled_from([0.003, 0.3, 3.0, 44.0, 4000.0])
        ),
        st.tuples(st.just("slots"), PROCESSES, st.just(""), st.integers(0, 9)),
        st.tuples(st.just("send"), PROCESSES, st.just(""), st.integers(0, 2)),
        st.tuples(st.just("restart"), PROCESSES, st.just(""), st.integers(0, 1)),
    ),
    max_size=60,
)


@given(
    steps=STEPS,
    temporalities=st.lists(st.sampled_from([DELTA, CUMULATIVE]), min_size=4, max_size=4),
)
def test_sums_are_those_of_plain_loops(
    steps: list[tuple[str, int, str, int]], temporalities: list[int]
) -> None:
    sums = summing()
    processes = [Process(f"p{n}", BEGAN, each, scale=3) for n, each in enumerate(temporalities)]
    counted: dict[str, int] = defaultdict(int)
    waited: dict[str, list[float]] = defaultdict(list)
    # What a process has counted and not sent yet.
    pending: list[list[tuple[str, str, float]]] = [[] for _ in processes]
    slots = None
    for now, (what, number, dag, amount) in enumerate(steps, start=BEGAN + 1):
        process, run = processes[number], f"run {now}"
        if what == "count":
            process.counts[dag, run] += int(amount)
            pending[number].append(("count", dag, amount))
        elif what == "wait":
            process.waits[dag, run].append(amount * 1000)
            pending[number].append(("wait", dag, amount))
        elif what == "restart":
            # It ends, and what it did not send is lost; a task's next process has another name.
            pending[number].clear()
            name = process.name if amount else f"{process.name}'"
            processes[number] = Process(name, now, process.temporality, scale=3)
        else:
            if what == "slots":
                slots = amount
            body = process.request(now, int(amount) if what == "slots" else None)
            # A sender that had no answer sends the same again.
            for _ in range(1 + int(amount)):
                sums.take(body)
            for kind, of, value in pending[number]:
                if kind == "count":
                    counted[of] += int(value)
                else:
                    waited[of].append(value)
            pending[number].clear()
    registry = shown(sums)
    for dag in ("sales_etl", "user_events"):
        found = registry.get_sample_value("airflow_ti_finish_total", {"dag": dag})
        assert (found or 0) == counted[dag]
        name = "airflow_task_queued_seconds"
        total = registry.get_sample_value(f"{name}_sum", {"dag": dag})
        assert (total or 0) == pytest.approx(sum(waited[dag]))
        for bound in (*BOUNDS, math.inf):
            text = "+Inf" if bound == math.inf else str(float(bound))
            found = registry.get_sample_value(f"{name}_bucket", {"dag": dag, "le": text})
            assert (found or 0) == sum(each <= bound for each in waited[dag])
    assert registry.get_sample_value("airflow_pool_open_slots", {"pool": "spark"}) == slots


def test_a_new_sum_is_shown_at_0_first_or_its_first_value_would_be_no_rise() -> None:
    now = 100.0
    sums = Sums(TAKEN, since=BEGAN, clock=lambda: now)
    process = Process("p", BEGAN, DELTA)
    process.counts["sales_etl", "r"] = 3
    process.waits["sales_etl", "r"] = [300.0]
    sums.take(process.request(BEGAN + 1, slots=4))
    registry, of_dag = shown(sums), {"dag": "sales_etl"}

    def values() -> list[float | None]:
        names = ("airflow_ti_finish_total", "airflow_task_queued_seconds_count")
        return [registry.get_sample_value(name, of_dag) for name in names]

    assert values() == [0, 0]
    assert registry.get_sample_value("airflow_pool_open_slots", {"pool": "spark"}) == 4
    now += 71
    assert values() == [3, 1]


def test_of_a_running_sum_that_began_before_only_what_is_added_counts() -> None:
    sums = summing()
    process = Process("api server", BEGAN - 1, CUMULATIVE)
    process.counts["sales_etl", "r"] = 70
    process.waits["sales_etl", "r"] = [300.0]
    sums.take(process.request(BEGAN + 1))
    process.counts["sales_etl", "r"] = 75
    process.waits["sales_etl", "r"].append(3000.0)
    # A histogram gets coarser as what it has seen spreads.
    process.scale = 4
    sums.take(process.request(BEGAN + 2))
    registry = shown(sums)
    assert registry.get_sample_value("airflow_ti_finish_total", {"dag": "sales_etl"}) == 5
    buckets = {
        bound: registry.get_sample_value(
            "airflow_task_queued_seconds_bucket", {"dag": "sales_etl", "le": bound}
        )
        for bound in ("2.0", "5.0", "+Inf")
    }
    assert buckets == {"2.0": 0, "5.0": 1, "+Inf": 1}


def test_a_running_sum_that_falls_has_begun_anew() -> None:
    sums = summing()
    process = Process("p", BEGAN, CUMULATIVE)
    for now, count in enumerate((7, 9, 4), start=BEGAN + 1):
        process.counts["sales_etl", "r"] = count
        process.waits["sales_etl", "r"] = [300.0] * count
        sums.take(process.request(now))
    registry = shown(sums)
    assert registry.get_sample_value("airflow_ti_finish_total", {"dag": "sales_etl"}) == 13
    name = "airflow_task_queued_seconds_count"
    assert registry.get_sample_value(name, {"dag": "sales_etl"}) == 13


def test_running_sums_of_two_processes_that_began_together_are_two() -> None:
    sums = summing()
    for name, count in (("a", 4), ("b", 9)):
        process = Process(name, BEGAN, CUMULATIVE)
        process.counts["sales_etl", "r"] = count
        sums.take(process.request(BEGAN + 1))
    assert shown(sums).get_sample_value("airflow_ti_finish_total", {"dag": "sales_etl"}) == 13


@pytest.mark.parametrize("scales", [(0, 3), (3, 0)])
def test_a_running_histogram_whose_scale_changes_goes_on(scales: tuple[int, int]) -> None:
    sums, process = summing(), Process("p", BEGAN, CUMULATIVE)
    # In milliseconds, none in a bucket that has a bound in it at either scale.
    for now, (scale, wait) in enumerate(zip(scales, (3.0, 3_000.0), strict=True), start=BEGAN + 1):
        process.scale = scale
        process.waits["sales_etl", "r"].append(wait)
        sums.take(process.request(now))
    bucket = "airflow_task_queued_seconds_bucket"
    found = {
        bound: shown(sums).get_sample_value(bucket, {"dag": "sales_etl", "le": bound})
        for bound in ("0.01", "2.0", "5.0")
    }
    assert found == {"0.01": 1, "2.0": 1, "5.0": 2}


def test_what_is_in_a_bucket_with_a_bound_in_it_is_above_the_bound() -> None:
    sums, process = summing(), Process("p", BEGAN, DELTA, scale=0)
    # Its bucket is from 512 ms to 1,024.
    process.waits["sales_etl", "r"].append(700.0)
    sums.take(process.request(BEGAN + 1))
    bucket = "airflow_task_queued_seconds_bucket"
    found = [
        shown(sums).get_sample_value(bucket, {"dag": "sales_etl", "le": bound})
        for bound in ("1.0", "2.0")
    ]
    assert found == [0, 1]


def test_what_took_no_time_is_in_the_lowest_bucket() -> None:
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    waited = scope.metrics.add(name="airflow.task.queued_duration", unit="ms").exponential_histogram
    waited.aggregation_temporality = DELTA
    waited.data_points.add(count=2, zero_count=2, time_unix_nano=BEGAN + 1)
    sums = summing()
    sums.take(request.SerializeToString())
    bucket = "airflow_task_queued_seconds_bucket"
    assert shown(sums).get_sample_value(bucket, {"dag": "", "le": "0.01"}) == 2


def test_a_running_sum_that_comes_late_is_no_new_beginning() -> None:
    sums = summing()
    process = Process("p", BEGAN, CUMULATIVE)
    bodies = []
    for now, count in enumerate((4, 9, 12), start=BEGAN + 1):
        process.counts["sales_etl", "r"] = count
        bodies.append(process.request(now))
    for body in (bodies[1], bodies[0], bodies[2]):
        sums.take(body)
    assert shown(sums).get_sample_value("airflow_ti_finish_total", {"dag": "sales_etl"}) == 12


def test_an_older_value_of_another_instance_does_not_replace_a_newer_one() -> None:
    sums = summing()
    for name, at, slots in (("new", BEGAN + 5, 3), ("old", BEGAN + 1, 8)):
        sums.take(Process(name, BEGAN, DELTA).request(at, slots))
    assert shown(sums).get_sample_value("airflow_pool_open_slots", {"pool": "spark"}) == 3


def test_a_gauge_that_a_fork_has_of_its_parent_does_not_replace_what_the_parent_sends() -> None:
    sums = summing()
    parent, fork = Process("parent", BEGAN, DELTA), Process("fork", BEGAN, DELTA)
    sums.take(parent.request(BEGAN + 1, 0))
    for now, slots in ((BEGAN + 2, 3), (BEGAN + 4, 2)):
        sums.take(parent.request(now, slots))
        sums.take(fork.request(now + 1, 0, beats=False))
        registry = shown(sums)
        assert registry.get_sample_value("airflow_pool_open_slots", {"pool": "spark"}) == slots
    for reason in ("form", "limit"):
        dropped = registry.get_sample_value("feira_otlp_dropped_points_total", {"reason": reason})
        assert dropped == 0


def test_what_is_not_taken_is_dropped_and_counted() -> None:
    sums = summing()
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    metrics.add(name="airflow.other").gauge.data_points.add(as_int=1)
    metrics.add(name="airflow.ti.finish").gauge.data_points.add(as_int=1)
    metrics.add(
        name="airflow.task.queued_duration", unit="s"
    ).exponential_histogram.data_points.add()
    metrics.add(name="airflow.ti.finish")
    # What goes up and down is no counter.
    metrics.add(name="airflow.ti.finish").sum.data_points.add(as_int=1)
    sums.take(request.SerializeToString())
    registry = shown(sums)
    dropped = {
        reason: registry.get_sample_value("feira_otlp_dropped_points_total", {"reason": reason})
        for reason in ("unknown", "form", "limit")
    }
    assert dropped == {"unknown": 1, "form": 3, "limit": 0}
    with pytest.raises(DecodeError):
        sums.take(b"\xff no protobuf")


def test_neither_processes_nor_labels_make_it_grow_without_bound() -> None:
    sums = summing(most_series=10, most_streams=20)
    for number in range(600):
        process = Process(f"task {number}", BEGAN, CUMULATIVE)
        process.counts[f"dag {number % 30}", f"run {number}"] = 1
        sums.take(process.request(BEGAN + number + 1))
    assert (len(sums._counters), len(sums._streams), len(sums._requests)) == (10, 20, 256)
    registry = shown(sums)
    assert registry.get_sample_value("airflow_ti_finish_total", {"dag": "dag 9"}) == 20
    assert registry.get_sample_value("feira_otlp_dropped_points_total", {"reason": "limit"}) == 400


def test_a_label_is_cut_where_it_is_very_long() -> None:
    sums = summing()
    process = Process("p", BEGAN, DELTA)
    process.counts["d" * 5_000, os.urandom(4).hex()] = 1
    sums.take(process.request(BEGAN + 1))
    assert shown(sums).get_sample_value("airflow_ti_finish_total", {"dag": "d" * 200}) == 1


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_counted_and_changes_no_sum(odd: float) -> None:
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    ended = scope.metrics.add(name="airflow.ti.finish").sum
    ended.aggregation_temporality, ended.is_monotonic = DELTA, True
    slots = scope.metrics.add(name="airflow.pool.open_slots").gauge
    for value in (3.0, odd):
        ended.data_points.add(as_double=value, time_unix_nano=BEGAN + 1)
        slots.data_points.add(as_double=value, time_unix_nano=BEGAN + 1)
    waited = scope.metrics.add(name="airflow.task.queued_duration", unit="ms").exponential_histogram
    waited.aggregation_temporality = DELTA
    waited.data_points.add(count=1, sum=odd)
    sums = summing()
    sums.take(request.SerializeToString())
    registry = shown(sums)
    assert registry.get_sample_value("airflow_ti_finish_total", {"dag": ""}) == 3
    assert registry.get_sample_value("airflow_pool_open_slots", {"pool": ""}) == 3
    assert registry.get_sample_value("airflow_task_queued_seconds_count", {"dag": ""}) is None
    assert registry.get_sample_value("feira_otlp_dropped_points_total", {"reason": "form"}) == 3


def test_a_histogram_of_more_buckets_than_a_process_has_is_counted_and_not_kept() -> None:
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    waited = scope.metrics.add(name="airflow.task.queued_duration", unit="ms").exponential_histogram
    waited.aggregation_temporality = CUMULATIVE
    for buckets in (160, 200, 201, 100_000):
        point = waited.data_points.add(
            count=buckets, sum=5.0, scale=3, start_time_unix_nano=BEGAN + buckets
        )
        point.time_unix_nano = BEGAN + 2 * buckets
        point.positive.bucket_counts.extend([1] * buckets)
    sums = summing()
    sums.take(request.SerializeToString())
    registry = shown(sums)
    assert registry.get_sample_value("airflow_task_queued_seconds_count", {"dag": ""}) == 360
    assert registry.get_sample_value("feira_otlp_dropped_points_total", {"reason": "form"}) == 2


@pytest.mark.parametrize("scale", [-(2**31), -11, 21, 2**31 - 1])
def test_a_histogram_of_no_known_scale_is_counted_and_what_comes_with_it_is_taken(
    scale: int,
) -> None:
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    waited = scope.metrics.add(name="airflow.task.queued_duration", unit="ms").exponential_histogram
    waited.aggregation_temporality = DELTA
    for each in (scale, -10, 20):
        point = waited.data_points.add(count=1, sum=5.0, scale=each)
        point.positive.bucket_counts.append(1)
    sums = summing()
    sums.take(request.SerializeToString())
    registry = shown(sums)
    assert registry.get_sample_value("airflow_task_queued_seconds_count", {"dag": ""}) == 2
    assert registry.get_sample_value("feira_otlp_dropped_points_total", {"reason": "form"}) == 1
