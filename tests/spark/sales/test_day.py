"""A day's steps as they are composed, on a lake in a folder and PostgreSQL, without Airflow."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from checkout import copy_checkout
from feira.core.contracts.registry import stored_in
from feira.core.errors import PermanentError, Remedy
from feira.core.lake import landing_store
from feira.core.landing.land import SchemaDriftError
from feira.core.landing.store import LandingError
from feira.core.settings import LakeSettings
from feira.core.warehouse.outcome import day_outcomes
from feira.core.warehouse.reconcile import ReconcileError
from feira.core.warehouse.schema import connect
from feira.sales.published import PUBLISHED
from feira_local.stack.postgres import Dsns
from feira_spark.core import day as published_steps
from feira_spark.core import publish as publishing
from feira_spark.core.difference import UndoneError
from feira_spark.core.tables import current_snapshot, require_tables
from feira_spark.sales import day as steps
from feira_spark.sales.steps import GateError
from sales_lines import FakeFeed, line

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAY = date(2010, 12, 1)
GOOD = [line(line_number=n + 1) for n in range(19)]
BAD = line(line_number=20, quantity=0)


class Day:
    """The day, each of whose steps is given what the one before has said."""

    def __init__(self, spark: SparkSession, lake: LakeSettings, warehouse: Any) -> None:
        self.spark, self.lake, self.warehouse = spark, lake, warehouse
        self.progress: list[tuple[int, int]] = []

    def land(self, lines: list[dict[str, Any]], run: str, *, refetch: bool = False) -> steps.Landed:
        pages = [lines[at : at + 10] for at in range(0, len(lines), 10)]
        return steps.land(
            FakeFeed(pages or [[]]),
            self.lake,
            DAY,
            requested_by=run,
            refetch=refetch,
            progress=lambda *of: self.progress.append(of),
        )

    def rest(self, landed: steps.Landed, attempt: str) -> list[Any]:
        validated = steps.validate(self.spark, self.lake, landed)
        extracted = steps.transform(self.spark, self.lake, DAY)
        published = published_steps.publish(self.spark, PUBLISHED, DAY, attempt=attempt)
        loaded = published_steps.load_warehouse(
            self.spark,
            self.warehouse,
            self.lake,
            PUBLISHED,
            extracted.manifest,
            published.snapshot_id,
        )
        agreed = published_steps.reconcile(self.spark, self.warehouse, PUBLISHED, DAY, loaded)
        return [validated, extracted, published, loaded, agreed]

    def ledger(self) -> list[Any]:
        return self.warehouse.execute(
            "SELECT landing_version, landing_uri, landed_lines, valid_lines, inserted_rows, "
            "updated_rows, deleted_rows, snapshot_id FROM sales.load_ledger ORDER BY load_sequence"
        ).fetchall()


@pytest.fixture
def day(empty_lake: SparkSession, lake: LakeSettings, empty_warehouse: Dsns) -> Iterator[Day]:
    """The tables are the session's, the landings in a folder of their own."""
    own = replace(lake, root=f"{lake.root}/{uuid4().hex}")
    with connect(empty_warehouse.warehouse_loader) as warehouse:
        yield Day(empty_lake, own, warehouse)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh clone of the checkout."""
    copy_checkout(tmp_path)
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.invalid")
    for command in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-qm", "clone")):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


# As README.md says to add `channel`, where it says to: after `country`.
GIFT_NOTE = """\
      - name: gift_note
        logicalType: string
        physicalType: string
        logicalTypeOptions:
          maxLength: 32
        description: A note of the giver.
"""


MIGRATED = """
import json, sys
import conftest, test_day
from feira.core.contracts import ContractError
from feira.core.contracts.dbt import DECLARED, render
from feira.core.contracts.registry import stored_in
from feira.core.settings import LakeSettings
from feira.core.warehouse.schema import connect
from feira_spark.core.migrate import bring_tables_to_contracts

tables, root, jars, dsn = sys.argv[1:]
spark = conftest._own_spark(LakeSettings(root=tables, catalog="hadoop"), jars)
day = test_day.Day(spark, LakeSettings(root=root, catalog="hadoop"), connect(dsn))
landed = day.land(test_day.NAMED, "run-2", refetch=True)
try:
    day.rest(landed, "run_2")
except ContractError as error:
    refused = str(error)
done = bring_tables_to_contracts(spark, day.warehouse, stored_in("lake"), stored_in("warehouse"))
*_, published, loaded, agreed = day.rest(landed, "run_2")
query = "SELECT gift_note, count(*) AS n FROM {} GROUP BY gift_note ORDER BY gift_note NULLS LAST"
print(json.dumps({
    "refused": refused,
    "done": done,
    "published": published.updated,
    "loaded": loaded.updated,
    "agreed": agreed.rows,
    "order_lines": [*map(tuple, spark.sql(query.format("lake.sales.order_lines")).collect())],
    "fact": [*map(tuple, spark.sql(query.format("lake.sales.fact")).collect())],
    "warehouse": day.warehouse.execute(query.format("sales.fact")).fetchall(),
    "dbt": "A note of the giver." in render()[DECLARED / "sales.yml"],
}))
"""
NAMED = [{**each, "gift_note": "web" if n < 10 else None} for n, each in enumerate(GOOD)]


@pytest.mark.slow
def test_a_column_is_one_edit_and_reaches_every_table(
    day: Day, lake: LakeSettings, spark_jars: str, clone: Path, empty_warehouse: Dsns
) -> None:
    day.rest(day.land(GOOD, "run-1"), "run_1")
    with pytest.raises(SchemaDriftError, match="gift_note"):
        day.land(NAMED, "run-2", refetch=True)

    landing = clone / "shared/contracts/sales/sales.landing.odcs.yaml"
    declared = landing.read_text()
    at = declared.index("      - name: created_at\n")
    landing.write_text(declared[:at] + GIFT_NOTE + declared[at:])
    stat = ["git", "diff", "--stat"]
    changed = subprocess.run(stat, cwd=clone, check=True, capture_output=True, text=True).stdout
    assert changed.splitlines()[-1] == " 1 file changed, 6 insertions(+)"

    folders = ("shared/src", "spark/src", "tilt/src", "tests", "tests/spark/sales")
    path = os.pathsep.join(str(clone / folder) for folder in (*folders, "airflow/src"))
    done = subprocess.run(
        [
            *(sys.executable, "-c", MIGRATED, lake.root, day.lake.root),
            *(spark_jars, empty_warehouse.warehouse_loader),
        ],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert "no column gift_note" in found["refused"]
    assert sum("gift_note" in each for each in found["done"]) == 3
    assert (found["published"], found["loaded"], found["agreed"]) == (10, 10, 19)
    for table in ("order_lines", "fact", "warehouse"):
        assert found[table] == [["web", 10], [None, 9]], table
    assert found["dbt"]


@pytest.mark.slow
def test_a_day_goes_from_the_feed_to_the_agreement_and_again_with_what_has_changed(
    day: Day, caplog: pytest.LogCaptureFixture
) -> None:
    require_tables(day.spark, stored_in("lake"))
    day.spark.sql("ALTER TABLE lake.sales.fact CREATE BRANCH publish_2010_11_30_killed_1")
    landed = day.land([*GOOD, BAD], "run-1")
    assert (landed.landing_version, landed.lines) == (1, 20)
    assert day.progress == [(10, 20), (20, 20)]
    store = landing_store(day.lake, "sales")
    assert landed.manifest == store.manifest_uri(DAY, 1)
    manifest = store.manifest(DAY, 1)
    assert manifest is not None and manifest.requested_by == "run-1"
    # The retry of a run takes its own landing, another run the day's.
    assert day.land([*GOOD, BAD], "run-1", refetch=True) == landed
    assert day.land(GOOD, "run-2") == landed

    validated, extracted, published, loaded, agreed = day.rest(landed, "run_1")
    snapshot = str(current_snapshot(day.spark, "sales.fact"))
    assert validated == steps.Validated(store.validation_uri(DAY, 1), 19, 1)
    assert (extracted.manifest, extracted.landing_version) == (landed.manifest, 1)
    assert "/order_lines/" in extracted.order_lines
    assert (published.snapshot_id, published.inserted) == (snapshot, 19)
    assert (published.updated, published.deleted) == (0, 0)
    assert "/fact/" in published.metadata
    held_back = day.spark.table("lake.sales.quarantine").select("landing_version", "landing_order")
    assert [tuple(row) for row in held_back.collect()] == [(1, 19)]
    assert loaded == published_steps.Loaded(snapshot, 1, 19, 0, 0, 19, loaded.staged)
    # 19 × 6 × 2.55 × 1.5547, each line rounded.
    assert agreed == published_steps.Agreed(snapshot, 1, 19, {"revenue": "451.9511"})
    assert day.ledger() == [(1, landed.manifest, 20, 19, 19, 0, 0, int(snapshot))]
    branches = day.spark.sql("SELECT name FROM lake.sales.fact.refs").collect()
    assert [row["name"] for row in branches] == ["main"]

    # Changed at the source: landed anew on request alone; one line new, one changed, one gone.
    changed = [line(line_number=99), {**GOOD[0], "quantity": 7}, *GOOD[1:18]]
    again = day.land(changed, "run-3", refetch=True)
    assert again.landing_version == 2
    validated, _, published, loaded, agreed = day.rest(again, "run_3")
    assert (validated.valid, validated.quarantined) == (19, 0)
    assert (published.inserted, published.updated, published.deleted) == (1, 1, 1)
    assert (loaded.landing_version, loaded.day_rows) == (2, 19)
    assert (loaded.inserted, loaded.updated, loaded.deleted) == (1, 1, 1)
    assert (agreed.snapshot_id, agreed.rows) == (published.snapshot_id, 19)

    assert day_outcomes(day.warehouse, PUBLISHED, [DAY])[DAY].agreed

    # The same again moves nothing and agrees.
    _, _, published, loaded, _ = day.rest(again, "run_4")
    assert published.snapshot_id == loaded.snapshot_id == agreed.snapshot_id
    assert (loaded.inserted, loaded.updated, loaded.deleted) == (0, 0, 0)
    assert len(day.ledger()) == 2

    day.warehouse.execute("UPDATE sales.fact SET amount_usd = amount_usd + 1")
    with pytest.raises(ReconcileError, match=f"{DAY}.*lake 19 rows"):
        published_steps.reconcile(day.spark, day.warehouse, PUBLISHED, DAY, loaded)

    assert "closed day" not in caplog.text
    with caplog.at_level(logging.WARNING):
        assert day.land([], "run-5", refetch=True).lines == 0
    assert f"{DAY}: a closed day" in caplog.text


def test_a_landing_below_the_gate_ends_there_and_no_other_try_is_made(day: Day) -> None:
    landed = day.land([*GOOD[:9], BAD], "run-1")
    with pytest.raises(GateError, match=r"10\.00 % of 10 lines invalid") as refusal:
        steps.validate(day.spark, day.lake, landed)
    assert isinstance(refusal.value, PermanentError)
    assert day.spark.table("lake.sales.quarantine").count() == 1
    with pytest.raises(LandingError, match=r"no landing .*gate"):
        steps.transform(day.spark, day.lake, DAY)


def test_a_landing_that_was_not_validated_is_not_loaded(day: Day) -> None:
    landed = day.land(GOOD, "run-1")
    with pytest.raises(LandingError, match="was not validated"):
        published_steps.load_warehouse(
            day.spark, day.warehouse, day.lake, PUBLISHED, landed.manifest, "1"
        )


def test_a_day_that_was_rolled_back_before_its_load_is_refused_and_loaded_once_it_is_published_again(
    day: Day,
) -> None:
    def published(lines: int, attempt: str) -> tuple[str, published_steps.Published]:
        landed = day.land(GOOD[:lines], attempt, refetch=True)
        steps.validate(day.spark, day.lake, landed)
        steps.transform(day.spark, day.lake, DAY)
        return landed.manifest, published_steps.publish(day.spark, PUBLISHED, DAY, attempt=attempt)

    def load(manifest: str, snapshot: str) -> published_steps.Loaded:
        return published_steps.load_warehouse(
            day.spark, day.warehouse, day.lake, PUBLISHED, manifest, snapshot
        )

    def refused(manifest: str, snapshot: str, main: str) -> None:
        before = day.ledger()
        with pytest.raises(UndoneError) as refusal:
            load(manifest, snapshot)
        for part in ("sales.fact was published as", f"snapshot {snapshot},", f"main is {main},"):
            assert part in str(refusal.value)
        assert (refusal.value.remedy, refusal.value.of) == (Remedy.RUN, ("sales", str(DAY)))
        assert day.ledger() == before

    first, before = published(2, "run_1")
    assert load(first, before.snapshot_id).inserted == 2
    manifest, undone = published(3, "run_2")
    day.spark.sql(
        f"CALL lake.system.rollback_to_snapshot('sales.fact', {before.snapshot_id})"
    ).collect()
    refused(manifest, undone.snapshot_id, before.snapshot_id)

    again = published_steps.publish(day.spark, PUBLISHED, DAY, attempt="run_3")
    assert (load(manifest, again.snapshot_id).inserted, len(day.ledger())) == (1, 2)
    day.spark.sql("DROP TABLE lake.sales.fact")
    require_tables(day.spark, [PUBLISHED.contract])
    refused(manifest, again.snapshot_id, "no snapshot")


def test_a_publish_that_finds_nothing_to_change_is_of_the_snapshot_that_it_compared(
    day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    landed = day.land(GOOD[:2], "run_1")
    *_, first, _, _ = day.rest(landed, "run_1")
    *_, second, _, _ = day.rest(day.land(GOOD[:3], "run_2", refetch=True), "run_2")
    compared = publishing.changes

    def rolled_back(*of: Any) -> Any:
        found = compared(*of).localCheckpoint()
        day.spark.sql(
            f"CALL lake.system.rollback_to_snapshot('sales.fact', {first.snapshot_id})"
        ).collect()
        return found

    monkeypatch.setattr(publishing, "changes", rolled_back)
    done = published_steps.publish(day.spark, PUBLISHED, DAY, attempt="run_3")
    assert (done.inserted, done.snapshot_id) == (0, second.snapshot_id)
    assert current_snapshot(day.spark, "sales.fact") == int(first.snapshot_id)
