"""What is computed from a snapshot becomes main only where main is still that snapshot."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from fact_rows import FACT, arrow_schema, fact_row
from feira.core.contracts import contract
from feira.sales.published import PUBLISHED
from feira_spark.core import publish
from feira_spark.core.branches import MovedError, branch_of
from feira_spark.core.publish import publish_day
from feira_spark.core.session import CATALOG, connect
from feira_spark.core.tables import create_missing, current_snapshot, named_for

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FACT_TABLE = "sales.fact"
WAREHOUSE = f"spark.sql.catalog.{CATALOG}.warehouse"
LINES = contract("sales.order_lines")
FIRST = dt.date(2011, 1, 1)
Meanwhile = Callable[[], object]


@pytest.fixture
def tables(empty_lake: SparkSession) -> SparkSession:
    create_missing(empty_lake, [FACT, LINES])
    return empty_lake


@pytest.fixture
def another(tables: SparkSession) -> SparkSession:
    """A session with a catalog of its own, which keeps tables as it has read them; another task has one."""
    # As the fixture ``spark`` has its own; Connect knows no new session beside one.
    running = os.environ.get("FEIRA_TEST_SPARK")
    session = tables.newSession() if running is None else connect(running)
    session.conf.set(WAREHOUSE, str(tables.conf.get(WAREHOUSE)))
    return session


def on(day: int) -> dt.date:
    return FIRST + dt.timedelta(days=day)


def put_extract(spark: SparkSession, day: int, **quantities: int) -> None:
    noon = dt.datetime.combine(on(day), dt.time(12), tzinfo=dt.UTC)
    rows = [
        fact_row(order, 1, quantity=n, order_date=on(0), updated_at=noon) | {"landing_version": 1}
        for order, n in quantities.items()
    ]
    frame = spark.createDataFrame(pa.Table.from_pylist(rows, schema=arrow_schema(LINES)))
    frame.writeTo("lake.sales.order_lines").overwrite(F.col("extract_day") == F.lit(on(day)))


def fact(spark: SparkSession) -> set[tuple[str, int, dt.date]]:
    rows = spark.table("lake.sales.fact").select("order_id", "quantity", "extract_day").collect()
    return set(map(tuple, rows))


def before(monkeypatch: pytest.MonkeyPatch, step: str, meanwhile: Meanwhile) -> None:
    """Something happens once before a step of publishing."""
    done = getattr(publish, step)

    def after(*of: Any) -> Any:
        monkeypatch.setattr(publish, step, done)
        meanwhile()
        return done(*of)

    monkeypatch.setattr(publish, step, after)


@pytest.mark.parametrize(
    "step",
    [
        "days_to_read",
        pytest.param("write_staged", marks=pytest.mark.slow),
        pytest.param("_write", marks=pytest.mark.slow),
        "_audit",
    ],
)
def test_a_publish_whose_base_has_moved_meanwhile_is_refused_and_done_by_the_next_try(
    tables: SparkSession, another: SparkSession, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Else it would put an older version back."""
    put_extract(tables, 0, a=1, b=1)
    publish_day(tables, PUBLISHED, on(0), "run_1")
    put_extract(tables, 1, a=2)

    def meanwhile() -> None:
        put_extract(another, 2, a=3)
        publish_day(another, PUBLISHED, on(2), "run_2")

    before(monkeypatch, step, meanwhile)
    with pytest.raises(MovedError, match=rf"{FACT_TABLE}: main is snapshot \d+, .* from \d+"):
        publish_day(tables, PUBLISHED, on(1), "run_3")
    now = {("a", 3, on(2)), ("b", 1, on(0))}
    assert fact(another) == now
    assert [row["name"] for row in tables.table("lake.sales.fact.refs").collect()] == ["main"]
    assert publish_day(another, PUBLISHED, on(1), "run_4").updated == 0
    assert fact(another) == now


def test_a_first_publish_is_refused_where_another_was_first(
    tables: SparkSession, another: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_extract(tables, 0, a=1)

    def meanwhile() -> None:
        publish_day(another, PUBLISHED, on(0), "run_1")

    before(monkeypatch, "write_staged", meanwhile)
    with pytest.raises(MovedError, match=r"main is snapshot \d+, .* from None"):
        publish_day(tables, PUBLISHED, on(0), "run_2")
    assert fact(another) == {("a", 1, on(0))}


def test_a_branch_that_somebody_else_has_written_is_not_overwritten(
    tables: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a statement that goes on after its task was killed: Iceberg itself refuses what would remove it."""
    put_extract(tables, 0, a=1, b=1)
    base = publish_day(tables, PUBLISHED, on(0), "run_1").snapshot_id
    put_extract(tables, 1, a=2)
    before(
        monkeypatch,
        "_write",
        lambda: (
            tables.table("lake.sales.fact")
            .withColumn("order_id", F.lit("z"))
            .writeTo(f"lake.sales.fact.branch_publish_2011_01_02_{named_for('run_2')}")
            .append()
        ),
    )
    with pytest.raises(Exception, match="Found conflicting files"):
        publish_day(tables, PUBLISHED, on(1), "run_2")
    assert current_snapshot(tables, FACT_TABLE) == base
    assert publish_day(tables, PUBLISHED, on(1), "run_3").updated == 1
    assert fact(tables) == {("a", 2, on(1)), ("b", 1, on(0))}


def test_an_error_leaves_main_and_no_branch(tables: SparkSession) -> None:
    put_extract(tables, 0, a=1)
    base = publish_day(tables, PUBLISHED, on(0), "run_1").snapshot_id

    def fails() -> None:
        with branch_of(tables, FACT_TABLE, base, "mine") as target:
            tables.table("lake.sales.fact").writeTo(target).append()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert current_snapshot(tables, FACT_TABLE) == base
    assert current_snapshot(tables, FACT_TABLE, "mine") is None
