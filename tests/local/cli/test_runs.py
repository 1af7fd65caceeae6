"""A chain is followed along the assets that Airflow has read: who is waited for, and when it has succeeded."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from feira_local.cli import runs
from feira_local.cli.day_report import DayReport
from feira_local.cli.runs import chain_table, waiting_lines
from feira_local.stack import chains
from feira_local.stack.airflow_api import AirflowApi, AssetGraph, DagRun, TaskState, missing_assets
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
        self.lacking: dict[str, tuple[str, ...]] = {}
        self.paused: set[str] = set()

    def waiting(self) -> dict[str, list[str]]:
        return self.halves

    def is_paused(self, dag_id: str) -> bool:
        return dag_id in self.paused

    def missing(self, dag_id: str, partition_key: str) -> tuple[str, ...]:
        return self.lacking.get(dag_id, ()) if partition_key == str(DAY) else ("another day's",)

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


def pending(expression: dict[str, Any], **received: bool) -> dict[str, Any]:
    assets = [{"asset_name": name, "received": had} for name, had in received.items()]
    return {"asset_expression": expression, "assets": assets}


A, B, C = ({"asset": {"name": name, "uri": f"feira://{name}"}} for name in "abc")


@pytest.mark.parametrize(
    ("expression", "received", "missing"),
    [
        ({"all": [A, B]}, {"a": True, "b": False}, ("b",)),
        ({"all": [A, B, C]}, {"a": False, "b": True, "c": False}, ("a", "c")),
        ({"all": [A, B]}, {"a": True, "b": True}, ()),
        ({"any": [A, B]}, {"a": True, "b": False}, ()),
        ({"any": [{"all": [A, B]}, C]}, {"a": True, "b": False, "c": False}, ("b", "c")),
        ({"any": [{"all": [A, B]}, C]}, {"a": False, "b": False, "c": True}, ()),
        ({"all": [A, {"any": [B, C]}]}, {"a": True, "b": False, "c": True}, ()),
        (A, {"a": True}, ()),
    ],
)
def test_a_partition_waits_for_what_its_expression_lacks(
    expression: dict[str, Any], received: dict[str, bool], missing: tuple[str, ...]
) -> None:
    assert missing_assets(pending(expression, **received)) == missing


def test_airflow_is_asked_which_dags_listen_and_what_a_partition_lacks() -> None:
    listening = ["alone", "both", "paused"]
    api = Answers(
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
            **{f"dags/{name}": {"is_paused": name == "paused"} for name in listening},
            "/ui/pending_partitioned_dag_run/alone": None,
            "/ui/pending_partitioned_dag_run/both": pending({"all": [A, B]}, a=True, b=False),
        }
    )
    graph = api.asset_graph()
    assert graph.set_off("p", "t") == {"alone", "both"}
    assert (graph.emitters("p"), graph.assets("p")) == ({"t"}, ["a"])
    assert (graph.emitters("alone"), graph.set_off("alone", "t")) == (frozenset(), frozenset())
    assert (api.missing("alone", str(DAY)), api.missing("both", str(DAY))) == ((), ("b",))


BOTH = AssetGraph(
    {
        "sales_etl": {"emit": {"sales_fact": frozenset({"sales_summary", "both"})}},
        "sales_summary": {"build_marts": {"sales_summary": frozenset()}},
        "user_events": {"emit": {"user_events": frozenset({"both"})}},
        "both": {"emit": {"lists": frozenset()}},
    }
)


def test_a_dag_of_two_assets_is_followed_where_the_other_one_has_come() -> None:
    api = Airflow(BOTH, {"sales_etl": ("success", tasks(emit="success"))})
    api.now = {"sales_summary": ("running", tasks(build_marts="running"))}
    chain = start(api, "sales_etl", DAY)
    api.looks[0]["sales_summary"] = ("running", tasks(build_marts="running"))
    chains.refresh_all(api, [chain])
    # It has both, and Airflow is about to make its run.
    assert set(chain.awaited) == {"both"} and chain.waits == {}
    api.now |= {
        "sales_summary": ("success", tasks(report="success")),
        "both": ("running", tasks(features="running", emit=None)),
    }
    chains.refresh_all(api, [chain])
    assert not chain.finished and "features" in [task.task_id for task in chain.tasks]
    api.now["both"] = ("failed", tasks(features="failed", emit="upstream_failed"))
    follow(api, [chain], timeout=5)
    assert chain.failure == ("features", "why") and not chain.succeeded


def test_a_dag_whose_other_asset_is_missing_is_not_waited_for_until_it_comes() -> None:
    done = {
        "sales_etl": ("success", tasks(emit="success")),
        "sales_summary": ("running", tasks(build_marts="running")),
    }
    api = Airflow(BOTH, done)
    api.lacking = {"both": ("user_events",)}
    chain = start(api, "sales_etl", DAY)
    chains.refresh_all(api, [chain])
    assert chain.waits == {"both": ("user_events",)} and not chain.finished
    # The other comes while the marts are built.
    api.lacking = {}
    chains.refresh_all(api, [chain])
    assert chain.waits == {} and set(chain.awaited) == {"both"}
    api.now = done | {
        "sales_summary": ("success", tasks(build_marts="success")),
        "both": ("success", tasks(emit="success")),
    }
    follow(api, [chain], timeout=5)
    assert chain.last.dag_id == "both" and chain.succeeded


def test_a_chain_ends_where_the_other_asset_does_not_come() -> None:
    api = Airflow(BOTH, {"sales_etl": ("success", tasks(emit="success"))})
    api.lacking = {"both": ("user_events",), "sales_summary": ("x",)}
    chain = start(api, "sales_etl", DAY)
    follow(api, [chain], timeout=5)
    assert chain.succeeded and chain.waits == api.lacking


def waiting(day: date, **waits: tuple[str, ...]) -> Chain:
    return Chain(day, [made("sales_etl", "success")], BOTH, waits=waits)


def test_what_a_day_waits_for_is_named_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FEIRA_HOME", str(tmp_path))
    monkeypatch.delenv("FEIRA_WITHOUT", raising=False)
    second = DAY + timedelta(days=1)
    (line,) = waiting_lines([waiting(DAY, both=("user_events",))])
    assert line.startswith(f"{DAY}: both waits for user_events.")
    assert f"`feira run user_events --day {DAY}`" in line
    lines = waiting_lines([waiting(day, both=("user_events",)) for day in (DAY, second)])
    assert len(lines) == 1 and f"`feira backfill user_events {DAY}..{second}`" in lines[0]
    # One that nobody starts comes with what it follows from.
    (line,) = waiting_lines([waiting(DAY, weekly=("sales_summary",))])
    assert f"`feira run sales --day {DAY}`" in line
    assert waiting_lines([waiting(DAY)]) == []
    monkeypatch.setenv("FEIRA_WITHOUT", "kafka")
    (line,) = waiting_lines([waiting(DAY, both=("user_events",))])
    assert "without kafka" in line and "feira run" not in line
    # A broker of your own takes its place.
    own = tmp_path / "connections.yaml"
    own.write_text("kafka_default: {conn_type: kafka, extra: {bootstrap.servers: 'k:1'}}")
    own.chmod(0o600)
    (line,) = waiting_lines([waiting(DAY, both=("user_events",))])
    assert "feira run user_events" in line


def test_tasks_of_one_name_in_two_dags_are_each_shown(capsys: pytest.CaptureFixture[str]) -> None:
    chain = Chain(DAY, [made("user_events", "success"), made("both", "failed")], BOTH)
    chain.states = {"user_events": tasks(emit="success"), "both": tasks(emit="failed")}
    shown: set[tuple[date, str, int]] = set()
    for _ in range(2):
        runs._print_ended_tries([chain], shown)
    assert capsys.readouterr().out.splitlines() == [
        f"{DAY} user_events.emit success (1.0 s)",
        f"{DAY} both.emit failed (1.0 s)",
    ]
    report = DayReport(DAY, None, None, {}, None, None, None, {}, None, None, {})
    found = runs._as_json(chain, report)
    assert found["tasks"] == {"user_events.emit": "success", "both.emit": "failed"}


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
