"""Lists in the lake: what they are made from, and that a version is there whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fact_rows import FACT, fact_row
from feira.core.contracts import contract
from feira.core.lake import lake_files, read_snapshot
from feira.core.settings import LakeSettings
from feira.recommendations.interactions import interactions
from feira.recommendations.lists import interactions_of
from feira.recommendations.segments import Segments, segments_of
from feira.recommendations.versions import Finished, ListStore, Version
from feira_spark.core.tables import current_snapshot, require_tables
from feira_spark.recommendations import lists as steps
from feira_spark.recommendations import removal
from feira_spark.recommendations.as_of import sources

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAY = date(2011, 1, 3)
SOURCES: dict[str, Any] = {
    "sources": {"sales.fact": 7, "sales.order_lines": 8, "web.user_events": None},
    "features": {"recommendations.user_features": 9},
    "offsets": {"0": [3, 7], "5": [0, 0]},
}
MARKUP = "<i>ü|~:"
BOUGHT = [
    *[("1", "x", DAY), ("1", MARKUP, DAY), ("2", "x", DAY)],
    *[("3", "z", date(2011, 1, 1)), ("3", MARKUP, DAY)],
]
FIRST, SECOND = "2011-01-03-001", "2011-01-03-002"


@pytest.fixture
def store(lake: LakeSettings, empty_lake: SparkSession, tmp_path: Path) -> ListStore:
    return ListStore(lake_files(lake), f"file://{tmp_path}")


def made(
    store: ListStore, run: str = "run 1", bought: Any = BOUGHT
) -> tuple[Version, Finished, list[Any]]:
    version = store.claim(DAY, run, SOURCES)
    categories = pa.table({"sku": ["x", MARKUP], "category": ["BAG", MARKUP]})
    known = Segments(pa.table({"user_id": ["9"], "segment": ["BAG"]}), categories)
    finished = store.make(version, interactions(bought), known)
    return version, finished, pq.read_table(finished.parquet.removeprefix("file://")).to_pylist()


def rows(spark: SparkSession, table: str) -> list[dict[str, Any]]:
    return [row.asDict() for row in spark.table(f"lake.{table}").collect()]


def of_version(found: Iterable[Any], version: str) -> list[Any]:
    return sorted(
        (it for it in found if it["list_version"] == version),
        key=lambda it: (it["slot"], it["user_id"], it["position"]),
    )


def checksum(version: str, found: list[Any]) -> str:
    """By the words of its docstring, which name the columns' order too."""
    total = 0
    for row in found:
        values = [version, DAY, row["slot"], row["user_id"], row["position"], row["item"]]
        tokens = [
            "~" if it is None else f"{len(it)}:{it}" if isinstance(it, str) else str(it)
            for it in (*values, row["reason"], row["reason_item"], row["segment"])
        ]
        total += int(hashlib.md5("|".join(tokens).encode()).hexdigest()[:15], 16)
    return str(total)


def test_a_version_is_there_once_its_row_is_and_killed_before_that_the_next_try_gives_the_same_rows(
    store: ListStore, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, finished, expected = made(store)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(steps, "_write_version", killed)
        with pytest.raises(KeyboardInterrupt):
            steps.write_lists(spark, version, finished)
    assert rows(spark, "recommendations.list_versions") == []
    left = rows(spark, "recommendations.lists")
    listed = steps.write_lists(spark, version, finished)
    found = of_version(rows(spark, "recommendations.lists"), FIRST)
    of_all = {"list_version": FIRST, "as_of": DAY}
    assert found == of_version(left, FIRST)
    assert found == of_version([row | of_all for row in expected], FIRST)
    assert MARKUP in {row["item"] for row in found} & {row["reason_item"] for row in found}
    assert listed.rows == len(found) and listed.checksum == checksum(FIRST, found)
    (row,) = rows(spark, "recommendations.list_versions")
    assert (row["version"], row["as_of"], row["run_id"]) == (FIRST, DAY, "run 1")
    assert row["created_at"].astimezone(UTC) == datetime.fromisoformat(version.created_at)
    assert (row["fact_snapshot_id"], row["extracts_snapshot_id"]) == (7, 8)
    assert row["events_snapshot_id"] is None
    assert json.loads(row["events_offsets"]) == {"0": [3, 7], "5": [0, 0]}
    assert json.loads(row["features"]) == SOURCES["features"]
    assert json.loads(row["candidates"]) == finished.candidates
    assert row["model_hash"] == finished.model_hash
    counts = ("interactions", "users", "items", "lists", "rows")
    assert [row[name] for name in counts] == [5, 3, 3, 9, len(found)]
    assert {row["segment"] for row in found} == {None, "BAG", MARKUP}
    assert row["checksum"] == listed.checksum
    # Once more, and nothing is written.
    snapshot = current_snapshot(spark, "recommendations.lists")
    assert steps.write_lists(spark, version, finished) == listed
    assert current_snapshot(spark, "recommendations.lists") == snapshot
    other = made(store, "run 2", BOUGHT[1:])
    steps.write_lists(spark, *other[:2])
    both = rows(spark, "recommendations.lists")
    assert of_version(both, FIRST) == found
    assert len(of_version(both, SECOND)) == len(both) - len(found) == other[1].rows


def test_rows_that_are_not_those_that_were_made_are_no_version(
    store: ListStore, spark: SparkSession
) -> None:
    version, finished, _ = made(store)
    with pytest.raises(steps.ListsError, match=f"{finished.rows} rows of {finished.rows + 1} "):
        steps.write_lists(spark, version, replace(finished, rows=finished.rows + 1))
    assert rows(spark, "recommendations.list_versions") == []
    assert rows(spark, "recommendations.lists") == []


def test_what_is_staged_is_as_of_the_day_at_the_snapshots(
    lake: LakeSettings, empty_lake: SparkSession, tmp_path: Path
) -> None:
    spark = empty_lake
    of_features = ("recommendations.user_categories", "recommendations.item_features")
    names = ("sales.order_lines", "web.user_events", *of_features)
    require_tables(spark, [FACT, *map(contract, names)])

    def append(*facts: dict[str, Any]) -> None:
        schema = spark.table("lake.sales.fact").schema
        values = [tuple(fact[name] for name in schema.names) for fact in facts]
        spark.createDataFrame(values, schema).writeTo("lake.sales.fact").append()

    append(
        fact_row("1", 1, customer_id=1, sku=MARKUP),
        fact_row("1", 2, customer_id=1, sku=MARKUP, status="shipped"),
        fact_row("2", 1, customer_id=2, sku="x", order_date=date(2010, 12, 1), description="OLD"),
        fact_row("3", 1, customer_id=3, sku="x", status="cancelled", quantity=-1),
        fact_row("4", 1, customer_id=None, sku="x", description="<b>NEW</b> BAG"),
        fact_row("5", 1, customer_id=5, sku="POST", line_kind="postage"),
        fact_row("6", 1, customer_id=6, sku="x", order_date=date(2011, 1, 4)),
    )
    known = [
        *[("v", "MUG", 0, 0.0, 3), ("v", "BAG", 0, 0.0, 3), ("v", "CUP", 0, 0.0, 2)],
        *[("b", "MUG", 1, 0.5, 3), ("b", "BAG", 0, 0.5, 3), ("b", "CUP", 9, 0.0, 2)],
        *[("é", MARKUP, 0, 0.0, 1), ("bought alone", "MUG", 5, 1.0, 0)],
        # What was counted before views were.
        ("earlier", "MUG", 5, 1.0, None),
    ]

    def categories(day: date, rows: list[Any]) -> None:
        table = "lake.recommendations.user_categories"
        given = [(day, *row) for row in rows]
        spark.createDataFrame(given, spark.table(table).schema).writeTo(table).append()

    def products(day: date, rows: dict[str, str | None]) -> None:
        table = "lake.recommendations.item_features"
        schema = spark.table(table).schema
        zero: dict[str, Any] = {
            it.name: 0.0 if it.dataType.typeName() == "double" else 0 for it in schema
        }
        given = [
            tuple((zero | {"as_of": day, "sku": sku, "category": category}).values())
            for sku, category in rows.items()
        ]
        spark.createDataFrame(given, schema).writeTo(table).append()

    categories(DAY, known)
    categories(date(2011, 1, 2), [("yesterday", "MUG", 0, 0.0, 1), ("v", "CUP", 0, 0.0, 99)])
    products(DAY, {"x": "BAG", MARKUP: MARKUP, "nameless": None})
    products(date(2011, 1, 2), {"x": "OLD", "yesterday": "MUG"})
    read = sources(spark)
    features = {table: current_snapshot(spark, table) for table in of_features}
    append(fact_row("7", 1, customer_id=7, sku="x"))
    categories(DAY, [("later", "MUG", 0, 0.0, 1)])
    products(DAY, {"later": "MUG"})
    staged = steps.stage(spark, DAY, "run 1", read, features)
    held = segments_of(*(read_snapshot(lake, uri) for uri in (staged.segments, staged.categories)))
    assert dict(zip(*held.users.to_pydict().values(), strict=True)) == {
        "v": "BAG", "b": "MUG", "é": MARKUP,
    }  # fmt: skip
    assert dict(zip(*held.categories.to_pydict().values(), strict=True)) == {
        "x": "BAG", MARKUP: MARKUP,
    }  # fmt: skip
    named = [row for batch in read_snapshot(lake, staged.names) for row in batch.to_pylist()]
    assert {row["sku"]: row["name"] for row in named} == {
        MARKUP: "REGENCY CAKESTAND",
        "x": "<b>NEW</b> BAG",
    }
    found = interactions_of(read_snapshot(lake, staged.interactions))
    assert staged.rows == len(found) == 2
    triples = zip(found.user_ids[found.users], found.item_ids[found.items], found.days, strict=True)
    assert {(*it[:2], int(it[2])) for it in triples} == {
        ("1", MARKUP, (DAY - date(1970, 1, 1)).days),
        ("2", "x", (date(2010, 12, 1) - date(1970, 1, 1)).days),
    }
    other = steps.stage(spark, DAY, "run 2", sources(spark), features)
    assert other.rows == 3
    # Where there is nothing to make lists of there is a version without rows.
    store = ListStore(lake_files(lake), f"file://{tmp_path}")
    version = store.claim(DAY, "run 1", SOURCES)
    listed = steps.write_lists(spark, version, store.make(version, interactions([])))
    assert (listed.rows, listed.lists, listed.checksum) == (0, 0, "0")
    # What the other run is about to read is still there.
    assert sum(map(len, read_snapshot(lake, other.interactions))) == 3
    assert spark.sql("SHOW TABLES IN lake.staging").count() == 4


@pytest.mark.slow
def test_the_rows_of_a_removed_version_go_with_their_files_and_no_other_file_is_written(
    store: ListStore, spark: SparkSession
) -> None:
    doomed, *_ = made(store, "run 1")
    stays, *_ = made(store, "run 2")
    for version in (doomed, stays):
        steps.write_lists(spark, version, store.finished(version.version))
    files = f"SELECT count(*) AS n FROM lake.{steps.LISTS}.files"
    before, kept = spark.sql(files).first().n, of_version(rows(spark, steps.LISTS), SECOND)
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert removal.listed_versions(spark) == {FIRST: False, SECOND: False}
    # A version that was never written is among them: its run was killed.
    unwritten = replace(doomed, version="2011-01-02-001", as_of="2011-01-02")
    for _ in range(2):
        removal.remove_rows(spark, [doomed, unwritten])
        removal.mark_removed(spark, [doomed, unwritten], now)
    assert rows(spark, steps.LISTS) and of_version(rows(spark, steps.LISTS), FIRST) == []
    assert of_version(rows(spark, steps.LISTS), SECOND) == kept
    assert removal.listed_versions(spark) == {FIRST: True, SECOND: False}
    known = {row["version"]: row for row in rows(spark, steps.VERSIONS)}
    assert known[FIRST]["removed_at"].astimezone(UTC) == now
    assert known[SECOND]["removed_at"] is None
    assert known[FIRST]["checksum"] is not None
    summary = spark.sql(
        f"SELECT summary FROM lake.{steps.LISTS}.snapshots ORDER BY committed_at"
    ).collect()[2]["summary"]
    assert int(summary["deleted-data-files"]) + spark.sql(files).first().n == before
    assert "added-data-files" not in summary
    # The files go once no snapshot of the last week has them.
    every = f"SELECT count(*) AS n FROM lake.{steps.LISTS}.all_data_files"
    removal.expire(spark, [stays], datetime.now(UTC))
    assert spark.sql(f"SELECT count(*) AS n FROM lake.{steps.LISTS}.snapshots").first().n > 1
    removal.expire(spark, [stays], datetime.now(UTC) + timedelta(days=8))
    assert spark.sql(f"SELECT count(*) AS n FROM lake.{steps.LISTS}.snapshots").first().n == 1
    assert spark.sql(every).first().n == spark.sql(files).first().n
    assert of_version(rows(spark, steps.LISTS), SECOND) == kept
