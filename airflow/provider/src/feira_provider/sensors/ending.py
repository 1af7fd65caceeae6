"""How a sensor's wait ends: the same, and in the sensor's own words, in a worker and in the triggerer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)

if TYPE_CHECKING:
    from airflow.sdk import BaseSensorOperator


def timed_out(sensor: BaseSensorOperator, message: str) -> AirflowException:
    """The end of a wait that was in vain: not tried again; with ``soft_fail`` or ``never_fail`` a skip."""
    soft = sensor.soft_fail or sensor.never_fail
    return AirflowSkipException(message) if soft else AirflowSensorTimeout(message)


def refused(sensor: BaseSensorOperator, message: str) -> AirflowException:
    """The end of a wait that would be in vain: not tried again, and not soft; with ``never_fail`` a skip."""
    return AirflowSkipException(message) if sensor.never_fail else AirflowFailException(message)


@contextmanager
def in_own_words(late: Callable[[], AirflowException] | None = None) -> Iterator[None]:
    """Around what the base class does: its own timeout, and what it makes of an error where the sensor is soft, name
    nothing.

    :param late: makes the error of a timeout that the base class finds
    """
    try:
        yield
    except AirflowSensorTimeout as error:
        if late is None:
            raise
        raise late() from error
    except AirflowSkipException as skipped:
        if isinstance(skipped.__cause__, (AirflowSkipException, AirflowFailException)):
            raise skipped.__cause__ from None
        if late is None or skipped.__cause__ is not None:
            raise
        raise late() from skipped
