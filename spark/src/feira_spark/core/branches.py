"""A branch of a snapshot, which becomes main unless main has moved meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from feira_spark.core.session import CATALOG
from feira_spark.core.tables import current_snapshot, quoted


class MovedError(RuntimeError):
    """main is another snapshot than the one that the changes were computed from, and stays as it is. The
    message names both."""


@contextmanager
def branch_of(spark: SparkSession, table: str, base: int | None, name: str) -> Iterator[str]:
    """A branch of a snapshot, by its name as a table's: main once ``with`` has ended well, and dropped then
    or after an error.

    :param base: the snapshot that what is written there is computed from, all of it; None: the table had none
    :raises MovedError: where main is no longer at ``base``
    """
    published, branch = f"{CATALOG}.{table}", quoted(name)
    version = "" if base is None else f" AS OF VERSION {base}"
    spark.sql(f"ALTER TABLE {published} CREATE OR REPLACE BRANCH {branch}{version}")
    try:
        if base is None:
            # Without a version it is a branch of what main is now.
            _require(spark, table, base)
        yield f"{published}.branch_{name}"
        try:
            spark.sql(f"CALL {CATALOG}.system.fast_forward('{table}', 'main', '{name}')")
        except PySparkException:
            _require(spark, table, base)
            raise
    finally:
        spark.sql(f"ALTER TABLE {published} DROP BRANCH IF EXISTS {branch}")


def _require(spark: SparkSession, table: str, base: int | None) -> None:
    main = current_snapshot(spark, table)
    if main != base:
        raise MovedError(
            f"{table}: main is snapshot {main}, and the changes were computed from {base}; somebody else "
            "has written the table meanwhile. main was not moved; the branch was dropped. Run the day again."
        )
