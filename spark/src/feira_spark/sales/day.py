"""A day of sales as far as its extract, step by step, as everything runs it: the DAG's tasks, the
benchmarks and the tests. What follows knows no sales: ``feira_spark.core.day``.

A step answers where its result is and how much of it there is, so that a task can return it as it is.
Each reads immutable inputs and replaces what it wrote before, so it may be killed anywhere and run
again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from feira.core.lake import landing_store
from feira.core.landing.land import Feed, land_day
from feira.core.settings import LakeSettings
from feira.sales.landing import LANDED
from feira_spark.sales.steps import require_passed, transform_day, validate_landing

if TYPE_CHECKING:
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
