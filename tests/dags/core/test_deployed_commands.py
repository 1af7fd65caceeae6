"""What a deployment runs beside its DAGs: without its connection each ends with one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from feira_airflow.core import migrate
from feira_airflow.summary.__main__ import build


def test_a_migration_without_a_warehouse_ends_with_one_line_and_asks_no_spark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FEIRA_SPARK_URL", "sc://spark.invalid:15002")
    with pytest.raises(SystemExit) as ended:
        migrate.main()
    line = str(ended.value.code)
    assert line.startswith("There is no connection warehouse_default") and "\n" not in line


def test_marts_without_a_warehouse_end_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        build(tmp_path)
    line = str(ended.value.code)
    assert line.startswith("There is no connection warehouse_dbt") and "\n" not in line


def test_a_warehouse_of_another_type_of_options_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DBT", "postgres://h/d?sslmod=require")
    with pytest.raises(SystemExit, match="Connection warehouse_dbt has sslmod in its extra"):
        build(tmp_path)
