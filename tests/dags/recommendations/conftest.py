"""What the tasks of recommendations are given in their tests: a lake in a folder, an empty Valkey, no Spark."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from feira.core.settings import LakeSettings

if TYPE_CHECKING:
    from valkey_server import ValkeyServer


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LakeSettings:
    """The tasks' lake, in a folder of the test's own."""
    from feira_airflow.recommendations import tasks

    settings = LakeSettings(root=f"file://{tmp_path}", catalog="hadoop")
    monkeypatch.setattr(tasks, "lake_settings", lambda conn_id: settings)
    return settings


@pytest.fixture
def empty_valkey(server: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> ValkeyServer:
    """The module's Valkey with nothing in it, as Airflow's connection."""
    from feira_local.valkey import local

    (fields,) = local.connections(server.config).values()
    monkeypatch.setenv("AIRFLOW_CONN_VALKEY_DEFAULT", json.dumps(fields))
    with server.client() as client:
        client.flushall()
    return server


@pytest.fixture
def named_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tasks' Spark session is the text ``spark``, for steps that do not run."""
    from feira_airflow.recommendations import tasks

    @contextmanager
    def opened() -> Iterator[str]:
        yield "spark"

    monkeypatch.setattr(tasks, "spark_session", opened)
