"""The step that publishes: from the version's file in the lake to Valkey and to the file that the API reads."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.context import set_current_context

from feira.core.lake import lake_files
from feira.core.settings import LakeSettings
from feira.recommendations.lists import interactions_of
from feira.recommendations.publish import versions
from feira.recommendations.segments import Segments
from feira.recommendations.serving import baked
from feira.recommendations.serving.store import StoreError
from feira.recommendations.versions import ListStore
from feira_airflow.core.xcom import check
from feira_airflow.recommendations import tasks
from valkey_server import InSegments, Lists, ValkeyServer, published, published_segments

BOUGHT = [("1", "x"), ("1", "y"), ("2", "x"), ("2", "y"), ("2", "z"), ("3", "x")]
DAY = date(2010, 12, 2)
PASSED = {"verdict": "passed", "publish": True}


pytestmark = pytest.mark.usefixtures("settings", "empty_valkey")


def made(settings: LakeSettings, day: date, bought: list[tuple[str, str]] = BOUGHT) -> Any:
    """A version that is finished, as the step before returns it."""
    store = ListStore(lake_files(settings), settings.root)
    columns = {
        "user_id": [user for user, _ in bought],
        "sku": [sku for _, sku in bought],
        "order_date": pa.array([day] * len(bought), pa.date32()),
    }
    version = store.claim(day, f"run of {day}", {})
    users = pa.table({"user_id": ["2", "looks"], "segment": ["BAG", "BAG"]})
    known = Segments(users, pa.table({"sku": ["x", "z"], "category": ["BAG", "BAG"]}))
    finished = store.make(version, interactions_of([pa.record_batch(columns)]), known)
    return {"version": version.version, "parquet": finished.parquet, "rows": finished.rows}


def run(listed: Any, gate: Any = None) -> dict[str, Any]:
    context: Any = {"dag_run": SimpleNamespace(run_id="r", partition_key=str(DAY)), "run_id": "r"}
    with set_current_context(context):
        returned = tasks.publish(listed, gate or PASSED | {"version": listed["version"]})
    check(returned)
    return returned


def in_the_lake(listed: Any) -> Lists:
    """The version's file, read row by row."""
    found: dict[tuple[str, str], list[tuple[str, str, str | None]]] = {}
    for row in pq.read_table(listed["parquet"].removeprefix("file://")).to_pylist():
        if row["segment"] is not None:
            continue
        place = found.setdefault((row["slot"], row["user_id"]), [])
        place.append((row["item"], row["reason"], row["reason_item"]))
    return found


def file_of(settings: LakeSettings) -> dict[str, Any]:
    text = Path(baked.served_path(settings.root).removeprefix("file://")).read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def test_the_lists_of_the_lake_are_served_and_that_for_everyone_is_in_the_file(
    server: ValkeyServer, settings: LakeSettings
) -> None:
    listed = made(settings, DAY)
    done = run(listed)
    lists = in_the_lake(listed)
    assert {("again", "1"), ("new", ""), ("new", "3")} <= lists.keys()
    with server.client() as client:
        assert published(client, "2010-12-02-001") == lists
        assert client.mget("reco:live", "reco:kept") == [b"2010-12-02-001"] * 2
        in_segments = published_segments(client, "2010-12-02-001")
    assert in_segments == InSegments({"BAG": ["x", "z"]}, {"looks": "BAG"})
    assert (done["version"], done["served"]) == ("2010-12-02-001", "2010-12-02-001")
    assert done["lists"] == len(lists) + 1
    everyone = [item for item, _, _ in lists["new", ""]]
    assert file_of(settings) == {"version": "2010-12-02-001", "everyone": {"new": everyone}}
    assert run(listed) == done


def test_lists_of_an_older_day_neither_replace_a_newer_ones_nor_their_file(
    server: ValkeyServer, settings: LakeSettings
) -> None:
    run(made(settings, DAY))
    done = run(made(settings, date(2010, 12, 1), [*BOUGHT, ("4", "w")]))
    assert (done["version"], done["served"]) == ("2010-12-01-001", "2010-12-02-001")
    assert file_of(settings)["version"] == "2010-12-02-001"
    with server.client() as client:
        assert [each.version for each in versions(client)] == ["2010-12-02-001"]


def test_what_the_gate_does_not_let_through_is_not_published(
    server: ValkeyServer, settings: LakeSettings
) -> None:
    listed = made(settings, DAY)
    waits = {"version": listed["version"], "verdict": "not_enough_to_tell", "publish": False}
    other = PASSED | {"version": "2010-12-02-002"}
    for gate in (waits, other):
        done = run(listed, gate)
        assert (done["served"], done["lists"]) == (None, 0)
    with server.client() as client:
        assert client.dbsize() == 0
    assert not Path(baked.served_path(settings.root).removeprefix("file://")).exists()


def test_a_day_before_anything_was_bought_leaves_what_is_served(
    server: ValkeyServer, settings: LakeSettings
) -> None:
    done = run(made(settings, DAY, []))
    assert (done["served"], done["lists"]) == (None, 0)
    with server.client() as client:
        assert client.dbsize() == 0


def test_a_file_that_was_cut_is_not_published_and_not_tried_again(
    server: ValkeyServer, settings: LakeSettings
) -> None:
    listed = made(settings, DAY)
    path = Path(listed["parquet"].removeprefix("file://"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(AirflowFailException, match="2010-12-02-001"):
        run(listed)
    with server.client() as client:
        assert client.dbsize() == 0


def test_a_valkey_that_is_down_is_tried_again(server: ValkeyServer, settings: LakeSettings) -> None:
    listed = made(settings, DAY)
    server.kill()
    try:
        with pytest.raises(StoreError, match="does not answer"):
            run(listed)
    finally:
        server.__enter__()
    assert run(listed)["served"] == "2010-12-02-001"
