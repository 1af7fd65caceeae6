"""What this DAG file imports is not installed."""

from __future__ import annotations

import a_package_that_nobody_has
from airflow.sdk import dag


@dag(schedule=a_package_that_nobody_has.SCHEDULE)
def report() -> None:
    pass


report()
