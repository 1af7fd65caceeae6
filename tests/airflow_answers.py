"""An Airflow of a few runs over HTTP, with the answers of its REST API as far as the figures ask."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_RUN = re.compile(r"/api/v2/dags/([^/]+)/dagRuns/([^/]+)(/taskInstances)?")
_XCOM = re.compile(
    r"/api/v2/dags/([^/]+)/dagRuns/([^/]+)/taskInstances/([^/]+)/xcomEntries/return_value"
)


@dataclass
class AirflowAnswers:
    """What there is in it. ``asked`` has the path of every call that was answered; before that ``meanwhile`` is
    called with it and its parameters."""

    tasks_of: dict[str, list[str]]
    assets: tuple[str, ...] = ("sales_fact", "user_events")
    runs: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    tasks: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    xcoms: dict[tuple[str, str], Any] = field(default_factory=dict)
    waiting: list[dict[str, Any]] = field(default_factory=list)
    paused: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    components: tuple[str, ...] = ("scheduler", "triggerer")
    unavailable: set[str] = field(default_factory=set)
    meanwhile: Callable[[str, dict[str, list[str]]], None] = lambda path, asked: None
    versions: dict[str, int] = field(default_factory=dict)
    token: str = "of-a-viewer"
    url: str = ""

    def run(self, dag: str, run_id: str, state: str, ended: datetime | None = None) -> None:
        """Makes a run, or brings it to a state."""
        now = datetime.now(UTC).isoformat()
        version = {"id": f"{dag} {self.versions.get(dag, 1)}"}
        known = self.runs.get((dag, run_id), {"run_after": now, "dag_versions": [version]})
        stated = {"dag_id": dag, "dag_run_id": run_id, "state": state, "updated_at": now}
        self.runs[dag, run_id] = known | stated | {"end_date": ended.isoformat() if ended else now}

    def ends(
        self,
        dag: str,
        run_id: str,
        task: str,
        state: str = "success",
        *,
        ago: float = 0,
        tries: int = 1,
    ) -> None:
        """Ends a task of a run, ``ago`` seconds before now, after 3.5 s."""
        self.tasks.setdefault((dag, run_id), []).append(
            {
                "task_id": task,
                "map_index": -1,
                "try_number": tries,
                "state": state,
                "duration": 3.5,
                "end_date": (datetime.now(UTC) - timedelta(seconds=ago)).isoformat(),
            }
        )

    def delete(self, dag: str, run_id: str) -> None:
        """Deletes a run and its tasks."""
        self.runs.pop((dag, run_id), None)
        self.tasks.pop((dag, run_id), None)

    def event(self, asset: str, at: datetime) -> None:
        """Adds an event of an asset."""
        self.events.append({"asset_id": self.assets.index(asset), "timestamp": at.isoformat()})

    def answer(self, path: str, asked: dict[str, list[str]]) -> Any:
        """The document of a call; None is 404."""
        if path == "/api/v2/monitor/health":
            healthy = {True: "healthy", False: "unhealthy"}
            return {each: {"status": healthy[each == "scheduler"]} for each in self.components}
        if path == "/api/v2/dags":
            dags = [{"dag_id": dag, "is_paused": dag in self.paused} for dag in self.tasks_of]
            return _page("dags", dags, asked)
        if path == "/api/v2/assets":
            assets = [
                {"id": i, "name": name, "producing_tasks": [{"dag_id": f"makes_{name}"}]}
                for i, name in enumerate(self.assets)
            ]
            return _page("assets", assets, asked)
        if path == "/api/v2/assets/events":
            return _page("asset_events", self._events(asked), asked)
        if path == "/ui/partitioned_dag_runs":
            return {"partitioned_dag_runs": self.waiting}
        if found := re.fullmatch(r"/api/v2/dags/([^/]+)/tasks", path):
            return {"tasks": [{"task_id": task} for task in self.tasks_of[found[1]]]}
        if found := _XCOM.fullmatch(path):
            value = self.xcoms.get((found[2], found[3]))
            return None if value is None else {"value": value}
        if found := re.fullmatch(r"/api/v2/dags/([^/]+)/dagRuns", path):
            return _page("dag_runs", self._runs(found[1], asked), asked)
        if found := re.fullmatch(r"/api/v2/dags/([^/]+)/dagRuns/~/taskInstances", path):
            tasks = [
                each | {"dag_run_id": run_id}
                for (dag, run_id), of in self.tasks.items()
                for each in of
                if dag == found[1]
                and each["task_id"] in asked["task_id"]
                and each["state"] in asked["state"]
            ]
            return _page("task_instances", _in_order(tasks, asked), asked)
        if (found := _RUN.fullmatch(path)) and not found[3]:
            return self.runs.get((found[1], found[2]))
        if found and (found[1], found[2]) in self.runs:
            return _page("task_instances", self.tasks.get((found[1], found[2]), []), asked)
        return None

    def _runs(self, dag: str, asked: dict[str, list[str]]) -> list[dict[str, Any]]:
        found = sorted(self.runs.values(), key=lambda run: run["run_after"])
        if dag != "~":
            of = [run for run in found if run["dag_id"] == dag and run["state"] in asked["state"]]
            return _in_order(of, asked)
        since = {key: asked.get(f"{key}_gte", [""])[0] for key in ("run_after", "updated_at")}
        return [
            run
            for run in found
            if run["state"] in asked["state"] and all(run[key] >= since[key] for key in since)
        ]

    def _events(self, asked: dict[str, list[str]]) -> list[dict[str, Any]]:
        since = asked.get("timestamp_gte", [""])[0]
        of = asked.get("asset_id", [])
        found = [
            each
            for each in self.events
            if each["timestamp"] >= since and (not of or str(each["asset_id"]) in of)
        ]
        newest_first = asked["order_by"] == ["-timestamp"]
        return sorted(found, key=lambda each: each["timestamp"], reverse=newest_first)


def _in_order(entries: list[dict[str, Any]], asked: dict[str, list[str]]) -> list[dict[str, Any]]:
    assert asked["order_by"] == ["-end_date"]
    return sorted(entries, key=lambda each: each["end_date"], reverse=True)


def _page(key: str, entries: list[dict[str, Any]], asked: dict[str, list[str]]) -> dict[str, Any]:
    """A page, as Airflow cuts it: never more than 100, whatever limit is asked for."""
    limit, offset = min(int(asked["limit"][0]), 100), int(asked.get("offset", ["0"])[0])
    return {key: entries[offset : offset + limit], "total_entries": len(entries)}


@contextmanager
def serving(answers: AirflowAnswers) -> Iterator[AirflowAnswers]:
    """Serves it on loopback; a call without the token is refused with 401."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            right = body == {"username": "monitor", "password": "secret"}
            self._send(201 if right else 401, {"access_token": answers.token})

        def do_GET(self) -> None:
            if self.headers["Authorization"] != f"Bearer {answers.token}":
                self._send(401, {})
                return
            at = urlsplit(self.path)
            if at.path in answers.unavailable:
                self._send(503, {})
                return
            answers.asked.append(at.path)
            asked = parse_qs(at.query)
            answers.meanwhile(at.path, asked)
            found = answers.answer(at.path, asked)
            self._send(200 if found is not None else 404, found)

        def _send(self, status: int, document: Any) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    answers.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield answers
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
