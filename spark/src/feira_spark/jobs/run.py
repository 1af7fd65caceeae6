"""What every job is run by: an error of the data or the settings ends in its message, not in a trace."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from feira.core.errors import PermanentError, Remedy
from feira.core.landing.store import LandingError
from feira_spark.core.branches import MovedError
from feira_spark.core.publish import AuditError

_STEPS = {
    Remedy.RUN: "Trigger the DAG of {name} with the partition key {key}.",
    Remedy.REFETCH: "To take what the source shows now, trigger the DAG of {name} with the partition key "
    "{key} and `refetch` set.",
    Remedy.MIGRATE: "Run `python -m feira_spark.jobs.migrate`.",
}


def run(job: Callable[..., None]) -> None:
    """Runs a job with the shell's arguments; exits with 1 the message, and its next step, of an error
    that is no fault of the code."""
    try:
        typer.run(job)
    except (PermanentError, LandingError, MovedError, AuditError) as error:
        text = error.with_step(_STEPS) if isinstance(error, PermanentError) else str(error)
        typer.echo(text, err=True)
        sys.exit(1)
