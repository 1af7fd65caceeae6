"""What another try cannot fix fails a task at once, with the next step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowFailException

from feira.core.errors import PermanentError
from feira_airflow.core.next_steps import with_next_step


@contextmanager
def permanent_errors_fail() -> Iterator[None]:
    """Around a task, also as its decorator: raises AirflowFailException for a PermanentError, so that
    no retry is spent on it. Any other error is left to the retries."""
    try:
        yield
    except PermanentError as error:
        raise AirflowFailException(with_next_step(error)) from error
