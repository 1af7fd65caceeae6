"""What a release runs outside of DAGs: the marts by the connection that Airflow reads, and the migration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from feira_airflow.core import migrate
from feira_airflow.summary import __main__ as marts


def test_the_marts_are_built_by_the_connection_of_dbt(
    warehouse,
    fact_line: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    warehouse.put(fact_line("A", 1, amount_usd="10"))
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DBT", warehouse.dsns.dbt)
    marts.main()
    assert "daily_revenue: 1 rows" in capsys.readouterr().out
    assert warehouse.rows("select sum(revenue) as revenue from marts.daily_revenue") == [
        {"revenue": 10}
    ]


def test_a_migration_that_is_told_of_no_spark_names_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FEIRA_SPARK_URL", raising=False)
    with pytest.raises(SystemExit, match="FEIRA_SPARK_URL"):
        migrate.main()
