"""Landed lines → typed lines, each with the list of rules it breaks, in one pass over the landing."""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feira.core.contracts import Contract, ContractError
from feira.core.contracts.model import Lookup
from feira.sales.rates import RATES, rate_max_age
from feira_spark.core.row_rules import SHAPE_RULES, broken_rules, read_fields, with_inputs

RATE = "decimal(18,8)"


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
            "rate_date", F.date_add("rate_date", rate_max_age().days), F.expr("interval 1 day")
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
    ``row_id``, the inputs of the contract's rules, ``fx_date`` and ``broken_rules`` (sorted; empty for
    a valid line).
    """
    _require_given(contract)
    there = {*contract.column_names, "extract_day"}
    dated = lines.withColumn("extract_day", F.lit(extract_day).cast("date"))
    typed = with_inputs(dated, contract, there)
    quoted = rates.select("currency", F.lit(True).alias("currency_quoted")).distinct()
    converted = (
        typed.join(F.broadcast(rate_by_order_date(rates)), ["currency", "order_date"], "left")
        .join(F.broadcast(quoted), "currency", "left")
        .withColumn("currency_quoted", F.coalesce("currency_quoted", F.lit(False)))
    )
    whole = with_inputs(converted, contract, there | {"fx_rate", "currency_quoted"})
    return whole.withColumn("broken_rules", broken_rules(contract)).drop(SHAPE_RULES)


def _require_given(contract: Contract) -> None:
    """Raises ContractError for an input of the rules that is not what is derived here: elsewhere it would
    be judged as it is stated."""
    currency, days = {"currency": "currency"}, rate_max_age().days
    derived = {
        "extract_day": None,
        "fx_rate": Lookup(RATES, currency, "usd_rate", "rate_date", "order_date", days),
        "currency_quoted": Lookup(RATES, currency),
    }
    for each in contract.rule_inputs:
        if each.expression is None and (
            each.name not in derived or each.lookup != derived[each.name]
        ):
            raise ContractError(
                f"{contract.id}: input {each.name} of the rules is {each.lookup or 'given'}, which "
                f"validation does not derive; it derives {derived}."
            )
