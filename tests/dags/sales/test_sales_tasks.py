"""The tasks of sales_etl without their work: what each opens, asks for and returns, and how it fails.

`test_sales_chain` runs them for good. Here their steps are replaced, so that what only a task decides is
asked alone and in a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.context import set_current_context

from feira.core.errors import PermanentError
from feira.core.lineage import Dataset, Step
from feira.core.settings import LakeSettings
from feira.sales.published import PUBLISHED
from feira_airflow.sales import tasks
from feira_spark.core import day as published_day
from feira_spark.sales import day, steps
from feira_spark.sales.steps import GateError

DAY = date(2010, 12, 1)
LANDED = day.Landed("s3://lake/manifest.json", 2, 10)
EXTRACTED = day.Extracted("s3://lake/metadata.json", "s3://lake/manifest.json", 2)
STAGED = "lake.staging.sales_fact_changes_0a1b"
LOADED = published_day.Loaded("7", 2, 3, 2, 1, 10, STAGED)
RESULTS: dict[str, Any] = {
    "land": LANDED,
    "validate": day.Validated("s3://lake/validation.json", 9, 1),
    "transform": EXTRACTED,
    "publish": published_day.Published("s3://lake/fact.json", "7", 3, 2, 1),
    "load_warehouse": LOADED,
    "reconcile": published_day.Agreed("7", 1, 10, {"revenue": "12.3400"}),
}
# What a task is given of those before it.
GIVEN: dict[str, tuple[dict[str, Any], ...]] = {
    "validate": ({"manifest": "s3://lake/manifest.json", "landing_version": 2, "lines": 10},),
    "load_warehouse": (
        {
            "order_lines": "s3://lake/metadata.json",
            "manifest": "s3://lake/manifest.json",
            "landing_version": 2,
        },
        {
            "metadata": "s3://lake/fact.json",
            "snapshot_id": "7",
            "inserted": 3,
            "updated": 2,
            "deleted": 1,
        },
    ),
    "reconcile": (
        {
            "snapshot_id": "7",
            "landing_version": 2,
            "inserted": 3,
            "updated": 2,
            "deleted": 1,
            "day_rows": 10,
            "staged": STAGED,
        },
    ),
}
GIVEN["drop_staging"] = GIVEN["reconcile"]


class Task:
    """Runs a task in a run of a day; notes what its step was called with, and what is open then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open: list[str] = []
        self.called: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[str, ...]]] = []
        self.failure: Exception | None = None
        monkeypatch.setattr(tasks, "spark_session", self._opened("spark"))
        monkeypatch.setattr(tasks, "warehouse", self._opened("warehouse"))
        monkeypatch.setattr(tasks, "lake_settings", lambda conn_id: f"lake at {conn_id}")
        monkeypatch.setattr(
            "feira_airflow.sales.shop_api.ShopApiHook", lambda conn_id: f"API at {conn_id}"
        )
        for name, result in RESULTS.items():
            of = day if hasattr(day, name) else published_day
            monkeypatch.setattr(of, name, self._step(name, result))
        monkeypatch.setattr(steps, "drop_staging", self._step("drop_staging", ["a", "b"]))

    def run(self, name: str, try_number: int = 1, run_id: str = "manual__1", **params: Any) -> Any:
        run: Any = SimpleNamespace(run_id=run_id, partition_key=str(DAY))
        context: Any = {
            "dag_run": run,
            "run_id": run_id,
            "params": params,
            "ti": SimpleNamespace(run_id=run_id, try_number=try_number),
        }
        with set_current_context(context):
            task: Callable[..., Any] = getattr(tasks, name)
            return task(*GIVEN.get(name, ()))

    def _opened(self, name: str) -> Any:
        @contextmanager
        def opened() -> Iterator[str]:
            self.open.append(name)
            yield name
            self.open.remove(name)

        return opened

    def _step(self, name: str, result: Any) -> Any:
        def step(*given: Any, **named: Any) -> Any:
            self.called.append((name, given, named, tuple(self.open)))
            if self.failure is not None:
                raise self.failure
            return result

        return step


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Task:
    return Task(monkeypatch)


LAKE = "lake at lake_default"
ASKED: dict[str, tuple[tuple[Any, ...], dict[str, Any], tuple[str, ...]]] = {
    "validate": (("spark", LAKE, LANDED), {}, ("spark",)),
    "transform": (("spark", LAKE, DAY), {}, ("spark",)),
    "publish": (("spark", PUBLISHED, DAY), {"attempt": "manual__1_1"}, ("spark",)),
    "load_warehouse": (
        ("spark", "warehouse", LAKE, PUBLISHED, EXTRACTED.manifest, "7"),
        {},
        ("spark", "warehouse"),
    ),
    "reconcile": (("spark", "warehouse", PUBLISHED, DAY, LOADED), {}, ("spark", "warehouse")),
    "drop_staging": (("spark", DAY, STAGED), {}, ("spark",)),
}


@pytest.mark.parametrize("name", ASKED)
def test_a_task_asks_its_step_for_its_day_and_returns_what_it_says(task: Task, name: str) -> None:
    returned = task.run(name)
    assert task.called == [(name, *ASKED[name])]
    assert returned == (vars(RESULTS[name]) if name in RESULTS else {"dropped": 2})
    assert task.open == []


@pytest.mark.parametrize(
    ("params", "refetch"),
    [
        ({}, False),
        ({"refetch": False}, False),
        ({"refetch": None}, False),
        ({"refetch": True}, True),
    ],
)
def test_a_run_lands_anew_only_where_it_is_asked_to(
    task: Task, params: dict[str, Any], refetch: bool
) -> None:
    assert task.run("land", **params) == vars(LANDED)
    ((name, given, named, opened),) = task.called
    assert (name, given, opened) == ("land", ("API at shop_api", LAKE, DAY), ())
    assert (named["refetch"], named["requested_by"]) == (refetch, "manual__1")
    named["progress"](5, 10)


def test_each_try_of_each_run_publishes_by_a_name_of_its_own(task: Task) -> None:
    for run_id, try_number in (("manual__1", 1), ("manual__1", 2), ("manual__2", 1)):
        task.run("publish", try_number, run_id)
    assert len({named["attempt"] for _, _, named, _ in task.called}) == 3


@pytest.mark.parametrize("name", [*RESULTS, "drop_staging"])
@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (GateError("sales 2010-12-01: 5.9 % of 17 lines"), AirflowFailException),
        (PermanentError("sales 2010-12-01: drift"), AirflowFailException),
        (ConnectionError("sales 2010-12-01: away"), ConnectionError),
    ],
)
def test_what_a_step_raises_fails_its_task_and_only_what_may_pass_is_tried_again(
    task: Task, name: str, failure: Exception, raised: type[Exception]
) -> None:
    task.failure = failure
    with pytest.raises(raised, match=r"^sales 2010-12-01: ") as found:
        task.run(name)
    assert str(found.value) == str(failure)


def test_nothing_is_loaded_where_nobody_knows_what_was_published(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract, _ = GIVEN["load_warehouse"]
    for gone in (None, {"metadata": "s3://lake/fact.json"}):
        monkeypatch.setitem(GIVEN, "load_warehouse", (extract, gone))
        with pytest.raises(AirflowFailException, match=r"no snapshot_id of publish: .* Clear "):
            task.run("load_warehouse")
    assert task.called == []


def test_a_run_ends_with_the_snapshot_that_was_agreed(
    task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    GIVEN["emit"] = (vars(RESULTS["reconcile"]),)
    with caplog.at_level("INFO"):
        assert task.run("emit") is None
    assert "sales_fact[2010-12-01] at snapshot 7" in caplog.text


def test_what_the_tasks_report_of_lineage_leads_from_the_api_to_the_warehouse(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    described: dict[str, Step] = {}
    lake = LakeSettings(root="s3://lake", catalog_uri="postgresql://c/d")
    api = SimpleNamespace(base_url="http://shop", get_conn=lambda: None)
    info = SimpleNamespace(host="db", port=5432, dbname="warehouse", server_version=180000)
    monkeypatch.setattr(tasks, "lake_settings", lambda conn_id: lake)
    monkeypatch.setattr("feira_airflow.sales.shop_api.ShopApiHook", lambda conn_id: api)
    monkeypatch.setattr(tasks, "warehouse", lambda: nullcontext(SimpleNamespace(info=info)))
    for name in ("land", "validate", "transform", "publish", "load_warehouse"):
        monkeypatch.setattr(
            tasks,
            "report_lineage",
            lambda describe, name=name: described.update({name: describe()}),
        )
        task.run(name)
    made = {of: step.inputs for step in described.values() for of in step.outputs}
    reached, left = set(), [Dataset("postgres://db:5432", "warehouse.sales.fact")]
    while left:
        reached.add(left[-1])
        left += made.get(left.pop(), ())
    assert {each.name for each in reached} >= {"sales", "fx", "landing/sales", "tables/sales/fact"}
