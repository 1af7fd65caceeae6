"""The tasks of user_events without their work: what each opens, asks for and returns, and how it fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.context import set_current_context
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from feira.core import lake
from feira.core.settings import SettingsError
from feira.user_events import dead_letters, offsets
from feira.user_events.dead_letters import DeadLetter, Sent
from feira.user_events.offsets import BrokerError, DayOffsets, OffsetsError
from feira_airflow.core.kafka import kafka_admin, kafka_config, kafka_consumer, kafka_producer
from feira_airflow.core.xcom import check
from feira_airflow.user_events import tasks
from feira_spark.core import kafka
from feira_spark.user_events import day, late

DAY = date(2010, 12, 1)
RANGES = {n: (10**9 * n, 10**9 * n + 10**7) for n in range(8)}
OFFSETS = DayOffsets.of("user_events", DAY, RANGES, "kP-Rx1Z_QlmlbzQPHU3X2w")
URI = "s3://lake/offsets.json"
RESOLVED = {
    "topic": "user_events",
    "topic_id": OFFSETS.topic_id,
    "offsets": URI,
    "messages": 8 * 10**7,
}
KNOWN = DayOffsets.of("user_events", DAY, {0: (0, 5)})
LATE = {"2010-11-29": 1, "2010-11-30": 1200}
AGAIN = ["2010-12-11", "2010-12-12"]
INGESTED = day.Ingested(
    "s3://lake/events.json", "s3://lake/dead.json", 20, 15, 2, 1, 2, LATE, AGAIN
)
# In partition 1 the day before was read up to two messages before the day begins.
READ_TO = {date(2010, 11, 30): {n: start - 2 * (n == 1) for n, (start, _) in RANGES.items()}}


@contextmanager
def opened(value: Any) -> Iterator[Any]:
    yield value


@pytest.fixture(autouse=True)
def replaced(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the tasks open and call; returns what each step was given."""
    given: dict[str, Any] = {}

    def step(name: str, result: Any) -> Any:
        def called(*arguments: Any) -> Any:
            given[name] = arguments
            if isinstance(result, Exception):
                raise result
            return result

        return called

    monkeypatch.setattr(tasks, "spark_session", lambda: opened("spark"))
    monkeypatch.setattr(tasks, "kafka_consumer", lambda: opened("consumer"))
    monkeypatch.setattr(tasks, "kafka_producer", lambda: "producer")
    monkeypatch.setattr(tasks, "kafka_config", lambda: {"bootstrap.servers": "k:9092"})
    monkeypatch.setattr(tasks, "lake_settings", lambda conn_id: f"lake at {conn_id}")
    monkeypatch.setattr(tasks, "kafka_admin", lambda: "admin")
    monkeypatch.setattr(day, "recorded", step("recorded", KNOWN))
    monkeypatch.setattr(day, "has_rows", step("has_rows", False))
    monkeypatch.setattr(offsets, "require_topic", step("require_topic", None))
    monkeypatch.setattr(offsets, "resolve", step("resolve", OFFSETS))
    monkeypatch.setattr(day, "stage_offsets", step("stage_offsets", URI))
    monkeypatch.setattr(lake, "read_snapshot", step("read_snapshot", staged(RANGES)))
    monkeypatch.setattr(kafka, "read_offsets", step("read_offsets", "messages"))
    monkeypatch.setattr(day, "ingest", step("ingest", INGESTED))
    monkeypatch.setattr(late, "read_to", step("read_to", READ_TO))
    monkeypatch.setattr(late, "late_day", step("late_day", "late"))
    monkeypatch.setattr(offsets, "watermarks", lambda consumer, topic, number: (5, 10**10))
    monkeypatch.setattr(day, "drop_staging", step("drop_staging", ["a", "b"]))
    return given


def staged(ranges: dict[int, tuple[int, int]]) -> list[pa.RecordBatch]:
    """What the offsets' table holds, in two batches."""
    rows = [{"partition": n, "starting": it[0], "ending": it[1]} for n, it in ranges.items()]
    return [pa.RecordBatch.from_pylist(half) for half in (rows[:3], rows[3:])]


def run(name: str, *arguments: Any) -> Any:
    context: Any = {"dag_run": SimpleNamespace(run_id="manual__1", partition_key=str(DAY))}
    with set_current_context(context):
        return getattr(tasks, name)(*arguments)


def test_the_offsets_are_resolved_against_those_that_the_table_records(
    replaced: dict[str, Any],
) -> None:
    returned = run("resolve_offsets")
    assert replaced["recorded"] == ("spark", DAY)
    assert replaced["has_rows"] == ("spark", DAY)
    assert replaced["resolve"] == ("consumer", "admin", "user_events", DAY, KNOWN, False)
    assert replaced["stage_offsets"] == ("spark", OFFSETS)
    assert returned == RESOLVED


def test_the_ingest_reads_these_offsets_and_what_lies_between_them_and_the_day_before(
    replaced: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert run("ingest", RESOLVED) == vars(INGESTED)
    begins = {str(n): start - 2 * (n == 1) for n, (start, _) in RANGES.items()}
    spark, config, starting, *of = replaced["read_offsets"]
    assert (spark, config, of) == (
        "spark",
        {"bootstrap.servers": "k:9092"},
        [OFFSETS.ending, "user_events"],
    )
    assert json.loads(starting) == {"user_events": begins}
    assert replaced["read_to"] == ("spark", OFFSETS) and replaced["late_day"] == (READ_TO,)
    assert replaced["ingest"] == ("spark", "messages", OFFSETS, "late")
    warned = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert [("2010-11-29" in it, "1,200" in it, "--day 2010-11-30`" in it) for it in warned] == [
        (True, False, False),
        (False, True, True),
        *((False, False, False),) * 2,
    ]
    assert ["--day 2010-12-11`" in warned[2], "--day 2010-12-12`" in warned[3]] == [True, True]
    assert replaced["require_topic"] == ("admin", OFFSETS)
    assert replaced["read_snapshot"] == (LAKE, URI)


def test_a_topic_of_a_thousand_partitions_is_read_by_exactly_the_offsets_that_were_resolved(
    replaced: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    many = {n: (4_812_345_678 + 7_919 * n, 4_822_345_678 + 104_729 * n) for n in range(1_000)}
    resolved = DayOffsets.of("user_events", DAY, many, OFFSETS.topic_id)
    monkeypatch.setattr(offsets, "resolve", lambda *_: resolved)
    returned = run("resolve_offsets")
    check(returned)
    assert replaced["stage_offsets"] == ("spark", resolved)
    assert returned == RESOLVED | {"messages": resolved.messages}
    monkeypatch.setattr(lake, "read_snapshot", lambda *_: staged(many))
    check(run("ingest", returned))
    assert replaced["ingest"] == ("spark", "messages", resolved, "late")


@pytest.mark.parametrize(
    "older", [vars(OFFSETS), {"topic": "user_events", "starting": "{}", "ending": "{}"}]
)
def test_offsets_of_a_release_that_staged_none_are_resolved_anew(
    replaced: dict[str, Any], older: dict[str, Any]
) -> None:
    with pytest.raises(AirflowFailException, match=r"offsets of resolve_offsets: .* Clear resolve"):
        run("ingest", older)
    assert "ingest" not in replaced


def test_whatever_is_late_or_to_be_run_again_xcom_takes_the_result() -> None:
    """The run of a day counts the week before it, and names days of the two weeks after it."""
    earlier = {str(DAY - timedelta(days=n)): 10**12 for n in range(1, day.ID_DAYS + 1)}
    again = [str(DAY + timedelta(days=n)) for n in range(2 * day.ID_DAYS + 1)]
    uris = (f"s3://{'b' * 63}/{'f' * 200}/{'t' * 255}.json",) * 2
    check(asdict(day.Ingested(*uris, *(10**12,) * 5, earlier, again)))


@pytest.mark.parametrize("rows", [True, False])
def test_an_older_runs_offsets_take_no_rows_away_that_another_run_has_read(
    replaced: dict[str, Any], monkeypatch: pytest.MonkeyPatch, rows: bool
) -> None:
    further = {n: (start, end + (n == 5)) for n, (start, end) in RANGES.items()}
    since = DayOffsets.of("user_events", DAY, further, OFFSETS.topic_id)
    monkeypatch.setattr(day, "recorded", lambda spark, of: since if of == DAY else None)
    monkeypatch.setattr(day, "has_rows", lambda spark, of: rows)
    if rows:
        with pytest.raises(AirflowFailException, match="partition 5 ends at"):
            run("ingest", RESOLVED)
    else:
        run("ingest", RESOLVED)
    assert ("ingest" in replaced) is not rows


def test_that_no_snapshot_says_where_rows_are_from_is_not_that_there_are_none(
    replaced: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day, "recorded", lambda *_: None)
    monkeypatch.setattr(day, "has_rows", lambda *_: True)
    run("resolve_offsets")
    assert replaced["resolve"][-2:] == (None, True)


def test_a_topic_that_was_made_anew_since_they_were_resolved_is_not_read(
    replaced: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise OffsetsError("made anew")

    monkeypatch.setattr(offsets, "require_topic", refused)
    with pytest.raises(AirflowFailException, match="made anew"):
        run("ingest", RESOLVED)
    assert "ingest" not in replaced


def test_dead_letters_are_read_from_where_the_ingest_put_them(
    replaced: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"topic": "user_events", "kafka_partition": 3, "kafka_offset": 7}
    rows = [row | {"key": b"k", "value": None, "reason": "value_missing", "topic_id": "kP-R"}]
    monkeypatch.setattr(
        lake,
        "read_snapshot",
        lambda at, uri: iter([pa.RecordBatch.from_pylist(rows)] * (at == LAKE)),
    )
    sent = []

    def send(letters: Any, producer: str, consumer: str) -> Sent:
        sent.extend([*letters, producer, consumer])
        return Sent(1, 0)

    monkeypatch.setattr(dead_letters, "send", send)
    assert run("send_dead_letters", vars(INGESTED)) == {"sent": 1, "there": 0}
    letter = DeadLetter("user_events", 3, 7, b"k", None, "value_missing", "kP-R")
    assert sent == [letter, "producer", "consumer"]
    sent.clear()
    none = vars(INGESTED) | {"dead_letters": None}
    assert run("send_dead_letters", none) == {"sent": 0, "there": 0}
    assert sent == []


LAKE = "lake at lake_default"


def test_what_was_staged_is_dropped(replaced: dict[str, Any]) -> None:
    assert run("drop_staging") == {"dropped": 2}
    assert replaced["drop_staging"] == ("spark", DAY)


def test_a_run_ends_with_its_events(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        assert run("emit", vars(INGESTED)) is None
    assert "user_events[2010-12-01]: 15 events" in caplog.text


@pytest.mark.parametrize(
    ("failure", "raised"),
    [(OffsetsError("gone"), AirflowFailException), (BrokerError("away"), BrokerError)],
)
def test_a_day_that_is_gone_is_not_tried_again_and_a_broker_that_is_away_is(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, raised: type[Exception]
) -> None:
    def fails(*_: Any) -> None:
        raise failure

    monkeypatch.setattr(offsets, "resolve", fails)
    with pytest.raises(raised, match=str(failure)):
        run("resolve_offsets")


def test_a_connection_is_read_as_airflows_own_hook_reads_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_KAFKA_DEFAULT",
        '{"conn_type": "kafka", "extra": {"bootstrap.servers": "127.0.0.1:9", "group.id": "g"}}',
    )
    assert kafka_config() == {"bootstrap.servers": "127.0.0.1:9", "group.id": "g"}
    with kafka_consumer() as consumer:
        assert consumer.assignment() == []
    assert isinstance(kafka_producer(), Producer)
    assert isinstance(kafka_admin(), AdminClient)
    monkeypatch.setenv("AIRFLOW_CONN_KAFKA_DEFAULT", '{"conn_type": "kafka", "extra": {}}')
    with pytest.raises(SettingsError, match=r"kafka_default .*bootstrap\.servers"):
        kafka_config()


@pytest.mark.parametrize("servers", [None, "", "  ", ["secret:9092"], 9092, {"secret": 1}], ids=str)
def test_servers_that_are_no_text_are_refused(
    monkeypatch: pytest.MonkeyPatch, servers: Any
) -> None:
    extra = {"bootstrap.servers": servers}
    monkeypatch.setenv("AIRFLOW_CONN_EVENTS", json.dumps({"conn_type": "kafka", "extra": extra}))
    with pytest.raises(SettingsError, match=r"^Connection events .*bootstrap\.servers") as refused:
        kafka_config("events")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("extra", ['{"bootstrap.servers": "secret:9"', "secret", "[1]", '"secret"'])
def test_an_extra_that_is_no_json_object_is_refused(
    monkeypatch: pytest.MonkeyPatch, extra: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_EVENTS", json.dumps({"conn_type": "kafka", "extra": extra}))
    with pytest.raises(SettingsError, match=r"^Connection events: its extra") as refused:
        kafka_config("events")
    assert "secret" not in str(refused.value)


def test_a_callback_that_airflow_refuses_is_named_without_other_advice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extra = {"bootstrap.servers": "127.0.0.1:9", "error_cb": "os.abort"}
    monkeypatch.setenv("AIRFLOW_CONN_EVENTS", json.dumps({"conn_type": "kafka", "extra": extra}))
    with pytest.raises(SettingsError, match=r"^Connection events .*error_cb") as refused:
        kafka_config("events")
    assert "bootstrap" not in str(refused.value)


@pytest.mark.parametrize("group", ["", " ", None])
def test_a_group_that_is_blank_is_none(monkeypatch: pytest.MonkeyPatch, group: str | None) -> None:
    """Kafka's client ends the process at one."""
    extra = {"bootstrap.servers": "127.0.0.1:9", "group.id": group, "client.id": None}
    monkeypatch.setenv("AIRFLOW_CONN_EVENTS", json.dumps({"conn_type": "kafka", "extra": extra}))
    assert "client.id" not in kafka_config("events")
    with kafka_consumer("events") as consumer:
        assert consumer.assignment() == []


@pytest.mark.parametrize(
    ("stated", "named"),
    [
        ({"linger": 5}, " linger."),
        ({"security.protocol": "secret"}, " security.protocol."),
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"}, "sasl.password"),
        ({"client.id": "secret\0of another"}, " client.id."),
        ({"linger\0ms": "secret"}, " it as a whole."),
        ({"default.topic.config": {"acks": "secret\0"}}, " default.topic.config."),
    ],
)
def test_what_kafkas_client_refuses_of_the_connection_is_named_without_a_value_and_not_tried_again(
    monkeypatch: pytest.MonkeyPatch, stated: dict[str, Any], named: str
) -> None:
    def consumer() -> None:
        with kafka_consumer("events"):
            pytest.fail("a consumer was made")

    extra = {"bootstrap.servers": "127.0.0.1:9"} | stated
    monkeypatch.setenv("AIRFLOW_CONN_EVENTS", json.dumps({"conn_type": "kafka", "extra": extra}))
    for make, kind in (
        (consumer, "consumer"),
        (lambda: kafka_producer("events"), "producer"),
        (lambda: kafka_admin("events"), "client"),
    ):
        with pytest.raises(SettingsError, match=f"^Connection events makes no {kind}: ") as refused:
            make()
        assert named in str(refused.value) and "secret" not in str(refused.value)


def test_the_tasks_are_this_graph(dags: dict[str, Any]) -> None:
    dag = dags["user_events"]
    assert {task.task_id: set(task.downstream_task_ids) for task in dag.tasks} == {
        "resolve_offsets": {"ingest"},
        "ingest": {"send_dead_letters", "emit"},
        "send_dead_letters": {"emit", "drop_staging"},
        "drop_staging": set(),
        "emit": set(),
    }
    # One writer over the days.
    assert dag.max_active_runs == 1
    assert {task.task_id for task in dag.tasks if task.outlets} == {"emit"}
