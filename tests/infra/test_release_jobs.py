"""What a release runs outside of DAGs: the migration; the marts are with those of dbt."""

from __future__ import annotations

import pytest

from feira_airflow.core import migrate


def test_a_migration_that_is_told_of_no_spark_names_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FEIRA_SPARK_URL", raising=False)
    with pytest.raises(SystemExit, match="FEIRA_SPARK_URL"):
        migrate.main()
