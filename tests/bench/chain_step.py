"""One step of the sales chain in a process of its own, as a task of the DAG has one, timed.

``python chain_step.py STEP PLACES`` reads where everything is from a JSON file, does the step with the
platform's own code, and prints what it found as its last line, JSON again. Seconds run from the open
session to the step's end: the start of Python and its imports are a task's overhead, not the step's.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from unittest import mock

from pyspark.sql import SparkSession

from feira.core.lake import landing_store
from feira.core.landing.manifest import Manifest
from feira.core.settings import LakeSettings
from feira.core.warehouse.schema import connect as connect_warehouse
from feira.sales.landing import LANDED
from feira.sales.published import PUBLISHED
from feira_spark.core import day as published_day
from feira_spark.core import difference
from feira_spark.core.difference import StagedDifference, stage_difference
from feira_spark.core.session import connect
from feira_spark.core.tables import current_snapshot, metadata_uri
from feira_spark.sales import day
from feira_spark.sales.steps import QUARANTINE


@dataclass(frozen=True)
class Places:
    """Where a chain's parts are. ``lake`` is a folder's URI; the others are addresses."""

    day: date
    lake: str
    shop: str
    spark: str
    warehouse: str

    @classmethod
    def read(cls, path: Path) -> Places:
        """The places that ``write`` wrote."""
        values = json.loads(path.read_text())
        return cls(**values | {"day": date.fromisoformat(values["day"])})

    def write(self, path: Path) -> None:
        """Writes them for a step's process; the file holds the warehouse's password."""
        path.write_text(json.dumps(self.__dict__ | {"day": self.day.isoformat()}))
        path.chmod(0o600)

    @property
    def lake_settings(self) -> LakeSettings:
        """The lake with its catalog, both in the folder."""
        return LakeSettings(root=self.lake, catalog="hadoop")

    def newest_landing(self) -> Manifest:
        """The day's newest complete landing."""
        return landing_store(self.lake_settings, LANDED.name).complete(self.day)[-1]


def land(places: Places) -> dict[str, Any]:
    """Lands the day over HTTP with the DAG's own hook (AIRFLOW_CONN_SHOP_API names the shop)."""
    from feira_airflow.sales.shop_api import ShopApiHook

    began = time.perf_counter()
    landed = day.land(ShopApiHook(), places.lake_settings, places.day, requested_by="bench")
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "rows": landed.lines,
        "bytes": sum(page.size or 0 for page in places.newest_landing().files),
    }


def validate(places: Places) -> dict[str, Any]:
    """Parses, checks, stages and quarantines; what the gate found comes with it."""
    spark, landing = connect(places.spark), places.newest_landing()
    store = landing_store(places.lake_settings, LANDED.name)
    manifest = store.manifest_uri(places.day, landing.version)
    began = time.perf_counter()
    day.validate(spark, places.lake_settings, day.Landed(manifest, landing.version, landing.lines))
    seconds = time.perf_counter() - began
    validation = store.validation(places.day, landing.version)
    assert validation is not None
    return {
        "seconds": seconds,
        "rows": validation.total,
        "valid": validation.valid,
        "broken": validation.broken,
    }


def transform(places: Places) -> dict[str, Any]:
    """Types, dedupes and writes the day's extract; returns the snapshot's metadata too."""
    spark = connect(places.spark)
    began = time.perf_counter()
    extracted = day.transform(spark, places.lake_settings, places.day)
    return {
        "seconds": time.perf_counter() - began,
        "rows": places.newest_landing().lines,
        "extract": extracted.order_lines,
        "quarantine": metadata_uri(spark, QUARANTINE),
    }


def publish(places: Places) -> dict[str, Any]:
    """Merges on a branch, audits it, fast-forwards main."""
    spark = connect(places.spark)
    began = time.perf_counter()
    found = published_day.publish(spark, PUBLISHED, places.day, attempt="bench_1")
    return {
        "seconds": time.perf_counter() - began,
        "rows": found.inserted + found.updated + found.deleted,
    }


def load_warehouse(places: Places) -> dict[str, Any]:
    """Loads the difference; ``staging_seconds`` of the seconds are Spark's."""
    landing, spark = places.newest_landing(), connect(places.spark)
    manifest = landing_store(places.lake_settings, LANDED.name).manifest_uri(
        places.day, landing.version
    )
    main, staging = str(current_snapshot(spark, PUBLISHED.table)), 0.0

    def staged(spark: SparkSession, *of: Any) -> StagedDifference | None:
        nonlocal staging
        began = time.perf_counter()
        found = stage_difference(spark, *of)
        staging = time.perf_counter() - began
        return found

    with (
        connect_warehouse(places.warehouse) as connection,
        mock.patch.object(difference, "stage_difference", staged),
    ):
        began = time.perf_counter()
        loaded = published_day.load_warehouse(
            spark, connection, places.lake_settings, PUBLISHED, manifest, main
        )
        seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "rows": loaded.inserted + loaded.updated + loaded.deleted,
        "staging_seconds": staging,
    }


def reconcile(places: Places) -> dict[str, Any]:
    """Compares the order dates that changed in lake and warehouse."""
    spark, version = connect(places.spark), places.newest_landing().version
    with connect_warehouse(places.warehouse) as connection:
        began = time.perf_counter()
        loaded = published_day.Loaded("", version, 0, 0, 0, 0)
        agreed = published_day.reconcile(spark, connection, PUBLISHED, places.day, loaded)
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "rows": agreed.rows}


STEPS: dict[str, Callable[[Places], dict[str, Any]]] = {
    step.__name__: step for step in (land, validate, transform, publish, load_warehouse, reconcile)
}

if __name__ == "__main__":
    print(json.dumps(STEPS[sys.argv[1]](Places.read(Path(sys.argv[2])))), flush=True)
