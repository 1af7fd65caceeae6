"""The steps of sales_etl as the DAG runs them: connections in, URIs and counts out.

Each opens what it needs, calls the platform's code, and says in its result only where the data is
and how much of it there is. What another try cannot mend fails at once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException

from feira_airflow.connections import LAKE, SHOP_API, lake_settings, spark_session, warehouse
from feira_airflow.partitions import partition_day

log = logging.getLogger(__name__)


@contextmanager
def _no_retry(*errors: type[Exception]) -> Iterator[None]:
    """Fails the task without another try where one cannot help."""
    try:
        yield
    except errors as error:
        raise AirflowFailException(str(error)) from error


def land() -> dict[str, Any]:
    """Lands the day, or takes the landing it has; returns ``manifest`` (URI), version and lines."""
    from feira.contracts import contract
    from feira.lake import landing_store
    from feira.landing.land import SchemaDriftError, land_day
    from feira_airflow.hooks.shop_api import DayNotServedError, ShopApiHook

    context = get_current_context()
    day = partition_day()
    with _no_retry(SchemaDriftError, DayNotServedError):
        manifest, uri = land_day(
            ShopApiHook(SHOP_API),
            landing_store(lake_settings(LAKE)),
            contract("sales.landing"),
            day,
            requested_by=context["run_id"],
            refetch=bool(context["params"].get("refetch")),
            progress=lambda lines, total: log.info("landed %s of %s lines", lines, total),
        )
    if manifest.total == 0:
        log.warning("sales %s: a closed day, the API served no lines", day)
    return {"manifest": uri, "landing_version": manifest.version, "lines": manifest.lines}


def validate(landing: dict[str, Any]) -> dict[str, Any]:
    """Validates the landing; fails where it does not pass the gate. Returns URI and counts."""
    from feira.contracts import ContractError
    from feira.lake import landing_store
    from feira_spark.sales.steps import GateError, require_passed, validate_landing

    store = landing_store(lake_settings(LAKE))
    manifest = store.read_manifest(landing["manifest"])
    with spark_session() as spark, _no_retry(ContractError, GateError):
        validation = validate_landing(spark, store, manifest)
        log.info("sales %s: %s", manifest.extract_day, validation.summary())
        require_passed(validation)
    return {
        "validation": store.validation_uri(manifest.extract_day, manifest.version),
        "valid": validation.valid,
        "quarantined": validation.quarantined,
    }


def transform() -> dict[str, Any]:
    """Replaces the day's extract; returns ``order_lines`` (metadata URI) and its ``manifest``."""
    from feira.lake import landing_store
    from feira_spark.sales.steps import transform_day

    day = partition_day()
    store = landing_store(lake_settings(LAKE))
    with spark_session() as spark:
        manifest, metadata = transform_day(spark, store, day)
    return {
        "order_lines": metadata,
        "manifest": store.manifest_uri(day, manifest.version),
        "landing_version": manifest.version,
    }


def publish() -> dict[str, Any]:
    """Publishes the day to the fact; returns ``fact`` (metadata URI), the snapshot and counts."""
    from feira_spark.sales.publish import publish_day, sweep_branches

    ti = get_current_context()["ti"]
    day = partition_day()
    with spark_session() as spark:
        for branch in sweep_branches(spark):
            log.warning("dropped branch %s, left by an attempt that was killed", branch)
        published = publish_day(spark, day, attempt=f"{ti.run_id}_{ti.try_number}")
    return {
        "fact": published.metadata,
        "snapshot_id": str(published.snapshot_id),
        "inserted": published.inserted,
        "updated": published.updated,
        "deleted": published.deleted,
    }


def load_warehouse(extract: dict[str, Any]) -> dict[str, Any]:
    """Brings the warehouse to the fact's main and writes the ledger; returns snapshot and counts."""
    from feira.contracts import ContractError
    from feira.lake import landing_store, read_snapshot
    from feira.warehouse.load import Difference, Extract, load
    from feira_spark.sales.difference import stage_difference

    settings = lake_settings(LAKE)
    store = landing_store(settings)
    manifest = store.read_manifest(extract["manifest"])
    validation = store.validation(manifest.extract_day, manifest.version)
    if validation is None:
        raise RuntimeError(f"{extract['manifest']} was not validated; clear the task validate.")

    with spark_session() as spark, warehouse() as connection, _no_retry(ContractError):

        def difference_since(held: int | None) -> Difference | None:
            staged = stage_difference(spark, held)
            if staged is None:
                return None
            log.info("%s rows differ from the warehouse's snapshot %s", staged.rows, held)
            batches = read_snapshot(settings, staged.metadata)
            return Difference(staged.snapshot_id, staged.whole, staged.rows, batches)

        loaded = load(
            connection,
            Extract(
                day=manifest.extract_day,
                landing_version=manifest.version,
                landing_uri=extract["manifest"],
                landed_lines=validation.total,
                valid_lines=validation.valid,
            ),
            difference_since,
        )
    return {
        "snapshot_id": str(loaded.snapshot_id),
        "landing_version": manifest.version,
        "inserted": loaded.inserted,
        "updated": loaded.updated,
        "deleted": loaded.deleted,
        "day_rows": loaded.day_rows,
    }


def reconcile(loaded: dict[str, Any]) -> dict[str, Any]:
    """Compares lake and warehouse; fails with both figures where they differ."""
    from feira.warehouse.reconcile import Figures, reconcile_day
    from feira_spark.sales.difference import lake_figures

    day = partition_day()
    with spark_session() as spark, warehouse() as connection:

        def figures(snapshot: int, of_day: date, dates: list[date]) -> dict[date, Figures]:
            found: dict[date, tuple[int, Decimal, Decimal]] = lake_figures(
                spark, snapshot, of_day, dates
            )
            return {key: Figures(*values) for key, values in found.items()}

        agreed = reconcile_day(connection, day, loaded["landing_version"], figures)
    return {
        "snapshot_id": str(agreed.snapshot_id),
        "order_dates": agreed.dates,
        "rows": agreed.rows,
        "revenue_usd": str(agreed.revenue),
    }


def drop_staging() -> dict[str, Any]:
    """Drops what was staged for the day, once nobody needs it; nothing waits for this."""
    from feira_spark.sales.steps import drop_staging as drop

    with spark_session() as spark:
        return {"dropped": len(drop(spark, partition_day()))}


def emit(agreed: dict[str, Any]) -> None:
    """Ends the run; its outlet is the event. It has no work of its own, so nothing can come between
    the agreement and the event but a kill, which the retry mends."""
    log.info("sales_fact[%s] at snapshot %s", partition_day(), agreed["snapshot_id"])
