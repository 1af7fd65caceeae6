"""A day of sales, step by step, as everything runs it: the DAG's tasks, the benchmarks and the tests.

A step takes what it needs open (feed, Spark, warehouse) and what the step before said, and answers where
its result is and how much of it there is: URIs, versions and counts, so that a task can return it as it
is. Each reads immutable inputs and replaces what it wrote before, so it may be killed anywhere and run
again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from feira.core.lake import landing_store, read_snapshot
from feira.core.landing.land import Feed, land_day
from feira.core.landing.store import LandingError
from feira.core.settings import LakeSettings
from feira.core.warehouse.load import Difference, Extract, load
from feira.core.warehouse.reconcile import Figures, Slice, reconcile_day
from feira.sales.landing import LANDED
from feira_spark.sales.difference import lake_figures, lake_rows, stage_difference
from feira_spark.sales.publish import publish_day, sweep_branches
from feira_spark.sales.steps import require_passed, transform_day, validate_landing

if TYPE_CHECKING:
    import psycopg
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Landed:
    """A landing: the URI of its ``manifest``, its version, and its lines."""

    manifest: str
    landing_version: int
    lines: int


@dataclass(frozen=True)
class Validated:
    """A landing that passed the gate: the URI of its ``validation``, and its lines by verdict."""

    validation: str
    valid: int
    quarantined: int


@dataclass(frozen=True)
class Extracted:
    """A day's extract: ``order_lines`` is the table's metadata URI; ``manifest`` names the landing
    that it was made of, which is the day's current one and need not be the run's own."""

    order_lines: str
    manifest: str
    landing_version: int


@dataclass(frozen=True)
class Published:
    """What publishing did to the fact; ``fact`` is the metadata URI that pins the snapshot."""

    fact: str
    snapshot_id: str
    inserted: int
    updated: int
    deleted: int


@dataclass(frozen=True)
class Loaded:
    """What the load did to the warehouse; ``day_rows`` are the day's rows that it then holds."""

    snapshot_id: str
    landing_version: int
    inserted: int
    updated: int
    deleted: int
    day_rows: int


@dataclass(frozen=True)
class Agreed:
    """What was found equal in lake and warehouse; revenue in US dollars, exact."""

    snapshot_id: str
    order_dates: int
    rows: int
    revenue_usd: str


def land(
    feed: Feed,
    lake: LakeSettings,
    day: date,
    *,
    requested_by: str,
    refetch: bool = False,
    progress: Callable[[int, int | None], None] = lambda lines, total: None,
) -> Landed:
    """Lands the day, or takes the landing it has: see ``land_day``, which also says what it raises."""
    manifest, uri = land_day(
        LANDED,
        feed,
        landing_store(lake, LANDED.name),
        day,
        requested_by=requested_by,
        refetch=refetch,
        progress=progress,
    )
    if manifest.total == 0:
        log.warning("sales %s: a closed day, the API served no lines", day)
    return Landed(uri, manifest.version, manifest.lines)


def validate(spark: SparkSession, lake: LakeSettings, landed: Landed) -> Validated:
    """Validates the landing; raises GateError, with quarantine written, where it fails the gate."""
    store = landing_store(lake, LANDED.name)
    manifest = store.read_manifest(landed.manifest)
    validation = validate_landing(spark, store, manifest)
    log.info("sales %s: %s", manifest.extract_day, validation.summary())
    require_passed(validation)
    return Validated(
        store.validation_uri(manifest.extract_day, manifest.version),
        validation.valid,
        validation.quarantined,
    )


def transform(spark: SparkSession, lake: LakeSettings, day: date) -> Extracted:
    """Replaces the day's extract with its current landing's valid lines."""
    store = landing_store(lake, LANDED.name)
    manifest, metadata = transform_day(spark, store, day)
    return Extracted(metadata, store.manifest_uri(day, manifest.version), manifest.version)


def publish(spark: SparkSession, day: date, *, attempt: str) -> Published:
    """Brings the fact up to the day's extract, after sweeping what killed attempts have left.

    ``attempt`` must be another for each try of a run. One caller at a time.
    """
    for branch in sweep_branches(spark):
        log.warning("dropped branch %s, left by an attempt that was killed", branch)
    published = publish_day(spark, day, attempt=attempt)
    return Published(
        published.metadata,
        str(published.snapshot_id),
        published.inserted,
        published.updated,
        published.deleted,
    )


def load_warehouse(
    spark: SparkSession,
    connection: psycopg.Connection,
    lake: LakeSettings,
    extracted: Extracted,
) -> Loaded:
    """Brings the warehouse to the fact's main and writes the extract's ledger row: see ``load``."""
    store = landing_store(lake, LANDED.name)
    manifest = store.read_manifest(extracted.manifest)
    validation = store.validation(manifest.extract_day, manifest.version)
    if validation is None:
        raise LandingError(f"{extracted.manifest} was not validated; run the day again.")

    def difference_since(held: int | None) -> Difference | None:
        staged = stage_difference(spark, held)
        if staged is None:
            return None
        log.info("%s rows differ from the warehouse's snapshot %s", staged.rows, held)
        batches = read_snapshot(lake, staged.metadata)
        return Difference(staged.snapshot_id, staged.whole, staged.rows, batches)

    loaded = load(
        connection,
        Extract(
            day=manifest.extract_day,
            landing_version=manifest.version,
            landing_uri=extracted.manifest,
            landed_lines=validation.total,
            valid_lines=validation.valid,
        ),
        difference_since,
    )
    return Loaded(
        str(loaded.snapshot_id),
        manifest.version,
        loaded.inserted,
        loaded.updated,
        loaded.deleted,
        loaded.day_rows,
    )


def reconcile(
    spark: SparkSession, connection: psycopg.Connection, day: date, loaded: Loaded
) -> Agreed:
    """Compares lake and warehouse; raises ReconcileError with both figures, and keys, where they
    differ."""

    def figures(snapshot: int, of_day: date, dates: list[date]) -> dict[Slice, Figures]:
        found: dict[Slice, tuple[int, Decimal, Decimal]] = lake_figures(
            spark, snapshot, of_day, dates
        )
        return {key: Figures(*values) for key, values in found.items()}

    rows = partial(lake_rows, spark)
    agreed = reconcile_day(connection, day, loaded.landing_version, figures, rows)
    return Agreed(str(agreed.snapshot_id), agreed.dates, agreed.rows, str(agreed.revenue))
