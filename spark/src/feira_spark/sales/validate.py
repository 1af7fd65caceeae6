"""Landed lines → typed lines, each with the list of rules it breaks, in one pass over the landing."""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feira.core.contracts import Contract
from feira.sales.rates import RATE_MAX_AGE
from feira_spark.core.row_rules import SHAPE_RULES, broken_rules, read_fields

MONEY = "decimal(18,4)"
RATE = "decimal(18,8)"
_PRICE = r"^-?[0-9]{1,14}(\.[0-9]{1,4})?\z"
_ZONED = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})\z"
)


def landed_lines(pages: DataFrame, contract: Contract, landed_fields: list[str]) -> DataFrame:
    """Reads the landing's text, whose lines are as the API served them and may hold anything.

    ``pages`` is text (``value``) with ``_metadata.file_path``. Returns the contract's fields and
    ``shape_rules`` as ``row_rules.read_fields`` does, ``raw``, ``page`` (from the file's name) and
    ``row_id``, which grows within a page in the API's order.
    """
    # The id must be taken where the file is read: a gzip page is one split, so ids follow its lines.
    numbered = pages.select(
        F.col("value").alias("raw"),
        _page(F.col("_metadata.file_path")).alias("page"),
        F.monotonically_increasing_id().alias("row_id"),
    )
    return read_fields(numbered, contract, landed_fields)


def _page(path: Column) -> Column:
    """``…/page-00012.ndjson.gz`` → 12; by cutting, as this is asked of every line."""
    return F.substring_index(F.substring_index(path, "/page-", -1), ".", 1).cast("int")


def rate_by_order_date(rates: DataFrame) -> DataFrame:
    """Each currency's rate for an order date: the newest of that date or the seven days before.

    ``rates``: rate_date date, currency string, usd_rate decimal(18,8). Returns order_date, currency,
    fx_rate, fx_date, and for each currency one row whose order_date is null: it is quoted at all.
    """
    days = F.explode(
        F.sequence(
            "rate_date", F.date_add("rate_date", RATE_MAX_AGE.days), F.expr("interval 1 day")
        )
    )
    return (
        rates.select("currency", "usd_rate", "rate_date", days.alias("order_date"))
        .groupBy("currency", "order_date")
        .agg(
            F.max_by("usd_rate", "rate_date").cast(RATE).alias("fx_rate"),
            F.max("rate_date").alias("fx_date"),
        )
    )


def validated(
    lines: DataFrame,
    rates: DataFrame,
    contract: Contract,
    *,
    extract_day: date,
) -> DataFrame:
    """Adds what the rules need and what the rules say.

    ``lines`` as ``landed_lines`` returns them. Returns the landed fields and ``raw``, ``page``,
    ``row_id``, ``extract_day``, the typed ``created_time``, ``updated_time``,
    ``unit_price_decimal``, ``amount``, ``fx_rate``, ``fx_date``,
    ``amount_usd`` and ``broken_rules`` (sorted; empty for a valid line).
    """
    typed = lines.select(
        "*",
        F.lit(extract_day).cast("date").alias("extract_day"),
        _zoned_time("created_at").alias("created_time"),
        _zoned_time("updated_at").alias("updated_time"),
        F.when(F.col("unit_price").rlike(_PRICE), F.col("unit_price"))
        .try_cast(MONEY)
        .alias("unit_price_decimal"),
    )
    amounts = typed.select(
        "*",
        (F.col("quantity").cast("decimal(10,0)") * F.col("unit_price_decimal"))
        .try_cast(MONEY)
        .alias("amount"),
        F.col("created_time").cast("date").alias("order_date"),
    )
    dated = rate_by_order_date(rates)
    quoted = rates.select("currency", F.lit(True).alias("currency_quoted")).distinct()
    converted = (
        amounts.join(F.broadcast(dated), ["currency", "order_date"], "left")
        .join(F.broadcast(quoted), "currency", "left")
        .withColumn("currency_quoted", F.coalesce("currency_quoted", F.lit(False)))
        .withColumn("amount_usd", _in_dollars())
    )
    return converted.withColumn("broken_rules", broken_rules(contract)).drop(SHAPE_RULES)


def _zoned_time(field: str) -> Column:
    """The UTC time of an ISO 8601 text with zone, null for any other.

    Spark knows a year 0, ISO 8601 texts of this platform begin with the year 1.
    """
    zoned = F.col(field).rlike(_ZONED) & ~F.col(field).startswith("0000")
    return F.when(zoned, F.col(field)).try_cast("timestamp")


def _in_dollars() -> Column:
    """amount × fx_rate, rounded once, half to even; null when it does not fit decimal(18,4).

    decimal(18,4) × decimal(18,8) is decimal(37,12), which Spark holds exactly.
    """
    return F.bround(F.col("amount") * F.col("fx_rate"), 4).try_cast(MONEY)
