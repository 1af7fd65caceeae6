"""A lake that follows a growing shop: the days that are measured with the DAG's steps, those between them by
what is cheaper and leaves the same files, a commit a table and a day.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import functions as F

from fact_rows import FACT
from feira.core.contracts import contract
from feira.core.contracts.registry import stored_in
from feira.core.lake import landing_store, read_snapshot
from feira.core.settings import LakeSettings
from feira.core.warehouse.apply import Difference
from feira.sales.landing import LANDED
from feira.sales.published import PUBLISHED
from feira_local.cli.tables import published
from feira_spark.core import day as published_day
from feira_spark.core.difference import lake_figures, stage_difference
from feira_spark.core.session import CATALOG, connect
from feira_spark.core.tables import create_missing, current_snapshot
from feira_spark.sales import day as sales_day
from feira_spark.sales.steps import drop_staging
from growing_shop import UPDATED_DAYS, GrowingShop, date_of
from meter import Meter, require
from sales_lines import FakeFeed

if TYPE_CHECKING:
    import psycopg
    from pyspark.sql import SparkSession

_FACT, _EXTRACTS = (f"{CATALOG}.{table}" for table in (PUBLISHED.table, PUBLISHED.extracts))
_LINES_A_PAGE = 5_000


class GrowingLake:
    """The extracts and the fact of a shop, in a folder, by what listens as a Spark Connect server."""

    def __init__(self, home: Path, lake: LakeSettings, shop: GrowingShop, spark_url: str) -> None:
        self.home, self.shop, self._lake, self._spark_url = home, shop, lake, spark_url

    def create_missing(self) -> None:
        """The tables that are not there, as declared."""
        with self._session() as spark:
            create_missing(spark, stored_in("lake"))

    def next_day_written(self) -> None:
        """One more day, as its steps would leave it: the extract, and the fact's days that change."""
        day, extract = self.shop.days + 1, self._extract(self.shop.next_day())
        with self._session() as spark:
            self._overwrite(spark, _EXTRACTS, extract, day)
            first = max(1, day - UPDATED_DAYS)
            fact = pa.Table.from_batches(self.shop.fact(first)).drop_columns("change")
            self._overwrite(spark, _FACT, fact, first)

    def next_day_measured(self, meter: Meter) -> dict[str, Any]:
        """One more day by its steps: CPU and seconds of each, whose answer is what the shop knows."""
        difference = self.shop.next_day()
        day, extract = date_of(self.shop.days), self._extract(difference)
        lines = extract.num_rows
        landed = self._land(extract)
        found: dict[str, Any] = {}
        with self._session() as spark, meter.measured(found, "validate", {}):
            validated = sales_day.validate(spark, self._lake, landed)
        self._require("valid", (validated.valid, validated.quarantined), (lines, 0))
        with self._session() as spark, meter.measured(found, "transform", {}):
            sales_day.transform(spark, self._lake, day)
        with self._session() as spark:
            since = current_snapshot(spark, PUBLISHED.table)
        with self._session() as spark, meter.measured(found, "publish", {}):
            done = published_day.publish(spark, PUBLISHED, day, attempt=f"bench_{uuid.uuid4().hex}")
        counts, new = (done.inserted, done.updated, done.deleted), self.shop.lines
        self._require("published", counts, (new, lines - new, 0))
        with self._session() as spark, meter.measured(found, "difference", {}):
            staged = stage_difference(spark, PUBLISHED, since)
        assert staged is not None
        rows = pa.Table.from_batches(read_snapshot(self._lake, staged.metadata))
        self._require("the difference", _sorted(rows), _sorted(_rows(difference)))
        expected = {
            (date_of(date), date_of(seen)): (rows, (Decimal(sold).scaleb(-4),))
            for date in range(max(1, self.shop.days - UPDATED_DAYS), self.shop.days + 1)
            for seen, (rows, sold) in self.shop.by_extract(date).items()
        }
        # The task has that from the warehouse.
        rows_of = sum(rows for rows, _ in expected.values())
        with self._session() as spark, meter.measured(found, "reconcile", {}):
            figures = lake_figures(spark, PUBLISHED, int(done.snapshot_id), day, [], rows_of)
        self._require(
            "compared", {each: (of.rows, of.sums) for each, of in figures.items()}, expected
        )
        with self._session() as spark:
            drop_staging(spark, day)
        return found

    def files(self) -> dict[str, int]:
        """What the lake holds: data files and manifests by table, and bytes of its metadata's last version."""
        held = {}
        with self._session() as spark:
            for name in (PUBLISHED.extracts, PUBLISHED.table):
                for what in ("files", "manifests"):
                    held[f"{name} {what}"] = spark.table(f"{CATALOG}.{name}.{what}").count()
                folder = self.home / "lake" / "tables" / name.replace(".", "/") / "metadata"
                newest = max(folder.glob("*.metadata.json"), key=lambda path: path.stat().st_mtime)
                held[f"{name} metadata bytes"] = newest.stat().st_size
        return held

    def rows(self) -> int:
        """Rows of the fact."""
        with self._session() as spark:
            return spark.table(_FACT).count()

    def verify(self, connection: psycopg.Connection) -> None:
        """Loads the whole fact into a warehouse that has no row yet, and compares the two as `feira verify`."""
        manifest = landing_store(self._lake, PUBLISHED.name).manifest_uri(
            date_of(self.shop.days), 1
        )
        with self._session() as spark:
            main = str(current_snapshot(spark, PUBLISHED.table))
            published_day.load_warehouse(spark, connection, self._lake, PUBLISHED, manifest, main)
            agreed = published(spark, connection)[PUBLISHED.table]
        days = range(1, self.shop.days + 1)
        expected = {
            "dates": len(days),
            "rows": len(days) * self.shop.lines,
            "revenue": sum(Decimal(self.shop.revenue(day)).scaleb(-4) for day in days),
        }
        self._require("verified", {name: agreed[name] for name in expected}, expected)

    @contextmanager
    def _session(self) -> Iterator[SparkSession]:
        """A session of its own, as each task of the DAG has one."""
        spark = connect(self._spark_url)
        try:
            yield spark
        finally:
            spark.stop()

    def _overwrite(self, spark: SparkSession, table: str, rows: pa.Table, first: int) -> None:
        """Replaces the rows of the days from ``first`` on, a file a day."""
        path = self.home / "rows.parquet"
        pq.write_table(rows, path)
        of_days = F.col(PUBLISHED.day) >= F.lit(date_of(first))
        columns = spark.table(table).columns
        spark.read.parquet(f"file://{path}").select(*columns).writeTo(table).overwrite(of_days)

    def _extract(self, difference: Difference) -> pa.Table:
        """The day's lines: what its difference brings."""
        rows = _rows(difference)
        rows = rows.filter(pc.equal(rows["change"], "INSERT")).drop_columns("change")
        version = pa.array([1] * rows.num_rows, pa.int32())
        return rows.append_column("landing_version", version)

    def _land(self, extract: pa.Table) -> sales_day.Landed:
        day, landed = date_of(self.shop.days), contract(LANDED.table).column_names
        lines = [
            line
            | {name: line[name].isoformat() for name in ("created_at", "updated_at")}
            | {"unit_price": str(line["unit_price"])}
            for line in extract.select(landed).to_pylist()
        ]
        pages: list[Any] = [
            lines[at : at + _LINES_A_PAGE] for at in range(0, len(lines), _LINES_A_PAGE)
        ]
        before = 2 * UPDATED_DAYS
        rates = [
            {"rate_date": str(day - timedelta(days=n)), "currency": "USD", "usd_rate": "1.00000000"}
            for n in range(before, -1, -1)
        ]
        return sales_day.land(FakeFeed(pages, rates), self._lake, day, requested_by="bench")

    def _require(self, what: str, found: object, expected: object) -> None:
        require(self.shop.days, what, found, expected)


def _rows(difference: Difference) -> pa.Table:
    return pa.Table.from_batches(difference.read([*FACT.column_names, "change"]))


def _sorted(rows: pa.Table) -> pa.Table:
    """In one order, the columns by name and types alike."""
    columns = sorted(rows.column_names)
    schema = pa.schema([rows.schema.field(name) for name in columns])
    plain = pa.schema(
        [
            pa.field(each.name, pa.string() if pa.types.is_large_string(each.type) else each.type)
            for each in schema
        ]
    )
    in_order = (
        rows.select(columns)
        .cast(plain)
        .sort_by([(name, "ascending") for name in (*PUBLISHED.key, "change")])
    )
    return in_order.combine_chunks()
