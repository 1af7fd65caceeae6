"""Connections that replace the stack's own: ``connections.yaml`` in its folder, in Airflow's form.

The same file that ``airflow connections import`` takes, so that what was tried on a laptop is what a
deployment gets.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import yaml

from feira_local.stack.errors import StackError
from feira_wiring.home import airflow_home

if TYPE_CHECKING:
    from feira_local.stack.config import StackConfig

FILE = "connections.yaml"
LAKE = "lake_default"
TEXTS = ("conn_type", "description", "host", "schema", "login", "password")
FIELDS = (*TEXTS, "port", "extra")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def own_connections(home: Path) -> dict[str, dict[str, Any]]:
    """The connections of ``connections.yaml`` by id; none where there is no such file.

    Raises StackError where others may read the file, or it is not in Airflow's form.
    """
    path = home / FILE
    if not path.is_file():
        return {}
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _OTHERS:
        raise StackError(
            f"{path} holds passwords, and others may read it (mode {mode:04o}): chmod 600 {path}"
        )
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    # Bytes that are no UTF-8 and a 13th month are ValueErrors; brackets too deep are the third.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # Its own text quotes the line, which may hold a password.
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise StackError(f"{path}{where} is not YAML in UTF-8 ({type(error).__name__}).") from None
    if not isinstance(found, dict):
        raise StackError(f"{path} must map connection ids to their fields.")
    for conn_id, fields in found.items():
        if not isinstance(conn_id, str):
            raise StackError(f"{path}: connection id {conn_id!r} is no text; quote it.")
        _require_connection(path, conn_id, fields)
    return found


def connections_of_parts(config: StackConfig) -> dict[str, dict[str, Any]]:
    """The connections of the stack's parts by id, replaced or joined by those of ``connections.yaml``: what a part's
    program is given is what the pipelines are given."""
    found = {name: it for part in config.parts for name, it in part.connections(config).items()}
    return found | own_connections(config.home)


def variables_of(described: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The connections as Airflow reads them from the environment, where an id has no case.

    Raises StackError for two ids that are one there: who asks by the other would get another connection.
    """
    ids: dict[str, str] = {}
    for conn_id in described:
        first = ids.setdefault(conn_id.upper(), conn_id)
        if first != conn_id:
            raise StackError(
                f"{FILE}: connection {conn_id} is the same as {first} to Airflow, which reads both from "
                f"AIRFLOW_CONN_{conn_id.upper()}. Name it {first}, or otherwise."
            )
    return {
        f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(fields)
        for conn_id, fields in described.items()
    }


@contextmanager
def as_airflow_reads(conn_id: str, fields: dict[str, Any]) -> Iterator[None]:
    """Inside, Airflow's hooks find the connection, so that a command reads it as a task does."""
    with mock.patch.dict(os.environ, variables_of({conn_id: fields})), airflow_home():
        yield


def _require_connection(path: Path, conn_id: str, fields: object) -> None:
    if not isinstance(fields, dict) or "conn_type" not in fields:
        raise StackError(f"{path}: connection {conn_id} needs at least a conn_type.")
    if unknown := sorted(str(field) for field in fields.keys() - set(FIELDS)):
        raise StackError(
            f"{path}: connection {conn_id} has {', '.join(unknown)}; it may have {', '.join(FIELDS)}."
        )
    for name in TEXTS:
        # YAML reads 0123 as a number, and another one.
        if not isinstance(fields.get(name, ""), str | None):
            raise StackError(
                f"{path}: the {name} of connection {conn_id} is no text to YAML; quote it."
            )
    if not isinstance(fields.get("extra", {}), dict):
        raise StackError(f"{path}: the extra of connection {conn_id} must be a mapping.")
    try:
        json.dumps(fields)
    except (TypeError, ValueError, RecursionError) as error:
        raise StackError(
            f"{path}: connection {conn_id} cannot be written as JSON ({type(error).__name__}); quote its dates."
        ) from None
