"""A day of a published table, once its extract is there: published, loaded, compared.

A step takes what it needs open (Spark, warehouse) and what the step before said, and answers where its
result is and how much of it there is: URIs, versions and counts, so that a task can return it as it is.
Each may be killed anywhere and run again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

from feira.core.errors import Remedy
from feira.core.lake import lake_files, landing_store
from feira.core.landing.store import LandingError
from feira.core.published_table import PublishedTable
from feira.core.settings import LakeSettings
from feira.core.warehouse.load import Extract, load
from feira.core.warehouse.reconcile import reconcile_day
from feira.core.warehouse.side import Staging
from feira_spark.core.difference import UndoneError, difference_since, lake_figures, lake_rows
from feira_spark.core.publish import publish_day, sweep_branches

if TYPE_CHECKING:
    import psycopg
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """What publishing did; ``metadata`` is the URI that pins the snapshot."""

    metadata: str
    snapshot_id: str
    inserted: int
    updated: int
    deleted: int


@dataclass(frozen=True)
class Loaded:
    """What the load did to the warehouse; ``day_rows`` are the day's rows that it then holds. ``staged`` is the
    lake's table that it read, which nobody needs any more; None where nothing had changed."""

    snapshot_id: str
    landing_version: int
    inserted: int
    updated: int
    deleted: int
    day_rows: int
    staged: str | None = None


@dataclass(frozen=True)
class Agreed:
    """What was found equal in lake and warehouse; sums by measure, exact."""

    snapshot_id: str
    event_dates: int
    rows: int
    sums: dict[str, str]


def publish(spark: SparkSession, table: PublishedTable, day: date, *, attempt: str) -> Published:
    """Brings the table up to the day's extract, after sweeping what killed attempts have left.

    ``attempt`` must be another for each try of a run. One caller a table at a time.
    """
    for branch in sweep_branches(spark, table):
        log.warning("dropped branch %s, left by an attempt that was killed", branch)
    done = publish_day(spark, table, day, attempt=attempt)
    return Published(
        done.metadata, str(done.snapshot_id), done.inserted, done.updated, done.deleted
    )


def load_warehouse(
    spark: SparkSession,
    connection: psycopg.Connection,
    lake: LakeSettings,
    table: PublishedTable,
    manifest_uri: str,
    published: str,
) -> Loaded:
    """Brings the warehouse to the table's main and writes the ledger row of the day's extract, which was
    made of that landing: see ``load``. What Redshift is to read is staged in the lake.

    :param published: the snapshot that the day was published as
    :raises UndoneError: where main does not come from that snapshot: the day's rows are not in it
    """
    store = landing_store(lake, table.name)
    manifest = store.read_manifest(manifest_uri)
    validation = store.validation(manifest.extract_day, manifest.version)
    if validation is None:
        raise LandingError(f"{manifest_uri} was not validated; run the day again.")
    extract = Extract(
        day=manifest.extract_day,
        landing_version=manifest.version,
        landing_uri=manifest_uri,
        landed_lines=validation.total,
        valid_lines=validation.valid,
    )
    staging = Staging(lake_files(lake), f"{lake.root}/staging/warehouse/{table.table}")
    staged: list[str] = []
    since = difference_since(spark, table, lake, staged.append, int(published))
    try:
        done = load(connection, table, extract, since, staging)
    except UndoneError as error:
        error.fixed_by(Remedy.RUN, (table.name, str(extract.day)))
        raise
    return Loaded(
        str(done.snapshot_id),
        manifest.version,
        done.inserted,
        done.updated,
        done.deleted,
        done.day_rows,
        staged[-1] if staged else None,
    )


def reconcile(
    spark: SparkSession,
    connection: psycopg.Connection,
    table: PublishedTable,
    day: date,
    loaded: Loaded,
) -> Agreed:
    """Compares lake and warehouse; raises ReconcileError with both figures, and keys, where they
    differ."""
    figures, rows = partial(lake_figures, spark, table), partial(lake_rows, spark, table)
    agreed = reconcile_day(connection, table, day, loaded.landing_version, figures, rows)
    sums = {name: str(value) for name, value in agreed.sums.items()}
    return Agreed(str(agreed.snapshot_id), agreed.dates, agreed.rows, sums)
