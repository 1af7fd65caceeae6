"""Where lineage goes on the local stack: to the inbox, or to where the connection ``lineage_default`` says.

The connection's extra is the configuration of OpenLineage's Python client, which Airflow's provider reads.
Spark's listener, which knows the same ends under other names, is told the same one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from feira_local.stack.config import BUCKET, HOST, StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.own_connections import own_connections

CONNECTION = "lineage_default"
NAMESPACE = "feira"
# Airflow's own reading of operators: a task's code, and the text of its queries, which may hold a customer's values.
_POLICY = [{"scope": {}, "controls": {"extract_operator_metadata": False}, "locked": True}]
# An end that is away must cost a day next to nothing: no second try, and nobody waits longer.
_PATIENCE_SECONDS = 2


def events_file(config: StackConfig) -> Path:
    """The file of the lake that the inbox appends events to, a line each: ``events/lineage.ndjson``."""
    return config.lake / BUCKET / "events" / "lineage.ndjson"


def connection(config: StackConfig) -> dict[str, object]:
    """The stack's own connection."""
    transport = {
        "type": "http",
        "url": config.inbox_url,
        "endpoint": "api/v1/lineage",
        "timeout": _PATIENCE_SECONDS,
        "retry": {"total": 0},
    }
    return {"conn_type": "generic", "extra": {"transport": transport}}


def airflow_settings() -> dict[str, object]:
    """The section ``openlineage`` of Airflow's configuration."""
    return {
        "config_conn_id": CONNECTION,
        "namespace": NAMESPACE,
        "emission_policy": json.dumps(_POLICY),
        # A fork of a process that has imported as much costs more than the event.
        "execute_in_thread": True,
        "execution_timeout": _PATIENCE_SECONDS,
    }


def spark_properties(config: StackConfig) -> dict[str, str]:
    """The listener and its transport. Raises StackError for one that the listener cannot be told."""
    from feira_spark.core.session import PARENT

    extra: Any = own_connections(config.home).get(CONNECTION, connection(config)).get("extra", {})
    transport = extra.get("transport", {})
    kind = transport.get("type")
    if kind == "http":
        told = {
            "url": transport.get("url"),
            "endpoint": transport.get("endpoint", "api/v1/lineage"),
            "timeoutInMillis": int(1000 * transport.get("timeout", _PATIENCE_SECONDS)),
            **{f"headers.{k}": v for k, v in transport.get("custom_headers", {}).items()},
        }
        auth = transport.get("auth", {})
        if key := auth.get("apiKey") or auth.get("api_key"):
            told |= {"auth.type": "api_key", "auth.apiKey": key}
    elif kind == "file":
        # Two programs that append to one file would mix their lines.
        told = {"location": f"{transport.get('log_file_path')}-spark.ndjson"}
    else:
        raise StackError(
            f"Connection {CONNECTION} has the transport {kind!r}; Spark's listener can be told http or "
            "file. FEIRA_LINEAGE=off starts the stack without lineage."
        )
    prefix = "spark.openlineage"
    return {
        "spark.extraListeners": "io.openlineage.spark.agent.OpenLineageSparkListener",
        f"{prefix}.namespace": NAMESPACE,
        f"{prefix}.capturedProperties": PARENT,
        # The text of a statement may hold a customer's values.
        f"{prefix}.facets.sql.disabled": "true",
        # What a statement filters and joins by is said once of the table, and not of each column anew.
        f"{prefix}.columnLineage.datasetLineageEnabled": "true",
        # It takes any catalog but a few for Hive's, and asks where that is: the tables' second name there
        # then says where the catalog is.
        "spark.hadoop.hive.metastore.uris": f"thrift://{HOST}:{config.ports.postgres}",
        f"{prefix}.transport.type": kind,
        **{f"{prefix}.transport.{name}": str(value) for name, value in told.items()},
    }
