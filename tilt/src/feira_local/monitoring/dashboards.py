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
                Query("time() - feira_asset_last_event_timestamp_seconds", "{{asset}}"),
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
                "Alerts that fire",
                "short",
                Query(
                    'count by (alertname, severity) (ALERTS{alertstate="firing"})',
                    "{{severity}} {{alertname}}",
                ),
            ),
            lines("Disk that is free", "percentunit", Query("feira:disk:free_ratio", "{{folder}}")),
            lines("Size of tables", "bytes", Query("feira_table_bytes", "{{table}}")),
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
        ],
        variables=[choice("dag", "DAG", "label_values(feira_dag_paused, dag)")],
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
                "Seconds of steps that ended, an hour",
                "s",
                Query(
                    "sum by (dag, task) (increase(feira_step_seconds_sum[1h]))", "{{dag}} {{task}}"
                ),
                why="All steps; those of Spark are the long ones.",
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
                "Produced a second",
                "cps",
                Query("sum by (topic) (rate(feira_topic_end_offset[5m]))", "{{topic}}"),
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
                "It reaches Valkey", Query("feira_recommendations_valkey_up", "{{job}}"), width=6
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
                    "sum by (source) (rate(feira_recommendations_request_seconds_count[5m]))",
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


DASHBOARDS = (overview, pipeline, spark, kafka, serving)


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
