"""How runs come to know their day: the timetables that carry it and the key that every task reads."""

from __future__ import annotations

import os
from datetime import date, datetime
from typing import Any

from airflow.sdk import (
    Asset,
    CronPartitionTimetable,
    CronTriggerTimetable,
    PartitionedAssetTimetable,
    PartitionedAtRuntime,
    StartOfDayMapper,
    get_current_context,
)
from airflow.sdk.exceptions import AirflowFailException

from feira_airflow.core.assets import KEY_FORMAT

CLOCK = "FEIRA_CLOCK"


def daily_at_midnight() -> Any:
    """The timetable of a producer: one run a UTC day, just after it ends, keyed by that day.

    Only midnight will do: with another hour manual runs and backfills get another partition date.
    On a laptop ``FEIRA_CLOCK`` is not ``on``: runs are then made by ``feira run`` alone, so that a
    replay of old days cannot meet today's run.
    """
    if os.environ.get(CLOCK) == "on":
        return CronPartitionTimetable(
            "0 0 * * *", timezone="UTC", run_offset=-1, key_format=KEY_FORMAT
        )
    return PartitionedAtRuntime()


def daily_at(hour: int) -> Any:
    """The timetable of a watch, which has no partition: once a day at that hour in UTC.

    On a laptop None, as ``daily_at_midnight`` has no clock there either.
    """
    if os.environ.get(CLOCK) == "on":
        return CronTriggerTimetable(f"0 {hour} * * *", timezone="UTC")
    return None


def on_day_of(asset: Asset) -> PartitionedAssetTimetable:
    """The timetable of a consumer: one run for each day that the asset's event names."""
    return PartitionedAssetTimetable(
        assets=asset, default_partition_mapper=StartOfDayMapper(input_format=KEY_FORMAT)
    )


def partition_day() -> date:
    """The extract day of the running task.

    Raises AirflowFailException where the run has no partition key: it would succeed and trigger
    nobody.
    """
    run = get_current_context()["dag_run"]
    key = run.partition_key
    if not key:
        raise AirflowFailException(
            f"Run {run.run_id} has no partition key, so it has no day. Trigger it with one: "
            "`feira run sales --day 2010-12-01`, or `partition_key` in the API's body."
        )
    try:
        return datetime.strptime(key, KEY_FORMAT).date()
    except ValueError:
        raise AirflowFailException(
            f"Partition key {key!r} is not a day such as 2010-12-01. Trigger the run with one."
        ) from None
