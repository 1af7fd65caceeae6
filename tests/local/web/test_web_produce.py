"""Sending to Kafka: nothing is dropped silently. The broker is one that answers as it is told."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

import numpy as np
import pytest
import typer.testing
from confluent_kafka import KafkaError, KafkaException

from feira.recommendations.serving.__main__ import main as serve
from feira_local.cli import app, events
from feira_local.shop.taste import Taste
from feira_local.stack.errors import StackError
from feira_local.web import produce
from feira_local.web.day import batches
from feira_local.web.produce import EventProducer, ProduceError
from feira_local.web.settings import SWAPPED, Disorder, WebSettings
from feira_local.web.wire import Messages

TWO = Messages([b"1", b"2"], [b"x", None], np.array([1291191960000, 1291191960001]))


class Broker:
    """Keeps what it is sent; its queue is full now and then, and some of it may be refused."""

    def __init__(self, topic_error: object = None, refused: str = "", left: int = 0) -> None:
        self.topic_error, self.refused, self.left = topic_error, refused, left
        self.sent: list[tuple[object, ...]] = []
        self.calls = 0

    def __call__(self, settings: dict[str, Any]) -> Broker:
        self.settings = settings
        return self

    def list_topics(self, topic: str, timeout: float) -> SimpleNamespace:
        if isinstance(self.topic_error, KafkaException):
            raise self.topic_error
        return SimpleNamespace(topics={topic: SimpleNamespace(error=self.topic_error)})

    def produce(self, topic: str, value: object, key: object, timestamp: int) -> None:
        self.calls += 1
        if self.calls % 2:
            raise BufferError
        self.sent.append((topic, value, key, timestamp))

    def poll(self, timeout: float) -> None:
        if self.refused and self.sent:
            error = KafkaError(KafkaError._MSG_TIMED_OUT, self.refused)
            self.settings["on_delivery"](error, None)

    def flush(self, timeout: float) -> int:
        return self.left

    def purge(self) -> None:
        self.sent.clear()


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Broker]:
    def made(**behaviour: Any) -> Broker:
        found = Broker(**behaviour)
        monkeypatch.setattr(produce, "Producer", found)
        return found

    return made


def test_messages_are_sent_whole_and_in_their_order_however_full_the_queue_is(
    broker: Callable[..., Broker],
) -> None:
    found = broker()
    with EventProducer("127.0.0.1:1") as producer:
        producer.send(TWO)
    assert found.sent == [
        ("user_events", b"x", b"1", 1291191960000),
        ("user_events", None, b"2", 1291191960001),
    ]
    # The same user in the same partition, whichever program sends.
    assert found.settings["partitioner"] == "murmur2_random"
    assert found.settings["enable.idempotence"] is True


def test_a_message_that_was_not_taken_ends_the_sending_with_its_cause(
    broker: Callable[..., Broker],
) -> None:
    broker(refused="timed out")
    with (
        pytest.raises(ProduceError, match=r"127\.0\.0\.1:1 .*a message: timed out"),
        EventProducer("127.0.0.1:1") as producer,
    ):
        producer.send(TWO)


def test_messages_that_are_left_at_the_end_are_counted(broker: Callable[..., Broker]) -> None:
    broker(left=2)
    with (
        pytest.raises(ProduceError, match=r"127\.0\.0\.1:1 .*not take 2 messages"),
        EventProducer("127.0.0.1:1") as producer,
    ):
        producer.send(TWO)


def test_a_broker_that_does_not_answer_or_lacks_the_topic_is_named(
    broker: Callable[..., Broker],
) -> None:
    broker(topic_error=KafkaException(KafkaError(KafkaError._TRANSPORT)))
    with pytest.raises(ProduceError, match=r"127\.0\.0\.1:1 .*answer .*10 s"):
        EventProducer("127.0.0.1:1")
    broker(topic_error=KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    with pytest.raises(ProduceError, match=r"127.0.0.1:1 has no topic user_events"):
        EventProducer("127.0.0.1:1")


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the stack ran."""
    monkeypatch.setattr(
        events, "Stack", SimpleNamespace(of=lambda _: SimpleNamespace(running_supervisor=str))
    )


def produced(*words: str) -> typer.testing.Result:
    return typer.testing.CliRunner().invoke(app, ["events", "produce", *words])


def test_the_command_sends_each_day_and_says_how_much(
    broker: Callable[..., Broker], running: None
) -> None:
    found = broker()
    ended = produced("2010-12-01..2010-12-02", "--events", "500", "--json")
    assert ended.exit_code == 0, ended.output
    days = json.loads(ended.stdout)
    assert [each["day"] for each in days] == ["2010-12-01", "2010-12-02"]
    assert sum(each["messages"] for each in days) == len(found.sent) > 600
    before = len(found.sent)
    ended = produced("2010-12-01", "--events", "500", "--malformed", "0.1")
    assert f"{len(found.sent) - before} messages in" in ended.stdout
    assert ended.stdout.splitlines()[0].split()[-1] == "malformed"
    assert 30 < int(ended.stdout.splitlines()[1].split()[-1]) < 70


def test_the_users_are_the_shops_and_like_what_its_customers_like_unless_told_otherwise(
    broker: Callable[..., Broker], running: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = broker()

    def sent(*options: str) -> list[object]:
        found.sent.clear()
        assert produced("2010-12-01", "--events", "300", *options).exit_code == 0
        return [value for _, value, *_ in found.sent]

    def drawn(of: Taste, users: int) -> list[object]:
        web = WebSettings(of, events=300, users=users)
        return [value for it in batches(web, dt.date(2010, 12, 1)) for value in it.messages.values]

    for name, value in (("SEED", "8"), ("CLUSTERS", "4"), ("LINES", "700")):
        monkeypatch.setenv(f"FEIRA_SHOP_{name}", value)
    assert sent() == drawn(Taste(8, 4), 700)
    assert sent("--seed", "9", "--clusters", "5", "--users", "3") == drawn(Taste(9, 5), 3)


def test_the_orders_purchases_are_sent_where_they_are_asked_for(
    broker: Callable[..., Broker], running: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEIRA_SHOP_LINES", "300")
    found = broker()
    assert produced("2010-12-01", "--source", "orders").exit_code == 0
    assert 50 < len(found.sent) < 300
    ended = produced("2009-12-01", "--source", "orders")
    assert isinstance(ended.exception, StackError)
    assert re.search(r"no orders of 2009-12-01; .*2010-12-01 to", str(ended.exception))


def test_a_range_of_orders_is_sent_whole_or_not_at_all(
    broker: Callable[..., Broker], running: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    for day in (1, 2, 3):
        row = f"{day},A,MUG,1,2010-12-0{day} 08:00:00,1.0,17850.0,UK\n"
        (tmp_path / f"2010-12-0{day}.csv.gz").write_bytes(gzip.compress((header + row).encode()))
    monkeypatch.setenv("FEIRA_SHOP_DATA", str(tmp_path))
    found = broker()
    for days, missing in (("2010-12-02..2010-12-05", "04"), ("2010-11-30..2010-12-01", "30")):
        ended = produced(days, "--source", "orders")
        assert isinstance(ended.exception, StackError)
        assert re.search(
            rf"no orders of 2010-1[12]-{missing}; it has 2010-12-01 to 2010-12-03\. Nothing was sent",
            str(ended.exception),
        )
        assert not found.calls
    # What is found only while it is read comes after the days that were sent.
    (tmp_path / "2010-12-03.csv.gz").write_bytes(b"no gzip")
    ended = produced("2010-12-01..2010-12-03", "--source", "orders", "--json")
    assert isinstance(ended.exception, StackError) and "2010-12-03" in str(ended.exception)
    sent = [{"day": f"2010-12-0{day}", "event": 1, "messages": 1, "refused": 0} for day in (1, 2)]
    assert json.loads(ended.stdout) == sent
    assert [key for _, _, key, _ in found.sent] == [b"17850"] * 2


OPTIONS = ("events", "users", "seed", "clusters", "swapped", *vars(Disorder()))


@pytest.mark.parametrize("option", OPTIONS)
def test_orders_take_no_option_of_visits(
    option: str, broker: Callable[..., Broker], running: None
) -> None:
    found = broker()
    name = f"--{option.replace('_', '-')}"
    settings = WebSettings()
    defaults = vars(settings) | vars(settings.taste) | vars(settings.disorder)
    ended = produced("2010-12-01", "--source", "orders", name, str(defaults[option]))
    assert isinstance(ended.exception, StackError)
    assert f" {name} " in str(ended.exception)
    assert not found.calls


def test_what_the_help_says_is_what_is_sent_without_options() -> None:
    settings = WebSettings()
    defaults = vars(settings) | vars(settings.disorder)
    shown = {
        name: float(option.show_default)
        for name, hint in get_type_hints(events.produce, include_extras=True).items()
        for option in getattr(hint, "__metadata__", ())
        if isinstance(option.show_default, str)
    }
    disorder = ("out_of_order", "late", "duplicate", "redated", "malformed")
    assert shown == {name: defaults[name] for name in ("events", "swapped", *disorder)}


@pytest.mark.parametrize("day", ["1979-12-31", "today", "0001-01-01", "9999-12-31"])
def test_a_day_whose_times_kafka_refuses_is_refused(
    day: str, broker: Callable[..., Broker]
) -> None:
    today = dt.datetime.now(dt.UTC).date()
    found = broker()
    ended = produced(str(today) if day == "today" else day)
    assert isinstance(ended.exception, StackError)
    yesterday = today - dt.timedelta(days=1)
    assert re.search(rf"from 1980-01-01 .*{yesterday}", str(ended.exception))
    assert not found.sent


def test_a_stack_that_does_not_run_is_named_before_anything_is_made(
    broker: Callable[..., Broker], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("FEIRA_HOME", str(tmp_path))
    ended = produced("2010-12-01")
    assert isinstance(ended.exception, StackError)
    assert "not run; `feira up`" in str(ended.exception)


def test_nothing_is_sent_to_the_stacks_broker_where_the_pipelines_read_another(
    broker: Callable[..., Broker], running: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FEIRA_HOME", str(tmp_path))
    own = tmp_path / "connections.yaml"
    own.write_text(
        "kafka_default: {conn_type: kafka, extra: {bootstrap.servers: 'k.example:9092'}}"
    )
    own.chmod(0o600)
    found = broker()
    ended = produced("2010-12-01", "--events", "500")
    assert isinstance(ended.exception, StackError)
    assert str(own) in str(ended.exception) and "nothing was sent" in str(ended.exception)
    assert found.sent == []


def test_a_setting_out_of_its_limits_is_refused_by_the_command(running: None) -> None:
    ended = produced("2010-12-01", "--swapped", "0.5")
    assert isinstance(ended.exception, StackError)
    assert re.search(r"swapped is 0\.5; .*0\.01 to 0\.05", str(ended.exception))


def test_the_shares_that_may_be_swapped_are_those_of_the_api() -> None:
    (option,) = get_type_hints(serve, include_extras=True)["swapped"].__metadata__
    assert (option.min, option.max) == SWAPPED
