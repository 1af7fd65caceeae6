"""What a day's extract changes in the fact: the fact as a function of the current extracts."""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from feira_spark.sales.transform import KEY


def changes(fact: DataFrame, order_lines: DataFrame, day: date) -> DataFrame:
    """The rows that must change so that the fact follows from the extracts, for the keys of one day.

    Looks at the keys of the fact rows of that day and of the day's extract, and takes for each the
    winner among all extracts (greatest updated_at). Returns the fact's columns and ``action``:
    ``insert``, ``update`` (the new row) or ``delete`` (the row that leaves). A row that stays as it
    is does not appear.
    """
    columns = fact.columns
    of_day = F.col("extract_day") == F.lit(day)
    keys = (
        order_lines.where(of_day)
        .select(*KEY)
        .unionByName(fact.where(of_day).select(*KEY))
        .distinct()
    )
    # updated_at lies in the extract day, so two days cannot tie.
    winners = _newest(
        order_lines.select(*columns).join(keys, list(KEY), "left_semi"),
        KEY,
        [F.col("updated_at").desc()],
    )
    wanted = winners.select(F.struct(*columns).alias("new"))
    held = fact.join(keys, list(KEY), "left_semi").select(F.struct(*columns).alias("old"))
    on = [F.col(f"new.{name}") == F.col(f"old.{name}") for name in KEY]
    both = wanted.join(held, on, "full_outer")
    action = (
        F.when(F.col("old").isNull(), F.lit("insert"))
        .when(F.col("new").isNull(), F.lit("delete"))
        .when(~F.col("new").eqNullSafe(F.col("old")), F.lit("update"))
    )
    return (
        both.withColumn("action", action)
        .where("action is not null")
        .withColumn("row", F.coalesce("new", "old"))
        .select("row.*", "action")
    )


def _newest(lines: DataFrame, key: tuple[str, ...], order: list[Column]) -> DataFrame:
    """One row a key: the first by ``order``."""
    ranked = lines.withColumn(
        "_rank", F.row_number().over(Window.partitionBy(*key).orderBy(*order))
    )
    return ranked.where("_rank = 1").drop("_rank")
