"""A day whose queries are planned for few rows, beside one planned for many: the same tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from feira.core.contracts.registry import stored_in
from feira.core.settings import LakeSettings
from feira.sales.published import PUBLISHED
from feira_spark.core import day as published_steps
from feira_spark.core import difference, publish, session
from feira_spark.core.difference import lake_figures, stage_difference
from feira_spark.core.session import FOR_FEW_ROWS
from feira_spark.core.tables import create_missing
from feira_spark.sales import day as steps
from feira_spark.sales import steps as sales_steps
from sales_lines import DAY, FakeFeed, line

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# As a laptop's server has them.
FOR_MANY = {
    "spark.sql.shuffle.partitions": "4",
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.codegen.wholeStage": "true",
    "spark.sql.codegen.factoryMode": "FALLBACK",
}
TABLES = ("sales.quarantine", "sales.order_lines", "sales.fact")
BAD = line(line_number=90, quantity=0, sku=None)
# Two versions of a key in one landing, prices that are rounded, and what is no product.
LINES = [
    *(line(line_number=n, unit_price=f"{n}.0{n:02}5", quantity=n) for n in range(1, 21)),
    line(line_number=1, quantity=2, updated_at="2010-12-01T09:00:00Z"),
    line(line_number=30, sku="POST", currency="EUR"),
    line(line_number=31, status="cancelled", customer_id=None),
]
# Landed anew: a line that is new, some that have changed, and two that are gone.
AGAIN = [
    *(line(line_number=99), BAD),
    *({**each, "country": "Norway"} for each in LINES[:4]),
    *LINES[4:21],
]


@pytest.fixture
def own_settings(spark: SparkSession) -> Iterator[Callable[[], dict[str, str | None]]]:
    """The session has those of a laptop's server; a function that says what it has."""

    def held() -> dict[str, str | None]:
        return {name: spark.conf.get(name) for name in FOR_MANY}

    before = held()
    for name, value in FOR_MANY.items():
        spark.conf.set(name, value)
    yield held
    for name, value in before.items():
        spark.conf.set(name, str(value))


@pytest.mark.slow
def test_a_day_planned_for_few_rows_and_for_many_leaves_equal_tables(
    empty_lake: SparkSession,
    lake: LakeSettings,
    own_settings: Callable[[], dict[str, str | None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[dict[str, str | None]] = []

    def noting(function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*of: Any) -> Any:
            seen.append(own_settings())
            return function(*of)

        return noted

    monkeypatch.setattr(sales_steps, "write_staged", noting(sales_steps.write_staged))
    monkeypatch.setattr(sales_steps, "extract_lines", noting(sales_steps.extract_lines))
    monkeypatch.setattr(publish, "write_staged", noting(publish.write_staged))
    monkeypatch.setattr(publish, "_write", noting(publish._write))
    monkeypatch.setattr(publish, "_audit", noting(publish._audit))
    monkeypatch.setattr(difference, "figures_by_date", noting(difference.figures_by_date))

    def lived(rows: int) -> dict[str, Any]:
        """What is in the tables, and the figures that are compared, after the day was landed twice; it is
        small where it has no more rows."""
        monkeypatch.setattr(session, "FEW_ROWS", rows)
        own, snapshot = replace(lake, root=f"{lake.root}/{uuid4().hex}"), None
        create_missing(empty_lake, stored_in("lake"))
        for landing, lines in enumerate(([*LINES, BAD], AGAIN), 1):
            run = f"run_{landing}"
            pages: list[Any] = [lines[at : at + 9] for at in range(0, len(lines), 9)]
            feed = FakeFeed(pages)
            landed = steps.land(feed, own, DAY, requested_by=run, refetch=landing > 1)
            steps.validate(empty_lake, own, landed)
            steps.transform(empty_lake, own, DAY)
            done = published_steps.publish(empty_lake, PUBLISHED, DAY, attempt=run)
            staged = stage_difference(empty_lake, PUBLISHED, snapshot)
            snapshot = int(done.snapshot_id)
        assert snapshot is not None and staged is not None
        figures = lake_figures(empty_lake, PUBLISHED, snapshot, DAY, [], len(LINES))
        assert own_settings() == FOR_MANY
        found: dict[str, Any] = {"figures": figures}
        found["difference"] = sorted(empty_lake.table(staged.table).collect(), key=str)
        for table in TABLES:
            rows_of = empty_lake.table(f"lake.{table}").collect()
            found[table] = sorted(rows_of, key=str)
            empty_lake.sql(f"DROP TABLE lake.{table} PURGE")
        sales_steps.drop_staging(empty_lake, DAY, staged.table)
        return found

    many = lived(-1)
    assert all(each == FOR_MANY for each in seen)
    seen.clear()
    few = lived(10**6)
    assert all(each == FOR_FEW_ROWS for each in seen)
    assert own_settings() == FOR_MANY
    assert [len(many[of]) for of in (*TABLES, "difference")] == [1, 21, 21, 9]
    for what, rows in many.items():
        assert few[what] == rows, what
