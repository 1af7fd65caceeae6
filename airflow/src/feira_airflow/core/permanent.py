"""What another try cannot fix fails a task at once, with the next step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from feira.core.errors import PermanentError


@contextmanager
def permanent_errors_fail() -> Iterator[None]:
    """Around a task, also as its decorator: raises AirflowFailException for a PermanentError, so that
    no retry is spent on it. Any other error is left to the retries."""
    from feira.core.errors import PermanentError

    try:
        yield
    except PermanentError as error:
        raise AirflowFailException(with_next_step(error)) from error


def with_next_step(error: PermanentError) -> str:
    """The error's message, and how its remedy is had here."""
    from feira.core.errors import Remedy

    if error.remedy is Remedy.MIGRATE:
        step = "Run `feira migrate`, or the job `feira_spark.jobs.migrate`."
    elif error.remedy is None or error.of is None:
        return str(error)
    else:
        name, key = error.of
        step = f"Run `feira run {name} --day {key}`, or trigger its DAG with that partition key."
        if error.remedy is Remedy.REFETCH:
            step = (
                f"To take what the source shows now: `feira run {name} --day {key} --refetch`, or "
                "trigger its DAG with that partition key and `refetch` set."
            )
    return f"{error} {step}"
