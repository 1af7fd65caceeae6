"""PostgreSQL's statistics, on a real server, for the role of monitoring alone."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from feira.monitoring.figures import Figures
from feira.monitoring.postgres import Postgres
from feira_local.stack.postgres import Dsns


def _value(figures: Figures, name: str, **labels: str) -> float | None:
    return figures.registry.get_sample_value(f"feira_postgres_{name}", labels)


def _end_sessions(postgres: Dsns) -> None:
    """Returns when those are gone whose clients have left, too: a session ends, and counts its last transaction, a
    moment later."""
    with psycopg.connect(postgres.superuser, autocommit=True) as superuser:
        superuser.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
            "WHERE datname IN ('airflow', 'iceberg', 'warehouse')"
        )


def test_a_database_has_its_size_connections_and_open_transaction(postgres: Dsns) -> None:
    _end_sessions(postgres)
    figures, source = Figures(), Postgres(postgres.monitor)
    source.collect(figures)
    _end_sessions(postgres)
    before = _value(figures, "connections", database="warehouse")
    assert before is not None
    with psycopg.connect(postgres.reader) as reader:
        reader.execute("SELECT 1")
        source.collect(figures)
        assert _value(figures, "connections", database="warehouse") == before + 1
        oldest = _value(figures, "oldest_transaction_seconds", database="warehouse")
        assert oldest is not None and oldest > 0
        # Nobody has one open there, and the question itself is none.
        for other in ("airflow", "iceberg"):
            assert _value(figures, "oldest_transaction_seconds", database=other) == 0
    size = _value(figures, "database_size_bytes", database="warehouse")
    assert size is not None and size > 2**20
    limit = _value(figures, "connections_limit")
    assert limit is not None and limit > before
    assert _value(figures, "connections", database="template1") is None


def test_a_transaction_that_begins_while_it_is_asked_is_no_younger_than_0(
    postgres: Dsns, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures, source, connect = Figures(), Postgres(postgres.monitor), psycopg.connect
    with connect(postgres.reader) as reader:

        def asking(*given: Any, **named: Any) -> Any:
            connection = connect(*given, **named)
            ask = connection.execute

            def execute(query: Any) -> Any:
                found = ask(query)
                reader.execute("SELECT 1")
                return found

            monkeypatch.setattr(connection, "execute", execute)
            return connection

        monkeypatch.setattr("feira.monitoring.postgres.psycopg.connect", asking)
        source.collect(figures)
    assert _value(figures, "oldest_transaction_seconds", database="warehouse") == 0


def test_what_the_server_counts_begins_at_0_and_follows_it(postgres: Dsns) -> None:
    _end_sessions(postgres)
    figures, source = Figures(), Postgres(postgres.monitor)
    labels = {"database": "warehouse", "outcome": "rolled_back"}
    source.collect(figures)
    assert _value(figures, "transactions_total", **labels) == 0
    # Whatever the server has counted before.
    committed = labels | {"outcome": "committed"}
    assert _value(figures, "transactions_total", **committed) == 0
    for failed, total in ((3, 3), (2, 5)):
        with psycopg.connect(postgres.reader, autocommit=True) as reader:
            for _ in range(failed):
                with pytest.raises(psycopg.errors.DivisionByZero):
                    reader.execute("SELECT 1 / 0")
            reader.execute("SELECT pg_stat_force_next_flush()")
        source.collect(figures)
        assert _value(figures, "transactions_total", **labels) == total
    # After a reset the server counts from 0 again.
    source._before = {key: value + 1_000_000 for key, value in source._before.items()}
    source.collect(figures)
    after = _value(figures, "transactions_total", **labels)
    assert after is not None and after >= 10


def test_a_database_that_is_gone_has_no_figures(postgres: Dsns) -> None:
    figures, source = Figures(), Postgres(postgres.monitor)

    def shown(database: str) -> set[str]:
        return {
            sample.name
            for family in figures.registry.collect()
            for sample in family.samples
            if sample.labels.get("database") == database and not sample.name.endswith("_created")
        }

    with psycopg.connect(postgres.superuser, autocommit=True) as superuser:
        superuser.execute("CREATE DATABASE gone")
        try:
            source.collect(figures)
        finally:
            superuser.execute("DROP DATABASE gone WITH (FORCE)")
    assert len(shown("gone")) == 6
    source.collect(figures)
    assert shown("gone") == set()
    assert len(shown("warehouse")) == 6
    # One of its name that is made later begins at 0, whatever has happened in it.
    with psycopg.connect(postgres.superuser, autocommit=True) as superuser:
        superuser.execute("CREATE DATABASE gone")
        try:
            with psycopg.connect(postgres.superuser, dbname="gone", autocommit=True) as inside:
                inside.execute("SELECT 1")
                inside.execute("SELECT pg_stat_force_next_flush()")
            source.collect(figures)
        finally:
            superuser.execute("DROP DATABASE gone WITH (FORCE)")
    for outcome in ("committed", "rolled_back"):
        labels = {"database": "gone", "outcome": outcome}
        assert _value(figures, "transactions_total", **labels) == 0
