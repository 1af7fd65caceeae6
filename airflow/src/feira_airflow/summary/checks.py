"""What must be true of a day in the warehouse, as checks of the fact's and the ledger's partitions."""

from __future__ import annotations

from feira.core.published_table import NEWEST_FIRST
from feira.sales.published import SOLD
from feira_provider.operators.partition_check import PartitionCheck

_DAY = "CAST(:partition AS date)"
_NEWEST = (
    "SELECT {column} FROM sales.load_ledger "
    f"WHERE extract_day = {_DAY} ORDER BY {NEWEST_FIRST} LIMIT 1"
)

_VALID = f"({_NEWEST.format(column='valid_lines')})"
# A closed day has no rows, and is known by its ledger. Fewer rows than valid lines are usual: several versions
# of a line came on one day, or a later day has taken some over, which may be all.
_LATER = f"(SELECT count(*) FROM sales.load_ledger WHERE extract_day > {_DAY} AND valid_lines > 0)"
# Where less than half is left, what is left says nothing of the day.
_TAKEN_OVER = f"({_LATER} > 0 AND 2 * (SELECT count(*) FROM sales.fact WHERE extract_day = {_DAY}) < {_VALID})"
ROWS = PartitionCheck(
    "rows",
    "count(*)",
    at_least=f"(SELECT CASE WHEN valid_lines = 0 OR {_LATER} > 0 THEN 0 ELSE 1 END FROM "
    f"{_VALID} l)",
    at_most=_VALID,
)

# Days differ: on the real shop's, between a seventh and two and a half times the median. What is
# twenty times off is a wrong unit, a wrong currency, or half the day missing its prices.
_FACTOR = 20
# As each day was when it was loaded: later extracts take over its lines. One that was loaded after a later
# day had taken most says nothing. Where nothing had a price, as in a week of gifts, there is no measure.
_MEDIAN = (
    "SELECT median FROM (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY day_revenue) AS median, "
    "count(*) AS days FROM (SELECT extract_day, valid_lines, day_rows, day_revenue, load_sequence, "
    f"row_number() OVER (PARTITION BY extract_day ORDER BY {NEWEST_FIRST}) AS age, "
    f"min(load_sequence) OVER (ORDER BY extract_day DESC, {NEWEST_FIRST} "
    "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS later_day "
    f"FROM sales.load_ledger WHERE extract_day >= {_DAY} - 28) l "
    f"WHERE age = 1 AND extract_day < {_DAY} AND valid_lines > 0 AND NOT "
    "(coalesce(later_day, load_sequence) < load_sequence AND 2 * day_rows < valid_lines)) d "
    "WHERE days >= 7 AND median > 0"
)
# A mass update brings lines of many dates. They are measured too, each date's as a day's.
_OTHER_DATES = (
    f"SELECT sum(amount_usd) AS revenue FROM sales.fact WHERE {SOLD} AND extract_day = {_DAY} "
    f"AND order_date <> {_DAY} GROUP BY order_date"
)
REVENUE = PartitionCheck(
    "revenue in USD",
    f"coalesce(sum(CASE WHEN {SOLD} THEN amount_usd END), 0)",
    at_least=f"(SELECT median / {_FACTOR} FROM ({_MEDIAN}) m WHERE {_VALID} > 0 AND NOT {_TAKEN_OVER})",
    at_most=f"(SELECT {_FACTOR} * max(median) + sum(least({_FACTOR} * median, coalesce(revenue, 0))) "
    f"FROM ({_MEDIAN}) m LEFT JOIN ({_OTHER_DATES}) o ON TRUE)",
)
