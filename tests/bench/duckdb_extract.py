"""Validate, transform and dedupe one landing in DuckDB: the same rules, the same extract, the same types.

``python duckdb_extract.py LANDING OUT`` writes ``extract.parquet`` and ``quarantine.parquet`` and
prints seconds and counts as JSON. The rules are written out again, not taken from the contract: where
they say something else than the platform's, ``same_result`` finds a difference and the benchmark fails.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import duckdb

from feira.core.contracts import contract
from feira.core.landing.manifest import Manifest
from feira.sales.line_kinds import line_kinds

THREADS = 2
FIELDS = (
    "order_id",
    "line_number",
    "sku",
    "description",
    "quantity",
    "unit_price",
    "currency",
    "status",
    "customer_id",
    "country",
    "created_at",
    "updated_at",
)
INTEGERS = {"line_number": "INTEGER", "quantity": "INTEGER", "customer_id": "BIGINT"}
OPTIONAL = ("description", "customer_id", "country")
LONGEST = {
    "order_id": 64,
    "sku": 64,
    "description": 1000,
    "unit_price": 64,
    "currency": 16,
    "status": 32,
    "country": 100,
    "created_at": 64,
    "updated_at": 64,
}
PRICE = r"-?[0-9]{1,14}(\.[0-9]{1,4})?"
ZONED = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})"
)
# A blank is white space only, as Java's regular expressions know it.
BLANK = r"[ \t\n\x0B\f\r]*"
VALUE_RULES = {
    "order_id_blank": f"regexp_full_match(order_id, '{BLANK}')",
    "line_number_below_one": "line_number < 1",
    "sku_blank": f"regexp_full_match(sku, '{BLANK}')",
    "quantity_zero": "quantity = 0",
    "quantity_negative": "quantity < 0 AND status <> 'cancelled'",
    "unit_price_not_decimal": "unit_price IS NOT NULL AND price IS NULL",
    "unit_price_negative": "price < 0",
    "currency_without_rate": (
        "currency IS NOT NULL AND fx_rate IS NULL AND (created_time IS NOT NULL OR NOT quoted)"
    ),
    "status_unknown": ("status NOT IN ('pending', 'completed', 'shipped', 'failed', 'cancelled')"),
    "customer_id_not_positive": "customer_id <= 0",
    "created_at_not_zoned": "created_at IS NOT NULL AND created_time IS NULL",
    "created_at_out_of_range": "created_time < TIMESTAMP '1900-01-01'",
    "updated_at_not_zoned": "updated_at IS NOT NULL AND updated_time IS NULL",
    "updated_before_created": "updated_time < created_time",
    "updated_outside_day": "CAST(updated_time AS DATE) <> extract_day",
    "amount_out_of_range": "quantity IS NOT NULL AND price IS NOT NULL AND amount IS NULL",
    "amount_usd_out_of_range": (
        "amount IS NOT NULL AND fx_rate IS NOT NULL AND amount_usd IS NULL"
    ),
}
# DuckDB rounds a decimal half away from zero: at an exact tie an odd last digit goes back by one.
HALF_EVEN = """
CASE WHEN abs(exact - away) = 0.00005
      AND (CAST(away * 10000 AS HUGEINT) % 2) <> 0
     THEN away - sign(exact) * CAST(0.0001 AS DECIMAL(38,4))
     ELSE away END"""


def literal(value: object) -> str:
    """A path or code as SQL has it: an apostrophe twice."""
    return "'" + str(value).replace("'", "''") + "'"


def is_text(name: str) -> str:
    """Whether a field of the landed JSON is a text that can be stored."""
    found = f"found[{FIELDS.index(name) + 1}]"
    return f"(starts_with(CAST({found} AS VARCHAR), '\"') AND NOT contains({found}->>'$', chr(0)))"


def field(name: str) -> str:
    """A field of the landed JSON as its contract's type, null where it is another JSON type."""
    found = f"found[{FIELDS.index(name) + 1}]"
    if name in INTEGERS:
        whole = f"regexp_full_match(CAST({found} AS VARCHAR), '-?[0-9]+')"
        return f"CASE WHEN {whole} THEN TRY_CAST(CAST({found} AS VARCHAR) AS {INTEGERS[name]}) END"
    short = f"length({found}->>'$') <= {LONGEST[name]}"
    return f"CASE WHEN {is_text(name)} AND {short} THEN {found}->>'$' END"


def shape_rules(name: str) -> dict[str, str]:
    """Absent, null, of the wrong type and too long."""
    found = f"CAST(found[{FIELDS.index(name) + 1}] AS VARCHAR)"
    wrong = f"{found} <> 'null' AND {name} IS NULL"
    rules = {f"{name}_absent": f"{found} IS NULL", f"{name}_type": wrong}
    if name in LONGEST:
        rules[f"{name}_type"] = f"{wrong} AND NOT {is_text(name)}"
        rules[f"{name}_too_long"] = f"{wrong} AND {is_text(name)}"
    if name not in OPTIONAL:
        rules[f"{name}_null"] = f"{found} = 'null'"
    return rules


def zoned(text: str) -> str:
    """The UTC time of an ISO 8601 text with zone, as TIMESTAMP; null for any other."""
    return (
        f"CASE WHEN regexp_full_match({text}, '{ZONED}') THEN TRY_CAST({text} AS TIMESTAMPTZ) "
        "AT TIME ZONE 'UTC' END"
    )


def kind_of_line() -> str:
    """CASE over the versioned list of stock codes."""
    kinds = line_kinds()
    exact = " ".join(
        f"WHEN sku = {literal(code)} THEN {literal(kind)}"
        for code, kind in sorted(kinds.exact.items())
    )
    patterns = " ".join(
        f"WHEN regexp_full_match(sku, {literal(pattern)}, 's') THEN {literal(kind)}"
        for pattern, kind in kinds.patterns
    )
    return f"CASE {exact} {patterns} ELSE '{kinds.otherwise}' END"


def rate_tables(connection: duckdb.DuckDBPyConnection, file: str) -> None:
    """Each currency's rate by order date: the newest of that date or the seven days before."""
    connection.execute(
        "CREATE TEMP TABLE rates AS SELECT CAST(rate_date AS DATE) rate_date, currency, "
        "CAST(usd_rate AS DECIMAL(18,8)) usd_rate "
        f"FROM read_json({literal(file)}, format = 'newline_delimited', columns = "
        "{rate_date: 'VARCHAR', currency: 'VARCHAR', usd_rate: 'VARCHAR'})"
    )
    connection.execute(
        "CREATE TEMP TABLE dated AS SELECT currency rate_currency, order_date rate_order_date, "
        "max(rate_date) fx_date, arg_max(usd_rate, rate_date) fx_rate "
        "FROM (SELECT *, unnest([rate_date + n::INTEGER for n in range(8)]) order_date FROM rates) "
        "GROUP BY ALL"
    )


def check(connection: duckdb.DuckDBPyConnection, pages: list[str], day: str) -> None:
    """The pages into ``landed``, and that into ``checked``, with every row's broken rules.

    Two threads read two pages at once and either may come first, but a page's rows come together
    and in their order: its number and the row's in ``landed`` are the order of landing. A join may
    change the order of rows, so the number is taken before it.
    """
    connection.execute(
        "CREATE TEMP TABLE landed AS SELECT json AS raw, "
        "CAST(regexp_extract(filename, 'page-([0-9]+)', 1) AS INTEGER) AS page "
        f"FROM read_ndjson_objects({pages!r}, filename = true)"
    )
    paths = ", ".join(f"'$.{name}'" for name in FIELDS)
    rules = dict(VALUE_RULES)
    for name in FIELDS:
        rules |= shape_rules(name)
    currencies = connection.execute("SELECT DISTINCT currency FROM rates").fetchall()
    quoted = ", ".join(f"'{currency}'" for (currency,) in currencies) or "NULL"
    broken = ", ".join(f"CASE WHEN {rules[name]} THEN '{name}' END" for name in sorted(rules))
    connection.execute(
        f"""
        CREATE TEMP TABLE checked AS
        WITH parsed AS (
          SELECT raw, json_extract(raw, [{paths}]) AS found, page, rowid AS line FROM landed
        ), fields AS (
          SELECT raw, found, page, line, DATE '{day}' AS extract_day,
            {", ".join(f"{field(name)} AS {name}" for name in FIELDS)}
          FROM parsed
        ), typed AS (
          SELECT *, {zoned("created_at")} AS created_time, {zoned("updated_at")} AS updated_time,
            CASE WHEN regexp_full_match(unit_price, '{PRICE}')
                 THEN TRY_CAST(unit_price AS DECIMAL(18,4)) END AS price
          FROM fields
        ), amounts AS (
          SELECT *, CAST(created_time AS DATE) AS order_date,
            TRY_CAST(CAST(quantity AS DECIMAL(10,0)) * CAST(price AS DECIMAL(28,4)) AS DECIMAL(18,4)) AS amount
          FROM typed
        ), dated_amounts AS (
          SELECT amounts.*, fx_rate, fx_date,
            coalesce(currency IN ({quoted}), FALSE) AS quoted,
            CAST(amount AS DECIMAL(28,4)) * fx_rate AS exact, CAST(exact AS DECIMAL(38,4)) AS away
          FROM amounts LEFT JOIN dated
            ON currency = rate_currency AND order_date = rate_order_date
        ), converted AS (
          SELECT *, TRY_CAST({HALF_EVEN} AS DECIMAL(18,4)) AS amount_usd FROM dated_amounts
        ), judged AS (
          SELECT *, list_filter([{broken}], lambda rule: rule IS NOT NULL) AS broken_rules
          FROM converted
        )
        SELECT CASE WHEN len(broken_rules) > 0 THEN CAST(raw AS VARCHAR) END AS raw, broken_rules,
          {", ".join(name for name in FIELDS if name not in ("created_at", "updated_at", "unit_price"))},
          price, created_time, updated_time, order_date, amount, fx_rate, fx_date, amount_usd,
          extract_day, page, line
        FROM judged
        """
    )


def write(connection: duckdb.DuckDBPyConnection, out: Path, version: int) -> None:
    """The extract, one row a key, and the quarantine; both Parquet as the contracts type them."""
    derived = {
        "unit_price": "price",
        "created_at": "created_time AT TIME ZONE 'UTC'",
        "updated_at": "updated_time AT TIME ZONE 'UTC'",
        "line_kind": kind_of_line(),
        "landing_version": f"CAST({version} AS INTEGER)",
    }
    columns = ", ".join(
        f"{derived.get(name, name)} AS {name}"
        for name in contract("sales.order_lines").column_names
    )
    connection.execute(
        f"COPY (SELECT {columns} FROM checked WHERE raw IS NULL "
        "QUALIFY row_number() OVER (PARTITION BY order_id, line_number "
        "ORDER BY updated_time DESC, page DESC, line DESC) = 1) "
        f"TO {literal(out / 'extract.parquet')} (FORMAT parquet, COMPRESSION zstd)"
    )
    connection.execute(
        "COPY (WITH pages AS (SELECT page, min(line) AS first_row, "
        "CAST(sum(count(*)) OVER (ORDER BY page) - count(*) AS BIGINT) AS lines_before "
        "FROM checked GROUP BY page) "
        "SELECT lines_before + line - first_row AS landing_order, raw, broken_rules "
        f"FROM checked JOIN pages USING (page) WHERE raw IS NOT NULL) TO {literal(out / 'quarantine.parquet')} "
        "(FORMAT parquet, COMPRESSION zstd)"
    )


def main(landing: Path, out: Path) -> dict[str, Any]:
    """Does it all; returns seconds, rows, valid rows and the count of each broken rule."""
    manifest = Manifest.read(
        (landing / "manifest.json").read_bytes(), landing.as_uri() + "/manifest.json"
    )
    out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    with duckdb.connect(config={"threads": THREADS}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET temp_directory = {literal(out / 'spilled')}")
        rate_tables(connection, str(landing / manifest.companions["rates"].name))
        pages = [str(landing / page.name) for page in manifest.files]
        check(connection, pages, str(manifest.extract_day))
        counts = connection.execute(
            "SELECT broken_rules, count(*) FROM checked GROUP BY broken_rules"
        ).fetchall()
        checked = time.perf_counter()
        write(connection, out, manifest.version)
    ended = time.perf_counter()
    broken: dict[str, int] = {}
    for rules, count in counts:
        for rule in rules:
            broken[rule] = broken.get(rule, 0) + count
    return {
        "seconds": ended - began,
        "validate_seconds": checked - began,
        "rows": sum(count for _, count in counts),
        "valid": sum(count for rules, count in counts if not rules),
        "broken": dict(sorted(broken.items())),
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))), flush=True)
