"""What the checks of a running stack ask Airflow, beyond what the commands do."""

from __future__ import annotations

from feira_local.stack.airflow_api import AirflowApi, DagRun


class WatchedAirflow(AirflowApi):
    """The running stack's Airflow: its tasks' processes and logs, and the events that runs have emitted."""

    def runs(self, dag_id: str) -> list[DagRun]:
        """The hundred newest runs of a DAG."""
        path, asked = f"dags/{dag_id}/dagRuns", {"order_by": "-run_after", "limit": 100}
        return [
            DagRun(dag_id, item["dag_run_id"], item["state"], item["partition_key"])
            for item in self._call("GET", path, params=asked)["dag_runs"]
        ]

    def tasks_of(self, *dag_ids: str) -> list[tuple[str, str]]:
        """(DAG, task) of every task of these DAGs."""
        return [
            (dag_id, item["task_id"])
            for dag_id in dag_ids
            for item in self._call("GET", f"dags/{dag_id}/tasks")["tasks"]
        ]

    def processes(self, run: DagRun) -> list[tuple[str, int, int]]:
        """(task, try, process id) of the run's tasks that run now."""
        path = f"dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances"
        found = self._call("GET", path, params={"state": "running"})["task_instances"]
        return [(item["task_id"], item["try_number"], item["pid"]) for item in found if item["pid"]]

    def running(self) -> list[tuple[str, int]]:
        """(``dag.task``, process id) of every task that runs now."""
        path = "dags/~/dagRuns/~/taskInstances"
        found = self._call("GET", path, params={"state": "running"})["task_instances"]
        return [
            (f"{item['dag_id']}.{item['task_id']}", item["pid"]) for item in found if item["pid"]
        ]

    def event_days(self, dag_id: str) -> set[str]:
        """The partition keys of all asset events that a DAG has emitted."""
        events = self._all("assets/events", "asset_events", source_dag_id=dag_id)
        return {event["partition_key"] for event in events}

    def events(self, source: DagRun) -> int:
        """How many asset events a run has emitted."""
        answer = self._call(
            "GET", "assets/events", params={"source_run_id": source.run_id, "limit": 100}
        )
        return int(answer["total_entries"])

    def try_number(self, run: DagRun, task_id: str) -> int:
        """Of a task the try that it is at."""
        return next(task.try_number for task in self.tasks(run) if task.task_id == task_id)

    def clear(self, run: DagRun, *task_ids: str) -> None:
        """Has tasks of a run work once more, and the run go on from there."""
        body = {
            "dry_run": False,
            "dag_run_id": run.run_id,
            "task_ids": task_ids,
            "only_failed": False,
        }
        self._call("POST", f"dags/{run.dag_id}/clearTaskInstances", json=body)

    def log(self, run: DagRun, task_id: str, try_number: int) -> list[str]:
        """The lines of a task's log, without their times."""
        entries = self._log(run, task_id, try_number)
        return [str(e["event"]) if isinstance(e, dict) else str(e) for e in entries]
