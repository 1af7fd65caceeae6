"""Every query of alerts, recording rules and dashboards on the Prometheus of a stack that has run a day: each
returns data, or needs what a healthy day has not."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress

import requests

from feira_local.stack.config import HOST, StackConfig
from feira_local.stack.state import running_config
from matrix import Matrix
from promql import Named, queries, rules, selectors
from until import until

STATE = "recommendations: every query of alerts, rules and dashboards"
# After a day the exporter asks, Prometheus asks twice, and evaluates, what is of weeks every four minutes: up to
# eight, and two for what is slow.
PATIENCE = 600
# What returns nothing after a healthy day, by the query's place or by a series that it reads, and why. Alerts
# are not among them: each returns nothing while it does not fire, and what it reads must be there all the same.
CONDITIONS = {
    "overview: Alerts that fire": "an alert must fire",
    'ALERTS{alertstate="firing"}': "an alert must fire",
    # Airflow begins to send these when they first happen.
    "airflow: What goes wrong, an hour A": (killed := "a task must have been killed"),
    "airflow_scheduler_tasks_killed_externally_total": killed,
    "airflow: What goes wrong, an hour B": (lost := "a task's process must have been lost"),
    "airflow_task_instances_without_heartbeats_killed_total": lost,
    "airflow: What goes wrong, an hour D": (slow := "a DAG file must have taken too long to read"),
    "airflow_dag_processing_processor_timeouts_total": slow,
    "airflow: What goes wrong, an hour E": (failed := "a trigger must have failed"),
    "airflow_triggers_failed_total": failed,
    "airflow: What goes wrong, an hour F": (undelivered := "the end of lineage must be away"),
    "airflow_ol_emit_failed_total": undelivered,
}


def monitoring_problems(
    returned: Callable[[str], int],
    asked: Iterable[Named],
    alerts: Collection[str],
    conditions: Mapping[str, str],
) -> list[str]:
    """All that is wrong; ``returned`` has the number of series, with a value that is one, of a query."""
    problems = []
    places: dict[str, str] = {}
    read: set[str] = set()
    for query in asked:
        places[query.where] = query.promql
        read |= selectors(query.promql)
    counts = {each: returned(each) for each in {*places.values(), *read}}
    for where, promql in places.items():
        if where in alerts:
            if counts[promql]:
                problems.append(f"{where} fires on {counts[promql]} series after a healthy day")
        elif not counts[promql] and where not in conditions:
            problems.append(f"{where} returns nothing: {promql}")
    for selector in sorted(read):
        if not counts[selector] and selector not in conditions:
            problems.append(f"{selector} has no series")
    for condition, why in conditions.items():
        known = places.get(condition, condition if condition in read else None)
        if known is None:
            problems.append(f"{condition} is listed as one that needs a condition, and is no query")
        elif counts[known]:
            problems.append(f"{condition} returns data, and is listed with: {why}")
    return problems


def run_monitoring(m: Matrix) -> None:
    """The state, where the stack has a Prometheus."""
    config = running_config()
    if config.monitoring is None or config.monitoring.prometheus is None:
        m.skip(
            STATE,
            "no Prometheus: `apt-get install prometheus`, or its folder in FEIRA_MONITORING_BIN",
        )
        return
    m.state(STATE, lambda: _every_query(config))


def _every_query(config: StackConfig) -> list[str]:
    problems: list[str] = []
    alerts = {rule["alert"] for rule in rules("alert")}
    with requests.Session() as session:
        session.trust_env = False
        prometheus = f"http://{HOST}:{config.ports.own['prometheus']}/api/v1/query"
        serving = f"http://{HOST}:{config.ports.own['recommendations']}/recommendations/nobody"

        def returned(promql: str) -> int:
            answer = session.get(prometheus, params={"query": promql}, timeout=30)
            answer.raise_for_status()
            found = answer.json()["data"]["result"]
            return sum(not math.isnan(float(each["value"][1])) for each in found)

        def settled() -> bool:
            # Some of its figures are of requests that were answered.
            session.get(serving, timeout=10)
            problems[:] = monitoring_problems(returned, queries(), alerts, CONDITIONS)
            return not problems

        with suppress(AssertionError):
            until(settled, PATIENCE, poll=5)
    return problems
