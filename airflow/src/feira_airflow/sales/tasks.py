"""The steps of sales_etl as the DAG runs them: connections in, URIs and counts out.

Each opens what the step needs and calls it; the steps themselves are in ``feira_spark.sales.day``. What
another try cannot fix fails at once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
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
    from feira.landing.land import SchemaDriftError
    from feira_airflow.hooks.shop_api import DayNotServedError, ShopApiHook
    from feira_spark.sales.day import land

    context = get_current_context()
    with _no_retry(SchemaDriftError, DayNotServedError):
        landed = land(
            ShopApiHook(SHOP_API),
            lake_settings(LAKE),
            partition_day(),
            requested_by=context["run_id"],
            refetch=bool(context["params"].get("refetch")),
            progress=lambda lines, total: log.info("landed %s of %s lines", lines, total),
        )
    return asdict(landed)


def validate(landing: dict[str, Any]) -> dict[str, Any]:
    """Validates the landing; fails where it does not pass the gate. Returns URI and counts."""
    from feira.contracts import ContractError
    from feira_spark.sales.day import Landed, validate
    from feira_spark.sales.steps import GateError

    with spark_session() as spark, _no_retry(ContractError, GateError):
        return asdict(validate(spark, lake_settings(LAKE), Landed(**landing)))


def transform() -> dict[str, Any]:
    """Replaces the day's extract; returns ``order_lines`` (metadata URI) and its ``manifest``."""
    from feira_spark.sales.day import transform

    with spark_session() as spark:
        return asdict(transform(spark, lake_settings(LAKE), partition_day()))


def publish() -> dict[str, Any]:
    """Publishes the day to the fact; returns ``fact`` (metadata URI), the snapshot and counts."""
    from feira_spark.sales.day import publish

    ti = get_current_context()["ti"]
    with spark_session() as spark:
        return asdict(publish(spark, partition_day(), attempt=f"{ti.run_id}_{ti.try_number}"))


def load_warehouse(extract: dict[str, Any]) -> dict[str, Any]:
    """Brings the warehouse to the fact's main and writes the ledger; returns snapshot and counts."""
    from feira.contracts import ContractError
    from feira_spark.sales.day import Extracted, load_warehouse

    with spark_session() as spark, warehouse() as connection, _no_retry(ContractError):
        return asdict(load_warehouse(spark, connection, lake_settings(LAKE), Extracted(**extract)))


def reconcile(loaded: dict[str, Any]) -> dict[str, Any]:
    """Compares lake and warehouse; fails with both figures where they differ."""
    from feira_spark.sales.day import Loaded, reconcile

    with spark_session() as spark, warehouse() as connection:
        return asdict(reconcile(spark, connection, partition_day(), Loaded(**loaded)))


def drop_staging() -> dict[str, Any]:
    """Drops what was staged for the day, once nobody needs it; nothing waits for this."""
    from feira_spark.sales.steps import drop_staging

    with spark_session() as spark:
        return {"dropped": len(drop_staging(spark, partition_day()))}


def emit(agreed: dict[str, Any]) -> None:
    """Ends the run; its outlet is the event. It has no work of its own, so nothing can come between
    the agreement and the event but a kill, after which the retry emits."""
    log.info("sales_fact[%s] at snapshot %s", partition_day(), agreed["snapshot_id"])
