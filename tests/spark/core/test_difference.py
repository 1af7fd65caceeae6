"""What is staged of a table that others have written too: with delete files, undone, expired, made anew."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as F

from fact_rows import FACT, Row, fact_row
from feira.core.errors import PermanentError
from feira.sales.published import PUBLISHED
from feira_spark.core.difference import StagedDifference, UndoneError, stage_difference
from feira_spark.core.tables import create_missing, current_snapshot

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

D1, D2 = dt.date(2011, 1, 3), dt.date(2011, 1, 4)
Change = tuple[str, str]


def rows(day: dt.date, *orders: str) -> list[Row]:
    return [fact_row(order, 1, extract_day=day, order_date=day) for order in orders]


class Fact:
    """The lake's fact, as several writers leave it; each step answers main."""

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark

    @property
    def main(self) -> int:
        found = current_snapshot(self.spark, "sales.fact")
        assert found is not None
        return found

    def put(self, day: dt.date, *orders: str, into: str = "lake.sales.fact") -> int:
        """Adds the orders."""
        self._frame(day, orders).writeTo(into).append()
        return self.main

    def replace(self, day: dt.date, *orders: str) -> int:
        """Writes the day anew, as a publish does."""
        of_day = F.col("extract_day") == F.lit(day)
        self._frame(day, orders).writeTo("lake.sales.fact").overwrite(of_day)
        return self.main

    def delete(self, order: str) -> int:
        """Deletes an order as an engine does that merges on read: beside its file."""
        mode = "ALTER TABLE lake.sales.fact SET TBLPROPERTIES ('write.delete.mode' = '{}')"
        self.spark.sql(mode.format("merge-on-read"))
        self.spark.sql(f"DELETE FROM lake.sales.fact WHERE order_id = '{order}'")
        self.spark.sql(mode.format("copy-on-write"))
        return self.main

    def call(self, procedure: str) -> int:
        """Calls one of Iceberg's procedures."""
        self.spark.sql(f"CALL lake.system.{procedure}").collect()
        return self.main

    def compact(self) -> int:
        """Rewrites all data files, with what was deleted beside them."""
        options = "map('rewrite-all', 'true', 'remove-dangling-deletes', 'true')"
        return self.call(f"rewrite_data_files(table => 'sales.fact', options => {options})")

    def changes(self, since: int | None) -> tuple[bool, set[Change]]:
        """Whether the whole table is staged since a snapshot, and what."""
        found = self.staged(since)
        assert found is not None and found.snapshot_id == self.main
        held = self.spark.table(found.table).select("change", "order_id").collect()
        assert found.rows == len(held)
        return found.whole, {(row[0], row[1]) for row in held}

    def staged(self, since: int | None, published: int | None = None) -> StagedDifference | None:
        return stage_difference(self.spark, PUBLISHED, since, published)

    def lists_of(self, *snapshots: int) -> list[Path]:
        """The files that list the manifests of these snapshots."""
        listed = self.spark.table("lake.sales.fact.snapshots").where(
            F.col("snapshot_id").isin(*snapshots)
        )
        return [
            Path(row[0].removeprefix("file:")) for row in listed.select("manifest_list").collect()
        ]

    def _frame(self, day: dt.date, orders: tuple[str, ...]) -> DataFrame:
        values = [tuple(each[name] for name in FACT.column_names) for each in rows(day, *orders)]
        return self.spark.createDataFrame(values, self.spark.table("lake.sales.fact").schema)


@pytest.fixture
def fact(empty_lake: SparkSession) -> Fact:
    create_missing(empty_lake, [FACT])
    return Fact(empty_lake)


def inserts(*orders: str) -> set[Change]:
    return {("INSERT", order) for order in orders}


def test_through_delete_files_the_whole_table_is_staged_until_its_files_are_rewritten(
    fact: Fact, caplog: pytest.LogCaptureFixture
) -> None:
    first = fact.put(D1, "a", "b", "c")
    before = fact.put(D1, "x", "y")
    assert fact.changes(first) == (False, inserts("x", "y"))
    assert "delete files" not in caplog.text
    deleted = fact.delete("b")
    assert fact.changes(before) == (True, inserts("a", "c", "x", "y"))
    assert f"sales.fact has delete files since snapshot {before}: the whole" in caplog.text
    assert fact.changes(None) == (True, inserts("a", "c", "x", "y"))
    # They stay listed, whatever is written after them.
    grown = fact.put(D2, "d")
    assert fact.changes(deleted) == (True, inserts("a", "c", "d", "x", "y"))

    rewritten = fact.compact()
    assert fact.changes(before) == (True, inserts("a", "c", "d", "x", "y"))
    assert fact.changes(grown) == (False, set())
    fact.put(D2, "e")
    for since in (grown, rewritten):
        assert fact.changes(since) == (False, inserts("e"))


def test_a_write_that_takes_delete_files_away_lists_them_once_more(fact: Fact) -> None:
    fact.put(D1, "a", "b", "c")
    deleted = fact.delete("b")
    taken = fact.replace(D1, "a", "z")
    total = fact.spark.sql("SELECT summary['total-delete-files'] FROM lake.sales.fact.snapshots")
    assert [row[0] for row in total.collect()] == ["0", "1", "0"]
    assert fact.changes(deleted) == (True, inserts("a", "z"))
    fact.put(D2, "d")
    assert fact.changes(taken) == (False, inserts("d"))


def test_a_difference_reads_no_list_of_manifests_but_those_of_what_is_between(fact: Fact) -> None:
    before = [fact.put(D1, "a", "b", "c"), fact.delete("b"), fact.put(D1, "f")]
    since = fact.compact()
    fact.put(D2, "d")
    for path in fact.lists_of(*before):
        path.unlink()
    assert fact.changes(since) == (False, inserts("d"))


def test_main_is_taken_where_it_comes_from_what_was_published(fact: Fact) -> None:
    first = fact.put(D1, "a")
    assert fact.staged(first, first) is None, "nothing has changed"
    whole = fact.staged(None, first)
    assert whole is not None and whole.whole
    # Of a branch that becomes main at once, the first snapshot never was main.
    fact.spark.sql("ALTER TABLE lake.sales.fact CREATE BRANCH both")
    for order in ("b", "c"):
        fact.put(D1, order, into="lake.sales.fact.branch_both")
    inner = fact.spark.sql(
        "SELECT parent_id FROM lake.sales.fact.snapshots ORDER BY committed_at DESC"
    )
    (middle,) = inner.first() or (None,)
    fact.call("fast_forward('sales.fact', 'main', 'both')")
    for published in (first, middle, fact.main):
        found = fact.staged(first, published)
        assert found is not None and (found.whole, found.rows) == (False, 2)
        assert fact.staged(fact.main, published) is None, "nothing has changed"


def refused(fact: Fact, since: int | None, published: int | None, main: object) -> None:
    with pytest.raises(UndoneError) as refusal:
        fact.staged(since, published)
    named = since if published is None else published
    for part in (f"sales.fact was published as snapshot {named}, ", f"main is {main}, "):
        assert part in str(refusal.value)
    assert isinstance(refusal.value, PermanentError)


def test_a_publish_that_was_rolled_back_is_no_part_of_main_whatever_follows_it(fact: Fact) -> None:
    first = fact.put(D1, "a")
    undone = fact.put(D2, "b")
    fact.call(f"rollback_to_snapshot('sales.fact', {first})")
    for since in (None, first, undone):
        refused(fact, since, undone, first)
    other = fact.put(D1, "c")
    for since in (None, first, other):
        refused(fact, since, undone, other)
    found = fact.staged(first, other)
    assert found is not None and (found.whole, found.rows) == (False, 1)


def test_a_snapshot_that_was_expired_since_is_to_be_published_again(fact: Fact) -> None:
    first = fact.put(D1, "a")
    main = fact.put(D2, "b")
    expired = f"snapshot_ids => array({first}), retain_last => 1"
    fact.call(f"expire_snapshots(table => 'sales.fact', {expired})")
    refused(fact, main, first, main)
    assert fact.staged(main, main) is None


def test_a_table_without_a_snapshot_is_not_one_that_has_not_changed(fact: Fact) -> None:
    assert fact.staged(None) is None, "never written"
    first = fact.put(D1, "a")
    fact.spark.sql("DROP TABLE lake.sales.fact")
    create_missing(fact.spark, [FACT])
    for since, published in ((first, first), (None, first), (first, None)):
        refused(fact, since, published, "no snapshot")
    other = fact.put(D1, "b")
    refused(fact, first, first, other)
