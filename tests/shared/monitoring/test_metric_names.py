"""What is exported, by its unit: a time or a size says in its name what it is counted in."""

from __future__ import annotations

import re
from collections.abc import Iterator

from feira.monitoring.airflow_metrics import TAKEN, allow_list
from feira.monitoring.figures import Figures
from feira.recommendations.serving.metrics import Metrics

# Whoever adds a metric states here what it is counted in; a counter's name is without `_total`.
UNITS = {
    "timestamp_seconds": """
        feira_asset_last_event feira_asset_watched_since feira_exporter_last_poll feira_report_last_prepared
        feira_run_last_success feira_table_newest_partition feira_table_updated
    """,
    "seconds": """
        feira_postgres_oldest_transaction feira_recommendations_request feira_step
        feira_table_promised_latency
        airflow_dag_processing_total_parse_time airflow_dagrun_duration_success
        airflow_scheduler_critical_section airflow_scheduler_scheduler_loop airflow_task_scheduled
    """,
    "bytes": """
        feira_disk_free feira_disk_size feira_jvm_old_limit feira_jvm_old_used feira_landed
        feira_postgres_database_size feira_postgres_temporary_written feira_table
    """,
    # A number of what the name says, an offset, or whether something is so.
    "": """
        feira_airflow_component_healthy feira_dag_paused feira_gate_judgements feira_gate_outcome feira_held_days
        feira_ingested_messages feira_landed_lines feira_partitions_waiting
        feira_partitions_without_run feira_pipelines_clock feira_postgres_connections
        feira_postgres_connections_limit feira_postgres_deadlocks feira_postgres_transactions
        feira_quarantined_lines feira_recommendations_events feira_recommendations_kafka_up
        feira_recommendations_requests_refused feira_recommendations_valkey_failures
        feira_recommendations_file_read feira_recommendations_valkey_up feira_recommendations_version_read
        feira_reports_due feira_rule_broken_lines
        feira_runs_ended feira_runs_unfinished feira_source_up feira_steps_ended
        feira_table_files feira_table_rows feira_topic_end_offset feira_topic_read_offset
        feira_topic_unread_messages feira_unreconciled_dates feira_valid_lines
        airflow_dag_processing_import_errors
        airflow_dag_processing_processor_timeouts airflow_dag_processor_heartbeat
        airflow_dagbag_size
        airflow_ol_emit_failed airflow_pool_deferred_slots airflow_pool_open_slots
        airflow_pool_queued_slots airflow_pool_running_slots airflow_scheduler_heartbeat
        airflow_scheduler_orphaned_tasks_adopted airflow_scheduler_orphaned_tasks_cleared
        airflow_scheduler_tasks_executable airflow_scheduler_tasks_killed_externally
        airflow_scheduler_tasks_starving airflow_task_instances_without_heartbeats_killed
        airflow_triggerer_heartbeat airflow_triggers_failed
        airflow_triggers_running
    """,
}  # fmt: skip


def exported() -> Iterator[tuple[str, str]]:
    """Each metric's name and description: of the exporter, of the API, and of what Airflow sends."""
    for registry in (Figures().registry, Metrics().registry):
        for family in registry.collect():
            # Those of the process itself are prometheus_client's.
            if not family.name.startswith("process_"):
                yield family.name, family.documentation
    for taken in TAKEN:
        yield taken.exported, taken.what


def test_every_metric_has_the_unit_that_it_is_counted_in_at_the_end_of_its_name() -> None:
    expected = {
        f"{name}_{unit}" if unit else name
        for unit, names in UNITS.items()
        for name in names.split()
    }
    assert {name for name, _ in exported()} == expected


def test_every_metric_has_a_description_and_a_name_that_prometheus_adds_its_endings_to() -> None:
    for name, what in exported():
        assert what, name
        assert not name.endswith(("_total", "_count", "_sum", "_bucket", "_created")), name
        # The unit stands last, once.
        for unit in ("bytes", "seconds"):
            assert unit not in name.split("_")[:-1], name


def test_airflow_is_told_to_send_each_metric_that_is_taken_and_none_of_a_longer_name() -> None:
    allowed = [re.compile(each) for each in allow_list().split(",")]
    for taken in TAKEN:
        assert any(each.match(taken.name) for each in allowed)
        assert not any(each.match(f"{taken.name}.of_more") for each in allowed)
