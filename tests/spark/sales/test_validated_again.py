"""A landing whose contract has changed, whose day others validate too, or whose quarantine was compacted."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from pyspark.sql import functions as F

from feira.core.contracts import contract
from feira.core.contracts.registry import contract_files
from feira.core.errors import Remedy
from feira.core.lake import lake_files
from feira.core.landing.land import land_day
from feira.core.landing.manifest import Manifest
from feira.core.landing.store import LandingError, LandingStore
from feira.core.settings import LakeSettings, repository_root
from feira.sales.landing import LANDED
from feira_spark.core import tables
from feira_spark.core.tables import evolution, evolve, replace_rows, require_tables
from feira_spark.sales import steps
from feira_spark.sales.steps import (
    OutdatedValidationError,
    drop_staging,
    transform_day,
    validate_landing,
)
from sales_lines import FakeFeed, line

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAY = dt.date(2010, 12, 1)
OTHER_DAY = DAY + dt.timedelta(days=1)
GIFT_NOTE = """\
      - name: gift_note
        logicalType: string
        physicalType: string
        logicalTypeOptions:
          maxLength: 32
        description: A note of the giver.
"""
GOOD = [line(line_number=n + 1) for n in range(19)]


@pytest.fixture
def sales(empty_lake: SparkSession) -> SparkSession:
    """The session, with the sales tables as declared and empty."""
    names = ("sales.fact", "sales.order_lines", "sales.quarantine")
    require_tables(empty_lake, [contract(name) for name in names])
    return empty_lake


@pytest.fixture
def store(lake: LakeSettings) -> LandingStore:
    """An empty store beside the lake's tables."""
    return LandingStore(lake_files(lake), f"{lake.root}/{uuid4().hex}", "sales")


def landed(store: LandingStore, run: str, *lines: dict[str, Any]) -> Manifest:
    feed = FakeFeed([list(lines)])
    return land_day(LANDED, feed, store, DAY, requested_by=run, refetch=True)[0]


@contextmanager
def declared(folder: Path, find: str, replace: str) -> Iterator[None]:
    """Inside, the landing's contract is another."""
    shutil.copytree(repository_root() / "shared" / "contracts", folder / "shared" / "contracts")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FEIRA_REPOSITORY", str(folder))
        path = contract_files()["sales.landing"]
        text = path.read_text()
        assert text.count(find) == 1
        path.write_text(text.replace(find, replace))
        contract.cache_clear()
        try:
            yield
        finally:
            contract.cache_clear()


def quarantine(spark: SparkSession, day: dt.date = DAY) -> list[tuple[int, int, list[str]]]:
    """(landing version, place in it, broken rules) of the day's rows."""
    rows = spark.table("lake.sales.quarantine").where(F.col("extract_day") == F.lit(day)).collect()
    return sorted((r["landing_version"], r["landing_order"], r["broken_rules"]) for r in rows)


def extract(spark: SparkSession) -> list[int]:
    """The line numbers of the day's extract."""
    rows = spark.table("lake.sales.order_lines").select("line_number").collect()
    return sorted(row["line_number"] for row in rows)


def killed_once_staged(monkeypatch: pytest.MonkeyPatch, step: Callable[[], object]) -> None:
    """The step ends before it counts what it has staged."""
    with monkeypatch.context() as patch:
        patch.setattr(steps, "_counted", lambda staged: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            step()


@pytest.mark.slow
def test_lines_that_are_judged_otherwise_by_now_stay_as_they_were_until_they_are_validated_again(
    sales: SparkSession, store: LandingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = landed(store, "run-1", *GOOD, line(line_number=20, quantity=7))

    def validate_again() -> None:
        validate_landing(sales, store, manifest)

    validate_again()
    transform_day(sales, store, DAY)
    drop_staging(sales, DAY)
    with declared(tmp_path, "quantity = 0\n", "quantity = 7\n"):
        # Killed once the lines were staged anew: the next try must not take them for validated ones.
        killed_once_staged(monkeypatch, lambda: transform_day(sales, store, DAY))
        killed_once_staged(monkeypatch, validate_again)
        with pytest.raises(
            OutdatedValidationError,
            match=r"landing 1 .*0\.00 % of 20 .*5\.00 % of 20 .*quantity_zero 1\. .*[Vv]alidate",
        ) as refusal:
            transform_day(sales, store, DAY)
        assert (refusal.value.remedy, refusal.value.of) == (Remedy.RUN, ("sales", str(DAY)))
        assert (extract(sales), quarantine(sales)) == ([*range(1, 21)], [])

        validate_again()
        transform_day(sales, store, DAY)
        assert extract(sales) == [*range(1, 20)]
        assert quarantine(sales) == [(1, 19, ["quantity_zero"])]
        # Of each kill, of the refusal, and of the validation.
        assert len(drop_staging(sales, DAY)) == 4


def test_what_a_killed_validation_has_staged_is_not_what_was_validated(
    sales: SparkSession, store: LandingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While what was validated is still there."""
    few = [line(line_number=n + 1, quantity=7) for n in range(12)]
    manifest = landed(store, "run-1", *few, *GOOD[12:])
    validate_landing(sales, store, manifest)
    with declared(tmp_path, "quantity = 0\n", "quantity = 7\n"):
        killed_once_staged(monkeypatch, lambda: validate_landing(sales, store, manifest))
        transform_day(sales, store, DAY)
        assert (extract(sales), quarantine(sales)) == ([*range(1, 20)], [])
        refused = validate_landing(sales, store, manifest)
        assert (refused.passed, refused.valid) == (False, 7)
        with pytest.raises(LandingError, match="no landing has passed the gate"):
            transform_day(sales, store, DAY)


def test_a_landing_that_was_validated_by_another_version_of_the_contract_is_validated_again(
    sales: SparkSession, store: LandingStore, tmp_path: Path
) -> None:
    validate_landing(sales, store, landed(store, "run-1", *GOOD))
    drop_staging(sales, DAY)
    with (
        declared(tmp_path, "\nversion: 1.0.0\n", "\nversion: 1.0.1\n"),
        pytest.raises(OutdatedValidationError, match=r"contract 1\.0\.0 .* by 1\.0\.1 "),
    ):
        transform_day(sales, store, DAY)


def test_a_landing_that_was_staged_before_the_tables_gained_a_column_is_transformed(
    sales: SparkSession, store: LandingStore, tmp_path: Path
) -> None:
    validate_landing(sales, store, landed(store, "run-1", *GOOD))
    created_at = "      - name: created_at\n        logicalType: string\n"
    with declared(tmp_path, created_at, GIFT_NOTE + created_at):
        for table in ("sales.fact", "sales.order_lines"):
            change = evolution(sales, contract(table))
            assert change is not None and [each.name for each in change.added] == ["gift_note"]
            evolve(sales, change)
        transform_day(sales, store, DAY)
        rows = sales.table("lake.sales.order_lines").select("line_number", "gift_note")
        assert sorted(map(tuple, rows.collect())) == [(n, None) for n in range(1, 20)]


BROKEN = [line(order_id="zero", quantity=0), line(order_id="blank", sku=" ")]


def of_version(spark: SparkSession, version: int, day: dt.date = DAY) -> DataFrame:
    """A row of quarantine."""
    return spark.range(1).select(
        F.lit(day).cast("date").alias("extract_day"),
        F.lit(version).alias("landing_version"),
        F.lit(0).cast("bigint").alias("landing_order"),
        F.lit("{}").alias("raw"),
        F.array(F.lit("line_unreadable")).alias("broken_rules"),
    )


@pytest.mark.parametrize(
    ("before", "newer"),
    [
        pytest.param("its rows", [*GOOD, BROKEN[1]], id="its rows"),
        pytest.param("it is current", GOOD, id="it is current"),
        pytest.param("its rows", GOOD, marks=pytest.mark.slow, id="its rows, none newer"),
        pytest.param(
            "it is current", [*GOOD, BROKEN[1]], marks=pytest.mark.slow, id="it is current, newer"
        ),
    ],
)
def test_of_two_landings_of_a_day_that_are_validated_at_once_quarantine_has_the_newer_ones(
    sales: SparkSession,
    store: LandingStore,
    monkeypatch: pytest.MonkeyPatch,
    before: str,
    newer: list[dict[str, Any]],
) -> None:
    """The older one's rows come last, or just before the newer one is current."""
    first = landed(store, "run-1", *GOOD, BROKEN[0])
    second = landed(store, "run-2", *newer)
    # Newer than both, and refused: its rows are there to be seen.
    of_version(sales, 3).writeTo("lake.sales.quarantine").append()
    refused = [(3, 0, ["line_unreadable"])]
    runs, meanwhile = (first, second) if before == "its rows" else (second, first), []

    def once(of: Any, name: str) -> None:
        done = getattr(of, name)

        def after(*given: Any, **named: Any) -> Any:
            monkeypatch.setattr(of, name, done)
            meanwhile.append(validate_landing(sales, store, runs[1]))
            return done(*given, **named)

        monkeypatch.setattr(of, name, after)

    if before == "its rows":
        once(steps, "_replace_quarantine")
    else:
        once(LandingStore, "put_validation")
    validate_landing(sales, store, runs[0])
    assert len(meanwhile) == 1
    of_second = [(2, 19, ["sku_blank"])] if newer != GOOD else []
    assert quarantine(sales) == [*of_second, *refused]


@pytest.mark.slow
def test_quarantine_is_replaced_where_a_compaction_has_put_landings_into_one_file(
    sales: SparkSession, store: LandingStore
) -> None:
    def compacted_and_validated(landing: Manifest) -> None:
        sales.sql(
            "CALL lake.system.rewrite_data_files(table => 'sales.quarantine', options => "
            "map('rewrite-all', 'true'))"
        )
        validate_landing(sales, store, landing)

    for row in (of_version(sales, 1), of_version(sales, 3), of_version(sales, 1, OTHER_DAY)):
        row.writeTo("lake.sales.quarantine").append()
    landed(store, "run-1", *GOOD)
    passes = landed(store, "run-2", *GOOD, BROKEN[1])
    refused = landed(store, "run-3", BROKEN[0])
    compacted_and_validated(passes)
    of_passed = (2, 19, ["sku_blank"])
    assert quarantine(sales) == [of_passed, (3, 0, ["line_unreadable"])]
    compacted_and_validated(refused)
    assert quarantine(sales) == [of_passed, (3, 0, ["quantity_zero"])]
    assert quarantine(sales, OTHER_DAY) == [(1, 0, ["line_unreadable"])]


def test_what_others_write_while_a_partition_is_written_anew_is_not_lost(
    sales: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    day, gone = F.col("extract_day") == F.lit(DAY), F.col("landing_version") == F.lit(2)
    two = of_version(sales, 1).union(of_version(sales, 2)).coalesce(1)
    two.writeTo("lake.sales.quarantine").append()
    rows_at: Callable[..., DataFrame] = tables.rows_at

    def meanwhile(*of: Any) -> DataFrame:
        found = rows_at(*of)
        of_version(sales, 3).writeTo("lake.sales.quarantine").append()
        return found

    monkeypatch.setattr(tables, "rows_at", meanwhile)
    with pytest.raises(Exception, match="conflicting files"):
        replace_rows(of_version(sales, 2), "sales.quarantine", day, gone)
    assert [version for version, *_ in quarantine(sales)] == [1, 2, 3]
