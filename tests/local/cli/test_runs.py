"""A chain is followed along the assets that Airflow has read: who is waited for, and when it has succeeded."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from rich.console import Console

from feira_local.cli.runs import chain_table
from feira_local.stack import chains
from feira_local.stack.airflow_api import AirflowApi, AssetGraph, DagRun, TaskState
from feira_local.stack.chains import Chain, follow, start
from feira_local.stack.errors import StackError

DAY = date(2010, 12, 1)
GRAPH = AssetGraph(
    {
        "sales_etl": {"emit": {"sales_fact": frozenset({"sales_summary"})}},
        "sales_summary": {"build_marts": {"sales_summary": frozenset()}},
    }
)
LONGER = AssetGraph(
    {
        **GRAPH.listeners,
        "sales_summary": {"build_marts": {"sales_summary": frozenset({"countries", "lists"})}},
        "countries": {"export": {"countries": frozenset()}},
    }
)


def made(dag_id: str, state: str) -> DagRun:
    return DagRun(dag_id, f"run of {dag_id}", state, str(DAY))


def tasks(**states: str | None) -> list[TaskState]:
    return [TaskState(name, state, 1, 1.0, None) for name, state in states.items()]


@pytest.mark.parametrize(
    ("states", "run", "succeeded"),
    [
        (
            {"build_marts": "success", "report": "success", "notify_mail": "success"},
            "success",
            True,
        ),
        ({"build_marts": "success", "report": "success", "notify_mail": "failed"}, "failed", True),
        ({"build_marts": "success", "report": "failed"}, "failed", True),
        ({"build_marts": "failed", "report": "upstream_failed"}, "failed", False),
        ({"build_marts": "running"}, "running", False),
    ],
)
def test_a_notification_that_failed_is_no_failure_of_the_data(
    states: dict[str, str], run: str, succeeded: bool
) -> None:
    chain = Chain(DAY, [made("sales_etl", "success"), made("sales_summary", run)], GRAPH)
    chain.states = {"sales_etl": tasks(emit="success"), "sales_summary": tasks(**states)}
    assert chain.succeeded == succeeded


class Airflow(AirflowApi):
    """Answers each look with what stands next in its script."""

    def __init__(self, graph: AssetGraph, *looks: dict[str, tuple[str, list[TaskState]]]) -> None:
        self.base = "http://airflow"
        self.graph, self.looks = graph, [*looks]
        self.now: dict[str, tuple[str, list[TaskState]]] = {}
        self.halves: dict[str, list[str]] = {}
        self.paused: set[str] = set()

    def waiting(self) -> dict[str, list[str]]:
        return self.halves

    def is_paused(self, dag_id: str) -> bool:
        return dag_id in self.paused

    def asset_graph(self) -> AssetGraph:
        return self.graph

    def trigger(self, dag_id: str, partition_key: str | None, conf: dict[str, Any]) -> DagRun:
        return DagRun(dag_id, f"run of {dag_id}", "queued", partition_key)

    def run(self, dag_id: str, run_id: str) -> DagRun:
        if dag_id == "sales_etl":
            self.now = self.looks.pop(0) if self.looks else self.now
        return made(dag_id, self.now[dag_id][0])

    def tasks(self, run: DagRun) -> list[TaskState]:
        return self.now[run.dag_id][1]

    def consumers(self, dag_id: str, source: DagRun) -> list[DagRun]:
        return [made(dag_id, self.now[dag_id][0])] if dag_id in self.now else []

    def failure(self, run: DagRun) -> tuple[str, str] | None:
        return next((t.task_id, "why") for t in self.now[run.dag_id][1] if t.state == "failed")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "_POLL_SECONDS", 0)


def test_a_chain_goes_on_through_every_dag_that_its_events_set_off() -> None:
    emitted = ("running", tasks(emit="success", drop_staging="running"))
    done = ("success", tasks(emit="success", drop_staging="success"))
    built = ("success", tasks(build_marts="success", report="success"))
    api = Airflow(
        LONGER,
        {"sales_etl": ("running", tasks(emit=None))},
        {"sales_etl": emitted},
        {"sales_etl": emitted, "sales_summary": ("running", tasks(build_marts="running"))},
        {"sales_etl": done, "sales_summary": built},
    )
    chain = start(api, "sales_etl", DAY)
    for _ in range(4):
        assert not chain.finished and not chain.succeeded
        chains.refresh_all(api, [chain])
    assert [run.dag_id for run in chain.runs] == ["sales_etl", "sales_summary"]
    # The marts' event is out, and neither of its listeners has a run yet.
    assert set(chain.awaited) == {"countries", "lists"} and not chain.finished
    api.now |= {
        "countries": ("success", tasks(export="success")),
        "lists": ("failed", tasks(publish="failed")),
    }
    follow(api, [chain], timeout=5)
    assert {run.dag_id: run.state for run in chain.runs} == {
        "sales_etl": "success",
        "sales_summary": "success",
        "countries": "success",
        "lists": "failed",
    }
    assert chain.failure == ("publish", "why") and not chain.succeeded


def test_a_producer_that_fails_before_its_event_ends_the_chain() -> None:
    api = Airflow(LONGER, {"sales_etl": ("failed", tasks(land="failed", emit="upstream_failed"))})
    chain = start(api, "sales_etl", DAY)
    follow(api, [chain], timeout=5)
    assert [run.dag_id for run in chain.runs] == ["sales_etl"]
    assert chain.failure == ("land", "why") and not chain.succeeded


def test_a_listener_that_airflow_reads_while_the_chain_runs_is_waited_for() -> None:
    api = Airflow(
        AssetGraph({"sales_etl": {"emit": {"sales_fact": frozenset()}}}),
        {"sales_etl": ("success", tasks(emit="success"))},
    )
    chain = start(api, "sales_etl", DAY)
    api.graph = GRAPH
    chains.refresh_all(api, [chain])
    assert set(chain.awaited) == {"sales_summary"} and not chain.finished and not chain.succeeded
    api.now |= {"sales_summary": ("success", tasks(build_marts="success"))}
    follow(api, [chain], timeout=5)
    assert chain.succeeded and chain.last.dag_id == "sales_summary"


def test_no_day_begins_that_would_leave_airflow_with_too_many_waiting_partitions() -> None:
    days = [str(date(2012, 1, 1) + timedelta(days=n)) for n in range(399)]
    api = Airflow(LONGER)
    api.halves = {"both": days}
    assert start(api, "sales_etl", DAY).producer.partition_key == str(DAY)
    api.halves = {"both": days, "other": ["2013-06-01"]}
    with pytest.raises(StackError, match=rf"{DAY} .* 500 .*both has 399 .*2012-01-01 .*/dags/both"):
        start(api, "sales_etl", DAY)
    # A day that waits already adds none, and may be what ends the waiting.
    assert start(api, "user_events", date(2012, 1, 1)).producer.partition_key == "2012-01-01"
    # A paused DAG takes no more of them.
    api.paused = {"both", "other"}
    assert start(api, "sales_etl", DAY).producer.partition_key == str(DAY)


class Answers(AirflowApi):
    """Airflow's own answers, as its REST API gives them."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        answer = self.answers[path]
        if path != "assets":
            return answer
        first = arguments["params"]["offset"]
        return {"assets": answer[first : first + 100], "total_entries": len(answer)}


def test_only_a_dag_that_one_event_sets_off_is_waited_for() -> None:
    def dag(paused: bool, expression: dict[str, Any]) -> dict[str, Any]:
        return {"is_paused": paused, "asset_expression": expression}

    one = {"asset": {"name": "a"}}
    listening = ["alone", "either", "both", "paused"]
    graph = Answers(
        {
            "assets": [
                # Airflow gives a hundred at once.
                *[{"name": "b", "scheduled_dags": [], "producing_tasks": []}] * 100,
                {
                    "name": "a",
                    "scheduled_dags": [{"dag_id": name} for name in listening],
                    "producing_tasks": [{"dag_id": "p", "task_id": "t"}],
                },
            ],
            "dags/alone/details": dag(False, one),
            "dags/either/details": dag(False, {"any": [one, one]}),
            "dags/both/details": dag(False, {"all": [one, one]}),
            "dags/paused/details": dag(True, one),
        }
    ).asset_graph()
    assert graph.set_off("p", "t") == {"alone", "either"}
    assert (graph.emitters("p"), graph.assets("p")) == ({"t"}, ["a"])
    assert (graph.emitters("alone"), graph.set_off("alone", "t")) == (frozenset(), frozenset())


@pytest.mark.parametrize("width", [40, 80, 120, 400])
def test_a_task_and_its_seconds_stay_on_one_line(width: int) -> None:
    names = ["wait_for_api", "land", "validate", "load_warehouse", "reconcile", "build_marts"]
    chain = Chain(DAY, [made("sales_etl", "running")], GRAPH, seconds=1799.0)
    chain.states = {"sales_etl": tasks(**dict.fromkeys(names, "success"), emit="running")}
    console = Console(width=width)
    with console.capture() as captured:
        console.print(chain_table([chain], console.width))
    shown = captured.get()
    assert all(f"✔ {name} 1.0s" in shown for name in names)
    assert "● emit" in shown
    assert max(map(len, shown.splitlines())) <= width
