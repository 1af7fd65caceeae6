"""What every job is run by: an error of the data or the settings ends in its message, not in a trace."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from feira.core.errors import PermanentError, Remedy
from feira.core.landing.store import LandingError


def run(job: Callable[..., None]) -> None:
    """Runs a job with the shell's arguments; exits with 1 the message, and its next step, of an error
    that is no fault of the code."""
    try:
        typer.run(job)
    except (PermanentError, LandingError) as error:
        typer.echo(with_next_step(error), err=True)
        sys.exit(1)


def with_next_step(error: PermanentError | LandingError) -> str:
    """The error's message, and how its remedy is had beside jobs."""
    if not isinstance(error, PermanentError):
        return str(error)
    if error.remedy is Remedy.MIGRATE:
        return f"{error} Run `python -m feira_spark.jobs.migrate`."
    if error.remedy is None or error.of is None:
        return str(error)
    name, key = error.of
    step = f"rigger the DAG of {name} with the partition key {key}"
    if error.remedy is Remedy.REFETCH:
        return f"{error} To take what the source shows now, t{step} and `refetch` set."
    return f"{error} T{step}."
