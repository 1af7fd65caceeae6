"""Airflow's part, over its REST API: runs that are in flight and their tasks, days that wait, and what is paused.

A poll asks for the runs that are unfinished, those that have changed since the one before, and the tasks of these
alone: what has ended and was seen to end is not asked for again. What DAGs and assets there are, and whether
Airflow is well, is asked less often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from feira.core.errors import first_line
from feira.monitoring.figures import Figures, Shown

_SECONDS = 20
_ENDED = ("success", "failed")
_RUN_STATES = ("queued", "running")
# As many as Airflow lists at once, unless it is told otherwise.
_PAGE = 100
# In polls: an alert of what is paused waits an hour, and one of what is unhealthy five minutes.
_LISTED_EVERY, _HEALTH_EVERY = 5, 2
# An event bears the time at which it was made, and can be seen once its transaction ends.
_COMMITTED = timedelta(minutes=1)
# What is wrong with that which one task left. All else is of the lake, whose client has errors of its own.
_OF_ONE_TASK = (FileNotFoundError, AttributeError, LookupError, TypeError, ValueError)


class JudgementError(RuntimeError):
    """What a task left in the lake could not be read."""


@dataclass(frozen=True)
class EndedTask:
    """A task that has ended for good, ``at`` seconds since 1970; ``xcom`` reads what a task of its run has
    returned, None without."""

    dag: str
    task: str
    state: str
    at: float
    xcom: Callable[[str], Any]


@dataclass
class _Watched:
    """A run that is watched: what of it ended from ``since`` on is counted, each try of a task once."""

    since: datetime
    seen: set[tuple[str, int, int]] = field(default_factory=set)


@dataclass
class Airflow:
    """Airflow under ``url``.

    :param login: user and password; a user who may read is enough
    :param on_ended: called once for each task that ends while this watches, and at the start, with ``fresh``
        False, for those of each DAG's run that ended last and for the last end of each that judges: what they left
        is how things stand. In each poll in the order in which they ended; where it raises, it is called again with
        that task in the next poll.
    :param judges: DAG and task of each that judges; its last end may be of a run that is not over, or of one before
        the last
    """

    url: str
    login: tuple[str, str]
    on_ended: Callable[[EndedTask, bool], None] = lambda task, fresh: None
    judges: tuple[tuple[str, str], ...] = ()
    name: str = field(default="airflow", init=False)
    _session: requests.Session = field(default_factory=requests.Session, init=False)
    # What ends before Airflow first answers, as while a stack starts, is counted too.
    _since: datetime = field(default_factory=lambda: datetime.now(UTC), init=False)
    _any_ended: bool = field(default=False, init=False)
    _events_since: datetime = field(default_factory=lambda: datetime.now(UTC), init=False)
    _polls: int = field(default=0, init=False)
    _in_flight: dict[tuple[str, str], _Watched] = field(default_factory=dict, init=False)
    _dags: set[str] = field(default_factory=set, init=False)
    _tasks: set[tuple[str, str]] = field(default_factory=set, init=False)
    _versions: set[str] = field(default_factory=set, init=False)
    _assets: dict[int, str] = field(default_factory=dict, init=False)
    _first_seen: dict[tuple[str, str], float] = field(default_factory=dict, init=False)
    _events_at: dict[str, float] = field(default_factory=dict, init=False)
    _to_judge: list[tuple[EndedTask, bool]] = field(default_factory=list, init=False)
    _succeeded: dict[str, float] = field(default_factory=dict, init=False)
    _shown: Shown = field(default_factory=Shown, init=False)

    def __post_init__(self) -> None:
        # It is asked where it stands, never through a proxy.
        self._session.trust_env = False

    def collect(self, figures: Figures) -> None:
        """Brings the figures up to date; raises requests.RequestException where Airflow does not answer, and
        JudgementError after all else where ``on_ended`` has raised."""
        now = datetime.now(UTC)
        if self._polls % _HEALTH_EVERY == 0:
            self._components(figures)
        # An Airflow that has just started answers before it knows its DAGs.
        if self._polls % _LISTED_EVERY == 0 or not self._dags or not self._assets:
            self._list(figures, now)
        self._runs(figures, now)
        self._events(figures, now)
        self._waiting(figures)
        self._polls += 1
        self._judge()

    def _components(self, figures: Figures) -> None:
        found = {
            component: each["status"] == "healthy"
            for component, each in self._get("monitor/health").items()
            if isinstance(each, dict) and each.get("status")
        }
        self._shown.replace(figures.component, found)

    def _list(self, figures: Figures, now: datetime) -> None:
        """What DAGs and assets there are; of those that have joined, how they stand."""
        dags = [*self._all("dags", "dags", order_by="dag_id")]
        self._shown.replace(figures.paused, {each["dag_id"]: each["is_paused"] for each in dags})
        listed = {each["dag_id"] for each in dags}
        self._dags &= listed
        for dag in sorted(listed - self._dags):
            self._expect(figures, dag)
            self._how_it_stands(dag)
            self._dags.add(dag)
        assets = [*self._all("assets", "assets", order_by="id")]
        # Of an asset without any event its silence is counted from here.
        made = {
            (each["name"], task["dag_id"]) for each in assets for task in each["producing_tasks"]
        }
        self._first_seen = {each: self._first_seen.get(each, now.timestamp()) for each in made}
        self._shown.replace(figures.watched_since, self._first_seen)
        names = {each["id"]: each["name"] for each in assets}
        self._assets = {asset: name for asset, name in self._assets.items() if asset in names}
        for asset in names.keys() - self._assets.keys():
            found = self._get("assets/events", asset_id=asset, order_by="-timestamp", limit=1)
            for event in found["asset_events"]:
                self._events_at[names[asset]] = _seconds(event["timestamp"])
            self._assets[asset] = names[asset]
        self._show_events(figures)

    def _expect(self, figures: Figures, dag: str) -> bool:
        """Shows a DAG's counters at 0; whether a task of it has joined."""
        found = self._get(f"dags/{dag}/tasks", absent=True) or {"tasks": []}
        joined = {(dag, each["task_id"]) for each in found["tasks"]} - self._tasks
        for _, task in joined:
            figures.steps.labels(dag, task)
            for state in _ENDED:
                figures.steps_ended.labels(dag, task, state)
        for state in _ENDED:
            figures.runs_ended.labels(dag, state)
        self._tasks |= joined
        return bool(joined)

    def _how_it_stands(self, dag: str) -> None:
        """When a run last ended well, and what is to be judged of that which has ended."""
        last = self._last(f"dags/{dag}/dagRuns", "dag_runs", state=_ENDED)
        well = last
        if last is not None:
            self._versions |= _versions(last)
            if last["state"] != "success":
                well = self._last(f"dags/{dag}/dagRuns", "dag_runs", state="success")
            for task in self._ended_tasks(dag, last["dag_run_id"]):
                if (dag, task["task_id"]) not in self.judges:
                    self._to_judge.append((self._as_ended(dag, last["dag_run_id"], task), False))
        if well is not None:
            self._succeeded[dag] = _seconds(well["end_date"])
        path = f"dags/{dag}/dagRuns/~/taskInstances"
        for name in (name for of, name in self.judges if of == dag):
            if judged := self._last(path, "task_instances", state=_ENDED, task_id=name):
                self._to_judge.append((self._as_ended(dag, judged["dag_run_id"], judged), False))

    def _last(self, path: str, key: str, **asked: Any) -> dict[str, Any] | None:
        """Of what is listed under ``key`` that which ended last."""
        found = self._get(path, absent=True, order_by="-end_date", limit=1, **asked)
        return next(iter(found[key]), None) if found else None

    def _runs(self, figures: Figures, now: datetime) -> None:
        """Takes in what has ended since the last poll."""
        found = self._all("dags/~/dagRuns", "dag_runs", state=_RUN_STATES, order_by="run_after")
        unfinished = {(each["dag_id"], each["dag_run_id"]): each for each in found}
        # By when it changed, and not by its day: one that was cleared, or that a backfill has made, is of an old one.
        since = self._since.isoformat()
        found = self._all(
            "dags/~/dagRuns", "dag_runs", state=_ENDED, updated_at_gte=since, order_by="id"
        )
        ended = {(each["dag_id"], each["dag_run_id"]): each for each in found}
        if not {dag for dag, _ in (*unfinished, *ended)} <= self._dags:
            self._list(figures, now)
        counts = {(dag, state): 0 for dag in self._dags for state in _RUN_STATES}
        for each in unfinished.values():
            counts[each["dag_id"], each["state"]] = (
                counts.get((each["dag_id"], each["state"]), 0) + 1
            )
        self._shown.replace(figures.runs_unfinished, counts)
        for key in (*unfinished, *ended):
            self._in_flight.setdefault(key, _Watched(self._since))
        # From here on each is watched until it was seen to end, whatever this poll comes to.
        self._since = now
        for (dag, run_id), watched in list(self._in_flight.items()):
            run = unfinished.get((dag, run_id)) or ended.get((dag, run_id))
            run = run or self._get(f"dags/{dag}/dagRuns/{run_id}", absent=True)
            if run is None:
                # Who deletes a run, or its DAG, leaves nothing to ask for.
                del self._in_flight[dag, run_id]
                continue
            new = _versions(run) - self._versions
            joined = bool(new) and self._expect(figures, dag)
            self._versions |= new
            # A counter of a task that has joined is to be seen at 0 before it rises.
            if run["state"] != "queued" and not joined:
                self._take(figures, run, watched, now)
        self._succeeded = {dag: at for dag, at in self._succeeded.items() if dag in self._dags}
        self._shown.replace(figures.run_succeeded, self._succeeded)

    def _take(
        self, figures: Figures, run: dict[str, Any], watched: _Watched, now: datetime
    ) -> None:
        dag, run_id, since = run["dag_id"], run["dag_run_id"], watched.since.timestamp()
        # In this order: a task that ends between the two questions is of the next poll.
        for task in self._ended_tasks(dag, run_id):
            key = (task["task_id"], task["map_index"], task["try_number"])
            # Of a run that was cleared, what had ended before was counted then.
            if key not in watched.seen and _seconds(task["end_date"]) >= since:
                watched.seen.add(key)
                self._any_ended = True
                self._count(figures, dag, run_id, task)
        # One that has ended since the poll began is found once more by the next, which knows what was counted.
        if run["state"] in _ENDED and _seconds(run["end_date"]) < now.timestamp():
            del self._in_flight[dag, run_id]
            # One that had ended before has got a note.
            if _seconds(run["end_date"]) >= since:
                figures.runs_ended.labels(dag, run["state"]).inc()
                if run["state"] == "success":
                    self._succeeded[dag] = _seconds(run["end_date"])

    def _count(self, figures: Figures, dag: str, run_id: str, task: dict[str, Any]) -> None:
        if task["duration"] is not None:
            figures.steps.labels(dag, task["task_id"]).observe(task["duration"])
        figures.steps_ended.labels(dag, task["task_id"], task["state"]).inc()
        self._to_judge.append((self._as_ended(dag, run_id, task), True))

    def _judge(self) -> None:
        """Hands over what has ended; what judges reads the lake, which may be away for a while."""
        taken, self._to_judge = sorted(self._to_judge, key=lambda each: each[0].at), []
        last: Exception | None = None
        while taken:
            try:
                self.on_ended(*taken[0])
            except Exception as error:
                last = error
                if not isinstance(error, _OF_ONE_TASK):
                    # What does not answer would be waited for by each.
                    break
                self._to_judge.append(taken[0])
            del taken[0]
        self._to_judge += taken
        if last is not None:
            names = sorted({f"{task.dag}.{task.task}" for task, _ in self._to_judge})
            raise JudgementError(
                f"What {', '.join(names)} left could not be read ({len(self._to_judge)} tasks; it is tried "
                f"again in the next poll): {type(last).__name__}: {first_line(last)}"
            ) from last

    def _ended_tasks(self, dag: str, run_id: str) -> Iterator[dict[str, Any]]:
        path = f"dags/{dag}/dagRuns/{run_id}/taskInstances"
        return self._all(path, "task_instances", absent=True, state=_ENDED)

    def _as_ended(self, dag: str, run_id: str, task: dict[str, Any]) -> EndedTask:
        def xcom(of: str) -> Any:
            path = f"dags/{dag}/dagRuns/{run_id}/taskInstances/{of}/xcomEntries/return_value"
            found = self._get(path, absent=True, deserialize="false", stringify="false")
            return None if found is None else found["value"]

        return EndedTask(dag, task["task_id"], task["state"], _seconds(task["end_date"]), xcom)

    def _events(self, figures: Figures, now: datetime) -> None:
        """Reads the events of all assets since they were last read, once a task has ended."""
        if not self._any_ended:
            return
        since = (self._events_since - _COMMITTED).isoformat()
        asked = self._all(
            "assets/events", "asset_events", timestamp_gte=since, order_by="timestamp"
        )
        for event in asked:
            if name := self._assets.get(event["asset_id"]):
                self._events_at[name] = _seconds(event["timestamp"])
        self._any_ended, self._events_since = False, now
        self._show_events(figures)

    def _show_events(self, figures: Figures) -> None:
        named = set(self._assets.values())
        self._events_at = {name: at for name, at in self._events_at.items() if name in named}
        self._shown.replace(figures.event, self._events_at)

    def _waiting(self, figures: Figures) -> None:
        # Airflow's own page asks here; its public API has no such list.
        answer = self._get("/ui/partitioned_dag_runs", has_created_dag_run_id="false")
        waiting = dict.fromkeys(self._dags, 0)
        complete = dict.fromkeys(self._dags, 0)
        for each in answer["partitioned_dag_runs"]:
            # What a DAG has left that is gone, or that hears of no asset any more, waits for nothing.
            if each["dag_id"] not in self._dags or each["total_required"] == 0:
                continue
            of = complete if each["total_received"] >= each["total_required"] else waiting
            of[each["dag_id"]] += 1
        self._shown.replace(figures.waiting, waiting)
        self._shown.replace(figures.without_run, complete)

    def _all(
        self, path: str, key: str, *, absent: bool = False, **asked: Any
    ) -> Iterator[dict[str, Any]]:
        """What is listed under ``key``, page by page; of what may be ``absent`` and is, nothing."""
        offset, total = 0, 1
        while offset < total:
            found = self._get(path, absent=absent, limit=_PAGE, offset=offset, **asked)
            if found is None:
                return
            yield from found[key]
            offset, total = offset + _PAGE, found["total_entries"]

    def _get(self, path: str, *, absent: bool = False, **asked: Any) -> Any:
        """What Airflow answers; where a thing may be ``absent`` and is, None."""
        place = path if path.startswith("/") else f"/api/v2/{path}"
        answer = self._session.get(f"{self.url}{place}", params=asked, timeout=_SECONDS)
        if answer.status_code == 401:
            self._session.headers["Authorization"] = f"Bearer {self._token()}"
            answer = self._session.get(f"{self.url}{place}", params=asked, timeout=_SECONDS)
        if absent and answer.status_code == 404:
            return None
        answer.raise_for_status()
        return answer.json()

    def _token(self) -> str:
        user, password = self.login
        answer = self._session.post(
            f"{self.url}/auth/token",
            json={"username": user, "password": password},
            timeout=_SECONDS,
        )
        answer.raise_for_status()
        return str(answer.json()["access_token"])


def _versions(run: dict[str, Any]) -> set[str]:
    return {each["id"] for each in run["dag_versions"]}


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
