"""Validate, transform and dedupe one landing in Polars: the same rules, the same extract, the same types.

``python polars_extract.py LANDING OUT`` writes ``extract.parquet`` and ``quarantine.parquet`` and
prints seconds and counts as JSON. The rules are written out again, as in ``duckdb_extract``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

THREADS = 2
os.environ["POLARS_MAX_THREADS"] = str(THREADS)  # read once, at the import

import polars as pl  # noqa: E402

from feira.core.contracts import contract  # noqa: E402
from feira.core.landing.manifest import Manifest  # noqa: E402
from feira.sales.line_kinds import line_kinds  # noqa: E402

# The texts and the length that each may have.
STRINGS = {
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
INTEGERS = {"line_number": pl.Int32, "quantity": pl.Int32, "customer_id": pl.Int64}
OPTIONAL = ("description", "customer_id", "country")
STATUSES = ("pending", "completed", "shipped", "failed", "cancelled")
PRICE = r"^-?[0-9]{1,14}(\.[0-9]{1,4})?$"
ZONED = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})$"
)
BLANK = r"^[ \t\n\x0B\f\r]*$"
RATE_DAYS = 7
RATE_UNITS = 10**8  # a rate has eight places
MONEY, RATE = pl.Decimal(18, 4), pl.Decimal(18, 8)


def landed(pages: list[Path]) -> pl.LazyFrame:
    """Each line's text, its place in the landing from 0, and its fields as texts."""
    texts = pl.Struct(dict.fromkeys((*STRINGS, *INTEGERS), pl.String))
    return pl.scan_lines(list(pages), name="raw", row_index_name="landing_order").with_columns(
        pl.col("landing_order").cast(pl.Int64),
        pl.col("raw").str.json_decode(texts).struct.unnest(),
    )


def well_typed(lines: pl.LazyFrame) -> pl.LazyFrame:
    """The fields with the contract's types, null where the JSON has another.

    Polars reads a number as a text where a text is due; in compact JSON ``"name":"`` tells which it
    was.
    """
    fields = []
    for name in (*STRINGS, *INTEGERS):
        value = pl.col(name)
        is_text = pl.col("raw").str.contains(f'"{name}":"', literal=True)
        if name in INTEGERS:
            fields.append(pl.when(~is_text).then(value).cast(INTEGERS[name], strict=False))
        else:
            whole = is_text & ~value.str.contains("\x00", literal=True)
            short = value.str.len_chars() <= STRINGS[name]
            fields += [
                pl.when(whole & short).then(value).alias(name),
                (whole & ~short).alias(f"{name}_long"),
            ]
    return lines.with_columns(fields)


def shape_rules(name: str) -> dict[str, pl.Expr]:
    """Absent, null, of the wrong type and too long; the text is searched only where the value is
    missing."""
    text = pl.when(pl.col(name).is_null()).then(pl.col("raw"))
    present = text.str.contains(f'"{name}":', literal=True)
    null = text.str.contains(f'"{name}":null', literal=True)
    rules = {f"{name}_absent": ~present, f"{name}_type": present & ~null}
    if name in STRINGS:
        long = pl.col(f"{name}_long").fill_null(False)
        rules[f"{name}_type"] &= ~long
        rules[f"{name}_too_long"] = pl.col(name).is_null() & long
    return rules if name in OPTIONAL else rules | {f"{name}_null": null}


def zoned(name: str) -> pl.Expr:
    """The UTC time of an ISO 8601 text with zone; null for any other.

    What the shop writes has a fixed form, which Polars parses several times faster than a zone.
    """
    text = pl.when(pl.col(name).str.contains(ZONED)).then(pl.col(name))
    plain = (text.str.len_bytes() == 20) & (text.str.slice(10, 1) == "T")
    common = (
        pl.when(plain)
        .then(text.str.slice(0, 19))
        .str.to_datetime("%Y-%m-%dT%H:%M:%S", strict=False, time_unit="us")
    )
    other = (
        pl.when(~plain)
        .then(text.str.replace("T", " ", literal=True).str.replace("Z", "+00:00", literal=True))
        .str.to_datetime("%Y-%m-%d %H:%M:%S%.f%z", strict=False, time_unit="us", time_zone="UTC")
    )
    return pl.coalesce(common.dt.replace_time_zone("UTC"), other)


def money(units: pl.Expr) -> pl.Expr:
    """decimal(18,4) of a whole number of its units; null where it does not fit."""
    wide = pl.when(units.abs() < 10**18).then(units)
    return (wide.cast(pl.Decimal(38, 0)) * pl.lit(Decimal("0.0001"))).cast(MONEY)


def in_dollars() -> pl.Expr:
    """amount × fx_rate, half to even, in whole numbers: Polars rounds a decimal product itself."""
    exact = pl.col("amount").to_physical().cast(pl.Int128) * pl.col("fx_rate").to_physical().cast(
        pl.Int128
    )
    floor, rest = exact // RATE_UNITS, exact % RATE_UNITS
    up = (rest * 2 > RATE_UNITS) | ((rest * 2 == RATE_UNITS) & (floor % 2 != 0))
    return money(floor + up.cast(pl.Int128))


def rates_of(file: Path) -> tuple[pl.DataFrame, list[str]]:
    """Each currency's rate by order date (the newest of it or the week before), and the currencies."""
    rates = pl.read_ndjson(
        file, schema={"rate_date": pl.String, "currency": pl.String, "usd_rate": pl.String}
    ).with_columns(pl.col("rate_date").str.to_date(), pl.col("usd_rate").cast(RATE))
    aged = pl.concat(
        rates.with_columns(order_date=pl.col("rate_date") + pl.duration(days=age))
        for age in range(RATE_DAYS + 1)
    )
    dated = (
        aged.sort("rate_date")
        .group_by("currency", "order_date")
        .agg(
            pl.col("usd_rate").last().alias("fx_rate"), pl.col("rate_date").last().alias("fx_date")
        )
    )
    return dated, rates["currency"].unique().to_list()


def value_rules(currencies: list[str]) -> dict[str, pl.Expr]:
    """The contract's row rules; null is not broken."""
    c = pl.col
    unquoted = ~c("currency").is_in(currencies)
    return {
        "order_id_blank": c("order_id").str.contains(BLANK),
        "line_number_below_one": c("line_number") < 1,
        "sku_blank": c("sku").str.contains(BLANK),
        "quantity_zero": c("quantity") == 0,
        "quantity_negative": (c("quantity") < 0) & (c("status") != "cancelled"),
        "unit_price_not_decimal": c("unit_price").is_not_null() & c("price").is_null(),
        "unit_price_negative": c("price") < 0,
        "currency_without_rate": c("currency").is_not_null()
        & c("fx_rate").is_null()
        & (c("created_time").is_not_null() | unquoted),
        "status_unknown": ~c("status").is_in(STATUSES),
        "customer_id_not_positive": c("customer_id") <= 0,
        "created_at_not_zoned": c("created_at").is_not_null() & c("created_time").is_null(),
        "created_at_out_of_range": c("created_time").dt.date() < date(1900, 1, 1),
        "updated_at_not_zoned": c("updated_at").is_not_null() & c("updated_time").is_null(),
        "updated_before_created": c("updated_time") < c("created_time"),
        "updated_outside_day": c("updated_time").dt.date() != c("extract_day"),
        "amount_out_of_range": c("quantity").is_not_null()
        & c("price").is_not_null()
        & c("amount").is_null(),
        "amount_usd_out_of_range": c("amount").is_not_null()
        & c("fx_rate").is_not_null()
        & c("amount_usd").is_null(),
    }


def checked(pages: list[Path], rates: Path, day: date) -> pl.LazyFrame:
    """Every landed line, typed, converted, with the sorted names of the rules that it breaks."""
    dated, currencies = rates_of(rates)
    rules = value_rules(currencies)
    for name in (*STRINGS, *INTEGERS):
        rules |= shape_rules(name)
    names = [pl.when(rules[name]).then(pl.lit(name)) for name in sorted(rules)]
    is_price = pl.col("unit_price").str.contains(PRICE)
    quantity = pl.col("quantity").cast(pl.Int128)
    return (
        well_typed(landed(pages))
        .with_columns(
            pl.lit(day).alias("extract_day"),
            zoned("created_at").alias("created_time"),
            zoned("updated_at").alias("updated_time"),
            pl.when(is_price).then(pl.col("unit_price")).cast(MONEY, strict=False).alias("price"),
        )
        .with_columns(
            order_date=pl.col("created_time").dt.date(),
            amount=money(quantity * pl.col("price").to_physical().cast(pl.Int128)),
        )
        .join(dated.lazy(), on=["currency", "order_date"], how="left", maintain_order="left")
        .with_columns(amount_usd=in_dollars())
        .with_columns(broken_rules=pl.concat_list(names).list.drop_nulls())
        .with_columns(raw=pl.when(pl.col("broken_rules").list.len() > 0).then(pl.col("raw")))
    )


def kind_of_line() -> pl.Expr:
    """What a stock code is, from the versioned list."""
    kinds, code = line_kinds(), pl.col("sku")
    named: Any = pl
    for kind in sorted(set(kinds.exact.values())):
        codes = [name for name, of in kinds.exact.items() if of == kind]
        named = named.when(code.is_in(codes)).then(pl.lit(kind))
    for pattern, kind in kinds.patterns:
        named = named.when(code.str.contains(rf"(?s)^(?:{pattern})$")).then(pl.lit(kind))
    found: pl.Expr = named.otherwise(pl.lit(kinds.otherwise))
    return found


def extract(lines: pl.DataFrame, version: int) -> pl.LazyFrame:
    """One row a key of the valid lines: the greatest updated_time, on a tie the last landed."""
    derived = {
        "unit_price": pl.col("price"),
        "created_at": pl.col("created_time"),
        "updated_at": pl.col("updated_time"),
        "line_kind": kind_of_line(),
        "landing_version": pl.lit(version, dtype=pl.Int32),
    }
    return (
        lines.lazy()
        .filter(pl.col("broken_rules").list.len() == 0)
        .sort("updated_time", "landing_order", descending=True)
        .unique(["order_id", "line_number"], keep="first", maintain_order=True)
        .select(
            derived.get(name, pl.col(name)).alias(name)
            for name in contract("sales.order_lines").column_names
        )
    )


def main(landing: Path, out: Path) -> dict[str, Any]:
    """Does it all; returns seconds, rows, valid rows and the count of each broken rule."""
    manifest = Manifest.read(
        (landing / "manifest.json").read_bytes(), landing.as_uri() + "/manifest.json"
    )
    out.mkdir(parents=True, exist_ok=True)
    pages = [landing / page.name for page in manifest.files]
    began = time.perf_counter()
    lines = checked(pages, landing / manifest.companions["rates"].name, manifest.extract_day)
    found = lines.drop("unit_price", "created_at", "updated_at").collect(engine="streaming")
    invalid = found.filter(pl.col("broken_rules").list.len() > 0)
    counts = invalid["broken_rules"].explode().value_counts().sort("broken_rules")
    validated = time.perf_counter()
    extract(found, manifest.version).sink_parquet(out / "extract.parquet", compression="zstd")
    invalid.select("landing_order", "raw", "broken_rules").write_parquet(
        out / "quarantine.parquet", compression="zstd"
    )
    return {
        "seconds": time.perf_counter() - began,
        "validate_seconds": validated - began,
        "rows": found.height,
        "valid": found.height - invalid.height,
        "broken": dict(counts.iter_rows()),
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))), flush=True)
