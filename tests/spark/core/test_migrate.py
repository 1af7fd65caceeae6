"""A migration on Iceberg and PostgreSQL: refused whole, or done, or finished by running it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from feira.core.contracts import Column, Contract, contract
from feira.core.contracts.evolution import Stored
from feira.core.contracts.registry import stored_in
from feira.core.warehouse import schema
from feira.sales.published import PUBLISHED
from feira_spark.core import migrate as migration
from feira_spark.core import tables as lake
from feira_spark.core.migrate import MigrationError, bring_tables_to_contracts, marts_to_rebuild
from feira_spark.jobs import migrate as job

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from feira_local.stack.postgres import Dsns

MARTS_TO_REBUILD = marts_to_rebuild("sales")
FACT, LEDGER = contract("sales.fact"), contract("sales.load_ledger")
ODD = [
    "it's",
    'a "quoted" one',
    "ends in \\",
    "\\' OR 1",
    "two\nlines\r\nand\ta tab",
    "-- no comment; DROP TABLE sales.fact; /* ",
    "${spark.app.name} $1 \\u0041 %s {name}",
    "ÆØÅ 漢字 🛒",
    "x" * 5000,
]


class KilledError(Exception):
    """The process has gone."""


def killed_after(statements: int, ran: list[str], run: Callable[..., Any]) -> Callable[..., Any]:
    """``run``, for so many statements that write something; ``ran`` are those of all callers."""

    def counted(self: Any, query: Any, *rest: Any, **known: Any) -> Any:
        if str(query).startswith(("ALTER", "CREATE", "DROP")):
            if len(ran) == statements:
                raise KilledError
            ran.append(str(query))
        return run(self, query, *rest, **known)

    return counted


def added(declared: Contract, *columns: Column) -> Contract:
    return replace(declared, columns=(*declared.columns, *columns))


def column(name: str, type_: str = "string", description: str = "new") -> Column:
    return replace(FACT.columns[0], name=name, type=type_, description=description, required=False)


@pytest.fixture
def connection(empty_warehouse: Dsns) -> Iterator[psycopg.Connection]:
    with schema.connect(empty_warehouse.warehouse_loader) as connection:
        yield connection


def in_lake(declared: Contract) -> Stored:
    """A table as its contract declares it."""
    types = {column.name: column.type for column in declared.columns}
    return Stored(types, frozenset(declared.required_columns), None, declared.partition_by)


def in_warehouse(declared: Contract) -> Stored:
    """The same, which no warehouse partitions."""
    return replace(in_lake(declared), key=frozenset(declared.primary_key), partition_by=None)


def relaxed(declared: Contract) -> Contract:
    """The contract with its first required column that is none of the key optional, where there is one."""
    required = [each for each in declared.required_columns if each not in declared.primary_key]
    columns = [
        replace(each, required=each.required and each.name not in required[:1])
        for each in declared.columns
    ]
    return replace(declared, columns=tuple(columns))


def state(spark: SparkSession, connection: psycopg.Connection) -> tuple[Any, ...]:
    return (
        lake.stored(spark, "sales.fact"),
        schema.stored(connection, "sales.fact"),
        schema.table_types(connection, "sales.load_ledger"),
        schema.table_types(connection, MARTS_TO_REBUILD),
        [row[0] for row in spark.sql("SHOW TABLES IN lake.staging").select("tableName").collect()],
    )


@pytest.mark.slow
def test_a_migration_that_is_killed_at_any_statement_is_finished_by_the_next(
    empty_lake: SparkSession, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    spark, killed, n = empty_lake, True, 0
    lake_fact, warehouse_fact = FACT, FACT
    bring_tables_to_contracts(spark, connection, [FACT], [FACT])
    assert schema.table_types(connection, MARTS_TO_REBUILD) is None
    ran: list[str] = []
    while killed:
        lake_fact = relaxed(added(lake_fact, column(f"extra_{n}", "decimal(18,4)")))
        warehouse_fact = relaxed(added(warehouse_fact, column(f"extra_{n}", "decimal(18,4)")))
        ran.clear()
        with monkeypatch.context() as patch:
            for owner, name in ((type(spark), "sql"), (psycopg.Connection, "execute")):
                patch.setattr(owner, name, killed_after(n, ran, getattr(owner, name)))
            try:
                bring_tables_to_contracts(spark, connection, [lake_fact], [warehouse_fact])
                killed = False
            except KilledError:
                pass
        bring_tables_to_contracts(spark, connection, [lake_fact], [warehouse_fact])
        lake_has, warehouse_has, _, marts, left = state(spark, connection)
        assert (lake_has, warehouse_has) == (in_lake(lake_fact), in_warehouse(warehouse_fact)), n
        assert (marts, left) == ({"table_name": "string"}, []), n
        connection.execute(f"DROP TABLE {MARTS_TO_REBUILD}")
        n += 1
    assert n > 6
    assert bring_tables_to_contracts(spark, connection, [lake_fact], [warehouse_fact]) == []
    assert schema.table_types(connection, MARTS_TO_REBUILD) is None


def test_a_statement_that_either_side_refuses_is_found_before_the_first_write(
    empty_lake: SparkSession, connection: psycopg.Connection
) -> None:
    bring_tables_to_contracts(empty_lake, connection, [FACT], [FACT])
    before = state(empty_lake, connection)
    good = added(FACT, column("good"))
    refused = [
        (good, added(FACT, column("good"), column("offset")), "warehouse refuses.*offset"),
        (added(FACT, column("good"), column("a b")), good, r"lake .* sales\.fact: \[PARSE_SYNTAX_"),
        (
            replace(added(FACT, column("a b")), table="sales.new"),
            good,
            r"sales\.new: \[PARSE_SYNTAX_",
        ),
    ]
    for in_lake, in_warehouse, message in refused:
        with pytest.raises(MigrationError, match=message) as refusal:
            bring_tables_to_contracts(empty_lake, connection, [in_lake], [in_warehouse, LEDGER])
        assert "Nothing was changed" in str(refusal.value)
        assert state(empty_lake, connection) == before


def test_another_key_or_another_partition_is_refused_before_the_first_write(
    empty_lake: SparkSession, connection: psycopg.Connection
) -> None:
    bring_tables_to_contracts(empty_lake, connection, [FACT], [FACT])
    before = state(empty_lake, connection)
    for other, message in (
        (
            replace(FACT, primary_key=("order_id",)),
            r"key is \(line_number, order_id\) .* \(order_id\)",
        ),
        (replace(FACT, partition_by=("order_date",)), r"by \(extract_day\) and by \(order_date\)"),
        (replace(FACT, partition_by=()), r"by \(extract_day\) and by \(\)"),
    ):
        wider = added(other, column("good"))
        with pytest.raises(MigrationError, match=message):
            bring_tables_to_contracts(empty_lake, connection, [wider], [wider])
        assert state(empty_lake, connection) == before


def test_a_table_that_was_partitioned_otherwise_before_is_as_declared(
    empty_lake: SparkSession, connection: psycopg.Connection
) -> None:
    other = replace(FACT, partition_by=("order_date",))
    bring_tables_to_contracts(empty_lake, connection, [other], [FACT])
    for change in ("ADD PARTITION FIELD extract_day", "DROP PARTITION FIELD order_date"):
        empty_lake.sql(f"ALTER TABLE lake.sales.fact {change}")
    assert bring_tables_to_contracts(empty_lake, connection, [FACT], [FACT]) == []
    empty_lake.sql("ALTER TABLE lake.sales.fact ADD PARTITION FIELD bucket(4, sku)")
    with pytest.raises(MigrationError, match=r"by \(extract_day, bucket\(4, sku\)\) and by"):
        bring_tables_to_contracts(empty_lake, connection, [FACT], [FACT])


def test_a_description_survives_as_a_columns_comment_whatever_is_in_it(
    empty_lake: SparkSession, connection: psycopg.Connection
) -> None:
    columns = [column(f"odd_{n}", "string", text) for n, text in enumerate(ODD)]
    bring_tables_to_contracts(empty_lake, connection, [FACT], [FACT])
    said = bring_tables_to_contracts(empty_lake, connection, [added(FACT, *columns)], [FACT])
    names = ", ".join(f"{each.name} string" for each in columns)
    assert said == [f"lake: added {names} to sales.fact"]
    created = replace(added(FACT, *columns), table="sales.created")
    lake.create_missing(empty_lake, [created])
    for table in ("sales.fact", "sales.created"):
        fields = empty_lake.table(f"lake.{table}").schema.fields
        comments = [f.metadata.get("comment") for f in fields if f.name.startswith("odd_")]
        assert comments == ODD
    empty_lake.sql("DROP TABLE lake.sales.created PURGE")


def test_the_job_brings_every_contracts_table_to_its_declaration_or_says_what_it_cannot(
    empty_lake: SparkSession,
    empty_warehouse: Dsns,
    connection: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    @contextmanager
    def session(name: str) -> Iterator[SparkSession]:
        yield empty_lake

    monkeypatch.setattr(job, "job_session", session)
    job.main(empty_warehouse.warehouse_loader)
    assert capsys.readouterr().out == "Everything is as the contracts declare it.\n"
    for each in stored_in("lake"):
        assert lake.stored(empty_lake, each.table) == in_lake(each)
    for each in stored_in("warehouse"):
        assert schema.stored(connection, each.table) == in_warehouse(each)
    for noted in (
        PUBLISHED.unreconciled,
        PUBLISHED.held_days,
        PUBLISHED.changed_dates,
        PUBLISHED.changed_keys,
    ):
        assert schema.table_types(connection, noted) is not None
    assert schema.missing_indexes(connection, PUBLISHED) == []

    connection.execute("DROP INDEX sales.fact_order_date_idx")
    for said in (
        "warehouse: added an index to sales.fact on each of order_date",
        "Everything is as",
    ):
        job.main(empty_warehouse.warehouse_loader)
        assert capsys.readouterr().out.startswith(said)
        assert schema.missing_indexes(connection, PUBLISHED) == []

    connection.execute("ALTER TABLE sales.fact ALTER description SET NOT NULL")
    for said in (
        "warehouse: description of sales.fact may be null now",
        "Everything is as",
    ):
        job.main(empty_warehouse.warehouse_loader)
        assert capsys.readouterr().out.startswith(said)
    assert schema.table_types(connection, MARTS_TO_REBUILD) is None

    connection.execute("ALTER TABLE sales.fact DROP COLUMN country")
    # The marts are due until somebody has rebuilt them, however often the job runs.
    for said in (["warehouse: added country string to sales.fact"], []):
        job.main(empty_warehouse.warehouse_loader)
        *added, marts = capsys.readouterr().out.splitlines()
        assert added == said and MARTS_TO_REBUILD in marts
        assert schema.table_types(connection, MARTS_TO_REBUILD) is not None

    connection.execute("ALTER TABLE sales.fact ALTER amount TYPE numeric(12,2)")
    with pytest.raises(MigrationError, match=r"amount .*decimal\(12,2\) .*table"):
        job.main(empty_warehouse.warehouse_loader)


def test_marts_stay_marked_as_due_until_they_are_rebuilt(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "bring_tables_to_contracts", lambda *_: [])
    spark: Any = None
    assert migration.migrate(spark, connection) == []
    assert migration.migrate(spark, connection, lambda: "rebuilt") == []
    connection.execute(f"CREATE TABLE {MARTS_TO_REBUILD} (table_name text)")
    (said,) = migration.migrate(spark, connection)
    assert MARTS_TO_REBUILD in said
    assert schema.table_types(connection, MARTS_TO_REBUILD) is not None

    def fails() -> str:
        raise KilledError

    with pytest.raises(KilledError):
        migration.migrate(spark, connection, fails)
    assert schema.table_types(connection, MARTS_TO_REBUILD) is not None
    assert migration.migrate(spark, connection, lambda: "rebuilt") == ["rebuilt"]
    assert schema.table_types(connection, MARTS_TO_REBUILD) is None
