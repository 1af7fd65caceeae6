"""The impressions of a day, staged once for the gate and for the measurement, and what they say of the lists of
the day's version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from feira.recommendations.segments import ROWS as SEGMENTS
from feira.recommendations.versions import Finished, ListStore, Version
from feira_spark.core.tables import STAGING, kept, write_staged
from feira_spark.recommendations.as_of import Snapshots, events
from feira_spark.recommendations.replayed import replayed
from feira_spark.recommendations.shown import shown


@dataclass(frozen=True)
class Impressions:
    """The impressions of a version's day.

    :param table: of the rows of ``shown``, by its name in the catalog; the measurement drops it
    :param sums: path of a Parquet file of the version's folder, with what ``sums_of`` returns
    :param count: how many impressions
    """

    table: str
    sums: str
    count: int


def stage(spark: SparkSession, store: ListStore, version: Version, made: Finished) -> Impressions:
    """Stages the impressions of the version's day, at the snapshot of the events that it was made from."""
    table = f"{STAGING}.recommendations_impressions_{version.version.replace('-', '_')}"
    spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {STAGING}")
    write_staged(shown(events(spark, version.day, version.sources["sources"], 1)), table)
    rows, sums = spark.table(table), f"{store.folder(version.version)}/impressions.parquet"
    with store.files.open(sums, "wb") as file:
        pq.write_table(sums_of(spark, rows, made), file)
    return Impressions(table, sums, rows.count())


def sums_of(spark: SparkSession, impressions: DataFrame, made: Finished) -> pa.Table:
    """The impressions beside a version's lists: ``slot`` (null: both), ``bucket`` and the columns of ``SUMS``."""
    # From the files that are published: they are there as long as the version is.
    segments = (
        spark.read.parquet(made.segments)
        if made.segments
        else spark.createDataFrame([], ", ".join(f"{name} string" for name in SEGMENTS.names))
    )
    return replayed(impressions, spark.read.parquet(made.parquet), segments).toArrow()


@contextmanager
def impressions_of(
    spark: SparkSession, day: date, read: Snapshots, table: str | None = None
) -> Iterator[DataFrame]:
    """The impressions of a day at the snapshot of the events, kept inside ``with``: those of the staged table
    where it is there."""
    if table is not None and spark.catalog.tableExists(table):
        yield spark.table(table)
        return
    with kept(shown(events(spark, day, read, 1))) as found:
        yield found
