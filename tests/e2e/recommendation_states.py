"""The states of `make verify` that take a day of sales and its user events to the lists that are served.

What customers have bought is counted by plain Python over the oracle's fact, the events are read from
Kafka's topic by a consumer of its own.
"""

from __future__ import annotations

import io
import json
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import fastavro
import pandas as pd
import requests
from confluent_kafka import Consumer, TopicPartition

from feira.user_events.codec import avro_schema
from feira_local.kafka.local import bootstrap
from feira_local.stack.airflow_api import DagRun
from feira_local.stack.chains import follow, start
from feira_local.stack.config import HOST
from feira_local.stack.state import running_config
from matrix import FEIRA, Matrix
from oracle import expected
from verify_states import day

DAG = "recommendations"
EVENTS = "20000"
LONGEST = 100
ASKED = 20


def run_recommendations(m: Matrix) -> None:
    """Both inputs in either order, and one of them again; the day that is listed is the newest."""
    m.state("recommendations: sales first, user events after", lambda: _events_after(m, day(1)))
    m.state("recommendations: user events first, sales after", lambda: _sales_after(m, day(20)))
    m.state("recommendations: user events alone again", lambda: _events_again(m, day(20)))


def _events_after(m: Matrix, the_day: date) -> list[str]:
    if runs := _runs(m, the_day):
        return [f"{len(runs)} runs of {the_day} before it had user events"]
    _send_events(the_day)
    _run_events(m, the_day)
    return [*_one_run(m, the_day), *_events_differ(m, the_day)]


def _sales_after(m: Matrix, the_day: date) -> list[str]:
    _send_events(the_day)
    _run_events(m, the_day)
    before = _runs(m, the_day)
    m.run(the_day)
    problems = [f"{len(before)} runs of {the_day} before it had sales"] if before else []
    problems += [*_one_run(m, the_day), *_events_differ(m, the_day)]
    bought, spent = _bought(m, the_day)
    return [*problems, *_features_differ(m, the_day, spent), *_lists_differ(m, the_day, bought)]


def _events_again(m: Matrix, the_day: date) -> list[str]:
    _run_events(m, the_day)
    problems = _events_differ(m, the_day)
    if str(the_day) not in m.api.waiting().get(DAG, []):
        problems.append(f"{the_day} does not wait for sales")
    if len(_runs(m, the_day)) != 1:
        problems.append(f"{the_day} has {len(_runs(m, the_day))} runs and not the one that it had")
    return problems


def _send_events(the_day: date) -> None:
    command = [FEIRA, "events", "produce", str(the_day), "--events", EVENTS]
    subprocess.run(command, check=True, capture_output=True)


def _run_events(m: Matrix, the_day: date) -> None:
    (chain,) = follow(m.api, [start(m.api, "user_events", the_day)])
    if not chain.succeeded:
        raise AssertionError(f"user_events of {the_day} failed: {chain.failure}")


def _runs(m: Matrix, the_day: date) -> list[DagRun]:
    return [run for run in m.api.runs(DAG) if run.partition_key == str(the_day)]


def _one_run(m: Matrix, the_day: date, timeout: float = 300) -> list[str]:
    """Waits for the day's run to end; what was wrong with it."""
    until = time.monotonic() + timeout
    while not (runs := _runs(m, the_day)) or not all(run.finished for run in runs):
        if time.monotonic() > until:
            return [f"{the_day} has no finished run after {timeout:.0f} s: {runs}"]
        time.sleep(1)
    if [run.state for run in runs] == ["success"]:
        return []
    return [f"{the_day} has {runs}, and not one that succeeded: {m.api.failure(runs[0])}"]


def _messages(topic: str) -> list[Any]:
    """Everything that a topic holds."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap(running_config()), "group.id": "verify", "log_level": 0}
    )
    try:
        places = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        left = {n: consumer.get_watermark_offsets(TopicPartition(topic, n), 30) for n in places}
        left = {n: ends for n, ends in left.items() if ends[0] < ends[1]}
        consumer.assign([TopicPartition(topic, n, ends[0]) for n, ends in left.items()])
        found = []
        while left:
            message = consumer.poll(30)
            assert message is not None and message.error() is None, f"{topic}: nothing in 30 s"
            found.append(message)
            if message.offset() == left[message.partition()][1] - 1:
                del left[message.partition()]
        return found
    finally:
        consumer.close()


def _events_differ(m: Matrix, the_day: date) -> list[str]:
    """The day's table against the topic: each message is a dead letter, or its id is in a row."""
    dead = {
        (int(headers["partition"]), int(headers["offset"]))
        for message in _messages("user_events.dead")
        for headers in [{name: value.decode() for name, value in message.headers()}]
    }
    schema = fastavro.parse_schema(json.loads(avro_schema()))
    first: dict[str, tuple[int, int]] = {}
    for message in _messages("user_events"):
        place = (message.partition(), message.offset())
        sent = pd.Timestamp(message.timestamp()[1], unit="ms").date()
        if sent == the_day and place not in dead:
            event: Any = fastavro.schemaless_reader(io.BytesIO(message.value()[5:]), schema, None)
            identity = str(event["event_id"])
            first[identity] = min(place, first.get(identity, place))
    table = m.held.lake("web.user_events")
    rows = table[table["event_day"] == the_day]
    held = {row.event_id: (row.kafka_partition, row.kafka_offset) for row in _rows(rows)}
    if not first or held != first or len(rows) != len(held):
        wrong = sorted(held.items() ^ first.items())[:3]
        return [f"user events of {the_day}: {len(rows)} rows, must be {len(first)}; {wrong}"]
    return []


def _bought(m: Matrix, the_day: date) -> tuple[dict[str, set[str]], dict[str, Decimal]]:
    """What each customer has bought, and what for, as of the newest day."""
    bought: dict[str, set[str]] = defaultdict(set)
    spent: dict[str, Decimal] = defaultdict(Decimal)
    for row in _rows(expected(m.served.all()).fact):
        late = row.extract_day > the_day or row.order_date > the_day
        if late or row.status not in ("completed", "shipped") or pd.isna(row.customer_id):
            continue
        spent[str(row.customer_id)] += row.amount_usd
        if row.line_kind == "product":
            bought[str(row.customer_id)].add(row.sku)
    return bought, spent


def _rows(frame: pd.DataFrame) -> Iterator[Any]:
    yield from frame.itertuples(index=False)


def _features_differ(m: Matrix, the_day: date, spent: dict[str, Decimal]) -> list[str]:
    table = m.held.lake("recommendations.user_features")
    rows = table[table["as_of"] == the_day]
    held = {row.user_id: row.lifetime_usd for row in _rows(rows) if row.orders}
    if not spent or held != spent:
        return [f"lifetime_usd as of {the_day}: {sorted(held.items() ^ spent.items())[:3]}"]
    return []


def _lists_differ(m: Matrix, the_day: date, bought: dict[str, set[str]]) -> list[str]:
    """The day's newest version: who has lists of what, and that the API answers with them."""
    table = m.held.lake("recommendations.lists")
    version = max(table["list_version"][table["as_of"] == the_day])
    lists: dict[tuple[str, str], list[str]] = {}
    problems = []
    rows = table[(table["list_version"] == version) & table["segment"].isna()]
    rows = rows.sort_values(["slot", "user_id", "position"])
    for (slot, user), group in rows.groupby(["slot", "user_id"]):
        lists[slot, user] = list(group["item"])
        if list(group["position"]) != list(range(1, len(group) + 1)):
            problems.append(f"{version}: positions of {slot} of {user!r} are not 1, 2, 3 …")
        reasons = set(group["reason_item"].dropna())
        if not reasons <= bought.get(user, set()):
            problems.append(f"{version}: {user!r} never bought the reasons {sorted(reasons)[:3]}")
    everything = set().union(*bought.values())
    for user in ["", *bought]:
        had = bought.get(user, set())
        for slot, offered in (("again", had), ("new", everything - had)):
            items = lists.pop((slot, user), [])
            if not set(items) <= offered or len(items) != min(LONGEST, len(offered)):
                problems.append(
                    f"{version}: {slot} of {user!r} has {len(items)} items: {items[:3]}"
                )
            if len(set(items)) != len(items):
                problems.append(f"{version}: {slot} of {user!r} has an item twice")
    if lists:
        problems.append(f"{version} has lists of others: {[*lists][:3]}")
    return [*problems, *_answers_differ(rows, version, [*bought][:ASKED])]


def _answers_differ(rows: pd.DataFrame, version: str, users: list[str]) -> list[str]:
    config = running_config()
    api = f"http://{HOST}:{config.ports.own['recommendations']}/recommendations"
    problems = []
    for user in users:
        for slot in ("again", "new"):
            answer = requests.get(f"{api}/{user}", {"slot": slot, "n": LONGEST}, timeout=10).json()
            found = rows[(rows["slot"] == slot) & (rows["user_id"] == user)]
            must = [
                {"item": row.item, "reason": row.reason}
                | ({} if pd.isna(row.reason_item) else {"reason_item": row.reason_item})
                for row in _rows(found)
            ]
            if (answer["version"], answer["source"], answer["items"]) != (version, "own", must):
                problems.append(f"{slot} of {user}: the API answers {str(answer)[:200]}")
    return problems
