"""The lake, the warehouse and Spark of the local stack, opened for a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

import psycopg

from feira.lake import landing_store
from feira.landing.store import LandingStore
from feira.warehouse.reconcile import Figures, Slice
from feira_local.stack import access

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def landings() -> LandingStore:
    """The landings of sales."""
    return landing_store(access.lake_settings())


@contextmanager
def warehouse(role: str = "reader") -> Iterator[psycopg.Connection]:
    """The warehouse as one of its roles; the reader can change nothing."""
    from feira.warehouse.schema import connect

    connection = connect(access.warehouse_dsn(role))
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def spark_session() -> Iterator[SparkSession]:
    """A session of its own on the stack's Spark."""
    from feira_spark.session import connect

    access.require_running()
    spark = connect(access.spark_url())
    try:
        yield spark
    finally:
        spark.stop()


def whole_lake_figures(spark: SparkSession, snapshot: int) -> dict[Slice, Figures]:
    """The fact's figures by order date and extract day at a snapshot."""
    from feira_spark.sales.difference import lake_figures

    found: dict[Slice, tuple[int, Decimal, Decimal]] = lake_figures(spark, snapshot)
    return {key: Figures(*values) for key, values in found.items()}
