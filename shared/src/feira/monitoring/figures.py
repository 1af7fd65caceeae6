"""Every figure that is exported, by name; labels are DAGs, tasks, tables, rules and the like, which contracts
and DAG files bound, and never a customer, an order, a day or a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

_Labels = TypeVar("_Labels", bound=str | tuple[str, ...])
_STEP_BUCKETS = (1, 2, 5, 10, 20, 40, 90, 300, 900, 1800)
# The verdicts of the recommendations' gate, and `failed`: there was no verdict, or it was to refuse.
OUTCOMES = ("passed", "approved_method", "not_enough_to_tell", "refused", "failed")


class Figures:
    """The metrics, all in one registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)

        def gauge(name: str, what: str, *labels: str) -> Gauge:
            return Gauge(name, what, labels, registry=self.registry)

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(name, what, labels, registry=self.registry)

        # The exporter itself.
        self.source_up = gauge("feira_source_up", "Whether what is asked has answered", "source")
        self.last_poll = gauge(
            "feira_exporter_last_poll_timestamp_seconds",
            "When all that is asked was last asked, or, before that, when the exporter began",
        )
        self.last_poll.set_to_current_time()
        self.clock = gauge("feira_pipelines_clock", "Whether pipelines run by the clock")

        # Airflow.
        self.steps = Histogram(
            "feira_step_seconds",
            "Of each task's last try, when it has ended",
            ("dag", "task"),
            buckets=_STEP_BUCKETS,
            registry=self.registry,
        )
        self.steps_ended = counter(
            "feira_steps_ended_total", "Tasks that have ended", "dag", "task", "state"
        )
        self.runs_ended = counter("feira_runs_ended_total", "Runs that have ended", "dag", "state")
        self.run_succeeded = gauge(
            "feira_run_last_success_timestamp_seconds", "When a run last ended well", "dag"
        )
        self.runs_unfinished = gauge(
            "feira_runs_unfinished", "Runs, a day each, that are queued or running", "dag", "state"
        )
        self.waiting = gauge(
            "feira_partitions_waiting", "Days that have some of a DAG's assets and not all", "dag"
        )
        self.without_run = gauge(
            "feira_partitions_without_run", "Days that have all assets of a DAG and no run", "dag"
        )
        self.paused = gauge("feira_dag_paused", "Whether a DAG is paused", "dag")
        self.event = gauge(
            "feira_asset_last_event_timestamp_seconds", "When an asset was last emitted", "asset"
        )
        self.watched_since = gauge(
            "feira_asset_watched_since_timestamp_seconds",
            "When the exporter first saw an asset that a DAG emits",
            *("asset", "dag"),
        )
        self.component = gauge(
            "feira_airflow_component_healthy", "As Airflow says of itself", "component"
        )

        # What was landed and judged.
        self.landed_lines = counter(
            "feira_landed_lines_total", "Lines of landings that were validated", "dataset"
        )
        self.landed_bytes = counter(
            "feira_landed_bytes_total", "Their files as they are stored", "dataset"
        )
        self.valid_lines = counter("feira_valid_lines_total", "Those that broke no rule", "dataset")
        self.quarantined_lines = counter(
            "feira_quarantined_lines_total", "Those that broke a rule", "dataset"
        )
        self.broken_lines = counter(
            "feira_rule_broken_lines_total", "By rule; a line may break several", "dataset", "rule"
        )
        self.gate = gauge(
            "feira_gate_outcome",
            "1 for the outcome of the gate's last judgement",
            "gate",
            "outcome",
        )
        self.judgements = counter(
            "feira_gate_judgements_total", "Judgements of a gate", "gate", "outcome"
        )
        self.messages = counter(
            "feira_ingested_messages_total",
            "Messages that runs have read: to events, repeated, of other days, or dead",
            "topic",
            "outcome",
        )

        # Tables.
        self.newest_partition = gauge(
            "feira_table_newest_partition_timestamp_seconds",
            "Start of the newest day that a table holds",
            "table",
        )
        self.promised = gauge(
            "feira_table_promised_latency_seconds",
            "How long after its end a day is there at the latest, by the contract",
            "table",
        )
        self.updated = gauge(
            "feira_table_updated_timestamp_seconds", "When a table last changed", "table"
        )
        self.rows = gauge("feira_table_rows", "Rows of a table's current snapshot", "table")
        self.files = gauge("feira_table_files", "Data files of it", "table")
        self.bytes = gauge("feira_table_bytes", "Their size", "table")

        # Warehouse and reports.
        self.held_days = gauge("feira_held_days", "Days whose rows the warehouse refuses")
        self.unreconciled = gauge(
            "feira_unreconciled_dates", "Dates that were loaded and not found equal to the lake"
        )
        self.reports_due = gauge(
            "feira_reports_due", "Reports that a channel has not taken", "channel"
        )
        self.report_prepared = gauge(
            "feira_report_last_prepared_timestamp_seconds", "When a report was last made", "dataset"
        )

        # PostgreSQL.
        self.database_bytes = gauge(
            "feira_postgres_database_size_bytes", "Of a database on disk", "database"
        )
        self.connections = gauge(
            "feira_postgres_connections", "Connections to a database", "database"
        )
        self.connections_limit = gauge(
            "feira_postgres_connections_limit", "The most that the server takes, of all databases"
        )
        self.oldest_transaction = gauge(
            "feira_postgres_oldest_transaction_seconds",
            "For how long the oldest transaction has been open; 0 without one",
            "database",
        )
        self.transactions = counter(
            "feira_postgres_transactions_total", "Transactions that ended", "database", "outcome"
        )
        self.deadlocks = counter(
            "feira_postgres_deadlocks_total",
            "Deadlocks, of which one ended a transaction",
            "database",
        )
        self.temporary_bytes = counter(
            "feira_postgres_temporary_written_bytes_total",
            "Written to disk by queries for which memory was too small",
            "database",
        )

        # Kafka.
        self.topic_end = gauge(
            "feira_topic_end_offset",
            "The offset after a partition's last message",
            "topic",
            "partition",
        )
        self.read_offset = gauge(
            "feira_topic_read_offset",
            "The offset after a partition's last message that a run has read; 0 before the first run",
            "topic",
            "partition",
        )
        self.unread = gauge(
            "feira_topic_unread_messages", "Messages behind the last that a run has read", "topic"
        )

        # The machine.
        self.disk_size = gauge("feira_disk_size_bytes", "Of the file system of a folder", "folder")
        self.disk_free = gauge("feira_disk_free_bytes", "What of it is free to us", "folder")
        self.heap_used = gauge(
            "feira_jvm_old_used_bytes",
            "What lives on in a JVM's heap: of the old generation, what the last full collection left",
            "service",
        )
        self.heap_limit = gauge("feira_jvm_old_limit_bytes", "The most that it may be", "service")

    def judged(self, gate: str, outcome: str) -> None:
        """Sets the outcome of a gate's last judgement; others of the gate are 0.

        :raises ValueError: for an outcome that is not of ``OUTCOMES``
        """
        if outcome not in OUTCOMES:
            raise ValueError(f"{gate}: {outcome!r} is no outcome; those are {', '.join(OUTCOMES)}.")
        for each in OUTCOMES:
            self.gate.labels(gate, each).set(each == outcome)

    def expect_rules(self, dataset: str, rules: Iterable[str]) -> None:
        """Shows a dataset's counters at 0: what first appears with a line has not risen."""
        for family in (
            self.landed_lines,
            self.landed_bytes,
            self.valid_lines,
            self.quarantined_lines,
        ):
            family.labels(dataset)
        for rule in rules:
            self.broken_lines.labels(dataset, rule)


class Shown:
    """What one source shows of gauges by label: what it finds no more has no figure."""

    def __init__(self) -> None:
        self._labels: dict[Gauge, set[tuple[str, ...]]] = {}

    def replace(self, gauge: Gauge, values: Mapping[_Labels, float]) -> None:
        """Sets the gauge to these values, by its label or by its labels in their order, and removes what this
        showed of it before and that is not among them. Other sources' series of the gauge stay."""
        found = {
            (key,) if isinstance(key, str) else tuple(key): value for key, value in values.items()
        }
        for labels, value in found.items():
            gauge.labels(*labels).set(value)
        for gone in self._labels.get(gauge, set()) - found.keys():
            gauge.remove(*gone)
        self._labels[gauge] = set(found)
