"""Staging tables are named so that every catalog takes them, whatever others call their runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.errors import AnalysisException

from feira.core.contracts.registry import stored_in
from feira.core.lake import landing_store
from feira.core.landing.land import land_day
from feira.core.settings import LakeSettings
from feira.recommendations.versions import ListStore
from feira.sales.landing import LANDED
from feira.sales.published import PUBLISHED
from feira.user_events.offsets import DayOffsets
from feira_spark.core import difference, publish, tables
from feira_spark.core.tables import named_for, require_tables, write_staged
from feira_spark.recommendations import gate, impressions, lists
from feira_spark.recommendations.as_of import sources
from feira_spark.recommendations.day import ITEM_FEATURES, USER_CATEGORIES
from feira_spark.sales import steps
from feira_spark.user_events import day as user_events
from sales_lines import DAY, FakeFeed, line

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Glue's rule is the narrowest.
NAME = re.compile(r"lake\.staging\.[a-z0-9_]{1,255}")
RUNS = (
    "manual__2026-11-29T18:38:08.123456+00:00_1",
    "scheduled__2026-11-29T00:05:00+00:00_1",
    f"Backfill of São Paulo's {'x' * 250}",
    "`; DROP TABLE sales.fact; --",
    "",
)
MESSAGES = (
    "key binary, value binary, topic string, partition int, offset bigint, timestamp timestamp"
)


@pytest.mark.parametrize("name", ["", "Fact", "fact-1", "façt", "fact ", "x" * 256])
def test_a_staging_table_that_a_catalog_may_refuse_is_not_made(
    empty_lake: SparkSession, name: str
) -> None:
    with pytest.raises(ValueError, match=r"255 of a-z, 0-9 and _"):
        write_staged(empty_lake.range(1), f"lake.staging.{name}")


def test_a_text_of_others_is_named_by_what_every_catalog_takes() -> None:
    found = {named_for(run) for run in RUNS}
    assert len(found) == len(RUNS)
    assert all(re.fullmatch("[0-9a-f]{12}", each) for each in found)


class Asked:
    """The staging tables that steps ask for, by the module that does; none is made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: dict[ModuleType, list[str]] = {}
        self._monkeypatch = monkeypatch

    def by(self, step: Callable[..., Any], module: ModuleType, *given: Any) -> None:
        """A step ends where it reads what it has staged."""
        names = self.names.setdefault(module, [])
        self._monkeypatch.setattr(module, "write_staged", lambda rows, table: names.append(table))
        with suppress(AnalysisException):
            step(*given)


@pytest.mark.slow
def test_every_staging_table_has_a_name_that_every_catalog_takes(
    empty_lake: SparkSession,
    lake: LakeSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spark, asked = empty_lake, Asked(monkeypatch)
    made: Any = SimpleNamespace(segments=None, parquet=f"file://{tmp_path}/none", staged=None)
    require_tables(spark, stored_in("lake"))
    store = landing_store(replace(lake, root=f"file://{tmp_path}"), LANDED.name)
    versions, read = ListStore(store.files, f"file://{tmp_path}"), sources(spark)
    features = dict.fromkeys((USER_CATEGORIES, ITEM_FEATURES))
    for run in RUNS:
        asked.by(publish.publish_day, publish, spark, PUBLISHED, DAY, run)
        asked.by(lists.stage, lists, spark, DAY, run, read, features)
        version = versions.claim(DAY, run, {"sources": read})
        asked.by(gate._interactions, gate, spark, lake, version)
        asked.by(impressions.stage, impressions, spark, versions, version, made)
    landing = land_day(LANDED, FakeFeed([[line()]]), store, DAY, requested_by=RUNS[0])[0]
    asked.by(steps._validated, steps, spark, store, landing)
    asked.by(steps._as_validated, steps, spark, store, landing, made)
    fact = spark.table("lake.sales.fact")
    spark.createDataFrame([], fact.schema).writeTo("lake.sales.fact").append()
    asked.by(difference.stage_difference, difference, spark, PUBLISHED, None)
    messages, offsets = spark.createDataFrame([], MESSAGES), DayOffsets.of("events", DAY, {})
    asked.by(user_events.ingest, user_events, spark, messages, offsets)

    found = {module: {*names} for module, names in asked.names.items()}
    assert all(found.values())
    of_runs = {publish: 1, lists: 4, gate: 1, impressions: 1}
    assert {each: len(found[each]) / len(RUNS) for each in of_runs} == of_runs, (
        "two runs, one table"
    )
    assert [name for names in found.values() for name in names if not NAME.fullmatch(name)] == []
    source = Path(tables.__file__).parents[1]
    staging = {path for path in source.rglob("*.py") if "write_staged(" in path.read_text()}
    assert staging == {Path(str(each.__file__)) for each in (tables, *found)}, "not asked"
