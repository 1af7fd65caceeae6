"""The steps of recommendations as the DAG runs them: connections in, snapshots and counts out."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from feira_airflow.core.connections import spark_session
from feira_airflow.core.partitions import partition_day
from feira_airflow.core.permanent import permanent_errors_fail


@permanent_errors_fail()
def features() -> dict[str, Any]:
    """Replaces the day's features; returns the snapshots that were read, those that hold them, and counts."""
    from feira_spark.recommendations.day import features

    with spark_session() as spark:
        return asdict(features(spark, partition_day()))
