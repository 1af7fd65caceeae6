"""What lake and warehouse hold, read without the platform's code."""

from __future__ import annotations

from datetime import date
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pandas as pd
import psycopg
from pyiceberg.catalog import Catalog, load_catalog
from s3fs import S3FileSystem

from oracle import read_landing

KEYS = {
    "fact": ["order_id", "line_number"],
    "quarantine": ["extract_day", "landing_version", "landing_order"],
    "month_summary": ["order_month", "status"],
    "daily_revenue": ["order_date"],
    "product_performance": ["sku"],
    "customer_lifetime_value": ["customer_id"],
}
MARTS = ("month_summary", "daily_revenue", "product_performance", "customer_lifetime_value")


class Held:
    """Readers of the lake's catalog and of the warehouse."""

    def __init__(self, environment: dict[str, str], warehouse_dsn: str) -> None:
        self._environment = environment
        self._dsn = warehouse_dsn

    def catalog(self) -> Catalog:
        """The Iceberg catalog, opened anew: nothing of an earlier look is cached."""
        env = self._environment
        parts = urlsplit(env["FEIRA_LAKE_CATALOG_URI"])
        login = f"{env['FEIRA_LAKE_CATALOG_USER']}:{env['FEIRA_LAKE_CATALOG_PASSWORD']}"
        uri = urlunsplit(("postgresql+psycopg2", f"{login}@{parts.netloc}", parts.path, "", ""))
        return load_catalog(
            "lake",
            **{
                "type": "sql",
                "uri": uri,
                "init_catalog_tables": "false",
                "s3.endpoint": env["FEIRA_LAKE_ENDPOINT"],
                "s3.access-key-id": env["FEIRA_LAKE_ACCESS_KEY"],
                "s3.secret-access-key": env["FEIRA_LAKE_SECRET_KEY"],
                "s3.region": "us-east-1",
            },
        )

    def lake(self, table: str) -> pd.DataFrame:
        """All rows of a lake table as main shows them."""
        found = self.catalog().load_table(table).scan().to_arrow()
        frame: pd.DataFrame = found.to_pandas(date_as_object=True, integer_object_nulls=True)
        return frame

    def fact_state(self) -> tuple[int | None, list[str]]:
        """The fact's snapshot on main, and the branches there are beside it."""
        table = self.catalog().load_table("sales.fact")
        snapshot = table.current_snapshot()
        return (
            snapshot.snapshot_id if snapshot else None,
            [name for name in table.refs() if name != "main"],
        )

    @property
    def root(self) -> str:
        """The lake's URI."""
        return self._environment["FEIRA_LAKE"]

    def files(self) -> S3FileSystem:
        """The lake's files, opened anew."""
        env = self._environment
        return S3FileSystem(
            key=env["FEIRA_LAKE_ACCESS_KEY"],
            secret=env["FEIRA_LAKE_SECRET_KEY"],
            endpoint_url=env["FEIRA_LAKE_ENDPOINT"],
            config_kwargs={"s3": {"addressing_style": "path"}},
            use_listings_cache=False,
        )

    def landing(self, day: date, version: int) -> list[dict[str, Any]]:
        """The lines of a landing's pages, in order."""
        files = self.files()
        folder = f"{self.root}/landing/sales/{day}/v{version:04d}"
        return read_landing(files.cat_file(page) for page in sorted(files.glob(f"{folder}/page-*")))

    def warehouse(self, table: str) -> pd.DataFrame:
        """All rows of a warehouse table."""
        rows, names = self._query(f"SELECT * FROM {table}")
        return pd.DataFrame(rows, columns=names, dtype=object)

    def ledger(self) -> list[tuple[Any, ...]]:
        """(day, landing, contract, snapshot, agreed snapshot) of each ledger row, in load order."""
        rows, _ = self._query(
            "SELECT extract_day, landing_version, contract_version, snapshot_id, "
            "agreed_snapshot_id FROM sales.load_ledger ORDER BY load_sequence"
        )
        return rows

    def _query(self, query: str) -> tuple[list[tuple[Any, ...]], list[str]]:
        with psycopg.connect(self._dsn, prepare_threshold=None) as connection:
            connection.execute("SET TIME ZONE 'UTC'")
            cursor = connection.execute(query.encode())
            return cursor.fetchall(), [column.name for column in cursor.description or []]
