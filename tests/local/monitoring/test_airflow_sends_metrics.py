"""Airflow's own metrics arrive: what it counts under the stack's settings, in processes that end, is exported."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import airflow
import pytest
import yaml
from prometheus_client import CollectorRegistry

from feira.monitoring.airflow_metrics import TAKEN
from feira.monitoring.otlp import Sums
from feira.monitoring.otlp_server import receiving
from feira_local.stack import airflow as stack_airflow
from feira_local.stack.config import StackConfig

# As a supervisor has a task do it: a fork, whose end sends what it counted.
TASKS = """
import atexit, os
from airflow.sdk._shared.observability.metrics import stats
from airflow.sdk.configuration import conf
from airflow.sdk.observability.metrics import stats_utils

stats.initialize(
    factory=stats_utils.get_stats_factory(),
    export_legacy_names=conf.getboolean("metrics", "legacy_names_on"),
)
for number in range(4):
    if os.fork() == 0:
        tags = {"dag_id": "sales_etl", "task_id": f"task_{number}"}
        stats.incr("ti.start", tags=tags)
        stats.incr("ti.finish", tags={**tags, "state": "success"})
        stats.incr("ti_successes", tags=tags)
        # What every task counts is asked of the REST API: one that counts no more has nothing to send.
        if number == 0:
            atexit._run_exitfuncs()
            os._exit(0)
        stats.timing("task.scheduled_duration", 400.0, tags={**tags, "queue": "default"})
        stats.gauge("pool.open_slots", 7, tags={"pool_name": "spark"})
        atexit._run_exitfuncs()
        os._exit(0)
    os.wait()
stats.incr("scheduler_heartbeat")
"""


def test_what_processes_that_end_have_counted_is_summed(tmp_path: Path) -> None:
    seconds = itertools.count(step=120)
    sums = Sums(TAKEN, since=0, clock=lambda: float(next(seconds)))
    requests: list[bytes] = []

    def take(body: bytes) -> None:
        requests.append(body)
        sums.take(body)

    with receiving(take, "127.0.0.1", 0) as port:
        config = StackConfig.from_env(
            {
                "FEIRA_HOME": str(tmp_path),
                "FEIRA_MONITORING": "on",
                "FEIRA_PORT_OTLP": str(port),
            }
        )
        config.make_folders()
        environment = os.environ | stack_airflow.settings(config)
        subprocess.run([sys.executable, "-c", TASKS], env=environment, check=True, timeout=120)
    registry = CollectorRegistry()
    registry.register(sums)
    of_dag = {"dag": "sales_etl"}
    for body in requests:
        assert b"airflow." in body and b"airflow.ti." not in body
    assert registry.get_sample_value("airflow_scheduler_heartbeat_total") == 1
    assert registry.get_sample_value("airflow_task_scheduled_seconds_sum", of_dag) == pytest.approx(
        1.2
    )
    half = of_dag | {"le": "0.5"}
    assert registry.get_sample_value("airflow_task_scheduled_seconds_bucket", half) == 3
    assert registry.get_sample_value("airflow_pool_open_slots", {"pool": "spark"}) == 7
    # What is not taken was not sent.
    dropped = registry.get_sample_value("feira_otlp_dropped_points_total", {"reason": "unknown"})
    assert dropped == 0


def test_what_is_taken_are_metrics_of_airflow_and_no_label_grows_with_runs() -> None:
    template = Path(airflow.__file__).parent / "_shared/observability/metrics/metrics_template.yaml"
    known = {each["name"]: each for each in yaml.safe_load(template.read_text())["metrics"]}
    for taken in TAKEN:
        assert known[taken.name]["type"] == taken.kind, taken.name
        assert taken.labels.keys() <= {"dag", "pool"}
    assert len({taken.exported for taken in TAKEN}) == len(TAKEN)
