"""The lake, the warehouse and Spark of the local stack, opened for a command."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from feira.core.lake import landing_store
from feira.core.landing.store import LandingStore
from feira_local.stack import access
from feira_local.stack.errors import StackError

if TYPE_CHECKING:
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession


def landings(dataset: str) -> LandingStore:
    """The landings of a dataset."""
    return landing_store(access.lake_settings(), dataset)


@contextmanager
def warehouse(role: str = "reader") -> Iterator[psycopg.Connection]:
    """The warehouse as one of its roles; the reader can change nothing.

    Raises StackError where it does not answer, or holds no tables yet.
    """
    from feira.core.warehouse.schema import connect

    try:
        connection = connect(access.warehouse_dsn(role))
    except psycopg.OperationalError as error:
        raise StackError(
            f"The warehouse does not answer ({_first_line(error)}); `feira status` shows whether it "
            "runs."
        ) from error
    try:
        yield connection
    except psycopg.errors.UndefinedTable as error:
        raise StackError(no_table(error)) from error
    finally:
        connection.close()


@contextmanager
def spark_session() -> Iterator[SparkSession]:
    """A session of its own on the stack's Spark; raises StackError with Spark's reason for a refusal."""
    from pyspark.errors import PySparkException

    from feira_spark.core.session import connect

    access.require_running()
    # Spark logs each refusal as JSON, beside the sentence that a command ends with.
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL + 1)
    try:
        spark = connect(access.spark_url())
        try:
            yield spark
        finally:
            spark.stop()
    except PySparkException as error:
        raise StackError(f"Spark refused the query: {spark_reason(error)}") from error


def spark_reason(error: PySparkException) -> str:
    """What Spark says of a refusal, without the query and the plan that follow it."""
    return _first_line(error.getMessage() or error)


def no_table(error: psycopg.errors.UndefinedTable) -> str:
    """What is missing, and the command that makes it."""
    return f"{_first_line(error)}. Has its pipeline run? `feira run PIPELINE --day D`, as in `feira run sales --day D`"


def _first_line(reason: object) -> str:
    lines = [line.strip() for line in str(reason).splitlines()]
    return next((line for line in lines if line), type(reason).__name__).rstrip(".")
