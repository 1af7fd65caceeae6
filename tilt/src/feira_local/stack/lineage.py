"""Where lineage goes on the local stack: to the inbox, or to where the connection ``lineage_default`` says.

The connection's extra is the configuration of OpenLineage's Python client, which Airflow's provider reads.
Spark's listener, which knows the same ends under other names, is told the same one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urljoin, urlsplit

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

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


_WITHOUT = "FEIRA_LINEAGE=off starts the stack without lineage."
# Each is a line of a properties file.
_Text = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00-\x1f\x7f]+$")]
_HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$")]


class _Told(BaseModel):
    """What both OpenLineage's client for Python and Spark's listener can be told of an end, in the client's words."""

    model_config = ConfigDict(strict=True, extra="forbid")


class _ApiKey(_Told):
    type: Literal["api_key"]
    apiKey: _Text = Field(validation_alias=AliasChoices("apiKey", "api_key", "apikey"))


class _Http(_Told):
    type: Literal["http"]
    url: _Text
    endpoint: _Text = "api/v1/lineage"
    timeout: float = Field(_PATIENCE_SECONDS, gt=0, le=3600)
    verify: Literal[True] = True
    # The client takes no null for it.
    auth: _ApiKey = Field(default=None)  # type: ignore[assignment]
    custom_headers: dict[_HeaderName, _Text] = {}
    compression: Literal["gzip"] | None = None
    # Of the client alone: how often it tries says nothing of the end.
    retry: dict[str, Any] = {}


class _File(_Told):
    type: Literal["file"]
    log_file_path: _Text
    append: bool = False
    debug_mode: bool = False


def spark_properties(config: StackConfig) -> dict[str, str]:
    """The listener and its transport. Raises StackError for one that the listener cannot be told."""
    from feira_spark.core.session import PARENT

    extra: Any = own_connections(config.home).get(CONNECTION, connection(config)).get("extra", {})
    told = _told(extra.get("transport"))
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
        **{f"{prefix}.transport.{name}": value for name, value in told.items()},
    }


def _told(transport: object) -> dict[str, str]:
    """A transport in the listener's words."""
    kind = transport.get("type") if isinstance(transport, dict) else transport
    try:
        if kind == "http":
            return _told_http(_Http.model_validate(transport))
        if kind == "file":
            # Two programs that append to one file would mix their lines.
            path = _File.model_validate(transport).log_file_path
            return {"type": "file", "location": f"{path}-spark.ndjson"}
    except ValidationError as error:
        # A value may be a secret, and what follows names a class of this module.
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, ("transport", *first["loc"])))
        raise _refused(f"{field}: {first['msg'].partition(' or instance')[0]}") from None
    raise StackError(
        f"Connection {CONNECTION} has the transport {kind!r:.80}; Spark's listener can be told http or file. "
        f"{_WITHOUT}"
    )


def _told_http(http: _Http) -> dict[str, str]:
    # As the client joins them; the listener takes no endpoint beside a URL that has a path.
    try:
        end = urlsplit(urljoin(http.url, http.endpoint))
        known = end.scheme in ("http", "https") and end.hostname and end.port != 0
    except ValueError:
        known = False
    if not known:
        raise _refused("transport.url: It should be http:// or https://, a host and a path")
    if "@" in end.netloc or end.query or end.fragment or "%" in end.path:
        raise _refused("transport.url: It should hold no login, no parameters and no escapes")
    return {
        "type": "http",
        "url": f"{end.scheme}://{end.netloc}",
        "endpoint": end.path.removeprefix("/") or "/",
        "timeoutInMillis": str(round(1000 * http.timeout)),
        **{f"headers.{name}": value for name, value in http.custom_headers.items()},
        **({"auth.type": "api_key", "auth.apiKey": http.auth.apiKey} if http.auth else {}),
        **({"compression": http.compression} if http.compression else {}),
    }


def _refused(why: str) -> StackError:
    return StackError(
        f"Connection {CONNECTION} names an end that Spark's listener cannot be told. {why}. {_WITHOUT}"
    )
