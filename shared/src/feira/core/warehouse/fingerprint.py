"""An order-independent hash of rows that Spark, PostgreSQL and Redshift compute alike.

A row becomes text (a token a column), its MD5's first 60 bits become an integer, and a set of rows
is the sum of theirs. Decimals are scaled to integers and times to microseconds, because each engine
writes those its own way; a string stands behind its length, so that no content of it reads as a
separator, a null or the next column.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Literal

from feira.core.contracts import Contract
from feira.core.contracts.model import Column, ContractError
from feira.core.published_table import PublishedTable

Engine = Literal["spark", "postgres", "redshift"]
MOST_DIGITS = 38
"""Of a decimal, in Spark and in Redshift."""


def row_token(column: Column, engine: Engine) -> str:
    """SQL text for one column's value; ``~`` stands for null, which no value can be."""
    name = column.name
    text = "string" if engine == "spark" else "varchar"
    if column.type == "string":
        value = f"CAST(length({name}) AS {text}) || ':' || {name}"
    elif match := re.fullmatch(r"decimal\((\d+),(\d+)\)", column.type):
        precision, scale = map(int, match.groups())
        # The product has so many digits, and PostgreSQL alone has numbers of any.
        if engine == "postgres" or precision + scale + 2 <= MOST_DIGITS:
            value = f"CAST(CAST({name} * {10**scale} AS decimal(38,0)) AS {text})"
        else:
            value = _unscaled(f"CAST(CAST({name} AS {column.type}) AS {text})")
    elif column.type == "timestamp":
        value = {
            "spark": f"CAST(unix_micros({name}) AS string)",
            "postgres": f"CAST(CAST(extract(epoch FROM {name}) * 1000000 AS bigint) AS varchar)",
            "redshift": f"CAST(datediff(microsecond, '1970-01-01', {name}) AS varchar)",
        }[engine]
    elif column.type in ("int", "bigint"):
        value = f"CAST({name} AS {text})"
    elif column.type == "boolean":
        value = f"CASE WHEN {name} THEN 'true' WHEN NOT {name} THEN 'false' END"
    elif column.type == "date":
        value = f"CAST({name} AS string)" if engine == "spark" else f"to_char({name}, 'YYYY-MM-DD')"
    else:
        raise ContractError(f"Column {name} of type {column.type} cannot be compared by hash.")
    return f"coalesce({value}, '~')"


def _unscaled(written: str) -> str:
    """SQL text for a decimal, of the text that it is written as: the integer of its last place."""
    # By no arithmetic: of more digits than fit, Spark rounds what it negates, and what it compares with 0.
    digits = f"TRIM(LEADING '0' FROM replace(replace({written}, '-', ''), '.', ''))"
    signed = f"WHEN substring({written}, 1, 1) = '-' THEN '-' || {digits}"
    return f"CASE WHEN {digits} = '' THEN '0' {signed} ELSE {digits} END"


def row_hash(columns: Iterable[Column], engine: Engine) -> str:
    """SQL for the hash of a row's values in those columns: numeric without fraction, below 2^60."""
    tokens = " || '|' || ".join(row_token(column, engine) for column in columns)
    digits = f"substring(md5({tokens}), 1, 15)"
    return {
        "spark": f"CAST(conv({digits}, 16, 10) AS decimal(38,0))",
        "postgres": f"CAST(CAST(CAST('x' || {digits} AS bit(60)) AS bigint) AS numeric)",
        "redshift": f"CAST(strtol({digits}, 16) AS decimal(38,0))",
    }[engine]


def fingerprint(contract: Contract, engine: Engine) -> str:
    """SQL for the sum over rows of their hashes: numeric without fraction, 0 for no rows."""
    return f"coalesce(sum({row_hash(contract.columns, engine)}), 0)"


def figures_by_date(table: PublishedTable, engine: Engine, source: str, where: str = "TRUE") -> str:
    """A query for rows, fingerprint and each measure's sum, by event date and extract day: the second
    says whose extract a difference belongs to.

    A date that Python has none for, before year 1 or after 9999, counts as the nearest that it has.
    """
    date_ = _within_years(table.event_date)
    sums = "".join(f", {measure.sql} AS sum_of_{measure.name}" for measure in table.measures)
    return (
        f"SELECT {date_} AS slice_date, {table.day} AS slice_day, count(*) AS row_count, "
        f"{fingerprint(table.contract, engine)} AS fingerprint{sums} "
        f"FROM {source} WHERE {where} GROUP BY {date_}, {table.day}"
    )


def rows_by_key(
    table: PublishedTable,
    engine: Engine,
    source: str,
    event_date: date,
    day: date,
    where: str = "TRUE",
) -> str:
    """A query for the key and the hash of each row of one event date and extract day, as
    ``figures_by_date`` counts them; in the order of its first column, a hash of the key, which is
    every engine's own order. A timestamp of Spark's is its microseconds since 1970: its driver would give it
    in the time of the machine, without saying which."""
    key = [table.contract.column(name) for name in table.key]
    named = [
        f"unix_micros({each.name}) AS {each.name}"
        if (engine, each.type) == ("spark", "timestamp")
        else each.name
        for each in key
    ]
    return (
        f"SELECT {row_hash(key, engine)} AS place, {', '.join(named)}, "
        f"{row_hash(table.contract.columns, engine)} AS row_fingerprint FROM {source} "
        f"WHERE {_within_years(table.event_date)} = DATE '{event_date.isoformat()}' "
        f"AND {table.day} = DATE '{day.isoformat()}' AND {where} ORDER BY 1, {2 + len(table.key)}"
    )


def _within_years(date_: str) -> str:
    return f"least(greatest({date_}, DATE '0001-01-01'), DATE '9999-12-31')"
