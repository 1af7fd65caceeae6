"""The dashboards of ``infra/monitoring/dashboards``, as code: ``make dashboards`` writes them anew.

Only who changes them needs this module, and the library that it is made with, which is of the extra ``dev``.
"""

from __future__ import annotations

from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from feira.core.settings import repository_root
from feira_local.monitoring.panels import Query, choice, lines, now, page, works

FOLDER = repository_root() / "infra" / "monitoring" / "dashboards"


def overview() -> Dashboard:
    """Whether the days come, what stands in their way, and whether all runs."""
    return page(
        "overview",
        "Feira: overview",
        "Whether the days come, what stands in their way, and whether all runs.",
        [
            lines(
                "Past what a table's contract promises",
                "s",
                Query("clamp_min(feira:table:lateness_seconds, 0)", "{{table}}"),
                why="Above 0 the day after a table's newest is late. It is of use where pipelines run "
                "by the clock: a stack that replays days of another year is always late.",
            ),
            lines(
                "Since each asset's last event",
                "s",
                Query("feira:asset:silence_seconds", "{{asset}}"),
            ),
            now(
                "Gates that let nothing through",
                "none",
                Query('sum by (gate) (feira_gate_outcome{outcome=~"refused|failed"})', "{{gate}}"),
                bad_from=1,
                width=6,
            ),
            now(
                "Days without their run",
                "none",
                Query("sum(feira_partitions_without_run)", "days"),
                bad_from=1,
                width=3,
            ),
            now(
                "Days that wait",
                "none",
                Query("sum(feira_partitions_waiting)", "days"),
                bad_from=300,
                width=3,
            ),
            now("Days held", "none", Query("feira_held_days", "days"), bad_from=1, width=3),
            now(
                "Not reconciled",
                "none",
                Query("feira_unreconciled_dates", "dates"),
                bad_from=1,
                width=3,
            ),
            now(
                "Reports due",
                "none",
                Query("feira_reports_due", "{{channel}}"),
                bad_from=1,
                width=6,
            ),
            works("Answers", Query("feira_source_up", "{{source}}"), width=12),
            works("Is scraped", Query("up", "{{job}}"), width=12),
            works(
                "Airflow says that it is healthy",
                Query("feira_airflow_component_healthy", "{{component}}"),
                width=12,
            ),
            now("Paused", "none", Query("feira_dag_paused", "{{dag}}"), bad_from=1, width=12),
            lines(
                "Lines landed a day",
                "short",
                Query("sum by (dataset) (increase(feira_landed_lines_total[1d]))", "{{dataset}}"),
            ),
            lines(
                "Of these in quarantine",
                "percentunit",
                Query("feira:quarantined:ratio_1d", "{{dataset}}, a day"),
                Query("feira:quarantined:ratio_1w", "{{dataset}}, a week"),
            ),
            lines(
                "Lines that broke a rule, a day",
                "short",
                Query(
                    "topk(5, sum by (dataset, rule) (increase(feira_rule_broken_lines_total[1d])))",
                    "{{dataset}} {{rule}}",
                ),
            ),
            lines(
                "Judgements of the gates, a day",
                "short",
                Query(
                    "sum by (gate, outcome) (increase(feira_gate_judgements_total[1d]))",
                    "{{gate}} {{outcome}}",
                ),
            ),
            lines(
                "Alerts that fire",
                "short",
                Query(
                    'count by (alertname, severity) (ALERTS{alertstate="firing"})',
                    "{{severity}} {{alertname}}",
                ),
            ),
            lines(
                "Since the exporter's last poll",
                "s",
                Query("time() - feira_exporter_last_poll_timestamp_seconds", "{{job}}"),
                why="No figure is newer than this. A source that is slow to answer holds up all.",
            ),
            lines("Disk that is free", "percentunit", Query("feira:disk:free_ratio", "{{folder}}")),
            lines("Size of tables", "bytes", Query("feira_table_bytes", "{{table}}")),
            lines(
                "PostgreSQL: connections",
                "short",
                Query("feira_postgres_connections", "{{database}}"),
                Query("feira_postgres_connections_limit", "limit, of all"),
            ),
            lines(
                "PostgreSQL: size of databases",
                "bytes",
                Query("feira_postgres_database_size_bytes", "{{database}}"),
            ),
            lines(
                "PostgreSQL: transactions a second",
                "cps",
                Query("rate(feira_postgres_transactions_total[5m])", "{{database}}, {{outcome}}"),
                Query("rate(feira_postgres_deadlocks_total[5m])", "{{database}}, deadlocks"),
            ),
            lines(
                "PostgreSQL: the oldest open transaction",
                "s",
                Query("feira_postgres_oldest_transaction_seconds", "{{database}}"),
                why="What is open keeps old versions of rows from being removed.",
            ),
            lines(
                "PostgreSQL: written for lack of memory, a second",
                "Bps",
                Query("rate(feira_postgres_temporary_written_bytes_total[5m])", "{{database}}"),
            ),
        ],
    )


def pipeline() -> Dashboard:
    """A pipeline's runs and steps: how many, how long, and how they ended."""
    return page(
        "pipeline",
        "Feira: a pipeline",
        "The runs of a DAG and their steps: how many, how long, and how they ended.",
        [
            now(
                "Since a run last succeeded",
                "s",
                Query('time() - feira_run_last_success_timestamp_seconds{dag="$dag"}', "{{dag}}"),
                width=6,
            ),
            now(
                "Paused",
                "none",
                Query('feira_dag_paused{dag="$dag"}', "{{dag}}"),
                bad_from=1,
                width=4,
            ),
            now(
                "Unfinished runs",
                "none",
                Query('feira_runs_unfinished{dag="$dag"}', "{{state}}"),
                width=6,
            ),
            now(
                "Days that wait",
                "none",
                Query('feira_partitions_waiting{dag="$dag"}', "{{dag}}"),
                bad_from=300,
                width=4,
            ),
            now(
                "Days without their run",
                "none",
                Query('feira_partitions_without_run{dag="$dag"}', "{{dag}}"),
                bad_from=1,
                width=4,
            ),
            lines(
                "Runs that ended, an hour",
                "short",
                Query('increase(feira_runs_ended_total{dag="$dag"}[1h])', "{{state}}"),
            ),
            lines(
                "Steps that failed, an hour",
                "short",
                Query(
                    'increase(feira_steps_ended_total{dag="$dag", state="failed"}[1h])', "{{task}}"
                ),
            ),
            lines(
                "Mean seconds of a step, an hour",
                "s",
                Query(
                    'increase(feira_step_seconds_sum{dag="$dag"}[1h])'
                    ' / (increase(feira_step_seconds_count{dag="$dag"}[1h]) > 0)',
                    "{{task}}",
                ),
            ),
            lines(
                "Nine of ten steps take at most",
                "s",
                Query(
                    "histogram_quantile(0.9, sum by (le, task)"
                    ' (increase(feira_step_seconds_bucket{dag="$dag"}[1d])))',
                    "{{task}}",
                ),
                why="Over a day, from a histogram whose steps are wide: 20 may be 11 to 20.",
            ),
            lines(
                "Mean seconds that a task waits to be queued, an hour",
                "s",
                Query(
                    'increase(airflow_task_scheduled_seconds_sum{dag="$dag"}[1h])'
                    ' / (increase(airflow_task_scheduled_seconds_count{dag="$dag"}[1h]) > 0)',
                    "{{dag}}",
                ),
                why="For a slot of its pool, or for the scheduler.",
            ),
            lines(
                "Steps that ended, an hour",
                "short",
                Query(
                    'sum by (state) (increase(feira_steps_ended_total{dag="$dag"}[1h]))',
                    "{{state}}",
                ),
            ),
        ],
        variables=[choice("dag", "DAG", "label_values(feira_dag_paused, dag)")],
    )


def airflow() -> Dashboard:
    """Airflow by its own metrics: whether its parts go on, what tasks wait for, and what goes wrong."""
    return page(
        "airflow",
        "Feira: Airflow",
        "Airflow by its own metrics: whether its parts go on, what tasks wait for, and what goes wrong.",
        [
            lines(
                "Heartbeats a minute",
                "short",
                *(
                    Query(f"60 * rate(airflow_{part}_heartbeat_total[5m])", part.replace("_", " "))
                    for part in ("scheduler", "dag_processor", "triggerer")
                ),
            ),
            lines(
                "Mean seconds of a round of the scheduler",
                "s",
                *(
                    Query(
                        f"rate(airflow_scheduler_{part}_seconds_sum[5m])"
                        f" / (rate(airflow_scheduler_{part}_seconds_count[5m]) > 0)",
                        legend,
                    )
                    for part, legend in (
                        ("scheduler_loop", "a round"),
                        ("critical_section", "of it, what one scheduler does at a time"),
                    )
                ),
            ),
            lines(
                "Nine of ten tasks wait to be queued at most, an hour",
                "s",
                Query(
                    "histogram_quantile(0.9, sum by (le) (increase(airflow_task_scheduled_seconds_bucket[1h])))",
                    "all DAGs",
                ),
            ),
            lines(
                "Tasks that wait or run",
                "short",
                # Of its executor Airflow says 0: LocalExecutor counts nothing (apache/airflow#71914).
                Query("sum(airflow_pool_running_slots)", "run"),
                Query("airflow_scheduler_tasks_executable", "are ready"),
                Query("airflow_scheduler_tasks_starving", "no pool has a slot for"),
            ),
            lines(
                "Slots of pools that are free",
                "short",
                Query("airflow_pool_open_slots", "{{pool}}"),
            ),
            lines(
                "Slots of pools that are in use",
                "short",
                Query("airflow_pool_running_slots + airflow_pool_queued_slots", "{{pool}}"),
                Query("airflow_pool_deferred_slots", "{{pool}}, deferred"),
            ),
            lines(
                "Events of assets, an hour",
                "short",
                Query(
                    "changes(feira_asset_last_event_timestamp_seconds[1h]) > 0"
                    # An asset's first event ever is no change.
                    " or time() - feira_asset_last_event_timestamp_seconds < bool 3600",
                    "{{asset}}",
                ),
                why="Airflow is asked once a minute: two of an asset within one are one.",
            ),
            lines(
                "DAG files",
                "short",
                Query("airflow_dagbag_size", "DAGs"),
                Query("airflow_dag_processing_import_errors", "files that could not be read"),
                Query("airflow_dag_processing_total_parse_time_seconds", "seconds of a round"),
                Query("airflow_triggers_running", "triggers that run"),
            ),
            lines(
                "Mean seconds of a run that succeeded, a day",
                "s",
                Query(
                    "increase(airflow_dagrun_duration_success_seconds_sum[1d])"
                    " / (increase(airflow_dagrun_duration_success_seconds_count[1d]) > 0)",
                    "{{dag}}",
                ),
            ),
            lines(
                "What goes wrong, an hour",
                "short",
                *(
                    Query(f"increase(airflow_{name}_total[1h])", legend)
                    for name, legend in (
                        ("scheduler_tasks_killed_externally", "tasks that ended unseen"),
                        ("task_instances_without_heartbeats_killed", "tasks that were lost"),
                        (
                            "scheduler_orphaned_tasks_cleared",
                            "tasks begun anew for a lost scheduler",
                        ),
                        ("dag_processing_processor_timeouts", "DAG files that took too long"),
                        ("triggers_failed", "triggers that failed"),
                        ("ol_emit_failed", "events of lineage not delivered"),
                    )
                ),
                Query(
                    "sum by (reason) (increase(feira_otlp_dropped_points_total[1h]))",
                    "points not taken: {{reason}}",
                ),
            ),
        ],
    )


def spark() -> Dashboard:
    """Spark's heap, the steps that it computes, and the tables that it writes."""
    return page(
        "spark",
        "Feira: Spark",
        "Spark's heap, the seconds of the steps that it computes, and the tables that it writes.",
        [
            lines(
                "What lives on in the heap",
                "bytes",
                Query('feira_jvm_old_used_bytes{service="spark"}', "used"),
                Query('feira_jvm_old_limit_bytes{service="spark"}', "limit"),
            ),
            lines(
                "Of its limit",
                "percentunit",
                Query('feira:heap:used_ratio{service="spark"}', "{{service}}"),
            ),
            lines(
                "Stages",
                "short",
                Query("feira:spark:running_stages", "run"),
                Query("feira:spark:waiting_stages", "wait"),
                Query("feira:spark:active_jobs", "jobs that run"),
            ),
            lines(
                "Cores in use",
                "short",
                Query("rate(feira:spark:jvm_cpu_seconds_total[5m])", "all of the JVM"),
                Query("rate(feira:spark:task_cpu_seconds_total[5m])", "by tasks"),
                Query(
                    "rate(feira:spark:task_gc_seconds_total[5m])",
                    "of tasks' time, in collections of the heap",
                ),
                Query(
                    "rate(feira:spark:task_run_seconds_total[5m])",
                    "tasks that run, waiting or not",
                ),
            ),
            lines(
                "Tasks and jobs a minute",
                "short",
                *(
                    Query(f"60 * rate(feira:spark:{what}_total[5m])", legend)
                    for what, legend in (
                        ("completed_tasks", "tasks"),
                        ("failed_tasks", "tasks that failed"),
                        ("succeeded_jobs", "jobs"),
                        ("failed_jobs", "jobs that failed"),
                    )
                ),
            ),
            lines(
                "Bytes a second that shuffles read and write, and that had no room in memory",
                "Bps",
                Query("rate(feira:spark:shuffle_read_bytes_total[5m])", "read"),
                Query("rate(feira:spark:shuffle_written_bytes_total[5m])", "written"),
                Query("rate(feira:spark:spilled_bytes_total[5m])", "spilled"),
            ),
            lines(
                "What is cached",
                "bytes",
                Query("feira:spark:memory_used_bytes", "in memory"),
                Query("feira:spark:memory_limit_bytes", "room in memory"),
                Query("feira:spark:disk_used_bytes", "on disk"),
            ),
            lines(
                "Events that Spark dropped, a second",
                "cps",
                Query("rate(feira:spark:dropped_events_total[5m])", "of its own status"),
                why="Where it drops some, the figures of tasks and jobs are too low.",
            ),
            lines(
                "Seconds of the steps that took the most, an hour",
                "s",
                Query(
                    "topk(8, sum by (dag, task) (increase(feira_step_seconds_sum[1h])))",
                    "{{dag}} {{task}}",
                ),
                why="Of all steps; those of Spark are the long ones.",
            ),
            lines("Rows of tables", "short", Query("feira_table_rows", "{{table}}")),
            lines(
                "Data files of tables",
                "short",
                Query("feira_table_files", "{{table}}"),
                why="Many small ones make every reader slower.",
            ),
            lines(
                "Since a table last changed",
                "s",
                Query("time() - feira_table_updated_timestamp_seconds", "{{table}}"),
            ),
        ],
    )


def kafka() -> Dashboard:
    """What is produced, what runs have read of it, and the broker's heap."""
    return page(
        "kafka",
        "Feira: Kafka",
        "Messages that are produced, what runs have read of them, and the broker's heap.",
        [
            works(
                "The broker answers",
                Query('feira_source_up{source="kafka"}', "{{source}}"),
                width=6,
            ),
            now(
                "Unread now",
                "short",
                Query("feira_topic_unread_messages", "{{topic}}"),
                width=6,
            ),
            now(
                "Messages since the topic began",
                "short",
                Query("sum by (topic) (feira_topic_end_offset)", "{{topic}}"),
                width=12,
            ),
            lines(
                "Messages that no run has read",
                "short",
                Query("feira_topic_unread_messages", "{{topic}}"),
                why="It falls when a run of user_events has read a day. Growth without a fall is an alert.",
            ),
            lines(
                "Read up to, of all partitions",
                "short",
                Query("sum by (topic) (feira_topic_read_offset)", "{{topic}}"),
                why="It rises when a run of user_events has read a day.",
            ),
            lines(
                "Produced a second",
                "cps",
                Query("sum by (topic) (deriv(feira_topic_end_offset[5m]))", "{{topic}}"),
            ),
            lines(
                "What became of those that were read, a day",
                "short",
                Query(
                    "sum by (topic, outcome) (increase(feira_ingested_messages_total[1d]))",
                    "{{topic}} {{outcome}}",
                ),
            ),
            lines(
                "What lives on in the heap, of its limit",
                "percentunit",
                Query('feira:heap:used_ratio{service="kafka"}', "{{service}}"),
            ),
        ],
    )


def serving() -> Dashboard:
    """The API of recommendations: how much is asked, how fast it answers, and from where."""
    return page(
        "serving",
        "Feira: serving",
        "The API of recommendations: how much is asked, how fast it answers, and from where.",
        [
            works("The API answers", Query('up{job="recommendations"}', "{{job}}"), width=6),
            works(
                "It reads lists from Valkey",
                Query("feira_recommendations_valkey_up", "Valkey answers"),
                Query("feira_recommendations_version_read", "a version is read"),
                Query("feira_recommendations_file_read", "the baked file is there"),
                width=6,
            ),
            works(
                "It takes events for Kafka",
                Query("feira_recommendations_kafka_up", "{{job}}"),
                width=6,
            ),
            now(
                "99 of 100 answers within",
                "s",
                Query("feira:recommendations:p99_seconds", "all"),
                width=6,
            ),
            lines(
                "Requests a second",
                "reqps",
                Query("feira:recommendations:requests_per_second", "all"),
                Query(
                    "sum by (route, slot) (rate(feira_recommendations_request_seconds_count[5m]))",
                    "{{route}} {{slot}}",
                ),
            ),
            lines(
                "Answers by their source",
                "reqps",
                Query(
                    'sum by (source) (rate(feira_recommendations_request_seconds_count{source!=""}[5m]))',
                    "{{source}}",
                ),
                why="A user's own lists, what is popular, or the baked file where Valkey does not answer.",
            ),
            lines(
                "Seconds to an answer, in the API",
                "s",
                *(
                    Query(
                        f"histogram_quantile({share}, sum by (le)"
                        " (rate(feira_recommendations_request_seconds_bucket[5m])))",
                        f"{share:.0%}",
                    )
                    for share in (0.5, 0.99)
                ),
            ),
            lines(
                "Refused, and reads of Valkey that gave nothing, a second",
                "reqps",
                Query(
                    "sum by (parameter) (rate(feira_recommendations_requests_refused_total[5m]))",
                    "refused: {{parameter}}",
                ),
                Query(
                    "sum by (kind) (rate(feira_recommendations_valkey_failures_total[5m]))",
                    "Valkey: {{kind}}",
                ),
            ),
            lines(
                "Events that users posted, a second",
                "cps",
                Query(
                    "sum by (outcome) (rate(feira_recommendations_events_total[5m]))", "{{outcome}}"
                ),
            ),
            lines(
                "Memory of the API",
                "bytes",
                Query('process_resident_memory_bytes{job="recommendations"}', "memory"),
            ),
        ],
    )


DASHBOARDS = (overview, pipeline, airflow, spark, kafka, serving)


def texts() -> dict[str, str]:
    """Each file's name with its text: JSON that Grafana imports or is provisioned with."""
    return {
        f"{make.__name__}.json": JSONEncoder(sort_keys=True, indent=2).encode(make().build()) + "\n"
        for make in DASHBOARDS
    }


def write(folder: Path = FOLDER) -> None:
    """Writes all, and removes files of dashboards that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = texts()
    for each in folder.glob("*.json"):
        if each.name not in wanted:
            each.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
