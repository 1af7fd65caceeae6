"""The DAG of recommendations: its tasks without their work, and when Airflow runs it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.api_fastapi.core_api.routes.ui.partitioned_dag_runs import (
    get_pending_partitioned_dag_run,
)
from airflow.api_fastapi.core_api.services.public.assets import serialize_asset_events
from airflow.models.asset import AssetEvent
from airflow.sdk.execution_time.context import set_current_context
from airflow.utils.session import create_session
from pydantic import ValidationError
from sqlalchemy import select
from wiring_deployment import Deployment, Run

from feira_airflow.core.xcom import check
from feira_airflow.recommendations import tasks
from feira_local.stack.airflow_api import missing_assets
from feira_spark.recommendations import day

DAY = date(2010, 12, 1)
DAGS = Path(__file__).resolve().parents[3] / "airflow" / "dags"
EMITTERS = """
from airflow.sdk import dag, task
from feira_airflow.core.partitions import DAYS
from feira_airflow.sales.pipeline import FACT
from feira_airflow.user_events.pipeline import EVENTS

def nothing():
    pass

for name, asset in (("sales", FACT), ("events", EVENTS)):
    @dag(dag_id=name, schedule=DAYS.produced())
    def made():
        task(task_id="emit", outlets=[asset])(nothing)()
    made()
"""


def test_the_features_task_returns_what_it_read_and_made(
    named_spark: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = ("user_features", "item_features", "user_categories")
    done = day.Features(
        sources=dict.fromkeys(("sales.fact", "sales.order_lines", "web.user_events"), 2**63 - 1),
        snapshots={f"recommendations.{name}": 2**63 - 1 for name in tables},
        rows={f"recommendations.{name}": 10**9 for name in tables},
    )
    given = []

    def features(*arguments: Any) -> day.Features:
        given.append(arguments)
        return done

    monkeypatch.setattr(day, "features", features)
    context: Any = {"dag_run": SimpleNamespace(run_id="asset__1", partition_key=str(DAY))}
    with set_current_context(context):
        returned = tasks.features()
    assert returned == vars(done)
    assert given == [("spark", DAY)]
    check(returned)


def test_a_day_runs_once_it_has_both_events_whichever_comes_first(
    deploy: Callable[[Path], Deployment], tmp_path: Path
) -> None:
    (tmp_path / "emitters.py").write_text(EMITTERS)
    for name in ("recommendations", "sales_summary"):
        shutil.copy(DAGS / f"{name}.py", tmp_path)
    airflow = deploy(tmp_path)
    assert not airflow.import_errors
    one, two, three = "2010-12-01", "2010-12-02", "2010-12-03"
    for dag_id, key in (("sales", one), ("events", two), ("sales", one)):
        airflow.run(dag_id, key)
        airflow.tick()
    assert airflow.runs("recommendations") == []
    # Who hears sales alone waits for nothing else.
    assert airflow.runs("sales_summary") == [Run(one, 1), Run(one, 1)]
    airflow.run("events", one)
    airflow.tick()
    assert airflow.runs("recommendations") == [Run(one, 3)]
    airflow.run("sales", two)
    airflow.tick()
    airflow.run("sales", two)
    airflow.tick()
    assert airflow.runs("recommendations") == [Run(one, 3), Run(two, 2)]
    # Why runs may not stay queued: Airflow cannot say what their events have made.
    with create_session() as session:
        latest = session.scalars(select(AssetEvent).where(AssetEvent.partition_key == two)).all()
        with pytest.raises(ValidationError, match="start_date"):
            serialize_asset_events(latest, session=session)
    # Why a deployment without user events pauses it: what waits takes the place of what could run.
    assert airflow.scheduler._max_partition_dag_runs_per_loop == 500
    airflow.scheduler._max_partition_dag_runs_per_loop = 1
    airflow.run("sales", three)
    airflow.tick()
    assert Run(three, 1) not in airflow.runs("sales_summary")
    # `feira run sales` does not wait for a day that lacks the other asset.
    with create_session() as session:
        pending = get_pending_partitioned_dag_run("recommendations", three, session)
    assert missing_assets(pending.model_dump(mode="json")) == ("user_events",)


def test_the_tasks_are_this_graph(dags: dict[str, Any]) -> None:
    dag = dags["recommendations"]
    assert {task.task_id: set(task.downstream_task_ids) for task in dag.tasks} == {
        "features": {"interactions", "lists", "measure"},
        "interactions": {"lists"},
        "lists": {"write_lists"},
        "write_lists": {"emit", "gate", "impressions", "measure", "publish"},
        "impressions": {"gate", "measure"},
        "gate": {"publish"},
        "publish": {"emit"},
        "measure": {"prune"},
        "prune": set(),
        "emit": set(),
    }
    assert {task.task_id for task in dag.tasks if task.outlets} == {"emit"}
    assert {task.max_active_tis_per_dag for task in dag.tasks} == {1}
