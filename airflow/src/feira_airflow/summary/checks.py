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
_MEDIAN = (
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY revenue) AS median, count(*) AS days FROM "
    f"(SELECT extract_day, sum(amount_usd) AS revenue FROM sales.fact WHERE {SOLD} "
    f"AND extract_day < {_DAY} AND extract_day >= {_DAY} - 28 GROUP BY extract_day) d"
)
REVENUE = PartitionCheck(
    "revenue in USD",
    f"coalesce(sum(CASE WHEN {SOLD} THEN amount_usd END), 0)",
    at_least=f"(SELECT CASE WHEN days >= 7 THEN median / {_FACTOR} END FROM ({_MEDIAN}) m "
    f"WHERE {_VALID} > 0 AND NOT {_TAKEN_OVER})",
    at_most=f"(SELECT CASE WHEN days >= 7 THEN median * {_FACTOR} END FROM ({_MEDIAN}) m)",
)
