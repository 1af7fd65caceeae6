"""How runs come to know their partition: for each kind of key the clock that makes it, the timetable that
hears it, and how a task reads it. One place a kind, so that emitter and listener cannot differ.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from airflow.sdk import (
    Asset,
    AssetAll,
    CronPartitionTimetable,
    CronTriggerTimetable,
    PartitionedAssetTimetable,
    PartitionedAtRuntime,
    StartOfDayMapper,
    get_current_context,
)
from airflow.sdk.exceptions import AirflowFailException

from feira.core.partition_keys import DAY, KeyFormat, PartitionKeyError
from feira.core.settings import SettingsError

CLOCK = "FEIRA_CLOCK"


def clock_is_on() -> bool:
    """Whether ``FEIRA_CLOCK`` is ``on``; unset and blank are ``off``.

    :raises SettingsError: where it is anything else: taken for ``off``, nothing would run, the watches over silence
        neither
    """
    text = os.environ.get(CLOCK, "").strip()
    state = text.lower() or "off"
    if state not in ("on", "off"):
        raise SettingsError(f"{CLOCK} is {text[:80]!r}; it may be on or off.")
    return state == "on"


@dataclass(frozen=True)
class PartitionKeys:
    """A kind of partition key.

    :param format: how it is written
    :param cron: when a period ends, in UTC
    :param mapper: the Airflow mapper that takes an event's key as this kind; of a period that Airflow
        has no mapper for ``IdentityMapper()``, by which a run has the key, and no partition date
    """

    format: KeyFormat
    cron: str
    mapper: Any

    def produced(self) -> Any:
        """The timetable of a producer: a run when a period ends, keyed by that period.

        On a laptop ``FEIRA_CLOCK`` is not ``on``: runs are then made by ``feira run`` alone, so that a
        replay of old days cannot meet today's run.
        """
        if clock_is_on():
            return CronPartitionTimetable(
                self.cron, timezone="UTC", run_offset=-1, key_format=self.format.pattern
            )
        return PartitionedAtRuntime()

    def heard(self, assets: Asset | AssetAll) -> PartitionedAssetTimetable:
        """The timetable of a consumer: a run for each period that the asset's event names; of several,
        joined by ``&``, once each of them has had its event since the period's last run."""
        return PartitionedAssetTimetable(
            assets=assets,
            default_partition_mapper=self.mapper,
        )

    def of_run(self) -> datetime:
        """When the period of the running task's key begins, in UTC.

        Raises AirflowFailException where the run has no key of this kind: it would succeed and trigger
        nobody.
        """
        run = get_current_context()["dag_run"]
        if not run.partition_key:
            raise AirflowFailException(
                f"Run {run.run_id} has no partition key, so it has no {self.format.kind}. Trigger it "
                f"with one: `partition_key` in the API's body, as {self.format.example}."
            )
        try:
            return self.format.parse(run.partition_key)
        except PartitionKeyError as error:
            raise AirflowFailException(f"Partition key {error} Trigger the run with one.") from None


# Only midnight will do: with another hour manual runs and backfills get another partition date.
DAYS = PartitionKeys(DAY, cron="0 0 * * *", mapper=StartOfDayMapper(input_format=DAY.pattern))


def partition_day() -> date:
    """The extract day of the running task; raises as ``PartitionKeys.of_run``."""
    return DAYS.of_run().date()


def daily_at(hour: int) -> Any:
    """The timetable of a watch, which has no partition: once a day at that hour in UTC.

    On a laptop None, as a producer has no clock there either.
    """
    if clock_is_on():
        return CronTriggerTimetable(f"0 {hour} * * *", timezone="UTC")
    return None
