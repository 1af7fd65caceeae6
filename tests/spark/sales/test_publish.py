"""Publishing on Iceberg: readers see all of a day or nothing, and nothing new where nothing changed."""

from __future__ import annotations

import datetime as dt
import gzip
import inspect
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson
import pyarrow as pa
import pytest
from pyspark.sql import functions as F
from pyspark.sql import types as T

from fact_rows import FACT, arrow_schema, fact_row
from feira.core.contracts import Column, ContractError, contract
from feira.core.contracts.ddl import iceberg_ddl
from feira.core.errors import Remedy
from feira.core.lake import lake_files
from feira.core.landing.land import land_day
from feira.core.landing.manifest import Manifest
from feira.core.landing.store import DamagedLandingError, LandingError, LandingStore
from feira.core.settings import LakeSettings
from feira.sales.landing import LANDED
from feira.sales.published import PUBLISHED
from feira_provider.hooks.json_answer import read_page
from feira_spark.core import publish
from feira_spark.core.difference import StagedDifference, stage_difference
from feira_spark.core.publish import AuditError, Published, publish_day, sweep_branches
from feira_spark.core.tables import (
    current_snapshot,
    evolution,
    evolve,
    metadata_uri,
    named_for,
    require_tables,
)
from feira_spark.sales.steps import (
    GateError,
    require_passed,
    transform_day,
    validate_landing,
)
from feira_spark.sales.steps import drop_staging as drop_staging_of
from sales_lines import FakeFeed, line

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAY = dt.date(2010, 12, 1)
NEXT = DAY + dt.timedelta(days=1)
LINES, QUARANTINED = contract("sales.order_lines"), contract("sales.quarantine")
Spoil = Callable[["DataFrame"], "DataFrame"]


@pytest.fixture
def tables(empty_lake: SparkSession) -> SparkSession:
    """The session, with the sales tables as declared and empty."""
    require_tables(empty_lake, [FACT, LINES, QUARANTINED])
    return empty_lake


@pytest.fixture
def store(lake: LakeSettings) -> LandingStore:
    """An empty store beside the lake's tables."""
    return LandingStore(lake_files(lake), f"{lake.root}/{uuid4().hex}", "sales")


def put_extract(spark: SparkSession, day: dt.date, **quantities: int) -> None:
    """Makes a day's extract of these orders, a line each, updated at noon."""
    noon = dt.datetime.combine(day, dt.time(12), tzinfo=dt.UTC)
    rows = [
        fact_row(order, 1, quantity=n, amount_usd=n, updated_at=noon) | {"landing_version": 1}
        for order, n in quantities.items()
    ]
    schema = T.StructType(
        [T.StructField(c.name, T.DataType.fromDDL(c.type)) for c in LINES.columns]
    )
    frame = spark.createDataFrame([tuple(r[n] for n in LINES.column_names) for r in rows], schema)
    frame.writeTo("lake.sales.order_lines").overwrite(F.col("extract_day") == F.lit(day))


def fact(spark: SparkSession) -> dict[str, int]:
    """Order → quantity, as readers see it; fails on a duplicate key."""
    rows = spark.table("lake.sales.fact").select("order_id", "quantity").collect()
    assert len({row[0] for row in rows}) == len(rows)
    return dict(map(tuple, rows))


def branches(spark: SparkSession) -> set[str]:
    return {row["name"] for row in spark.sql("SELECT name FROM lake.sales.fact.refs").collect()}


def snapshots(spark: SparkSession, table: str = "sales.fact") -> int:
    return spark.table(f"lake.{table}.snapshots").count()


def counts(published: Published) -> tuple[int, int, int]:
    return published.inserted, published.updated, published.deleted


def test_a_day_is_inserted_then_changed_and_what_is_no_longer_held_leaves(
    tables: SparkSession,
) -> None:
    put_extract(tables, DAY, a=1, b=2, c=3)
    assert counts(publish_day(tables, PUBLISHED, DAY, "run_1")) == (3, 0, 0)
    put_extract(tables, NEXT, a=7)
    assert counts(publish_day(tables, PUBLISHED, NEXT, "run_2")) == (0, 1, 0)
    put_extract(tables, DAY, a=1, b=5, d=4)
    published = publish_day(tables, PUBLISHED, DAY, "run_3")
    # The newer version of `a` is another day's and stays.
    assert counts(published) == (1, 1, 1)
    assert fact(tables) == {"a": 7, "b": 5, "d": 4}
    assert published.snapshot_id == current_snapshot(tables, "sales.fact")
    assert published.metadata == metadata_uri(tables, "lake.sales.fact")
    assert branches(tables) == {"main"}


def test_nothing_changed_is_the_same_snapshot(tables: SparkSession) -> None:
    put_extract(tables, DAY, a=1)
    first = publish_day(tables, PUBLISHED, DAY, "run_1")
    before = snapshots(tables)
    put_extract(tables, DAY, a=1)
    again = publish_day(tables, PUBLISHED, DAY, "run_2")
    assert (again.snapshot_id, again.metadata) == (first.snapshot_id, first.metadata)
    assert counts(again) == (0, 0, 0)
    assert snapshots(tables) == before


def test_a_closed_day_on_an_empty_fact_gives_it_its_first_snapshot(tables: SparkSession) -> None:
    published = publish_day(tables, PUBLISHED, DAY, "run_1")
    assert counts(published) == (0, 0, 0)
    assert published.snapshot_id == current_snapshot(tables, "sales.fact")
    assert (fact(tables), branches(tables)) == ({}, {"main"})
    assert publish_day(tables, PUBLISHED, DAY, "run_2").snapshot_id == published.snapshot_id


@pytest.mark.slow
def test_a_day_that_is_empty_now_takes_its_rows_out_of_the_fact(tables: SparkSession) -> None:
    put_extract(tables, DAY, a=1, b=2)
    publish_day(tables, PUBLISHED, DAY, "run_1")
    put_extract(tables, NEXT, a=7)
    publish_day(tables, PUBLISHED, NEXT, "run_2")
    put_extract(tables, NEXT)
    assert counts(publish_day(tables, PUBLISHED, NEXT, "run_3")) == (0, 1, 0)
    put_extract(tables, DAY)
    assert counts(publish_day(tables, PUBLISHED, DAY, "run_4")) == (0, 0, 2)
    assert fact(tables) == {}


def drops_a_row(changed: DataFrame) -> DataFrame:
    return changed.where("order_id <> 'b'")


def doubles_a_row(changed: DataFrame) -> DataFrame:
    return changed.unionByName(changed.where("order_id = 'b'"))


def alters_an_amount(changed: DataFrame) -> DataFrame:
    more = F.when(F.col("order_id") == "b", F.col("amount_usd") + F.lit(Decimal("0.0001")))
    amount = F.coalesce(more, F.col("amount_usd")).cast("decimal(18,4)")
    return changed.withColumn("amount_usd", amount)


def replaces_a_row(changed: DataFrame) -> DataFrame:
    """As many rows as there must be, but another one twice."""
    return changed.where("order_id <> 'b'").unionByName(changed.where("order_id = 'c'"))


def alters_the_amount_in_its_own_currency(changed: DataFrame) -> DataFrame:
    """Revenue is in US dollars, and does not see it."""
    more = F.when(F.col("order_id") == "b", F.lit(Decimal("0.0001"))).otherwise(F.lit(0))
    return changed.withColumn("amount", (F.col("amount") + more).cast("decimal(18,4)"))


def forgets_what_was_cancelled(changed: DataFrame) -> DataFrame:
    """Revenue counts only what was sold."""
    status = F.when(F.col("order_id") == "b", F.lit("cancelled")).otherwise(F.col("status"))
    return changed.withColumn("status", status)


def misspells_a_kind(changed: DataFrame) -> DataFrame:
    kind = F.when(F.col("order_id") == "b", F.lit("prodct")).otherwise(F.col("line_kind"))
    return changed.withColumn("line_kind", kind)


def forgets_the_removal(changed: DataFrame) -> DataFrame:
    return changed.where("action <> 'delete'")


def spoilt(**arguments: Spoil) -> Callable[..., None]:
    """As ``publish`` writes, but for arguments, by name, each of which is spoilt."""
    write = publish._write

    def faulty(*given: Any) -> None:
        bound = inspect.signature(write).bind(*given)
        bound.arguments |= {name: spoil(bound.arguments[name]) for name, spoil in arguments.items()}
        write(*bound.args)

    return faulty


def refused(
    tables: SparkSession,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[..., None],
    problem: str,
    day: dt.date,
    held: dict[str, int],
) -> None:
    """The audit finds that this was written, and what was held before is."""
    main = current_snapshot(tables, "sales.fact")
    with monkeypatch.context() as patch:
        patch.setattr(publish, "_write", write)
        with pytest.raises(AuditError, match=problem) as failure:
            publish_day(tables, PUBLISHED, day, "run_2")
    assert "not moved" in str(failure.value)
    assert current_snapshot(tables, "sales.fact") == main, problem
    assert (fact(tables), branches(tables)) == (held, {"main"}), problem


SPOILT: dict[Spoil, str] = {
    drops_a_row: r"2 rows .*\b1 .*make 3; .*revenue .*3\.0000 .*branch",
    doubles_a_row: r"4 rows .*\b1 .*make 3; 3 .*for 2 keys",
    alters_an_amount: r"revenue .*5\.0001 .*branch .*5\.0000 .*input",
    alters_the_amount_in_its_own_currency: r"\w: amount is \S+ on the branch and \S+ in the input\. main",
    forgets_what_was_cancelled: r"\w: revenue .*3\.0000 .*branch .*5\.0000 .*input",
    misspells_a_kind: r"\w: 1 values of line_kind that are none of product, [a-z, ]+, other\. main",
    replaces_a_row: r"2 .*for 1 keys; revenue .*6\.0000 .*branch .*5\.0000",
}


@pytest.mark.parametrize(
    "spoils",
    [
        # One each that rows, keys, revenue, another amount and the contract's values tell.
        pytest.param(
            (
                drops_a_row,
                replaces_a_row,
                alters_the_amount_in_its_own_currency,
                misspells_a_kind,
            ),
            id="some",
        ),
        pytest.param(
            (doubles_a_row, alters_an_amount, forgets_what_was_cancelled),
            marks=pytest.mark.slow,
            id="further",
        ),
    ],
)
def test_a_write_that_went_wrong_is_found_by_the_audit_and_never_seen(
    tables: SparkSession, monkeypatch: pytest.MonkeyPatch, spoils: tuple[Spoil, ...]
) -> None:
    put_extract(tables, DAY, a=1)
    publish_day(tables, PUBLISHED, DAY, "run_1")
    put_extract(tables, NEXT, b=2, c=3)
    for spoil in spoils:
        refused(tables, monkeypatch, spoilt(changed=spoil), SPOILT[spoil], NEXT, {"a": 1})
    assert counts(publish_day(tables, PUBLISHED, NEXT, "run_3")) == (2, 0, 0)
    assert fact(tables) == {"a": 1, "b": 2, "c": 3}


@pytest.mark.slow
def test_a_null_where_none_may_be_is_found_by_the_audit(
    tables: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a table that forbids it no more: each required column by itself, as sums skip a null."""
    declared = contract("sales.fact")
    put_extract(tables, DAY, a=1, b=2)
    for name in declared.required_columns:
        if name not in declared.primary_key and name not in declared.partition_by:
            tables.sql(f"ALTER TABLE lake.sales.fact ALTER COLUMN {name} DROP NOT NULL")
    for name in ("sku", "updated_at"):

        def empties(changed: DataFrame, name: str = name) -> DataFrame:
            return changed.withColumn(name, F.when(F.col("order_id") != "b", F.col(name)))

        with monkeypatch.context() as patch:
            patch.setattr(publish, "_write", spoilt(changed=empties))
            with pytest.raises(AuditError, match=rf"\w: 1 nulls in {name}\. main"):
                publish_day(tables, PUBLISHED, DAY, "run_1")
        assert fact(tables) == {}


@pytest.mark.slow
def test_a_row_that_should_have_left_is_found_by_the_audit(
    tables: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_extract(tables, DAY, a=1, b=2)
    publish_day(tables, PUBLISHED, DAY, "run_1")
    put_extract(tables, DAY, a=5)
    write = spoilt(changed=forgets_the_removal)
    refused(tables, monkeypatch, write, r"2 rows .*\b2 .*make 1", DAY, {"a": 1, "b": 2})


@pytest.mark.slow
def test_a_row_of_a_day_that_is_overwritten_and_that_was_lost_is_found_by_the_audit(
    tables: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_extract(tables, DAY, a=1, b=2)
    publish_day(tables, PUBLISHED, DAY, "run_1")
    put_extract(tables, NEXT, a=7)
    write = spoilt(rows=lambda rows: rows.where("order_id <> 'b'"))
    refused(tables, monkeypatch, write, r"1 rows .*\b2 .*make 2", NEXT, {"a": 1, "b": 2})


@pytest.mark.slow
def test_a_day_that_a_row_comes_back_to_keeps_its_others(tables: SparkSession) -> None:
    """Of the day that it comes to no row was looked for: what is there must stay."""
    put_extract(tables, DAY, a=1, b=2)
    publish_day(tables, PUBLISHED, DAY, "run_1")
    put_extract(tables, NEXT, a=7, c=3)
    publish_day(tables, PUBLISHED, NEXT, "run_2")
    put_extract(tables, NEXT, c=3)
    assert counts(publish_day(tables, PUBLISHED, NEXT, "run_3")) == (0, 1, 0)
    assert fact(tables) == {"a": 1, "b": 2, "c": 3}


def test_what_a_killed_attempt_has_left_is_swept_and_never_published(tables: SparkSession) -> None:
    put_extract(tables, DAY, a=1)
    main = publish_day(tables, PUBLISHED, DAY, "run_1").snapshot_id
    # Killed after the write: the branch holds a row that nobody has audited.
    left = f"publish_2010_12_02_{named_for('run_2_1')}"
    tables.sql(f"ALTER TABLE lake.sales.fact CREATE BRANCH {left}")
    unaudited = tables.table("lake.sales.fact").withColumn("order_id", F.lit("unaudited"))
    unaudited.writeTo(f"lake.sales.fact.branch_{left}").append()
    people = {"audit_of_a_person", "publish_ahead-of-time", "publish_2010_12"}
    for name in people:
        tables.sql(f"ALTER TABLE lake.sales.fact CREATE BRANCH `{name}`")
    tables.sql("ALTER TABLE lake.sales.fact CREATE TAG publish_tag_of_a_person")
    assert current_snapshot(tables, "sales.fact") == main
    put_extract(tables, NEXT, b=2)
    # The same attempt's name again, and another one: both begin at main.
    assert counts(publish_day(tables, PUBLISHED, NEXT, "run_2_1")) == (1, 0, 0)
    assert fact(tables) == {"a": 1, "b": 2}
    # The second is as an older release named them.
    killed = [f"publish_2010_12_03_{named_for('run_3_1')}", "publish_2010_12_03_manual_2026T18_1"]
    for name in killed:
        tables.sql(f"ALTER TABLE lake.sales.fact CREATE BRANCH {name}")
    assert sorted(sweep_branches(tables, PUBLISHED)) == sorted(killed)
    assert branches(tables) == {"main", "publish_tag_of_a_person", *people}
    assert fact(tables) == {"a": 1, "b": 2}


@pytest.mark.slow
def test_what_was_staged_for_a_day_is_dropped_and_other_days_is_kept(
    tables: SparkSession,
) -> None:
    for day, name in ((DAY, "run_1"), (DAY, "run_2"), (NEXT, "run_1")):
        put_extract(tables, day, a=day.day)
        publish_day(tables, PUBLISHED, day, name)
    # Of an older release, and of another table.
    other = "stock_levels_publish_2010_12_01_run_1"
    odd = "sales_fact_publish_2010_12_01_a-person's"
    for name in ("publish_2010_12_01_run_9", odd, other):
        tables.sql(f"CREATE TABLE lake.staging.`{name}` (order_id string) USING iceberg")
    assert set(drop_staging_of(tables, DAY)) == {
        "publish_2010_12_01_run_9",
        odd,
        *(f"sales_fact_publish_2010_12_01_{named_for(run)}" for run in ("run_1", "run_2")),
    }
    assert staging(tables) == {f"sales_fact_publish_2010_12_02_{named_for('run_1')}", other}
    assert drop_staging_of(tables, DAY) == []


def staging(spark: SparkSession) -> set[str]:
    """The staging tables that there are."""
    return {row["tableName"] for row in spark.sql("SHOW TABLES IN lake.staging").collect()}


# Validate and transform: a day's current landing, and its quarantine.


def landed(store: LandingStore, run: str, *lines: dict[str, Any]) -> Manifest:
    manifest, _ = land_day(
        LANDED,
        FakeFeed([list(lines)]),
        store,
        DAY,
        requested_by=run,
        refetch=True,
    )
    return manifest


def good(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [line(line_number=n + 1, **changes) for n in range(count)]


def held_back(spark: SparkSession) -> list[tuple[int, int, list[str]]]:
    """(landing version, place in it, broken rules) of the quarantine's rows of the day."""
    rows = spark.table("lake.sales.quarantine").where(F.col("extract_day") == F.lit(DAY)).collect()
    return sorted((r["landing_version"], r["landing_order"], r["broken_rules"]) for r in rows)


def test_a_landing_that_holds_other_lines_than_its_manifest_says_is_not_validated(
    tables: SparkSession, store: LandingStore
) -> None:
    manifest = landed(store, "run-1", *good(3)).model_copy(update={"total": 4})
    with pytest.raises(LandingError, match=rf"sales {DAY}: .* 3 lines, .* 4\. .* refetch"):
        validate_landing(tables, store, manifest)
    assert store.validation(DAY, 1) is None
    assert held_back(tables) == []


def test_a_line_that_cannot_be_read_is_in_quarantine_as_it_was_served(
    tables: SparkSession, store: LandingStore
) -> None:
    """The API's body goes through the hook's parser, as it is not all JSON."""
    whole = orjson.dumps(line(order_id="odd", country={"a": []}))
    unreadable = [
        whole.replace(b"HEART", rb"HEART \ud83d"),
        whole.replace(b"[]", b"[" * 998 + b"]" * 998),
        whole.replace(b'"odd"', b"NaN"),
        whole.replace(b"HEART", b"caf\xe9 \xed\xa0\x80"),
    ]
    lines = [*map(orjson.dumps, good(80)), *unreadable]
    _, records = read_page(b'{"lines": [%b]}' % b", ".join(lines), "lines", unreadable=True)
    feed = FakeFeed([[*records.raw]])
    manifest, _ = land_day(LANDED, feed, store, DAY, requested_by="run-1")
    validation = validate_landing(tables, store, manifest)
    assert (validation.passed, validation.broken) == (True, {"line_unreadable": 4})
    assert held_back(tables) == [(1, 80 + n, ["line_unreadable"]) for n in range(4)]
    kept = tables.table("lake.sales.quarantine").orderBy("landing_order")
    # A table's text holds no bytes that are no UTF-8.
    texts = [text.decode(errors="replace").encode() for text in unreadable]
    assert [bytes(row[0]) for row in kept.select(F.col("raw").cast("binary")).collect()] == texts
    assert texts[:3] == unreadable[:3]


BAD_1, BAD_3 = (line(order_id=f"bad {n}", quantity=0) for n in (1, 3))
BAD_2 = line(order_id="bad 2", quantity=0, sku=" ")


@pytest.mark.slow
def test_quarantine_follows_the_landings_of_its_day(
    tables: SparkSession, store: LandingStore
) -> None:
    another = {"extract_day": NEXT, "landing_version": 1, "landing_order": 0, "raw": "{}"}
    row = [another | {"broken_rules": ["sku_missing"]}]
    frame = tables.createDataFrame(pa.Table.from_pylist(row, arrow_schema(QUARANTINED)))
    frame.writeTo("lake.sales.quarantine").append()
    first = landed(store, "run-1", *good(19), BAD_1)
    for _ in ("a run", "its retry"):
        assert validate_landing(tables, store, first).passed
        assert held_back(tables) == [(1, 19, ["quantity_zero"])]

    # Refused: the one that stays the current keeps its own, the refused one's are there to be seen.
    refused = landed(store, "run-2", BAD_1, *good(3), BAD_2)
    validation = validate_landing(tables, store, refused)
    with pytest.raises(
        GateError, match=r"40\.00 % of 5 .*\(limit 5 %\): quantity_zero 2, sku_blank 1"
    ) as refusal:
        require_passed(validation)
    assert (refusal.value.remedy, refusal.value.of) == (Remedy.REFETCH, ("sales", str(DAY)))
    of_refused = [(2, 0, ["quantity_zero"]), (2, 4, ["quantity_zero", "sku_blank"])]
    assert held_back(tables) == [(1, 19, ["quantity_zero"]), *of_refused]

    # Again, as a retry does: not twice.
    validate_landing(tables, store, refused)
    assert held_back(tables) == [(1, 19, ["quantity_zero"]), *of_refused]

    # Passed: it takes the place of every older one.
    newest = landed(store, "run-3", *good(20), BAD_3)
    assert validate_landing(tables, store, newest).passed
    assert held_back(tables) == [(3, 20, ["quantity_zero"])]

    # An older run that is cleared validates its own landing again, which is no longer of interest.
    validate_landing(tables, store, first)
    validate_landing(tables, store, refused)
    assert held_back(tables) == [(3, 20, ["quantity_zero"])]
    assert tables.table("lake.sales.quarantine").count() == 2, "another day's row stays"


@pytest.mark.slow
def test_an_extract_is_of_the_newest_landing_that_passed(
    tables: SparkSession, store: LandingStore
) -> None:
    def quantities() -> set[tuple[int, int, int]]:
        rows = tables.table("lake.sales.order_lines")
        return set(map(tuple, rows.select("landing_version", "line_number", "quantity").collect()))

    first = landed(store, "run-1", *good(2, quantity=5))
    validate_landing(tables, store, first)
    assert transform_day(tables, store, DAY)[0].version == 1
    assert quantities() == {(1, 1, 5), (1, 2, 5)}

    refused = landed(store, "run-2", *good(2, quantity=0))
    assert not validate_landing(tables, store, refused).passed
    # Nor does one count that was landed and not validated yet.
    landed(store, "run-3", *good(3, quantity=9))
    assert transform_day(tables, store, DAY)[0].version == 1
    assert quantities() == {(1, 1, 5), (1, 2, 5)}

    newest = landed(store, "run-4", *good(1, quantity=7))
    validate_landing(tables, store, newest)
    # The staging table may be gone by the time that a cleared task comes: it is made anew.
    drop_staging_of(tables, DAY)
    manifest, metadata = transform_day(tables, store, DAY)
    assert manifest == newest
    assert metadata.endswith(".metadata.json")
    assert quantities() == {(4, 1, 7)}


# Tables that are not as their contracts declare them.


def test_a_table_that_cannot_take_its_contract_is_refused_before_anything_is_written(
    empty_lake: SparkSession, store: LandingStore
) -> None:
    narrower = [
        replace(column, type="decimal(12,2)") if column.name == "amount" else column
        for column in FACT.columns
    ]
    for namespace in ("sales", "staging"):
        empty_lake.sql(f"CREATE NAMESPACE IF NOT EXISTS lake.{namespace}")
    empty_lake.sql(iceberg_ddl(replace(FACT, columns=tuple(narrower))))
    with pytest.raises(ContractError, match=r"amount .*decimal\(12,2\) .*table") as refusal:
        validate_landing(empty_lake, store, landed(store, "run-1", *good(2)))
    assert "sales.fact in the lake" in str(refusal.value)
    assert "Nothing was written" in str(refusal.value)
    assert snapshots(empty_lake) == 0
    tables = [
        row["tableName"]
        for namespace in ("sales", "staging")
        for row in empty_lake.sql(f"SHOW TABLES IN lake.{namespace}").collect()
        if not row["isTemporary"]
    ]
    assert tables == ["fact"]
    assert store.validation(DAY, 1) is None


def test_a_column_is_added_without_a_change_of_rows(tables: SparkSession) -> None:
    put_extract(tables, DAY, a=1, b=2)
    main = publish_day(tables, PUBLISHED, DAY, "run_1").snapshot_id
    gift_note = Column("gift_note", "string", required=False, description="The shop's 'gift_note'.")
    wider = replace(FACT, columns=(*FACT.columns, gift_note))
    with pytest.raises(ContractError, match="no column gift_note"):
        require_tables(tables, [wider])
    change = evolution(tables, wider)
    assert change is not None
    evolve(tables, change)
    require_tables(tables, [wider])
    rows = tables.table("lake.sales.fact")
    assert {tuple(r) for r in rows.select("order_id", "quantity", "gift_note").collect()} == {
        ("a", 1, None),
        ("b", 2, None),
    }
    assert current_snapshot(tables, "sales.fact") == main


# What the warehouse is to get of all this.


def staged(spark: SparkSession, found: StagedDifference) -> set[tuple[str, str, int]]:
    """(change, order, quantity) of a difference."""
    rows = spark.table(found.table).select("change", "order_id", "quantity").collect()
    return set(map(tuple, rows))


def test_a_difference_is_the_net_change_over_several_publishes(tables: SparkSession) -> None:
    assert stage_difference(tables, PUBLISHED, None) is None
    put_extract(tables, DAY, a=1, b=2, c=3)
    first = publish_day(tables, PUBLISHED, DAY, "run_1").snapshot_id
    whole = stage_difference(tables, PUBLISHED, None)
    assert whole is not None and (whole.whole, whole.rows) == (True, 3)
    assert stage_difference(tables, PUBLISHED, first) is None

    put_extract(tables, DAY, a=5, b=2, d=4)
    publish_day(tables, PUBLISHED, DAY, "run_2")
    put_extract(tables, NEXT, a=7, e=1)
    publish_day(tables, PUBLISHED, NEXT, "run_3")
    put_extract(tables, NEXT, a=7)
    main = publish_day(tables, PUBLISHED, NEXT, "run_4").snapshot_id
    net = stage_difference(tables, PUBLISHED, first)
    assert net is not None
    assert (net.snapshot_id, net.whole, net.rows) == (main, False, 4)
    assert staged(tables, net) == {
        ("DELETE", "a", 1),
        ("INSERT", "a", 7),
        ("DELETE", "c", 3),
        ("INSERT", "d", 4),
    }


def test_a_staged_difference_is_there_until_its_load_is_over_and_no_longer_than_to_the_next(
    tables: SparkSession,
) -> None:
    def folders() -> set[str]:
        """Of what is staged, those that have a file."""
        root = Path(str(tables.conf.get("spark.sql.catalog.lake.warehouse")).removeprefix("file:"))
        files = (path for path in (root / "staging").rglob("*") if path.is_file())
        return {f"lake.staging.{path.relative_to(root).parts[1]}" for path in files}

    put_extract(tables, DAY, a=1)
    main = publish_day(tables, PUBLISHED, DAY, "run_1").snapshot_id
    drop_staging_of(tables, DAY)
    # Of an older release, and of another table.
    for name in ("sales_fact_changes", "sales_returns_changes_1"):
        tables.range(1).writeTo(f"lake.staging.{name}").using("iceberg").create()
    other = "lake.staging.sales_returns_changes_1"
    first = stage_difference(tables, PUBLISHED, None)
    assert first is not None and folders() == {first.table, other}

    # The next load, of the same snapshot too, while what the first has staged is dropped for its day.
    second = stage_difference(tables, PUBLISHED, None)
    assert second is not None and folders() == {second.table, other}
    assert drop_staging_of(tables, DAY, first.table) == []
    assert staged(tables, second) == {("INSERT", "a", 1)}
    # Its own run was killed; where nothing has changed nothing stays either.
    assert stage_difference(tables, PUBLISHED, main) is None
    assert folders() == {other}

    third = stage_difference(tables, PUBLISHED, None)
    assert third is not None
    assert drop_staging_of(tables, DAY, third.table) == [third.table.removeprefix("lake.staging.")]
    assert folders() == {other}


def test_each_file_of_a_difference_is_in_the_order_of_the_key(tables: SparkSession) -> None:
    put_extract(tables, DAY, f=1, b=1, g=1, d=1)
    first = publish_day(tables, PUBLISHED, DAY, "run_1").snapshot_id
    put_extract(tables, NEXT, e=1, g=2, a=1, b=2, h=1, c=1)
    publish_day(tables, PUBLISHED, NEXT, "run_2")
    for since, rows in ((None, 8), (first, 8)):
        difference = stage_difference(tables, PUBLISHED, since)
        assert difference is not None
        found = tables.sql(
            f"SELECT input_file_name() AS file, order_id FROM {difference.table}"
        ).collect()
        of_file: dict[str, list[str]] = {}
        for file, order in found:
            of_file.setdefault(file, []).append(order)
        assert [*map(sorted, of_file.values())] == [*of_file.values()]
        assert len(found) == rows


def test_since_a_snapshot_that_was_undone_the_difference_is_the_whole_table(
    tables: SparkSession,
) -> None:
    put_extract(tables, DAY, a=2, b=3)
    second = publish_day(tables, PUBLISHED, DAY, "run_2").snapshot_id
    put_extract(tables, DAY, a=9)
    undone = publish_day(tables, PUBLISHED, DAY, "run_3").snapshot_id
    tables.sql(f"CALL lake.system.rollback_to_snapshot('sales.fact', {second})")
    found = stage_difference(tables, PUBLISHED, undone)
    assert found is not None and (found.whole, found.rows) == (True, 2)
    assert staged(tables, found) == {("INSERT", "a", 2), ("INSERT", "b", 3)}


@pytest.mark.slow
def test_since_a_snapshot_that_was_expired_the_difference_is_the_whole_table(
    tables: SparkSession,
) -> None:
    put_extract(tables, DAY, a=1)
    first = publish_day(tables, PUBLISHED, DAY, "run_1").snapshot_id
    put_extract(tables, DAY, a=2, b=3)
    publish_day(tables, PUBLISHED, DAY, "run_2")
    tables.sql(
        "CALL lake.system.expire_snapshots(table => 'sales.fact', retain_last => 1, "
        f"snapshot_ids => array({first}))"
    )
    found = stage_difference(tables, PUBLISHED, first)
    assert found is not None and (found.whole, found.rows) == (True, 2)
    assert staged(tables, found) == {("INSERT", "a", 2), ("INSERT", "b", 3)}


def test_a_landing_whose_page_is_another_now_is_not_judged(
    tables: SparkSession, store: LandingStore
) -> None:
    manifest = landed(store, "run-1", *good(2))
    page = f"{store.folder(DAY, 1)}/{manifest.files[0].name}"
    store.files.pipe_file(page, gzip.compress(b'{"a":1}\n'))
    with pytest.raises(DamagedLandingError, match=f"{manifest.files[0].name} .*SHA-256"):
        validate_landing(tables, store, manifest)


def test_a_landing_without_the_document_that_its_rules_need_is_to_be_fetched_again(
    tables: SparkSession, store: LandingStore
) -> None:
    without = landed(store, "run-1", *good(1)).model_copy(update={"companions": {}})
    with pytest.raises(DamagedLandingError, match=r"landing 1 .*no rates") as damaged:
        validate_landing(tables, store, without)
    assert (damaged.value.remedy, damaged.value.of) == (Remedy.REFETCH, ("sales", str(DAY)))
