"""The few calls of Airflow's REST API that the commands need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from feira_local.stack import access
from feira_local.stack.errors import StackError

FINISHED = ("success", "failed")


@dataclass(frozen=True)
class DagRun:
    """A run: its DAG, id, state and partition key."""

    dag_id: str
    run_id: str
    state: str
    partition_key: str | None

    @property
    def finished(self) -> bool:
        """Whether it will not change by itself any more."""
        return self.state in FINISHED


@dataclass(frozen=True)
class TaskState:
    """One task of a run. ``seconds`` is None until it has run; ``state`` None until it is due;
    ``started`` is ISO 8601 in UTC, None before."""

    task_id: str
    state: str | None
    try_number: int
    seconds: float | None
    started: str | None


@dataclass(frozen=True)
class AssetGraph:
    """Which DAGs an event of a task sets off, as Airflow has read them.

    ``listeners`` has, by DAG and task, the asset that the task emits and the DAGs that hear it, also
    those that wait for another asset; one that is paused is not among them.
    """

    listeners: Mapping[str, Mapping[str, Mapping[str, frozenset[str]]]]

    def emitters(self, dag_id: str) -> frozenset[str]:
        """The tasks of a DAG that emit."""
        return frozenset(self.listeners.get(dag_id, {}))

    def assets(self, dag_id: str) -> list[str]:
        """The names of the assets that a DAG emits."""
        return sorted({name for each in self.listeners.get(dag_id, {}).values() for name in each})

    def set_off(self, dag_id: str, task_id: str) -> frozenset[str]:
        """The DAGs that get a run when the task has succeeded, and no other asset is missing."""
        emitted = self.listeners.get(dag_id, {}).get(task_id, {})
        return frozenset().union(*emitted.values()) if emitted else frozenset()

    def origins(self, asset: str) -> frozenset[str]:
        """The DAGs with whose runs all begins that ends with an event of the asset."""
        found: set[str] = set()
        wanted, seen = [asset], {asset}
        while wanted:
            name = wanted.pop()
            for dag_id in (each for each in self.listeners if name in self.assets(each)):
                heard = {
                    upstream
                    for tasks in self.listeners.values()
                    for emitted in tasks.values()
                    for upstream, listeners in emitted.items()
                    if dag_id in listeners
                }
                if not heard:
                    found.add(dag_id)
                wanted += heard - seen
                seen |= heard
        return frozenset(found)


class AirflowApi:
    """Airflow's REST API on the local stack; raises StackError naming the call and the answer.

    One that is not ``patient`` asks once, for who wants to know how it is now.
    """

    def __init__(self, base: str, token: Callable[[], str], *, patient: bool = True) -> None:
        self.base = base
        self._token = token
        self._session = access.loopback_session()
        # Whoever watches a run goes on through a restart of the API server, for about 15 seconds.
        retries = Retry(
            total=5 if patient else 0,
            backoff_factor=0.5,
            status_forcelist=(500, 502, 503, 504),
            allowed_methods=("GET",),
            raise_on_status=False,
        )
        self._session.mount("http://", HTTPAdapter(max_retries=retries))

    @classmethod
    def local(cls, *, patient: bool = True) -> Self:
        """The running stack's."""
        access.require_running()
        return cls(*access.airflow_api(), patient=patient)

    def trigger(self, dag_id: str, partition_key: str | None, conf: dict[str, Any]) -> DagRun:
        """Makes a run of a partition, or one without where the DAG has none."""
        body = {"logical_date": None, "partition_key": partition_key, "conf": conf}
        return _run(self._call("POST", f"dags/{dag_id}/dagRuns", json=body))

    def unfinished(self, dag_id: str) -> list[tuple[DagRun, dict[str, Any]]]:
        """A DAG's queued and running runs with their configuration, at most 100, oldest first."""
        parameters = {"state": ["queued", "running"], "order_by": "run_after", "limit": 100}
        found = self._call("GET", f"dags/{dag_id}/dagRuns", params=parameters)["dag_runs"]
        return [(_run(item), item.get("conf") or {}) for item in found]

    def run(self, dag_id: str, run_id: str) -> DagRun:
        return _run(self._call("GET", f"dags/{dag_id}/dagRuns/{run_id}"))

    def tasks(self, run: DagRun) -> list[TaskState]:
        """The run's tasks in the order in which they started, then those that have not."""
        path = f"dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances"
        found = self._call("GET", path)["task_instances"]
        tasks = [
            TaskState(
                item["task_id"],
                item["state"],
                item["try_number"],
                item["duration"],
                item["start_date"],
            )
            for item in found
        ]
        return sorted(tasks, key=lambda task: (task.started is None, task.started or ""))

    def last_event(self, asset: str) -> dict[str, str | None]:
        """``partition`` and time (``at``, ISO 8601 in UTC) of an asset's last event; None before the first."""
        asked = {"asset_id": self._asset_id(asset), "order_by": "-timestamp", "limit": 1}
        events = self._call("GET", "assets/events", params=asked) if asked["asset_id"] else {}
        for event in events.get("asset_events", []):
            return {"partition": event["partition_key"], "at": event["timestamp"]}
        return {"partition": None, "at": None}

    def waiting(self) -> dict[str, list[str]]:
        """By DAG the partitions, in their order, of which it has heard some of its assets and not all."""
        # Airflow's own page asks here; its public API has no such list.
        path, asked = "/ui/partitioned_dag_runs", {"has_created_dag_run_id": "false"}
        found: dict[str, list[str]] = {}
        for item in self._call("GET", path, params=asked)["partitioned_dag_runs"]:
            found.setdefault(item["dag_id"], []).append(item["partition_key"])
        return {dag_id: sorted(keys) for dag_id, keys in found.items()}

    def missing(self, dag_id: str, partition_key: str) -> tuple[str, ...]:
        """The assets for which a partition of a DAG waits; none where it has its run, or is about to."""
        asked = {"partition_key": partition_key}
        pending = self._call(
            "GET", f"/ui/pending_partitioned_dag_run/{dag_id}", absent=True, params=asked
        )
        return missing_assets(pending) if pending else ()

    def is_paused(self, dag_id: str) -> bool:
        return bool(self._call("GET", f"dags/{dag_id}")["is_paused"])

    def consumers(self, dag_id: str, source: DagRun) -> list[DagRun]:
        """The runs of a DAG that an event of ``source`` has set off."""
        recent = self._call(
            "GET", f"dags/{dag_id}/dagRuns", params={"order_by": "-run_after", "limit": 20}
        )["dag_runs"]
        return [
            _run(item)
            for item in recent
            if item["partition_key"] == source.partition_key
            # Airflow 3.3 answers 500 to the next question while the run has not started.
            and item["start_date"]
            and self._caused(item, source)
        ]

    def _caused(self, item: dict[str, Any], source: DagRun) -> bool:
        path = f"dags/{item['dag_id']}/dagRuns/{item['dag_run_id']}/upstreamAssetEvents"
        events = self._call("GET", path)["asset_events"]
        return any(event["source_run_id"] == source.run_id for event in events)

    def failure(self, run: DagRun) -> tuple[str, str] | None:
        """The failed task and the last error line of its log; None where nothing failed."""
        for task in self.tasks(run):
            if task.state == "failed":
                return task.task_id, self.error_of(run, task.task_id, task.try_number)
        return None

    def error_of(self, run: DagRun, task_id: str, try_number: int) -> str:
        """The last error line in the log of a task's try; where it was killed there is none."""
        for entry in reversed(self._log(run, task_id, try_number)):
            # The raised error is the first, its causes follow.
            if isinstance(entry, dict) and entry.get("error_detail"):
                return str(entry["error_detail"][0].get("exc_value", ""))
        return "see the task's log"

    def _log(self, run: DagRun, task_id: str, try_number: int) -> list[Any]:
        path = f"dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task_id}/logs/{try_number}"
        entries: list[Any] = self._call("GET", path)["content"]
        return entries

    def link(self, run: DagRun) -> str:
        """Where a person sees the run."""
        return f"{self.base}/dags/{run.dag_id}/runs/{run.run_id}"

    def asset_graph(self) -> AssetGraph:
        """Emitters and listeners of every asset."""
        found: dict[str, dict[str, dict[str, frozenset[str]]]] = {}
        assets = list(self._all("assets", "assets"))
        # A paused DAG gets no run for a key.
        heard = {
            dag_id
            for dag_id in {each["dag_id"] for asset in assets for each in asset["scheduled_dags"]}
            if not self.is_paused(dag_id)
        }
        for asset in assets:
            listeners = frozenset(each["dag_id"] for each in asset["scheduled_dags"]) & heard
            for task in asset["producing_tasks"]:
                tasks = found.setdefault(task["dag_id"], {})
                tasks.setdefault(task["task_id"], {})[asset["name"]] = listeners
        return AssetGraph(found)

    def asset_link(self, name: str) -> str:
        """Where a person sees an asset among its emitters and listeners; all assets if it is new."""
        known = self._asset_id(name)
        return f"{self.base}/assets/{known}" if known else f"{self.base}/assets"

    def _asset_id(self, name: str) -> int | None:
        # The pattern finds longer names too.
        found = self._call("GET", "assets", params={"name_pattern": name, "limit": 100})["assets"]
        return next((int(item["id"]) for item in found if item["name"] == name), None)

    def _all(self, path: str, of: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Every item that a list has, read in pages of the most that Airflow gives."""
        offset, total = 0, 1
        while offset < total:
            answer = self._call("GET", path, params={**parameters, "limit": 100, "offset": offset})
            yield from answer[of]
            offset, total = offset + 100, answer["total_entries"]

    def _call(self, method: str, path: str, *, absent: bool = False, **arguments: Any) -> Any:
        """What Airflow answers; where a thing may be ``absent`` and is, None."""
        place = path if path.startswith("/") else f"/api/v2/{path}"
        try:
            answer = self._session.request(
                method,
                f"{self.base}{place}",
                headers={"Authorization": f"Bearer {self._token()}", "Accept": "application/json"},
                timeout=30,
                **arguments,
            )
        except requests.RequestException as error:
            raise StackError(
                f"Airflow at {self.base} does not answer ({type(error).__name__}); "
                "`feira status` shows whether it runs."
            ) from error
        if absent and answer.status_code == 404:
            return None
        if not answer.ok:
            raise StackError(
                f"Airflow refused {method} {path} with {answer.status_code}: {answer.text[:500]}"
            )
        return answer.json()


def missing_assets(pending: dict[str, Any]) -> tuple[str, ...]:
    """The assets that a partition has not had, as Airflow describes one that has no run yet; none where
    those that it has had are enough."""
    received = {each["asset_name"] for each in pending["assets"] if each["received"]}
    if _satisfied(pending["asset_expression"] or {}, received):
        return ()
    return tuple(each["asset_name"] for each in pending["assets"] if not each["received"])


def _satisfied(expression: dict[str, Any], received: set[str]) -> bool:
    for word, of in (("all", all), ("any", any)):
        if word in expression:
            return of(_satisfied(each, received) for each in expression[word])
    return expression.get("asset", {}).get("name") in received


def _run(item: dict[str, Any]) -> DagRun:
    return DagRun(item["dag_id"], item["dag_run_id"], item["state"], item["partition_key"])
