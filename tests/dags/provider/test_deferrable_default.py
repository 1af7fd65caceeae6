"""Whether a sensor waits in the triggerer is decided as a provider's does."""

from __future__ import annotations

import runpy
from types import ModuleType
from typing import Any

import pytest

from feira_provider.sensors import http_available, s3_manifest


@pytest.mark.parametrize("configured", [False, True])
@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [
        (http_available, "HttpAvailableSensor", {"http_conn_id": "api"}),
        (s3_manifest, "S3ManifestSensor", {"bucket_key": "s3://lake/m"}),
    ],
    ids=["http", "s3"],
)
def test_unless_stated_the_wait_is_as_airflow_is_configured(
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    name: str,
    arguments: dict[str, Any],
    configured: bool,
) -> None:
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", str(configured))
    assert module.__file__ is not None
    made = runpy.run_path(module.__file__)[name]
    assert made(task_id="wait", **arguments).deferrable is configured
