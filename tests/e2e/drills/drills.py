"""
### Drills

DAGs that `make faults` runs to see alarms go off. They use the platform's own parts, with less
patience: seconds where the pipelines have hours.
"""

from __future__ import annotations

import time
from datetime import timedelta

from airflow.sdk import Asset, PartitionedAtRuntime, dag, task

from feira_airflow.core.connections import spark_session
from feira_airflow.core.defaults import default_args
from feira_airflow.core.partitions import DAYS
from feira_provider.notifiers.deadline import run_deadlines

DRILL = Asset("drill", uri="feira://drill/deadline")
ARGS = default_args("drills") | {"retries": 0}


@dag(schedule=PartitionedAtRuntime(), default_args=ARGS, doc_md=__doc__, tags=["drill"])
def drill_timeout() -> None:
    @task(execution_timeout=timedelta(seconds=8))
    def query_for_hours() -> None:
        with spark_session() as spark:
            spark.sql("SELECT sum(hash(id) % 7) FROM range(2000000000000)").collect()

    query_for_hours()


@dag(
    schedule=PartitionedAtRuntime(),
    default_args=ARGS,
    deadline=run_deadlines(timedelta(seconds=5)),
    doc_md=__doc__,
    tags=["drill"],
)
def drill_deadline_keyed() -> None:
    @task(outlets=[DRILL])
    def take_too_long() -> None:
        time.sleep(20)

    take_too_long()


@dag(
    schedule=DAYS.heard(DRILL),
    default_args=ARGS,
    deadline=run_deadlines(timedelta(seconds=5)),
    doc_md=__doc__,
    tags=["drill"],
)
def drill_deadline_heard() -> None:
    @task
    def take_too_long() -> None:
        time.sleep(20)

    take_too_long()


drill_timeout()
drill_deadline_keyed()
drill_deadline_heard()
