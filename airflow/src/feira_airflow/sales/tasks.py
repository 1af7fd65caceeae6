"""The steps of sales_etl as the DAG runs them: connections in, URIs and counts out.

Each opens what the step needs and calls it; the steps themselves are in ``feira_spark.sales.day`` and,
from the published fact on, in ``feira_spark.core.day``. What another try cannot fix fails at once.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context

from feira.sales.published import PUBLISHED
from feira_airflow.core.connections import LAKE, lake_settings, spark_session, warehouse
from feira_airflow.core.lineage import report_lineage
from feira_airflow.core.partitions import partition_day
from feira_airflow.core.permanent import permanent_errors_fail
from feira_airflow.core.xcom import fields_of, result_of
from feira_airflow.sales.pipeline import SHOP_API

if TYPE_CHECKING:
    from feira.core.lineage import Step

log = logging.getLogger(__name__)


@permanent_errors_fail()
def land() -> dict[str, Any]:
    """Lands the day, or takes the landing it has; returns ``manifest`` (URI), version and lines."""
    from feira.sales import lineage
    from feira_airflow.sales.shop_api import ShopApiHook
    from feira_spark.sales.day import land

    context = get_current_context()
    lake = lake_settings(LAKE)
    api = ShopApiHook(SHOP_API)
    landed = land(
        api,
        lake,
        partition_day(),
        requested_by=context["run_id"],
        refetch=bool(context["params"].get("refetch")),
        progress=lambda lines, total: log.info("landed %s of %s lines", lines, total),
    )

    def described() -> Step:
        api.get_conn()  # A landing that was there already has asked the API nothing.
        return lineage.landed(api.base_url, lake, landed.manifest)

    report_lineage(described)
    return asdict(landed)


@permanent_errors_fail()
def validate(landing: dict[str, Any]) -> dict[str, Any]:
    """Validates the landing; fails where it does not pass the gate. Returns URI and counts."""
    from feira.sales import lineage
    from feira_spark.sales.day import Landed, validate

    landed, lake = result_of("land", Landed, landing), lake_settings(LAKE)
    with spark_session() as spark:
        validated = validate(spark, lake, landed)
    report_lineage(lambda: lineage.validated(lake))
    return asdict(validated)


@permanent_errors_fail()
def transform() -> dict[str, Any]:
    """Replaces the day's extract; returns ``order_lines`` (metadata URI) and its ``manifest``."""
    from feira.sales import lineage
    from feira_spark.sales.day import transform

    lake = lake_settings(LAKE)
    with spark_session() as spark:
        extracted = transform(spark, lake, partition_day())
    report_lineage(lambda: lineage.extracted(lake))
    return asdict(extracted)


@permanent_errors_fail()
def publish() -> dict[str, Any]:
    """Publishes the day to the fact; returns ``metadata`` (its URI), the snapshot and counts."""
    from feira.core import lineage
    from feira_spark.core.day import publish

    ti = get_current_context()["ti"]
    with spark_session() as spark:
        published = publish(
            spark, PUBLISHED, partition_day(), attempt=f"{ti.run_id}_{ti.try_number}"
        )
    report_lineage(lambda: lineage.published(PUBLISHED, lake_settings(LAKE)))
    return asdict(published)


@permanent_errors_fail()
def load_warehouse(extract: dict[str, Any], published: dict[str, Any]) -> dict[str, Any]:
    """Brings the warehouse to the fact's main and writes the ledger; returns snapshot and counts."""
    from feira.core import lineage
    from feira_spark.core.day import load_warehouse

    (manifest,) = fields_of("transform", extract, "manifest")
    (snapshot,) = fields_of("publish", published, "snapshot_id")
    lake = lake_settings(LAKE)
    with spark_session() as spark, warehouse() as connection:
        loaded = load_warehouse(spark, connection, lake, PUBLISHED, manifest, snapshot)
        report_lineage(lambda: lineage.loaded(PUBLISHED, lake, connection))
    return asdict(loaded)


@permanent_errors_fail()
def reconcile(loaded: dict[str, Any]) -> dict[str, Any]:
    """Compares lake and warehouse; fails with both figures where they differ."""
    from feira_spark.core.day import Loaded, reconcile

    done = result_of("load_warehouse", Loaded, loaded)
    with spark_session() as spark, warehouse() as connection:
        return asdict(reconcile(spark, connection, PUBLISHED, partition_day(), done))


@permanent_errors_fail()
def drop_staging(loaded: dict[str, Any] | None) -> dict[str, Any]:
    """Drops what was staged for the day, once nobody needs it; nothing waits for this."""
    from feira_spark.sales.steps import drop_staging

    with spark_session() as spark:
        # XCom may have been cleaned since: the next load drops what this one has staged.
        dropped = drop_staging(spark, partition_day(), (loaded or {}).get("staged"))
        return {"dropped": len(dropped)}


@permanent_errors_fail()
def emit(agreed: dict[str, Any]) -> None:
    """Ends the run; its outlet is the event. It has no work of its own, so nothing can come between
    the agreement and the event but a kill, after which the retry emits."""
    (snapshot,) = fields_of("reconcile", agreed, "snapshot_id")
    log.info("sales_fact[%s] at snapshot %s", partition_day(), snapshot)
