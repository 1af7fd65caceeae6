"""The states of `make verify` that take sales and user events to the lists that are served, and break that
way: each day's features, lists, published bytes and answers are held against plain Python."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial

from confluent_kafka import Producer

from feira.user_events.codec import TOPIC, encode
from feira_local.kafka.local import bootstrap
from feira_local.stack import access
from feira_local.stack.airflow_api import DagRun
from feira_local.stack.chains import Chain, follow, start
from feira_local.stack.state import running_config
from matrix import FEIRA, Matrix, stopped
from monitoring_checks import run_monitoring
from recommendation_checks import day_differs, newest_version
from served_lists import Lists, answer, published, valkey, version_differs
from shown_lists import Event, day_to_show, measured_differs, show_and_click
from until import until
from verify_states import CLOSED, correct, day, kill_each

DAG = "recommendations"
EVENTS = "20000"
FIRST, SECOND = day(1), day(20)
# The day before the closed one, on which a user has so many events; some come again on the closed day.
BUSY, BUSY_EVENTS, AGAIN = CLOSED - timedelta(days=1), 100_000, 1_000
PATIENCE = 420
SHOWN = 40
SOURCES = ("own", "popular", "file")


@dataclass(frozen=True)
class Shown:
    """What was posted of a day on which a version's lists were shown."""

    on: date
    version: str
    posted: list[Event]


@dataclass
class Recommended:
    """The matrix, the days of which user events were run, and what was shown."""

    m: Matrix
    ran: set[date] = field(default_factory=set)
    shown: Shown | None = None


def run_recommendations(m: Matrix) -> None:
    """Each state begins where the one before it ended."""
    r = Recommended(m)
    before = (
        ("sales first, user events after; a person approves the first version", _events_after),
        ("user events first, sales after", _sales_after),
        ("a sales correction after the lists", _corrected),
    )
    after = (
        ("user events again while Kafka is dead at first", _kafka_dead),
        ("a user of 100,000 events; a closed day of duplicates alone", _closed_day),
        ("a rollback, and back", _rolled_back),
        ("Valkey hangs and is killed while it is asked", _valkey_killed),
        ("publish is killed in its midst", _publish_killed),
        ("Valkey is dead at publish", _valkey_dead),
        ("a model's file is cut short, and the lists are made again", _model_cut),
        ("the gate refuses a version", _refused),
        ("years later the lists still follow what each user had", _years_later),
        ("every task is killed once; what is shown and clicked is measured", _shown),
    )
    # By then figures have come by themselves, and no alert has a reason yet.
    _run(r, before)
    run_monitoring(m)
    _run(r, after)


def _run(r: Recommended, states: Iterable[tuple[str, Callable[[Recommended], list[str]]]]) -> None:
    for name, state in states:
        every_change = state in (_events_after, _sales_after, _years_later, _shown)
        r.m.state(f"recommendations: {name}", partial(state, r), every_change=every_change)


def _events_after(r: Recommended) -> list[str]:
    if runs := _runs(r, FIRST):
        return [f"{len(runs)} runs of {FIRST} before it had user events"]
    _send_events(FIRST)
    _run_events(r, FIRST)
    version = newest_version(r.m, FIRST).version
    problems = _run_count(r, FIRST, 1)
    if answer("nobody")["source"] != "none":
        problems.append(f"{version} is served, and nobody has approved it")
    if (done := _approve(version, "the first one")).returncode:
        problems.append(f"{version} was not approved: {done.stderr[-300:]}")
    return [*problems, *day_differs(r.m, FIRST, r.ran)]


def _sales_after(r: Recommended) -> list[str]:
    _send_events(SECOND)
    chain = _run_events(r, SECOND)
    problems = _waits(chain, "sales_fact") + _run_count(r, SECOND, 0)
    r.m.run(SECOND)
    problems += _run_count(r, SECOND, 1) + _judged_again(r, SECOND)
    return problems + day_differs(r.m, SECOND, r.ran)


def _corrected(r: Recommended) -> list[str]:
    """The day waits for its events again, and what is served stays; `_kafka_dead` then brings them."""
    before = newest_version(r.m, SECOND).version
    correct(r.m, SECOND)
    (chain,) = r.m.run(SECOND, refetch=True)
    problems = _waits(chain, "user_events") + _run_count(r, SECOND, 1)
    return problems + version_differs(before, published(before)[0])


def _kafka_dead(r: Recommended) -> list[str]:
    """The first try names Kafka; once it is back the lists follow, with the corrected sales and with messages
    that came after the day was run."""
    _send_events(BUSY)
    before = newest_version(r.m, SECOND).version
    with stopped("kafka"):
        chain = start(r.m.api, "user_events", SECOND)
        _until_tried(r, chain.producer, "resolve_offsets", 2)
    error = r.m.api.error_of(chain.producer, "resolve_offsets", 1)
    follow(r.m.api, [chain])
    problems = [] if "Kafka" in error else [f"the first try does not name Kafka: {error}"]
    if not chain.succeeded:
        problems.append(f"user events of {SECOND} did not recover: {chain.failure}")
    if (after := newest_version(r.m, SECOND).version) <= before:
        problems.append(f"the corrected day has no version after {before}: {after}")
    return [*problems, *_run_count(r, SECOND, 2), *day_differs(r.m, SECOND, r.ran)]


def _closed_day(r: Recommended) -> list[str]:
    """Its messages are those of the day before again: it has no event of its own."""
    _send_busy_user(r)
    chain = _run_events(r, BUSY)
    r.m.run(CLOSED)
    problems = _waits(chain, "sales_fact") + _run_count(r, BUSY, 0)
    _run_events(r, CLOSED)
    problems += _run_count(r, CLOSED, 1) + day_differs(r.m, CLOSED, r.ran)
    events = r.m.held.lake("web.user_events")
    if len(found := events[events["event_day"] == CLOSED]):
        problems.append(f"{CLOSED} has {len(found)} events, which are all of the day before")
    return problems


def _rolled_back(r: Recommended) -> list[str]:
    older, newer = newest_version(r.m, SECOND).version, newest_version(r.m, CLOSED).version
    problems = []
    for version in (older, newer):
        subprocess.run(
            [FEIRA, "recommendations", "rollback", version], check=True, capture_output=True
        )
        problems += version_differs(version, published(version)[0])
    return problems


def _valkey_killed(r: Recommended) -> list[str]:
    """Every answer is a list, whatever Valkey does; within seconds it is the user's own again."""
    version = newest_version(r.m, CLOSED).version
    lists = published(version)[0]
    user = _somebody(lists)
    pid = access.require_running().supervisor.states()["valkey"].pid
    seen: list[str] = []
    for deed in (signal.SIGSTOP, signal.SIGCONT, signal.SIGKILL):
        os.kill(pid, deed)
        for _ in range(20):
            found = answer(user)
            seen.append(found["source"])
            if found["source"] not in SOURCES or not found["items"]:
                return [f"after {deed.name} the API answers {str(found)[:200]}"]
        if deed is signal.SIGSTOP and "own" in seen[5:]:
            return [f"Valkey hangs, and the API answers {seen}"]
    until(lambda: answer(user)["source"] == "own", PATIENCE)
    return version_differs(version, lists)


def _publish_killed(r: Recommended) -> list[str]:
    """Until the next try has published all, readers see the older version whole."""
    older, run = newest_version(r.m, SECOND).version, _runs(r, CLOSED)[0]
    version = newest_version(r.m, CLOSED).version
    lists = published(version)[0]
    for _ in range(3):
        _take_back(older, version)
        r.m.api.clear(run, "publish")
        with valkey() as client:
            until(lambda: bool(client.exists(f"reco:{version}:claim")), PATIENCE, poll=0)
            client.client_pause(10_000, all=False)
            midst = not client.exists(f"reco:{version}:meta")
            pids = [pid for task, _, pid in r.m.api.processes(run) if task == "publish"]
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            problems = version_differs(older, published(older)[0]) if midst else []
            client.client_unpause()
        problems += _ended(r, run) + version_differs(version, lists)
        if problems or (midst and pids):
            return problems
    return ["publish was over before it could be killed, three times"]


def _valkey_dead(r: Recommended) -> list[str]:
    """The first try names Valkey, the API answers meanwhile; a later try publishes all."""
    older, run = newest_version(r.m, SECOND).version, _runs(r, CLOSED)[0]
    version = newest_version(r.m, CLOSED).version
    lists = published(version)[0]
    _take_back(older, version)
    tried = r.m.api.try_number(run, "publish")
    with stopped("valkey"):
        r.m.api.clear(run, "publish")
        _until_tried(r, run, "publish", tried + 2)
        found = answer(_somebody(lists))
    error = r.m.api.error_of(run, "publish", tried + 1)
    problems = [] if "Valkey" in error else [f"the first try does not name Valkey: {error}"]
    if found["source"] not in SOURCES[1:]:
        problems.append(f"without Valkey the API answers {str(found)[:200]}")
    return problems + _ended(r, run) + version_differs(version, lists)


def _model_cut(r: Recommended) -> list[str]:
    """What is not as it was written is learned again, and gives the same lists."""
    version, run = newest_version(r.m, CLOSED).version, _runs(r, CLOSED)[0]
    files, folder = r.m.held.files(), f"{r.m.held.root}/recommendations/{version}"
    model, finished = f"{folder}/models/again.npz", f"{folder}/finished.json"
    held, before = files.cat_file(model), files.cat_file(finished)
    files.pipe_file(model, held[: len(held) // 2])
    files.rm_file(finished)
    # What was staged is dropped once the lists are written.
    r.m.api.clear(run, "interactions", "lists", "write_lists")
    if problems := _ended(r, run):
        return problems
    log = r.m.api.log(run, "lists", r.m.api.try_number(run, "lists"))
    if not any(model.removeprefix("s3://") in line and "learned again" in line for line in log):
        problems.append(f"the log of lists does not say that {model} was learned again")
    if files.cat_file(finished) != before:
        problems.append(f"{version} is another after a model was learned again")
    return problems


def _refused(r: Recommended) -> list[str]:
    """The verdict is planted before the version is made: what is recorded is obeyed."""
    files, folder = r.m.held.files(), f"{r.m.held.root}/recommendations"
    live = newest_version(r.m, CLOSED).version
    version = f"{CLOSED}-{int(live[-3:]) + 1:03d}"
    verdict = json.loads(files.cat_file(f"{folder}/{live}/gate.json"))
    verdict |= {"version": version, "live": live, "verdict": "refused"}
    verdict["figures"][0] |= {"value": 0.125, "limit": 2.0, "verdict": "refused"}
    files.pipe_file(f"{folder}/{version}/gate.json", json.dumps(verdict).encode())
    run = r.m.api.trigger(DAG, str(CLOSED), {})
    until(lambda: r.m.api.run(DAG, run.run_id).finished, PATIENCE)
    words = (verdict["figures"][0]["figure"], "0.125", "limit 2")
    problems = _stays_served(r, run, CLOSED, version, words, live)
    if _approve(version, "all the same").returncode == 0:
        problems.append(f"{version} was approved, which is refused")
    return problems + version_differs(live, published(live)[0])


def _stays_served(
    r: Recommended, run: DagRun, the_day: date, version: str, words: Iterable[str], live: str
) -> list[str]:
    """The gate has refused the version in so many words, and people know; what was served still is."""
    failed, message = r.m.api.failure(run) or ("nothing", "")
    wanted = (version, live, *words)
    problems = [
        f"the message does not say {word}: {message}" for word in wanted if word not in message
    ]
    if failed != "gate":
        problems.append(f"gate should have failed, and {failed} did")
    if not r.m.notifications.both(f"{DAG}.gate failed for {the_day}"):
        problems.append("not both channels were notified")
    if r.m.api.events(run):
        problems.append("an event was emitted although the version is refused")
    if newest_version(r.m, the_day).version != version:
        problems.append(f"the lists of {version} are not in the lake")
    return problems + version_differs(live, published(live)[0])


def _years_later(r: Recommended) -> list[str]:
    """The API takes events of its last day alone, so lists are shown yesterday: on which nothing is sold, and by
    which all that the lists rest on is years old. It has faded alike, and the gate finds lists like those served."""
    while (the_day := day_to_show(datetime.now(UTC))) is None:
        time.sleep(1)
    with valkey() as client:
        live = client.get("reco:live").decode()
    users = sorted({user for slot, user in published(live)[0] if user and slot == "new"})
    r.shown = Shown(the_day, live, show_and_click(users[:SHOWN], the_day))
    r.m.shop.override(the_day, empty=True)
    r.m.run(the_day)
    r.ran.add(the_day)
    follow(r.m.api, [start(r.m.api, "user_events", the_day)])
    version = newest_version(r.m, the_day).version
    problems = _run_count(r, the_day, 1) + _judged_again(r, the_day)
    with valkey() as client:
        served = client.get("reco:live").decode()
    if served != version:
        problems.append(f"{served} is served, and the gate has found nothing against {version}")
    return problems + day_differs(r.m, the_day, r.ran)


def _shown(r: Recommended) -> list[str]:
    """Each task of both DAGs is killed as it begins; what one run has missed, the next one of the day tries."""
    assert r.shown is not None, "nothing was shown"
    the_day = r.shown.on
    # The day's sales wait then for its user events, which are killed first.
    r.m.run(the_day)
    problems = kill_each(
        r.m,
        [the_day] * 3,
        dict.fromkeys(r.m.api.tasks_of("user_events", DAG)),
        each=lambda: r.m.run(the_day),
        producer="user_events",
    )
    figures = r.m.held.lake("recommendations.live_figures")
    of_day = figures[figures["as_of"] == the_day]
    problems += measured_differs(r.shown.posted, r.shown.version, of_day)
    return problems + day_differs(r.m, the_day, r.ran)


def _approve(version: str, why: str) -> subprocess.CompletedProcess[str]:
    command = [FEIRA, "recommendations", "approve", version, "--why", why]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def _send_events(the_day: date) -> None:
    command = [FEIRA, "events", "produce", str(the_day), "--events", EVENTS]
    subprocess.run(command, check=True, capture_output=True)


def _send_busy_user(r: Recommended) -> None:
    """A customer's views in sessions of fifty; the first ones are sent again a day later, with their ids."""
    line = next(line for line in r.m.shop.lines(FIRST) if line.get("customer_id"))
    user = str(line["customer_id"])
    producer = Producer({"bootstrap.servers": bootstrap(running_config()), "log_level": 0})
    noon = datetime.combine(BUSY, datetime.min.time(), UTC) + timedelta(hours=12)
    for number in range(BUSY_EVENTS + AGAIN):
        which, later = number % BUSY_EVENTS, number // BUSY_EVENTS
        at = noon + timedelta(days=later, milliseconds=100 * which)
        event = {
            "event_id": f"busy-{which}",
            "occurred_at": at,
            "user_id": user,
            "session_id": f"busy-{which // 50}",
            "event_type": "view",
            "sku": line["sku"],
        }
        if number % 10_000 == 0:
            producer.flush(30)
        producer.produce(TOPIC, encode(event), user, timestamp=round(at.timestamp() * 1000))
    assert producer.flush(30) == 0, "Kafka did not take all events"


def _run_events(r: Recommended, the_day: date) -> Chain:
    (chain,) = follow(r.m.api, [start(r.m.api, "user_events", the_day)])
    if not chain.succeeded:
        raise AssertionError(f"user_events of {the_day} failed: {chain.failure}")
    r.ran.add(the_day)
    return chain


def _judged_again(r: Recommended, the_day: date) -> list[str]:
    """The gate finds of the day's newest version what it has recorded."""
    version = newest_version(r.m, the_day).version
    command = [FEIRA, "recommendations", "gate", version]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode == 0 and "The same as was recorded" in done.stdout:
        return []
    return [f"{version} is judged otherwise: {(done.stdout + done.stderr)[-500:]}"]


def _waits(chain: Chain, asset: str) -> list[str]:
    if chain.waits.get(DAG) == (asset,):
        return []
    return [f"{chain.day} does not wait for {asset}: {chain.waits}"]


def _runs(r: Recommended, the_day: date) -> list[DagRun]:
    return [run for run in r.m.api.runs(DAG) if run.partition_key == str(the_day)]


def _run_count(r: Recommended, the_day: date, count: int) -> list[str]:
    """The chain that set off the last of them was followed to its end."""
    runs = _runs(r, the_day)
    if [run.state for run in runs] == ["success"] * count:
        return []
    return [f"{the_day} has {runs}, must have {count} that succeeded"]


def _somebody(lists: Lists) -> str:
    """A user with a list of its own."""
    return next(user for slot, user in lists if user and slot != "segment")


def _take_back(older: str, version: str) -> None:
    """Serves the older version and removes the other, as if it had never been published."""
    command = [FEIRA, "recommendations", "rollback", older]
    subprocess.run(command, check=True, capture_output=True)
    with valkey() as client:
        client.delete(f"reco:{version}:meta")
        client.srem("reco:versions", version)
        client.delete(*client.scan_iter(match=f"reco:{version}:*", count=10_000))


def _until_tried(r: Recommended, run: DagRun, task_id: str, number: int) -> None:
    """Until a task is at this try, or waits for it."""

    def tried() -> bool:
        (task,) = (each for each in r.m.api.tasks(run) if each.task_id == task_id)
        waits = task.state == "up_for_retry"
        return task.try_number + waits >= number

    until(tried, PATIENCE)


def _ended(r: Recommended, run: DagRun) -> list[str]:
    until(lambda: r.m.api.run(run.dag_id, run.run_id).finished, PATIENCE)
    if r.m.api.run(run.dag_id, run.run_id).state == "success":
        return []
    return [f"{run.run_id} did not recover: {r.m.api.failure(run)}"]
