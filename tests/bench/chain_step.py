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

from feira.contracts import contract
from feira.lake import landing_store, read_snapshot
from feira.landing.land import land_day
from feira.landing.manifest import Manifest
from feira.settings import LakeSettings


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
        return landing_store(self.lake_settings).complete(self.day)[-1]


def land(places: Places) -> dict[str, Any]:
    """Lands the day over HTTP with the DAG's own hook (AIRFLOW_CONN_SHOP_API names the shop)."""
    from feira_airflow.hooks.shop_api import ShopApiHook

    store = landing_store(places.lake_settings)
    began = time.perf_counter()
    manifest, _ = land_day(
        ShopApiHook(),
        store,
        contract("sales.landing"),
        places.day,
        requested_by="bench",
    )
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "rows": manifest.lines,
        "bytes": sum(page.bytes for page in manifest.pages),
    }


def validate(places: Places) -> dict[str, Any]:
    """Parses, checks, stages and quarantines; what the gate found comes with it."""
    from feira_spark.sales.steps import require_passed, validate_landing
    from feira_spark.session import connect

    store, manifest = landing_store(places.lake_settings), places.newest_landing()
    spark = connect(places.spark)
    began = time.perf_counter()
    validation = validate_landing(spark, store, manifest)
    require_passed(validation)
    return {
        "seconds": time.perf_counter() - began,
        "rows": validation.total,
        "valid": validation.valid,
        "broken": validation.broken,
    }


def transform(places: Places) -> dict[str, Any]:
    """Types, dedupes and writes the day's extract; returns the snapshot's metadata too."""
    from feira_spark.sales.steps import QUARANTINE, transform_day
    from feira_spark.sales.tables import metadata_uri
    from feira_spark.session import connect

    store = landing_store(places.lake_settings)
    spark = connect(places.spark)
    began = time.perf_counter()
    manifest, metadata = transform_day(spark, store, places.day)
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "rows": manifest.lines,
        "extract": metadata,
        "quarantine": metadata_uri(spark, QUARANTINE),
    }


def publish(places: Places) -> dict[str, Any]:
    """Merges on a branch, audits it, fast-forwards main."""
    from feira_spark.sales.publish import publish_day, sweep_branches
    from feira_spark.session import connect

    spark = connect(places.spark)
    began = time.perf_counter()
    sweep_branches(spark)
    found = publish_day(spark, places.day, attempt="bench_1")
    return {
        "seconds": time.perf_counter() - began,
        "rows": found.inserted + found.updated + found.deleted,
    }


def load_warehouse(places: Places) -> dict[str, Any]:
    """Loads the difference; ``staging_seconds`` of the seconds are Spark's."""
    from feira.warehouse.load import Difference, Extract, load
    from feira.warehouse.schema import connect as connect_warehouse
    from feira_spark.sales.difference import stage_difference
    from feira_spark.session import connect

    settings, manifest = places.lake_settings, places.newest_landing()
    store = landing_store(settings)
    validation = store.validation(places.day, manifest.version)
    assert validation is not None, "the day was not validated"
    spark, staging = connect(places.spark), 0.0

    def since(held: int | None) -> Difference | None:
        nonlocal staging
        began = time.perf_counter()
        staged = stage_difference(spark, held)
        staging = time.perf_counter() - began
        if staged is None:
            return None
        batches = read_snapshot(settings, staged.metadata)
        return Difference(staged.snapshot_id, staged.whole, staged.rows, batches)

    extract = Extract(
        places.day,
        manifest.version,
        store.manifest_uri(places.day, manifest.version),
        validation.total,
        validation.valid,
    )
    with connect_warehouse(places.warehouse) as connection:
        began = time.perf_counter()
        loaded = load(connection, extract, since)
        seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "rows": loaded.inserted + loaded.updated + loaded.deleted,
        "staging_seconds": staging,
    }


def reconcile(places: Places) -> dict[str, Any]:
    """Compares the order dates that changed in lake and warehouse."""
    from feira.warehouse.reconcile import Figures, reconcile_day
    from feira.warehouse.schema import connect as connect_warehouse
    from feira_spark.sales.difference import lake_figures
    from feira_spark.session import connect

    spark, manifest = connect(places.spark), places.newest_landing()

    def figures(snapshot: int, of_day: date, dates: list[date]) -> dict[date, Figures]:
        found = lake_figures(spark, snapshot, of_day, dates)
        return {key: Figures(*values) for key, values in found.items()}

    with connect_warehouse(places.warehouse) as connection:
        began = time.perf_counter()
        agreed = reconcile_day(connection, places.day, manifest.version, figures)
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "rows": agreed.rows}


STEPS: dict[str, Callable[[Places], dict[str, Any]]] = {
    step.__name__: step for step in (land, validate, transform, publish, load_warehouse, reconcile)
}

if __name__ == "__main__":
    print(json.dumps(STEPS[sys.argv[1]](Places.read(Path(sys.argv[2])))), flush=True)
