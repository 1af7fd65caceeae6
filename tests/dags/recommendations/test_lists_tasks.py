"""The steps of recommendations that make lists: what each is given and returns, and what a retry makes again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.context import set_current_context

from feira.core import lake
from feira.core.settings import LakeSettings
from feira.recommendations.versions import ListStore
from feira.user_events.offsets import DayOffsets
from feira_airflow.core.xcom import check
from feira_airflow.recommendations import tasks
from feira_spark.recommendations import day as features_of
from feira_spark.recommendations import impressions
from feira_spark.recommendations import lists as steps

DAY = date(2010, 12, 1)
FEATURES = {
    "sources": dict.fromkeys(("sales.fact", "sales.order_lines", "web.user_events"), 2**63 - 1),
    "snapshots": {"recommendations.user_features": 2**63 - 1},
    "rows": {},
}
# Of more partitions than XCom takes.
RANGES = {number: (3 * number, 7_000_000_000 + number) for number in range(1_000)}
STAGED = {
    "interactions": "file:///staged.json",
    "segments": "file:///segments.json",
    "categories": "file:///categories.json",
    "names": "file:///names.json",
    "rows": 2,
}


pytestmark = pytest.mark.usefixtures("settings", "named_spark", "recorded")


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Of which days, at which snapshots, it was asked what their events were read from."""
    asked: list[Any] = []

    def found(*of: Any) -> DayOffsets:
        asked.append(of)
        return DayOffsets.of("user_events", DAY, RANGES)

    monkeypatch.setattr(features_of, "recorded", found)
    return asked


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was read of what was staged."""
    found: list[Any] = []

    columns: dict[str, dict[str, Any]] = {
        "interactions": {"user_id": ["1", "2"], "sku": ["x", "y"], "order_date": [DAY, DAY]},
        "segments": {"user_id": ["1", "8", "9"], "segment": ["BAG", "MUG", "BAG"]},
        "categories": {"sku": ["x"], "category": ["BAG"]},
        "names": {"sku": ["x", "y"], "name": ["RED BAG", "<b>MUG"]},
    }

    def read(settings: Any, uri: str) -> Iterator[pa.RecordBatch]:
        found.append((settings, uri))
        (name,) = (name for name in columns if STAGED[name] == uri)
        yield pa.record_batch(columns[name])

    monkeypatch.setattr(lake, "read_snapshot", read)
    return found


def run(name: str, *arguments: Any, run_id: str = "asset__1") -> Any:
    context: Any = {
        "dag_run": SimpleNamespace(run_id=run_id, partition_key=str(DAY)),
        "run_id": run_id,
    }
    with set_current_context(context):
        returned = getattr(tasks, name)(*arguments)
    check(returned)
    return returned


def test_interactions_are_staged_at_the_snapshots_of_the_features(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = []

    def stage(*arguments: Any) -> steps.Staged:
        given.append(arguments)
        return steps.Staged(**STAGED)

    monkeypatch.setattr(steps, "stage", stage)
    assert run("interactions", FEATURES) == STAGED
    snapshots = FEATURES["sources"], FEATURES["snapshots"]
    assert given == [("spark", DAY, "asset__1", *snapshots)]


def test_finished_lists_are_not_made_again_by_a_retry_and_another_run_makes_its_own(
    reads: list[Any], settings: LakeSettings
) -> None:
    made = run("lists", FEATURES, STAGED)
    assert made == {"version": "2010-12-01-001", "users": 2, "lists": 6, "rows": 7}
    staged = [STAGED[name] for name in ("segments", "categories", "interactions", "names")]
    assert reads == [(settings, uri) for uri in staged]
    named = pq.read_table(
        f"{settings.root.removeprefix('file://')}/recommendations/2010-12-01-001/names.parquet"
    )
    assert named.to_pydict() == {"sku": ["x", "y"], "name": ["RED BAG", "<b>MUG"]}
    assert run("lists", FEATURES, STAGED) == made
    assert len(reads) == 4
    other = run("lists", FEATURES, STAGED, run_id="asset__2")
    assert other == made | {"version": "2010-12-01-002"}
    # The fact has another snapshot: what is finished is of other sources.
    moved = FEATURES | {"sources": {"sales.fact": 1}}
    assert run("lists", moved, STAGED)["version"] == "2010-12-01-003"
    assert len(reads) == 12


def test_lists_that_were_cut_are_not_written_and_not_tried_again(
    reads: list[Any], recorded: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def write(spark: str, version: Any, finished: Any) -> steps.Listed:
        written.append((spark, version.version, version.sources, finished.rows))
        return steps.Listed(version.version, "m.json", finished.parquet, 2, 6, 7, "0")

    monkeypatch.setattr(steps, "write_lists", write)
    made = run("lists", FEATURES, STAGED)
    listed = run("write_lists", made)
    sources = {
        "sources": FEATURES["sources"],
        "features": FEATURES["snapshots"],
        "offsets": {str(number): [*ends] for number, ends in RANGES.items()},
    }
    assert written == [("spark", "2010-12-01-001", sources, 7)]
    assert recorded == [("spark", DAY, FEATURES["sources"]["web.user_events"])]
    assert (listed["version"], listed["metadata"]) == ("2010-12-01-001", "m.json")
    parquet = tmp_path / "recommendations" / "2010-12-01-001" / "lists.parquet"
    assert listed["parquet"] == f"file://{parquet}"
    parquet.write_bytes(parquet.read_bytes()[:100])
    with pytest.raises(AirflowFailException, match="2010-12-01-001"):
        run("write_lists", made)
    assert len(written) == 1
    # Cleared, the lists are made once more.
    assert run("lists", FEATURES, STAGED) == made
    run("write_lists", made)
    assert len(reads) == 4 * len(written) == 8


@pytest.mark.parametrize("snapshot", [None, 7])
def test_lists_of_a_day_that_was_never_ingested_are_of_no_offsets(
    reads: list[Any], settings: LakeSettings, monkeypatch: pytest.MonkeyPatch, snapshot: int | None
) -> None:
    monkeypatch.setattr(
        features_of,
        "recorded",
        lambda spark, day, at: {7: None}[at] if at else pytest.fail("asked"),
    )
    sources = {"sources": FEATURES["sources"] | {"web.user_events": snapshot}}
    made = run("lists", FEATURES | sources, STAGED)
    version = ListStore(lake.lake_files(settings), settings.root).version(made["version"])
    assert version is not None and version.sources["offsets"] is None


def test_the_impressions_are_staged_for_the_version_and_its_own_sources(
    reads: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = []

    def stage(spark: str, store: Any, version: Any, finished: Any) -> impressions.Impressions:
        staged.append((spark, version.version, version.sources["sources"], finished.rows))
        return impressions.Impressions("lake.staging.t", "s3://lake/i.parquet", 3)

    monkeypatch.setattr(impressions, "stage", stage)
    made = run("lists", FEATURES, STAGED)
    found = run("impressions", made)
    assert found == {"table": "lake.staging.t", "sums": "s3://lake/i.parquet", "count": 3}
    assert staged == [("spark", made["version"], FEATURES["sources"], 7)]


def test_a_run_ends_with_its_version(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        run("emit", {"version": "2010-12-01-001"})
    assert "recommendation_lists[2010-12-01]: 2010-12-01-001" in caplog.text
