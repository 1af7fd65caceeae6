"""Lists that are shown: places change as often as is stated, and an impression names what a judgement needs."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from random import Random
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from feira.core.contracts import contract
from feira.core.settings import SettingsError
from feira.recommendations.serving import events as module
from feira.recommendations.serving.events import Events, kafka_from_env
from feira.recommendations.serving.layout import LONGEST_ITEM, LONGEST_USER
from feira.recommendations.serving.served import Offer
from feira.recommendations.serving.shown import arm_of, swapped
from feira.user_events.codec import decode
from recommendations_api import Api, running
from valkey_server import ValkeyServer, publish_lists, some_lists

VERSION = "2010-12-01-001"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with ValkeyServer(tmp_path_factory.mktemp("valkey") / "home") as server, server.client() as it:
        publish_lists(it, VERSION, some_lists("x"))
        yield server


FATAL = KafkaError(KafkaError._FATAL, "the broker has lost what was written", fatal=True)


class Broker:
    """Producer and admin of ``confluent_kafka`` by the calls that are made of them, with a broker that can be down."""

    def __init__(self, room: int = 10_000) -> None:
        self.room, self.down, self.refused = room, False, False
        self.error = KafkaError(KafkaError._MSG_TIMED_OUT)
        """Of what is refused."""
        self.not_queued: KafkaError | None = None
        self.allowed: Any = None
        """What the broker says may be done with the topic, or the error that it answers with."""
        self.raises: KafkaError | None = None
        """By whatever calls back next, in the place of the callbacks."""
        self.unmade: Exception | None = None
        self.admins = 0
        self.gone_after: int | None = None
        """The client knows that there is no topic, once so many more were queued."""
        self.done = False
        """It has met an error that a producer does not survive."""
        self.producers = 0
        self.config: dict[str, Any] = {}
        self.stored: list[tuple[str, bytes, bytes, int]] = []
        self._queued: list[tuple[str, bytes, bytes, int]] = []
        self._purged: list[KafkaError] = []

    def made(self, config: dict[str, Any]) -> Any:
        self.producers += 1
        if self.unmade is not None:
            raise type(self.unmade)(*self.unmade.args)
        self.config, self.done = config, False
        return self

    def made_admin(self, config: dict[str, Any]) -> Any:
        assert "group.id" not in config
        self.admins += 1
        return self

    def describe_topics(
        self,
        topics: TopicCollection,
        include_authorized_operations: bool,
        request_timeout: float,
    ) -> Any:
        assert include_authorized_operations and request_timeout > 0
        done: Future[Any] = Future()
        if isinstance(self.allowed, Exception):
            done.set_exception(self.allowed)
        else:
            done.set_result(SimpleNamespace(authorized_operations=self.allowed))
        return {"user_events": done}

    def produce(self, topic: str, value: bytes, key: bytes, timestamp: int) -> None:
        if self.done:
            raise KafkaException(FATAL)
        if self.not_queued is not None:
            raise KafkaException(self.not_queued)
        if len(self._queued) >= self.room:
            raise BufferError("Local: Queue full")
        if self.gone_after is not None:
            if self.gone_after == 0:
                raise KafkaException(KafkaError(KafkaError._UNKNOWN_TOPIC))
            self.gone_after -= 1
        self._queued.append((topic, value, key, timestamp))

    def poll(self, timeout: float) -> int:
        assert timeout == 0
        self._raise()
        if self.down:
            self.config["error_cb"](KafkaError(KafkaError._ALL_BROKERS_DOWN))
            return 0
        queued, self._queued = self._queued, []
        for each in queued:
            error = self.error if self.refused else None
            self.stored += [] if self.refused else [each]
            self.config["on_delivery"](error, None)
        return len(queued)

    def flush(self, timeout: float) -> int:
        assert timeout <= 2
        self._raise()
        while self._purged:
            self.config["on_delivery"](self._purged.pop(), None)
        return len(self._queued)

    def _raise(self) -> None:
        raised, self.raises = self.raises, None
        if raised is not None:
            raise KafkaException(raised)

    def purge(self) -> None:
        self._purged += [KafkaError(KafkaError._PURGE_QUEUE) for _ in self._queued]
        self._queued = []

    def list_topics(self, topic: str, timeout: float) -> Any:
        timed_out = self.refused and self.error.code() == KafkaError._MSG_TIMED_OUT
        if self.down or timed_out or self.gone_after == 0:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None)})


def asked(
    server: ValkeyServer,
    test: Callable[[Api], Awaitable[None]],
    broker: Broker | None = None,
    **options: Any,
) -> None:
    async def run() -> None:
        async with running(server, **options) as api:
            if broker is not None:
                config = {"bootstrap.servers": "k:9092", "group.id": "g"}
                posted, makers = api.app.metrics.posted, (broker.made, broker.made_admin)
                api.app.events = Events(config, posted, *makers)
            await api.app.events.start()
            try:
                await test(api)
            finally:
                await api.app.events.stop()

    asyncio.run(run())


async def until_kafka(api: Api, state: str) -> None:
    async with asyncio.timeout(20):
        while (await api.get("/health"))["kafka"] != state:
            await asyncio.sleep(0.001)


async def post(api: Api, events: Any) -> tuple[int, dict[bytes, bytes], dict[str, Any]]:
    status, headers, body = await api.send(
        "/recommendations/events",
        "POST",
        json.dumps({"events": events}).encode(),
        {"content-type": "application/json"},
    )
    return status, headers, json.loads(body)


def impressions(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of an answer that is shown, as a shop makes them."""
    return [
        {
            "event_id": f"e{item['position']}",
            "occurred_at": datetime.now(UTC).isoformat(),
            "user_id": answer["user_id"],
            "session_id": "s1",
            "event_type": "impression",
            "sku": item["item"],
            "slot": answer["slot"],
            "list_version": answer["version"],
            "arm": answer["arm"],
            "position": item["position"],
            "probability": item["probability"],
        }
        for item in answer["items"]
    ]


@pytest.mark.parametrize("count", [2, 3, 10, 25])
def test_each_item_is_at_each_place_as_often_as_is_stated(count: int) -> None:
    share, times, draws = 0.05, 10_000, Random(7)
    offers = [Offer(str(rank), "popular") for rank in range(count)]
    at: Counter[tuple[int, int]] = Counter()
    stated: dict[tuple[int, int], float] = {}
    for _ in range(times):
        places = swapped(offers, share, draws)
        for place, (offer, probability) in enumerate(places):
            cell = place, int(offer.item)
            at[cell] += 1
            assert stated.setdefault(cell, probability) == probability
    for cell, probability in stated.items():
        deviation = (times * probability * (1 - probability)) ** 0.5
        assert abs(at[cell] - times * probability) < 5 * deviation
    assert stated[0, 0] == 1 - share
    assert len(stated) == count**2 or count > 10


@given(st.integers(0, 100), st.floats(0.01, 0.05), st.integers())
def test_a_shown_list_is_the_list_in_another_order_and_its_probabilities_are_ones(
    count: int, share: float, seed: int
) -> None:
    offers = [Offer(str(rank), "popular") for rank in range(count)]
    found = swapped(offers, share, Random(seed))
    assert sorted(offer.item for offer, _ in found) == sorted(offer.item for offer in offers)
    for place, (offer, probability) in enumerate(found):
        own = offer.item == str(place)
        expected = 1 if count == 1 else 1 - share if own else share / (count - 1)
        assert probability == expected and 0 < probability <= 1


def test_a_users_arm_never_changes_and_each_has_half_of_them() -> None:
    assert "".join(arm_of(user) for user in ("12347", "12348", "12349", "é", "")) == "bbbba"
    arms = Counter(arm_of(str(user)) for user in range(10_000))
    assert abs(arms["a"] - 5_000) < 250 and set(arms) == {"a", "b"}


def test_what_is_shown_names_arm_place_and_probability_and_a_seed_repeats_it(
    server: ValkeyServer,
) -> None:
    seen: list[list[dict[str, Any]]] = []

    async def test(api: Api) -> None:
        answers = [await api.get("/recommendations/nobody?shown=true") for _ in range(200)]
        seen.append(answers)
        assert {answer["arm"] for answer in answers} == {arm_of("nobody")}
        for answer in answers:
            assert [item["position"] for item in answer["items"]] == [1, 2, 3]
        firsts = Counter(answer["items"][0]["item"] for answer in answers)
        assert firsts["x-p0"] < 200 and {"x-p0", "x-p1", "x-p2"} >= set(firsts)
        plain = await api.get("/recommendations/nobody?shown=false")
        assert plain == await api.get("/recommendations/nobody")
        assert "arm" not in plain and set(plain["items"][0]) == {"item", "reason"}
        own = await api.get("/recommendations/u1?shown=true&n=1")
        assert own["items"] == [
            {
                "item": "x-n1",
                "reason": "goes_with",
                "reason_item": "x-a1",
                "position": 1,
                "probability": 1.0,
            }
        ]

    for seed in (1, 1, 2):
        asked(server, test, swapped=0.05, seed=seed)
    assert seen[0] == seen[1] != seen[2]


def test_impressions_and_clicks_of_an_answer_reach_the_topic_once_each(
    server: ValkeyServer,
) -> None:
    broker = Broker()

    async def test(api: Api) -> None:
        await until_kafka(api, "up")
        shown = impressions(await api.get("/recommendations/u1?shown=true"))
        click = shown[0] | {"event_id": "c1", "event_type": "click", "impression_id": "e1"}
        status, _, body = await post(api, [*shown, click])
        assert (status, body) == (202, {"accepted": 3})
        async with asyncio.timeout(20):
            while len(broker.stored) < 3:
                await asyncio.sleep(0.001)
        assert {topic for topic, *_ in broker.stored} == {"user_events"}
        for sent, (_, value, key, timestamp) in zip([*shown, click], broker.stored, strict=True):
            event = decode(value)
            assert (key, event["sku"], event["arm"]) == (b"u1", sent["sku"], arm_of("u1"))
            assert timestamp == int(event["occurred_at"].timestamp() * 1000)
        assert await posted(api) == {"accepted": 3.0, "stored": 3.0, "lost": 0.0}
        assert "group.id" not in broker.config and broker.config["enable.idempotence"]

    asked(server, test, broker)


@pytest.mark.parametrize("length", [64, 65])
def test_whoever_is_answered_can_send_what_was_shown(server: ValkeyServer, length: int) -> None:
    user = "é" * length

    async def test(api: Api) -> None:
        await until_kafka(api, "up")
        status, _, body = await api.send(f"/recommendations/{quote(user)}?shown=true")
        if length > 64:
            assert status == 422
            return
        given = impressions(json.loads(body))
        assert {each["user_id"] for each in given} == {user}
        assert (await post(api, given))[0] == 202

    asked(server, test, Broker())


@pytest.mark.parametrize(
    ("name", "of_events", "longest"),
    [("user_id", "user_id", LONGEST_USER), ("item", "sku", LONGEST_ITEM)],
)
def test_an_id_is_as_long_in_answers_as_in_lists_and_in_events(
    name: str, of_events: str, longest: int
) -> None:
    assert contract("web.user_events").column(of_events).max_length == longest
    assert contract("recommendations.lists").column(name).max_length == longest


async def posted(api: Api) -> dict[str, float]:
    _, _, body = await api.send("/metrics")
    return {
        sample.labels["outcome"]: sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
        if sample.name == "feira_recommendations_events_total"
    }


def test_while_kafka_is_down_events_are_not_taken_and_lists_are_answered(
    server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.005)
    monkeypatch.setattr(module, "_PROBE_SECONDS", 0.005)
    broker = Broker()
    broker.down = True

    async def test(api: Api) -> None:
        shown = impressions(await api.get("/recommendations/u1?shown=true"))
        for _ in range(2):
            status, headers, body = await post(api, shown)
            assert (status, headers[b"retry-after"], body["status"]) == (503, b"5", 503)
            assert (await api.get("/recommendations/u1"))["source"] == "own"
            broker.down = False
            await until_kafka(api, "up")
            assert (await post(api, shown))[0] == 202
            broker.down = True
            await until_kafka(api, "down")
        broker.down = False
        await until_kafka(api, "up")
        broker.refused = True
        assert (await post(api, shown))[0] == 202
        # What was accepted and did not arrive is counted, and Kafka taken for down.
        await until_kafka(api, "down")
        found = await posted(api)
        assert found["accepted"] == 6 == found["lost"] + found.get("stored", 0)
        assert found["lost"] >= 2

    asked(server, test, broker)


@pytest.mark.parametrize("told", ["called", "raised", ""])
def test_a_producer_that_is_done_is_replaced_and_what_it_had_is_lost_and_counted(
    server: ValkeyServer, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    monkeypatch.setattr(module, "_POLL_SECONDS", 60)
    monkeypatch.setattr(module, "_PROBE_SECONDS", 0.01)
    broker = Broker()

    async def test(api: Api) -> None:
        await until_kafka(api, "up")
        queued, met = impressions(await api.get("/recommendations/u1?shown=true"))[:2]
        assert (await post(api, [queued]))[0] == 202
        broker.done = True
        if told == "called":
            broker.config["error_cb"](FATAL)
        elif told == "raised":
            # As the client does while the producer that is done is flushed.
            broker.raises = FATAL
        # Whoever meets it is told to come again.
        assert (await post(api, [met]))[0] == 503
        await until_kafka(api, "up")
        assert broker.producers == 2
        assert (await post(api, [met]))[0] == 202
        assert broker.poll(0) == 1
        assert await posted(api) == {"accepted": 2.0, "stored": 1.0, "lost": 1.0}

    asked(server, test, broker)
    assert [decode(value)["event_id"] for _, value, *_ in broker.stored] == ["e2"]


DENIED = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
READ_ONLY = [AclOperation.DESCRIBE, AclOperation.READ]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.005)
    monkeypatch.setattr(module, "_PROBE_SECONDS", 0.005)


async def refusal(api: Api, shown: Any) -> str:
    """Why events are not taken, at any of many times."""
    said = set()
    for _ in range(20):
        status, headers, body = await post(api, shown)
        assert (status, headers[b"retry-after"]) == (503, b"5")
        said.add(str(body["title"]))
        await asyncio.sleep(0.005)
    (one,) = said
    return one


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "says",
    [READ_ONLY, [AclOperation.DESCRIBE], KafkaException(DENIED)],
    ids=["read", "describe", "nothing"],
)
@pytest.mark.parametrize("allows", [[AclOperation.WRITE, AclOperation.DESCRIBE], [], None])
def test_no_event_is_taken_while_the_topic_may_not_be_written(
    server: ValkeyServer, says: Any, allows: Any
) -> None:
    broker = Broker()
    broker.allowed = says

    async def test(api: Api) -> None:
        shown = impressions(await api.get("/recommendations/u1?shown=true"))
        async with asyncio.timeout(20):
            while "WRITE" not in (await post(api, shown))[2]["title"]:
                await asyncio.sleep(0.001)
        title = await refusal(api, shown)
        assert "user_events" in title and "answer" not in title
        assert (await api.get("/health"))["kafka"] == "down"
        assert await posted(api) == {"accepted": 0.0, "stored": 0.0, "lost": 0.0}
        broker.allowed = allows
        await until_kafka(api, "up")
        assert (await post(api, shown))[0] == 202

    asked(server, test, broker)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("code", ["TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED"])
@pytest.mark.parametrize("by", ["delivery", "client", "fatal", "raised"])
def test_a_topic_that_may_no_longer_be_written_stays_so_until_kafka_says_otherwise(
    server: ValkeyServer, monkeypatch: pytest.MonkeyPatch, code: str, by: str
) -> None:
    monkeypatch.setattr(module, "_MOST_UNANSWERED", 1_000_000)
    broker = Broker()
    error = KafkaError(getattr(KafkaError, code), "not today", fatal=by in ("fatal", "raised"))

    async def test(api: Api) -> None:
        await until_kafka(api, "up")
        shown = impressions(await api.get("/recommendations/u1?shown=true"))
        broker.allowed = READ_ONLY
        if by == "delivery":
            broker.refused, broker.error = True, error
            assert (await post(api, shown))[0] == 202
            await until_kafka(api, "down")
        elif by == "client":
            broker.not_queued = error
            assert (await post(api, shown))[0] == 503
        elif by == "raised":
            broker.raises = error
            await until_kafka(api, "down")
        else:
            broker.config["error_cb"](error)
        title = await refusal(api, shown)
        assert "WRITE" in title
        assert (await posted(api))["stored"] == 0
        # No producer is made for what it may not do, and one client asks for as long as it is answered.
        assert (broker.producers, broker.admins) == (1, 2)
        # Neither that Kafka is gone for a while nor that it does not say is a permission.
        broker.down = True
        assert await refusal(api, shown) == title
        broker.down, broker.allowed = False, KafkaException(KafkaError(KafkaError._TIMED_OUT))
        assert await refusal(api, shown) == title
        broker.allowed, broker.refused, broker.not_queued = [AclOperation.WRITE], False, None
        await until_kafka(api, "up")
        assert broker.producers == (2 if error.fatal() else 1)
        assert (await post(api, shown))[0] == 202

    asked(server, test, broker)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "says",
    [KafkaException(KafkaError(KafkaError._TIMED_OUT)), ValueError("unknown"), [AclOperation.ALL]],
)
def test_a_broker_that_never_says_what_is_allowed_is_asked_by_an_event_after_a_while(
    server: ValkeyServer, monkeypatch: pytest.MonkeyPatch, says: Any
) -> None:
    monkeypatch.setattr(module, "_MOST_UNANSWERED", 5)
    broker = Broker()
    broker.allowed = says

    async def test(api: Api) -> None:
        await until_kafka(api, "up")
        denied = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "not today")
        broker.config["error_cb"](denied)
        await until_kafka(api, "up")

    asked(server, test, broker)


OF_ONE_MESSAGE = (
    "MSG_SIZE_TOO_LARGE",
    "RECORD_LIST_TOO_LARGE",
    "INVALID_TIMESTAMP",
    "INVALID_RECORD",
    "INVALID_MSG_SIZE",
    "_INVALID_DIFFERENT_RECORD",
)


@pytest.mark.parametrize("code", OF_ONE_MESSAGE)
def test_a_message_that_kafka_refuses_is_lost_and_others_are_taken(
    server: ValkeyServer, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(module, "_POLL_SECONDS", 60)
    monkeypatch.setattr(module, "_PROBE_SECONDS", 60)
    broker = Broker()

    async def test(api: Api) -> None:
        await until_kafka(api, "up")
        one, other = impressions(await api.get("/recommendations/u1?shown=true"))[:2]
        assert (await post(api, [one]))[0] == 202
        broker.refused, broker.error = True, KafkaError(getattr(KafkaError, code))
        assert broker.poll(0) == 1
        broker.refused = False
        assert (await api.get("/health"))["kafka"] == "up"
        assert (await post(api, [other]))[0] == 202
        assert broker.poll(0) == 1
        assert await posted(api) == {"accepted": 2.0, "stored": 1.0, "lost": 1.0}
        # One that the client does not even queue is named to who posts it.
        broker.not_queued = broker.error
        status, headers, body = await post(api, [other])
        (error,) = body["errors"]
        assert (status, error["name"]) == (422, "events[0]") and code in error["limit"]
        assert b"retry-after" not in headers
        broker.not_queued = None
        assert (await post(api, [other]))[0] == 202

    asked(server, test, broker)


@pytest.mark.usefixtures("impatient")
def test_a_producer_that_cannot_be_made_anew_is_made_once_it_can_be(
    server: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Broker()

    async def test(api: Api) -> None:
        await until_kafka(api, "up")
        shown = impressions(await api.get("/recommendations/u1?shown=true"))
        for error in (
            KafkaException(KafkaError(KafkaError._INVALID_ARG, "ssl.ca.location of k:9092 failed")),
            ValueError("ssl.ca.location of k:9092"),
            OSError("k:9092"),
        ):
            caplog.clear()
            broker.unmade, made = error, broker.producers
            broker.config["error_cb"](FATAL)
            async with asyncio.timeout(20):
                while broker.producers < made + 5:
                    await asyncio.sleep(0.001)
            assert "not" in await refusal(api, shown)
            # Said once more at most than that the old one is done, and no value is.
            assert len(caplog.records) == 2 and "k:9092" not in caplog.text
            known = "FEIRA_KAFKA makes no producer" in caplog.text
            assert known == (not isinstance(error, OSError))
            broker.unmade = None
            await until_kafka(api, "up")
            assert (await post(api, shown))[0] == 202

    asked(server, test, broker)


@pytest.mark.usefixtures("impatient")
def test_what_fails_while_events_are_delivered_or_kafka_is_asked_ends_neither(
    server: ValkeyServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, calls = Broker(), Counter[str]()

    def failing(name: str) -> Callable[..., Any]:
        def fail(*_: Any, **__: Any) -> Any:
            calls[name] += 1
            raise RuntimeError("".join(("sec", "ret")))

        return fail

    async def test(api: Api) -> None:
        await until_kafka(api, "up")
        shown = impressions(await api.get("/recommendations/u1?shown=true"))
        with monkeypatch.context() as patched:
            patched.setattr(broker, "poll", failing("poll"))
            patched.setattr(broker, "list_topics", failing("list_topics"))
            broker.config["error_cb"](KafkaError(KafkaError._ALL_BROKERS_DOWN))
            async with asyncio.timeout(20):
                while min(calls["poll"], calls["list_topics"]) < 5:
                    await asyncio.sleep(0.001)
            said = [it.getMessage() for it in caplog.records if it.name == module.__name__]
            assert len(said) == 2 and all("on: RuntimeError" in it for it in said)
            assert "secret" not in caplog.text
        await until_kafka(api, "up")
        assert (await post(api, shown))[0] == 202
        async with asyncio.timeout(20):
            while len(broker.stored) < len(shown):
                await asyncio.sleep(0.001)

    asked(server, test, broker)


def test_a_full_queue_refuses_and_so_do_no_topic_and_no_kafka_at_all(server: ValkeyServer) -> None:
    broker = Broker(room=1)

    async def full(api: Api) -> None:
        await until_kafka(api, "up")
        shown = impressions(await api.get("/recommendations/nobody?shown=true"))
        status, headers, body = await post(api, shown)
        assert (status, headers[b"retry-after"]) == (503, b"5")
        assert "wait for Kafka" in body["title"]
        assert (await posted(api))["accepted"] == 1

    asked(server, full, broker)

    gone = Broker()

    async def without_topic(api: Api) -> None:
        await until_kafka(api, "up")
        shown = impressions(await api.get("/recommendations/nobody?shown=true"))
        gone.gone_after = 1
        status, headers, body = await post(api, shown)
        assert (status, headers[b"retry-after"]) == (503, b"5")
        assert "topic" in body["title"]
        assert (await api.get("/health"))["kafka"] == "down"
        assert (await posted(api))["accepted"] == 1
        gone.gone_after = None
        await until_kafka(api, "up")
        assert (await post(api, shown))[0] == 202

    asked(server, without_topic, gone)

    async def none(api: Api) -> None:
        shown = impressions(await api.get("/recommendations/nobody?shown=true"))
        status, headers, body = await post(api, shown)
        why = "No Kafka is configured here: FEIRA_KAFKA is not set."
        assert (status, body["title"]) == (501, why)
        assert b"retry-after" not in headers
        assert (await api.get("/health"))["kafka"] == "none"

    asked(server, none)


@pytest.mark.parametrize(
    ("events", "name", "limit"),
    [
        ([], "events", "1 to 100"),
        ([{}] * 101, "events", "1 to 100"),
        ("abc", "events", "1 to 100"),
        ([[]], "events[0]", "an object"),
        ([{"user": "u"}], "events[0].user", "none of"),
        ([{"x" * 1000: "u"}], f"events[0].{'x' * 64}", "none of"),
        ([{"event_id": "e"}], "events[0].occurred_at", "required"),
    ],
)
def test_events_that_are_none_are_refused_whole_by_place_field_and_limit(
    server: ValkeyServer, events: Any, name: str, limit: str
) -> None:
    broker = Broker()

    async def test(api: Api) -> None:
        await until_kafka(api, "up")
        status, _, body = await post(api, events)
        (error,) = body["errors"]
        assert (status, error["name"]) == (422, name) and limit in error["limit"]
        valid = impressions(await api.get("/recommendations/u1?shown=true"))
        status, _, body = await post(api, [*valid, valid[0] | {"sku": ""}])
        assert (status, body["errors"][0]["name"]) == (422, "events[2].sku")
        assert set((await posted(api)).values()) == {0.0}
        _, _, metrics = await api.send("/metrics")
        assert b'parameter="events"' in metrics and b"events[" not in metrics

    asked(server, test, broker)


def test_kafkas_settings_are_one_variable_and_none_of_it_is_quoted() -> None:
    assert kafka_from_env({}) is None
    config = {"bootstrap.servers": "k:9092", "sasl.password": "secret"}
    for stated in (config, {"conn_type": "kafka", "extra": config}):
        assert kafka_from_env({"FEIRA_KAFKA": json.dumps(stated)}) == config
    for text in (
        "k:9092",
        "[]",
        '{"conn_type": "kafka"}',
        '{"sasl.password": "secret"}',
        '{"bootstrap.servers": ""',
    ):
        with pytest.raises(SettingsError, match="FEIRA_KAFKA") as refused:
            kafka_from_env({"FEIRA_KAFKA": text})
        assert "secret" not in str(refused.value)
