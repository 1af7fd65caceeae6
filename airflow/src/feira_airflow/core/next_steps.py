"""How an error's remedy is had here, for tasks and commands. Imports no Airflow: a command that fails
would wait for it, and it makes its folder in the user's home."""

from __future__ import annotations

from feira.core.errors import PermanentError, Remedy

_STEPS = {
    Remedy.RUN: "Run `feira run {name} --day {key}`, or trigger its DAG with that partition key.",
    Remedy.REFETCH: "To take what the source shows now: `feira run {name} --day {key} --refetch`, or "
    "trigger its DAG with that partition key and `refetch` set.",
    Remedy.MIGRATE: "Run `feira migrate`, or the job `feira_spark.jobs.migrate`.",
}


def with_next_step(error: PermanentError) -> str:
    """The error's message, and how its remedy is had here."""
    return error.with_step(_STEPS)
