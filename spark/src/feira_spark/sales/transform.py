"""Valid lines → one day's extract: typed as the contract says, one row a key."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from feira.contracts import Contract
from feira.contracts.line_kinds import LineKinds
from feira_spark.sales.line_kind import line_kind

KEY = ("order_id", "line_number")


def newest(lines: DataFrame, key: tuple[str, ...], order: list[Column]) -> DataFrame:
    """One row a key: the first by ``order``."""
    ranked = lines.withColumn(
        "_rank", F.row_number().over(Window.partitionBy(*key).orderBy(*order))
    )
    return ranked.where("_rank = 1").drop("_rank")


def extract_lines(valid: DataFrame, contract: Contract, kinds: LineKinds) -> DataFrame:
    """The rows of ``sales.order_lines`` for one landing.

    ``valid``: the valid rows of ``validate.validated`` with landing_version. Of several versions of
    a key the greatest updated_at stays, on a tie the last in landing order. A column that the
    contract adds and the rules do not derive passes from the landed line by its name.
    """
    winners = newest(
        valid, KEY, [F.col("updated_time").desc(), F.col("page").desc(), F.col("row_id").desc()]
    )
    derived = {
        "unit_price": F.col("unit_price_decimal"),
        "created_at": F.col("created_time"),
        "updated_at": F.col("updated_time"),
        "line_kind": line_kind(kinds),
    }
    return winners.select(
        *[
            derived.get(column.name, F.col(column.name)).cast(column.type).alias(column.name)
            for column in contract.columns
        ]
    )
