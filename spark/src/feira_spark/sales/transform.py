"""Valid lines → one day's extract: typed as the contract says, one row a key."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from feira.core.contracts import Contract
from feira.sales.landing import TYPED
from feira.sales.line_kinds import LineKinds
from feira.sales.published import PUBLISHED
from feira_spark.core.tables import as_declared


def superseded(valid: DataFrame) -> DataFrame:
    """``row_id`` of the lines that a later version of their key, in the same landing, replaces.

    The greatest updated_time stays, on a tie the last in landing order. Only these few columns are
    sorted, and not whole lines.
    """
    versions = Window.partitionBy(*PUBLISHED.key).orderBy(
        F.col("updated_time").desc(), F.col("page").desc(), F.col("row_id").desc()
    )
    ranked = valid.select("row_id", F.row_number().over(versions).alias("rank"))
    return ranked.where("rank > 1").select("row_id")


def extract_lines(valid: DataFrame, contract: Contract, kinds: LineKinds) -> DataFrame:
    """The rows of ``sales.order_lines`` for one landing.

    ``valid``: the valid rows of ``validate.validated`` with landing_version; no two share a
    ``row_id``. Of several versions of a key the greatest updated_at stays, on a tie the last in
    landing order. A column that the contract adds and the rules do not derive passes from the landed
    line by its name.
    """
    # At most a day's number of longs; as a rule, a few in a thousand.
    winners = valid.join(F.broadcast(superseded(valid)), "row_id", "left_anti")
    derived = {name: F.col(typed) for name, typed in TYPED.items()}
    derived["line_kind"] = line_kind(kinds)
    return as_declared(winners, contract, derived)


def line_kind(kinds: LineKinds, sku: str = "sku") -> Column:
    """The kind of a stock code, compared with case: exact codes first, then patterns, then the rest."""
    code = F.col(sku)
    column: Column | None = None
    for kind in sorted(set(kinds.exact.values())):
        codes = [name for name, of in kinds.exact.items() if of == kind]
        column = (column.when if column is not None else F.when)(code.isin(codes), F.lit(kind))
    for pattern, kind in kinds.patterns:
        match = code.rlike(rf"^(?:{pattern})\z")
        column = (column.when if column is not None else F.when)(match, F.lit(kind))
    return (
        column.otherwise(F.lit(kinds.otherwise)) if column is not None else F.lit(kinds.otherwise)
    )
