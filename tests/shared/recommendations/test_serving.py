"""The API on a real server that is up, empty, hanging, killed and started again: it always answers."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
import uvicorn
from botocore.exceptions import EndpointConnectionError, NoCredentialsError
from prometheus_client.parser import text_string_to_metric_families
from valkey.asyncio.connection import Connection

from feira.core.settings import SettingsError
from feira.recommendations.publish import PublishError, publish, rollback, versions
from feira.recommendations.serving import __main__ as program
from feira.recommendations.serving import baked, reading
from feira.recommendations.serving.events import Events
from feira.recommendations.serving.store import options_from_env
from feira.user_events.codec import TABLE
from recommendations_api import FILE, Api, running
from user_event_contract import changed_contract, with_column
from valkey_server import (
    InSegments,
    ValkeyServer,
    in_slots,
    items_of,
    publish_lists,
    rows,
    some_lists,
)

V1, V2 = "2010-12-01-1", "2010-12-02-1"
V3 = "2010-12-03-1"


@pytest.fixture(autouse=True)
def empty(server: ValkeyServer) -> None:
    with server.client() as client:
        client.flushall()


def with_api(
    server: ValkeyServer,
    test: Callable[[Api], Awaitable[None]],
    read_file: Callable[[], bytes] = lambda: FILE,
) -> None:
    async def run() -> None:
        async with running(server, read_file) as api:
            await test(api)

    asyncio.run(run())


def published(server: ValkeyServer, version: str, mark: str = "x") -> None:
    with server.client() as client:
        publish_lists(client, version, some_lists(mark))


def test_an_answer_names_version_and_source_and_the_reason_of_each_item(
    server: ValkeyServer,
) -> None:
    published(server, V1)

    async def test(api: Api) -> None:
        assert await api.get("/recommendations/u1?slot=new&n=2") == {
            "user_id": "u1",
            "slot": "new",
            "version": V1,
            "source": "own",
            "items": [
                {"item": "x-n1", "reason": "goes_with", "reason_item": "x-a1"},
                {"item": "x-p0", "reason": "popular"},
            ],
        }
        assert (await api.get("/recommendations/u1?slot=again"))["items"] == [
            {"item": "x-a1", "reason": "bought_before"}
        ]
        stranger = await api.get("/recommendations/nobody")
        assert (stranger["source"], stranger["version"]) == ("popular", V1)
        assert stranger["items"][0] == {"item": "x-p0", "reason": "popular"}
        # What nobody has bought is no list of what somebody buys again.
        assert await api.seen("nobody?slot=again") == (V1, "none", [])
        health = await api.get("/health")
        assert health == {
            "status": "ok",
            "valkey": "up",
            "kafka": "none",
            "version": V1,
            "file_version": "baked",
        }

    with_api(server, test)


def test_who_had_everything_is_offered_nothing_new_and_not_what_it_had(
    server: ValkeyServer,
) -> None:
    lists = some_lists("x") | {
        ("again", "had all"): [(f"x-p{n}", "bought_before", None) for n in range(3)],
        ("new", "only new"): [("x-p2", "popular", None)],
    }
    with server.client() as client:
        publish_lists(client, V1, {name: lists[name] for name in sorted(lists)})

    async def test(api: Api) -> None:
        assert await api.seen("had%20all") == (V1, "own", [])
        assert await api.seen("had%20all?slot=again&n=1") == (V1, "own", ["x-p0"])
        assert await api.seen("had%20all?shown=true") == (V1, "own", [])
        assert await api.seen("only%20new?slot=again") == (V1, "own", [])
        assert await api.seen("nobody?n=1") == (V1, "popular", ["x-p0"])
        assert await api.failures() == {}

    with_api(server, test)


IN_SEGMENTS = InSegments(
    {"BAG": ["x-p0", "x-a0", "x-p1"], "ÉTUI <i>": ["x-n1"]}, {"s0": "ÉTUI <i>", "a/b": "BAG"}
)


def test_who_has_no_list_but_a_segment_gets_what_is_popular_in_it(server: ValkeyServer) -> None:
    with server.client() as client:
        publish_lists(client, V1, some_lists("x"), IN_SEGMENTS)

    async def test(api: Api) -> None:
        assert await api.get("/recommendations/s0?slot=new") == {
            "user_id": "s0",
            "slot": "new",
            "version": V1,
            "source": "segment",
            "segment": "ÉTUI <i>",
            "items": [{"item": "x-n1", "reason": "popular_in_category"}],
        }
        assert await api.seen("a%2Fb") == (V1, "segment", ["x-p0", "x-a0", "x-p1"])
        assert await api.seen("a%2Fb?n=1&exclude=x-p0") == (V1, "segment", ["x-a0"])
        assert await api.seen("u1") == (V1, "own", ["x-n1", "x-p0"])
        assert await api.seen("nobody?n=1") == (V1, "popular", ["x-p0"])
        assert await api.seen("s0?slot=again") == (V1, "none", [])
        # The next version has other segments, and then none.
        with server.client() as client:
            others = InSegments({"BAG": ["two-p0"], "CUP": ["two-p1"]}, {"s0": "CUP"})
            publish_lists(client, V2, some_lists("two"), others)
        assert await api.seen("s0") == (V2, "segment", ["two-p1"])
        assert await api.seen("a%2Fb?n=1") == (V2, "popular", ["two-p0"])
        with server.client() as client:
            publish_lists(client, V3, some_lists("three"))
        assert await api.seen("s0?n=1") == (V3, "popular", ["three-p0"])
        assert await api.failures() == {}

    with_api(server, test)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("segments", None),
        ("segments", b'["BAG"]'),
        ("segments", b'"ab"'),
        ("segment:1", None),
    ],
)
def test_a_version_without_all_its_segments_is_not_served(
    server: ValkeyServer, key: str, value: bytes | None
) -> None:
    with server.client() as client:
        publish_lists(client, V1, some_lists("x"), IN_SEGMENTS)
        name = f"reco:{V1}:{key}"
        client.delete(name) if value is None else client.set(name, value)

    async def test(api: Api) -> None:
        assert await api.seen("u1") == ("baked", "file", ["f0", "f1"])

    with_api(server, test)


def test_a_segment_that_is_not_there_is_answered_with_what_is_popular(server: ValkeyServer) -> None:
    with server.client() as client:
        publish_lists(client, V1, some_lists("x"), IN_SEGMENTS)
        client.set(f"reco:{V1}:user:s0", b"\x02\x00\x00")
        client.set(f"reco:{V1}:segment:0", b"\xff" * 4)

    async def test(api: Api) -> None:
        assert await api.seen("s0?n=1") == (V1, "popular", ["x-p0"])
        assert await api.seen("a%2Fb?n=1") == (V1, "popular", ["x-p0"])
        assert await api.failures() == {"damaged": 2}

    with_api(server, test)


def test_what_is_excluded_is_left_out_and_others_move_up(server: ValkeyServer) -> None:
    published(server, V1)

    async def test(api: Api) -> None:
        assert (await api.seen("u1?n=1"))[2] == ["x-n1"]
        assert (await api.seen("u1?n=1&exclude=x-n1"))[2] == ["x-p0"]
        assert (await api.seen("u1?exclude=x-n1&exclude=x-p0,other"))[2] == []
        assert (await api.seen("nobody?n=2&exclude=x-p1"))[2] == ["x-p0", "x-p2"]
        assert (await api.seen("nobody?n=2&exclude=other"))[2] == ["x-p0", "x-p1"]
        assert (await api.seen("u1?exclude=x-n1&shown=false"))[2] == ["x-p0"]
        assert len((await api.seen("u1?exclude=&shown=true"))[2]) == 2

    with_api(server, test)


def test_any_user_id_in_utf_8_is_one(server: ValkeyServer) -> None:
    users = ["a/b", "a:b", "é ü", "%", "a?b", "1" * 64, "new:u"]
    lists = {("new", user): [(f"for {user}", "popular", None)] for user in sorted(users)}
    with server.client() as client:
        publish(client, V1, in_slots(rows(lists)), items_of(lists))

    async def test(api: Api) -> None:
        for user in users:
            found = await api.get(f"/recommendations/{quote(user, safe='')}")
            assert (found["user_id"], found["source"]) == (user, "own")
            assert found["items"] == [{"item": f"for {user}", "reason": "popular"}]

    with_api(server, test)


def test_a_version_that_is_published_or_rolled_back_is_in_the_next_answer(
    server: ValkeyServer,
) -> None:
    async def test(api: Api) -> None:
        assert await api.seen("u1") == ("baked", "file", ["f0", "f1"])
        published(server, V1, "one")
        assert await api.seen("u1") == (V1, "own", ["one-n1", "one-p0"])
        published(server, V2, "two")
        assert await api.seen("u1") == (V2, "own", ["two-n1", "two-p0"])
        with server.client() as client:
            rollback(client)
        assert await api.seen("u1") == (V1, "own", ["one-n1", "one-p0"])

    with_api(server, test)


def test_a_request_that_was_under_way_when_another_loaded_the_new_version_answers_from_it(
    server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, V1, "one")
    values, moved = reading.Lists._values, []

    async def test(api: Api) -> None:
        assert await api.seen("u1") == (V1, "own", ["one-n1", "one-p0"])

        async def meanwhile(self: reading.Lists, keys: list[str]) -> list[bytes | None]:
            if not moved:
                moved.append(keys)
                published(server, V2, "two")
                await self._load()
            return await values(self, keys)

        monkeypatch.setattr(reading.Lists, "_values", meanwhile)
        assert await api.seen("u1") == (V2, "own", ["two-n1", "two-p0"])
        assert V1 in moved[0][1]

    with_api(server, test)


def test_every_answer_while_versions_change_is_of_one_version(server: ValkeyServer) -> None:
    """Users in the thousands of requests, and lists of which each names its version in each item."""
    published(server, V1, V1)
    published(server, V2, V2)
    stopped = threading.Event()

    def change() -> None:
        with server.client() as client:
            while not stopped.is_set():
                for version in (V1, V2):
                    rollback(client, version)

    async def test(api: Api) -> None:
        seen, rounds = set(), 0
        # Who changes them may be late.
        async with asyncio.timeout(60):
            while rounds < 40 or seen != {V1, V2}:
                rounds += 1
                for version, source, items in await asyncio.gather(
                    *(api.seen(f"u{n % 6}?n=3") for n in range(20))
                ):
                    assert version is not None
                    assert source in ("own", "popular") and items
                    assert {item.rpartition("-")[0] for item in items} == {version}
                    seen.add(version)
        assert await api.failures() == {}

    thread = threading.Thread(target=change)
    thread.start()
    try:
        with_api(server, test)
    finally:
        stopped.set()
        thread.join()


def test_a_hanging_valkey_costs_one_wait_and_is_read_again_when_it_answers(
    server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, V1)

    async def test(api: Api) -> None:
        own = (V1, "own", ["x-n1", "x-p0"])
        assert await api.seen("u1") == own
        server.hang()
        patience = reading.READ_SECONDS
        monkeypatch.setattr(reading, "READ_SECONDS", 0.3)
        try:
            # All that wait at that moment wait together, and nobody after them.
            together = await asyncio.gather(*(api.seen(f"u{n}") for n in range(300)))
            later = [await api.seen("u1") for _ in range(20)]
            assert set(map(str, together + later)) == {
                str((V1, "popular", ["x-p0", "x-p1", "x-p2"]))
            }
            assert await api.failures() == {"timeout": 1.0}
            assert (await api.get("/health"))["valkey"] == "down"
        finally:
            monkeypatch.setattr(reading, "READ_SECONDS", patience)
            server.go_on()
        await api.until("u1", own)
        assert (await api.get("/health"))["valkey"] == "up"

    with_api(server, test)


@pytest.mark.parametrize("command", ["MGET", "GET", None])
def test_an_error_of_any_kind_is_one_of_valkey_and_nobody_waits_on(
    server: ValkeyServer, monkeypatch: pytest.MonkeyPatch, command: str | None
) -> None:
    """Of the client's commands, or (None) of whatever is sent by any connection."""
    broken = [False]
    send = Connection.send_packed_command

    async def breaking(self: Connection, sent: Any, check_health: bool = True) -> None:
        if broken[0] and command is None:
            raise RuntimeError("unable to perform operation on <TCPTransport closed=True>")
        await send(self, sent, check_health)

    monkeypatch.setattr(Connection, "send_packed_command", breaking)

    class Breaking(reading.Valkey):
        async def execute_command(self, *arguments: Any, **options: Any) -> Any:
            if broken[0] and arguments[0] == command:
                raise RuntimeError("unable to perform operation on <TCPTransport closed=True>")
            return await super().execute_command(*arguments, **options)

    monkeypatch.setattr(reading, "Valkey", Breaking)
    published(server, V1)
    published(server, V2, "two")

    async def test(api: Api) -> None:
        assert await api.seen("u1") == (V2, "own", ["two-n1", "two-p0"])
        with server.client() as client:
            rollback(client)
        broken[0] = True
        async with asyncio.timeout(30):
            together = await asyncio.gather(*(api.seen(f"u{n}?n=1") for n in range(300)))
        # What is served now was not read yet.
        assert set(map(str, together)) == {str((V2, "popular", ["two-p0"]))}
        assert set(await api.failures()) == {"error"}
        assert (await api.get("/health"))["valkey"] == "down"
        broken[0] = False
        await api.until("u1", (V1, "own", ["x-n1", "x-p0"]))

    with_api(server, test)


class Slow:
    """A way to Valkey on which each answer takes ``seconds`` longer, and the first one of a connection
    ``first`` longer; ``answers`` have come so far, and ``opened`` connections are past their first one."""

    def __init__(self, server: ValkeyServer, first: float = 0.0) -> None:
        self._to = server.options
        self.seconds, self.first, self.answers, self.opened = 0.0, first, 0, 0

    @asynccontextmanager
    async def between(self) -> AsyncIterator[Any]:
        """Something with the options of a server, which lead here."""
        proxy = await asyncio.start_server(self._passed_on, "127.0.0.1", 0)
        async with proxy:
            yield SimpleNamespace(options=self._to | {"port": proxy.sockets[0].getsockname()[1]})

    async def _passed_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._to["host"], self._to["port"])
        asked = asyncio.ensure_future(self._copied(reader, back, slow=False))
        await self._copied(there, writer, slow=True)
        await asked

    async def _copied(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, slow: bool
    ) -> None:
        first = self.first
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                if slow:
                    await asyncio.sleep(self.seconds + first)
                    self.opened += first > 0
                    first = 0.0
                    self.answers += 1
                writer.write(data)
        writer.close()


def test_a_slow_valkey_costs_one_wait_and_none_however_often_it_is_asked_whether_it_is_fast(
    server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "READ_SECONDS", 0.05)
    published(server, V1)
    own, popular = (V1, "own", ["x-n1", "x-p0"]), (V1, "popular", ["x-p0", "x-p1", "x-p2"])

    async def test() -> None:
        way = Slow(server)
        async with way.between() as slow, running(slow) as api:
            await api.until("u1", own)
            # As slow as no request waits for, and faster than a version is given to be read.
            way.seconds = 0.08
            await api.until("u1", popular)
            failures, until = await api.failures(), way.answers + 15
            while way.answers < until:
                assert await api.seen("u1") == popular
                await asyncio.sleep(0)
            assert await api.failures() == failures
            way.seconds = 0.0
            await api.until("u1", own)

    asyncio.run(test())


def test_a_connection_that_was_closed_while_it_was_idle_costs_no_answer(
    server: ValkeyServer,
) -> None:
    """As Valkey does with its setting `timeout`, and what lies between."""
    published(server, V1)

    async def test(api: Api) -> None:
        for _ in range(5):
            assert await api.seen("u1") == (V1, "own", ["x-n1", "x-p0"])
            with server.client() as client:
                client.client_kill_filter(_type="normal")
        assert await api.failures() == {}

    with_api(server, test)


def test_where_a_connection_takes_longer_than_a_read_may_valkey_is_read_all_the_same(
    server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, V1)
    patience = reading.READ_SECONDS

    def reads_may_take(seconds: float) -> None:
        monkeypatch.setattr(reading, "READ_SECONDS", seconds)

    async def test() -> None:
        way = Slow(server, first=0.6)
        reads_may_take(0.3)
        async with way.between() as slow, running(slow) as api:
            # A connection that is not there yet is made by reads, which are given up then.
            while way.opened < 2:
                await api.seen("u1")
                await asyncio.sleep(0.005)
            reads_may_take(patience)
            await api.until("u1", (V1, "own", ["x-n1", "x-p0"]))
            assert await api.failures() == {}
            # In the midst of reading that is one read that failed.
            with server.client() as client:
                client.client_kill_filter(_type="normal")
            reads_may_take(0.3)
            assert await api.seen("u1") == (V1, "popular", ["x-p0", "x-p1", "x-p2"])
            reads_may_take(patience)
            await api.until("u1", (V1, "own", ["x-n1", "x-p0"]))
            assert await api.failures() == {"timeout": 1.0}

    asyncio.run(test())


def test_what_is_asked_at_once_is_each_users_own_also_where_one_no_longer_waits(
    server: ValkeyServer,
) -> None:
    published(server, V1)

    async def test(api: Api) -> None:
        for gone in (0, 7):
            asked = {n: asyncio.ensure_future(api.seen(f"u{n % 4}?n=1")) for n in range(40)}
            await asyncio.sleep(0)
            asked.pop(gone).cancel()
            for n, each in asked.items():
                assert await each == (V1, "own", [f"x-n{n % 4}"])
        assert await api.seen("u1?n=1") == (V1, "own", ["x-n1"])

    with_api(server, test)


def test_a_killed_valkey_is_read_again_when_it_is_started(server: ValkeyServer) -> None:
    published(server, V1)

    async def test(api: Api) -> None:
        own = (V1, "own", ["x-n1", "x-p0"])
        assert await api.seen("u1") == own
        server.keep()
        server.kill()
        for _ in range(3):
            assert await api.seen("u1") == (V1, "popular", ["x-p0", "x-p1", "x-p2"])
        server.__enter__()
        await api.until("u1", own)

    with_api(server, test)


def test_started_without_valkey_it_answers_from_the_file_and_takes_valkey_up(
    server: ValkeyServer,
) -> None:
    published(server, V1)
    server.keep()
    server.kill()

    async def test(api: Api) -> None:
        assert await api.seen("u1?n=1") == ("baked", "file", ["f0"])
        assert await api.seen("u1?exclude=f0") == ("baked", "file", ["f1"])
        server.__enter__()
        await api.until("u1", (V1, "own", ["x-n1", "x-p0"]))

    with_api(server, test)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("live", None),
        ("live", b"\xff"),
        ("live", b"*"),
        # Half published: the pointer is at what its publisher has not ended.
        ("live", b"2010-12-09-1"),
        (f"{V1}:meta", None),
        (f"{V1}:meta", b"{"),
        (f"{V1}:items", None),
        (f"{V1}:items", b"{}"),
        (f"{V1}:items", b"[1"),
        (f"{V1}:items", b'["x"]'),
        (f"{V1}:items", json.dumps([str(n) for n in range(50)]).encode()),
        (f"{V1}:user:", b"\xff" * 4),
    ],
)
def test_a_version_that_is_not_whole_in_valkey_is_not_served_and_a_whole_one_is_again(
    server: ValkeyServer, key: str, value: bytes | None
) -> None:
    published(server, V1)
    published(server, V2, "two")

    async def test(api: Api) -> None:
        with server.client() as client:
            client.set("reco:live", V1)
            if value is None:
                client.delete(f"reco:{key}")
            else:
                client.set(f"reco:{key}", value)
            assert [await api.seen("u1") for _ in range(3)] == [("baked", "file", ["f0", "f1"])] * 3
            client.set("reco:live", V2)
            assert await api.seen("u1") == (V2, "own", ["two-n1", "two-p0"])

    with_api(server, test)


def test_what_is_read_already_is_dropped_when_valkey_is_emptied(server: ValkeyServer) -> None:
    published(server, V1)

    async def test(api: Api) -> None:
        assert (await api.seen("u1"))[1] == "own"
        with server.client() as client:
            client.flushall()
        assert await api.seen("u1") == ("baked", "file", ["f0", "f1"])
        published(server, V1, "again")
        assert await api.seen("u1") == (V1, "own", ["again-n1", "again-p0"])

    with_api(server, test)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x01",
        # A list of one item, of no bytes, of more than it needs, and of one that has no number.
        bytes([0, 1, 255]),
        bytes([0, 1, 255, 0, 0]),
        bytes([0, 1, 255, 15]),
        # A reason that is an item beyond those that are there, and one of no number.
        bytes([0, 1, 0, 0, 3]),
        bytes([0, 1, 1, 0xF0, 3]),
        b"\xee" * 8,
    ],
)
def test_a_list_with_what_has_no_number_is_not_served(server: ValkeyServer, value: bytes) -> None:
    published(server, V1)

    async def test(api: Api) -> None:
        with server.client() as client:
            client.set(f"reco:{V1}:user:u1", value)
        assert await api.seen("u1") == (V1, "popular", ["x-p0", "x-p1", "x-p2"])
        assert await api.failures() == {"damaged": 1.0}

    with_api(server, test)


@pytest.mark.parametrize("number", [None, 1, 3])
def test_a_version_in_another_layout_is_answered_from_the_file_until_it_is_published_again(
    server: ValkeyServer, caplog: pytest.LogCaptureFixture, number: int | None
) -> None:
    published(server, V1)
    with server.client() as client:
        meta = json.loads(client.get(f"reco:{V1}:meta"))
        del meta["layout"]
        if number is not None:
            meta["layout"] = number
        client.set(f"reco:{V1}:meta", json.dumps(meta))
        # As it was stored before: a key of each list and of its reasons.
        client.set(f"reco:{V1}:new:u1", b"\x01\x00\x00\x00")

    async def test(api: Api) -> None:
        assert [await api.seen("u1") for _ in range(3)] == [("baked", "file", ["f0", "f1"])] * 3
        health = await api.get("/health")
        assert (health["version"], health["file_version"]) == (None, "baked")
        assert await api.failures() == {"damaged": 1.0}
        with server.client() as client:
            assert [each.meta for each in versions(client)] == [None]
            with pytest.raises(PublishError, match=f"{V1} is incomplete"):
                rollback(client, V1)
        published(server, V1)
        await api.until("u1", (V1, "own", ["x-n1", "x-p0"]))
        with server.client() as client:
            assert not client.exists(f"reco:{V1}:new:u1")
            assert rollback(client, V1).version == V1

    with_api(server, test)
    assert sum(f"{V1} cannot be read" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 1}', b"\xff"])
def test_without_a_file_that_can_be_read_the_answer_is_empty(
    server: ValkeyServer, content: bytes
) -> None:
    async def test(api: Api) -> None:
        assert await api.seen("u1") == (None, "none", [])
        assert (await api.get("/health"))["file_version"] is None

    with_api(server, test, lambda: content)


def test_a_file_is_followed_whatever_its_reader_raises_and_each_kind_is_logged_once(
    server: ValkeyServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reading, "_FILE_SECONDS", 0.001)
    # Those of an object store's client are no OSError, and name what was asked.
    errors: list[Exception] = [
        *(EndpointConnectionError(endpoint_url=f"http://127.0.0.1/{n}") for n in range(3)),
        *(NoCredentialsError(), NoCredentialsError(), RuntimeError("closed")),
    ]

    def read() -> bytes:
        if errors:
            raise errors.pop(0)
        return FILE

    async def test(api: Api) -> None:
        await api.until("u1", ("baked", "file", ["f0", "f1"]))

    with_api(server, test, read)
    assert sum("cannot be read" in record.getMessage() for record in caplog.records) == 3


def test_a_file_that_is_not_to_be_had_holds_nobody_up(
    server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_LOAD_SECONDS", 0.1)
    released, in_time = threading.Event(), []

    def hangs() -> bytes:
        in_time.append(released.wait(10))
        raise FileNotFoundError("no file")

    async def test(api: Api) -> None:
        try:
            assert await api.seen("u1") == (None, "none", [])
        finally:
            released.set()

    with_api(server, test, hangs)
    assert in_time == [True]


@pytest.mark.parametrize(
    ("path", "name", "value", "limit"),
    [
        ("u1?n=0", "n", "0", "1 to 100"),
        ("u1?n=101", "n", "101", "1 to 100"),
        ("u1?n=-1", "n", "-1", "1 to 100"),
        ("u1?n=%D9%A3", "n", "٣", "1 to 100"),
        ("u1?n=1e1", "n", "1e1", "1 to 100"),
        ("u1?n=", "n", "", "1 to 100"),
        (f"u1?n={'9' * 5000}", "n", "9" * 80, "1 to 100"),
        ("u1?slot=soon", "slot", "soon", "again or new"),
        ("u1?slot=new&slot=again", "slot", "new, again", "stated once"),
        ("u1?size=3", "parameter", "size", "one of slot, n, exclude, shown"),
        ("u1?shown=1", "shown", "1", "true or false"),
        ("u1?shown=true&exclude=b,a", "exclude", "a,b", "not stated with shown=true"),
        ("u1?exclude=a&n=3&shown=true", "exclude", "a", "positions are those of the whole list"),
        ("u1?exclude=a,,b", "exclude", "", "1 to 64"),
        (f"u1?exclude={'x' * 65}", "exclude", "x" * 65, "1 to 64"),
        (f"u1?exclude={','.join(map(str, range(101)))}", "exclude", "101 items", "at most 100"),
        # Looked at until the limit is passed, however many follow.
        (f"u1?{'&'.join(f'exclude={n}' for n in range(200))}", *("exclude", "101 items", "100")),
        ("u1?n=%FF", "query", "n=%FF", "UTF-8"),
        ("%FF", "user_id", "%FF", "1 to 64"),
        ("", "user_id", "", "1 to 64"),
        ("x" * 129, "user_id", "x" * 80, "1 to 64"),
        ("a/b", "user_id", "a/b", "1 to 64"),
    ],
)
def test_a_request_that_is_not_understood_is_refused_by_name_value_and_limit(
    server: ValkeyServer, path: str, name: str, value: str, limit: str
) -> None:
    async def test(api: Api) -> None:
        status, headers, body = await api.send(f"/recommendations/{path}")
        assert (status, headers[b"content-type"]) == (422, b"application/problem+json")
        found = json.loads(body)
        (error,) = found["errors"]
        assert (error["name"], error["value"], found["status"]) == (name, value, 422)
        assert limit in error["limit"] and limit in found["detail"] and len(body) < 1000

    with_api(server, test)


def test_other_methods_and_paths_are_no_recommendations(server: ValkeyServer) -> None:
    async def test(api: Api) -> None:
        status, headers, body = await api.send("/recommendations/u1", "POST")
        assert (status, headers[b"allow"], json.loads(body)["status"]) == (405, b"GET", 405)
        assert (await api.send("/recommendations"))[0] == 404
        # Without a lake there is no page, and it is in no description.
        assert (await api.send("/ui"))[0] == (await api.send("/ui/page.js"))[0] == 404
        assert not any("/ui" in path for path in (await api.get("/openapi.json"))["paths"])

    with_api(server, test)


def test_metrics_are_by_route_slot_and_source_and_name_no_user(server: ValkeyServer) -> None:
    published(server, V1)

    async def test(api: Api) -> None:
        for path in ("u1", "u1", "u1?slot=again", "nobody", "u1?n=0"):
            await api.send(f"/recommendations/{path}")
        _, headers, body = await api.send("/metrics")
        assert headers[b"content-type"].startswith(b"text/plain")
        samples = [
            sample
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
            if sample.name.startswith("feira_")
        ]
        route = "/recommendations/{user_id}"
        counted = {
            tuple(sample.labels[name] for name in ("slot", "source", "status")): sample.value
            for sample in samples
            if sample.name == "feira_recommendations_request_seconds_count"
            and sample.labels["route"] == route
        }
        assert counted == {
            ("new", "own", "200"): 2,
            ("again", "own", "200"): 1,
            ("new", "popular", "200"): 1,
        }
        (refused,) = [
            s
            for s in samples
            if s.name == "feira_recommendations_requests_refused_total" and s.value
        ]
        assert (refused.labels, refused.value) == ({"route": route, "parameter": "n"}, 1)
        (up,) = [s for s in samples if s.name == "feira_recommendations_valkey_up"]
        assert up.value == 1
        assert b"u1" not in body and b"nobody" not in body

    with_api(server, test)


@pytest.mark.parametrize(
    ("method", "path", "content", "kind"),
    [
        ("GET", "a/b", b"", ""),
        *(
            ("GET", f"u1?{query}", b"", "")
            for query in ("n=0", "slot=x", "shown=x", "x=1", "n=%FF")
        ),
        ("GET", f"u1?exclude={'x' * 65}", b"", ""),
        *(
            ("POST", f"basket?{query}", b'{"items": ["a"]}', "application/json")
            for query in ("n=0", "x=1")
        ),
        *(
            ("POST", "basket", it, "application/json")
            for it in (b"", b'{"items": []}', b'{"x": 1}')
        ),
        ("POST", "basket", b"", "text/plain"),
        *(
            ("POST", "events", it, "application/json")
            for it in (b"", b'{"events": [{}]}', b'{"x": 1}')
        ),
        ("POST", "events", b"", "text/plain"),
    ],
)
def test_a_request_is_refused_under_labels_that_are_shown_at_0_from_the_start(
    server: ValkeyServer,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    content: bytes,
    kind: str,
) -> None:
    monkeypatch.setattr(Events, "require_up", lambda _: None)

    async def test(api: Api) -> None:
        async def refused() -> dict[tuple[str, str], float]:
            return {
                (sample.labels["route"], sample.labels["parameter"]): sample.value
                for family in api.app.metrics.refused.collect()
                for sample in family.samples
                if sample.name.endswith("_total")
            }

        before = await refused()
        assert set(before.values()) == {0.0}
        headers = {"content-type": kind}
        status, _, _ = await api.send(f"/recommendations/{path}", method, content, headers)
        after = await refused()
        assert status in (413, 415, 422) and after.keys() == before.keys()
        assert sum(after.values()) == 1

    with_api(server, test)


def test_counters_of_valkeys_failures_and_of_events_are_shown_at_0_from_the_start(
    server: ValkeyServer,
) -> None:
    async def test(api: Api) -> None:
        _, _, body = await api.send("/metrics")
        at_0 = {
            tuple(sample.labels.values())
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
            if sample.name.endswith(("valkey_failures_total", "recommendations_events_total"))
            and sample.value == 0
        }
        assert at_0 == {
            *(("timeout",), ("error",), ("damaged",)),
            *(("accepted",), ("stored",), ("lost",)),
        }

    with_api(server, test)


def test_whether_a_version_is_read_is_shown_also_where_nobody_asks_for_a_list(
    server: ValkeyServer,
) -> None:
    async def test(api: Api) -> None:
        async def shown() -> dict[str, float]:
            _, _, body = await api.send("/metrics")
            return {
                sample.name.removeprefix("feira_recommendations_"): sample.value
                for family in text_string_to_metric_families(body.decode())
                for sample in family.samples
                if sample.name.endswith(("valkey_up", "version_read", "file_read"))
            }

        read = {"valkey_up": 1.0, "version_read": 1.0, "file_read": 1.0}
        not_read = read | {"version_read": 0.0}
        assert await shown() == not_read
        published(server, V1)
        assert await shown() == read
        with server.client() as client:
            client.flushall()
            assert await shown() == not_read
            published(server, V1)
            assert await shown() == read
            meta = json.loads(client.get(f"reco:{V1}:meta"))
            client.set("reco:2010-12-05-1:meta", json.dumps(meta | {"layout": 1}))
            client.set("reco:live", "2010-12-05-1")
        assert await shown() == not_read
        server.kill()
        try:
            assert (await shown())["valkey_up"] == 0
        finally:
            server.__enter__()

    with_api(server, test)


def test_openapi_describes_the_route_with_its_limits(server: ValkeyServer) -> None:
    async def test(api: Api) -> None:
        document = await api.get("/openapi.json")
        operation = document["paths"]["/recommendations/{user_id}"]["get"]
        by_name = {each["name"]: each for each in operation["parameters"]}
        assert list(by_name) == ["user_id", "slot", "n", "exclude", "shown"]
        assert by_name["slot"]["schema"]["enum"] == ["again", "new"]
        assert (by_name["n"]["schema"]["minimum"], by_name["n"]["schema"]["maximum"]) == (1, 100)
        assert by_name["exclude"]["schema"]["maxItems"] == 100
        assert by_name["user_id"]["required"] and by_name["user_id"]["in"] == "path"
        assert set(operation["responses"]) == {"200", "422"}
        basket = document["paths"]["/recommendations/basket"]["post"]
        schema = basket["requestBody"]["content"]["application/json"]["schema"]
        assert schema["properties"]["items"]["maxItems"] == 50 and schema["required"] == ["items"]
        assert [each["name"] for each in basket["parameters"]] == ["n", "exclude"]
        events = document["paths"]["/recommendations/events"]["post"]
        assert set(events["responses"]) == {"202", "413", "415", "422", "501", "503"}
        listed = events["requestBody"]["content"]["application/json"]["schema"]["properties"][
            "events"
        ]
        assert listed["maxItems"] == 100
        assert listed["items"]["properties"]["sku"]["maxLength"] == 64
        assert listed["items"]["properties"]["event_type"]["enum"] == ["impression", "click"]
        assert "event_day" not in listed["items"]["properties"]
        assert set(basket["responses"]) == {"200", "413", "415", "422"}

    with_api(server, test)


def test_the_file_of_an_earlier_version_is_what_the_api_reads_after_a_rollback(
    tmp_path: Path,
) -> None:
    from fsspec.implementations.local import LocalFileSystem

    files, root = LocalFileSystem(auto_mkdir=True), f"file://{tmp_path}"
    for version in (V1, V2):
        path = baked.bake(files, root, version, {"new": [version]})
        assert baked.Baked.model_validate_json(files.cat_file(path)).version == version
    baked.bake_again(files, root, V1)
    assert baked.Baked.model_validate_json(files.cat_file(path)).everyone == {"new": [V1]}
    with pytest.raises(baked.NotBakedError, match="2010-12-03-1"):
        baked.bake_again(files, root, "2010-12-03-1")


def test_the_address_of_valkey_is_one_variable() -> None:
    assert options_from_env({"FEIRA_VALKEY_URL": "valkey://:pw@db.example.com/1"}) == {
        "host": "db.example.com",
        "port": 6379,
        "password": "pw",
        "db": 1,
    }
    secure = options_from_env({"FEIRA_VALKEY_URL": "valkeys://u:p%40w@db.example.com:7000"})
    assert (secure["ssl"], secure["username"], secure["password"]) == (True, "u", "p@w")
    connection = {
        "conn_type": "redis", "host": "db", "port": 7000, "password": "p@w", "extra": {"ssl": True},
    }  # fmt: skip
    expected = {"host": "db", "port": 7000, "password": "p@w", "ssl": True}
    for extra in ({"ssl": True}, '{"ssl": true}'):
        stated = json.dumps(connection | {"extra": extra})
        assert options_from_env({"FEIRA_VALKEY_URL": stated}) == expected
    for text in (
        *("", "db:6379", "http://:secret@db", "valkey://", '{"password": "secret"}'),
        *(
            '{"host": "secret"',
            '{"host": "h", "extra": "secret"}',
            '{"host": "h", "extra": ["secret"]}',
        ),
    ):
        with pytest.raises(SettingsError, match="FEIRA_VALKEY_URL") as refused:
            options_from_env({"FEIRA_VALKEY_URL": text})
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"host": 5}, "host must be a text"),
        ({"host": ["secret"]}, "host must be a text"),
        ({"login": True}, "login must be a text"),
        ({"password": 12345}, "password must be a text"),
        ({"port": "secret"}, "port must be a whole number from 1 to 65,535"),
        ({"port": 65_536}, "port must be"),
        ({"port": -1}, "port must be"),
        ({"port": 6379.5}, "port must be"),
        ({"port": True}, "port must be"),
        ({"extra": {"db": "secret"}}, "db must be a whole number from 0"),
        ({"extra": {"db": [1]}}, "db must be"),
    ],
)
def test_a_field_of_valkeys_connection_that_is_of_another_type_is_named_and_not_quoted(
    fields: dict[str, Any], named: str
) -> None:
    stated = json.dumps({"conn_type": "redis", "host": "db"} | fields)
    with pytest.raises(SettingsError, match=f"^FEIRA_VALKEY_URL: {named}") as refused:
        options_from_env({"FEIRA_VALKEY_URL": stated})
    assert "secret" not in str(refused.value) and "12345" not in str(refused.value)


def test_numbers_of_valkeys_connection_may_be_texts() -> None:
    stated = {"conn_type": "redis", "host": "db", "port": "7000", "extra": {"db": "3"}}
    found = options_from_env({"FEIRA_VALKEY_URL": json.dumps(stated)})
    assert found == {"host": "db", "port": 7000, "db": 3}


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[uvicorn.Config]:
    """How the program would serve where WEB_CONCURRENCY asks for two processes."""
    found: list[uvicorn.Config] = []

    def serve(app: object, **options: object) -> None:
        found.append(uvicorn.Config(app, **options))  # type: ignore[arg-type]

    monkeypatch.setattr(uvicorn, "run", serve)
    monkeypatch.setenv("FEIRA_VALKEY_URL", "valkey://127.0.0.1:1")
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    program.main(str(tmp_path / "served.json"))
    return found


def test_a_connection_that_is_idle_is_kept_longer_than_clients_and_load_balancers_keep_it(
    served: list[uvicorn.Config],
) -> None:
    assert [it.timeout_keep_alive > 60 for it in served] == [True]


def test_the_program_is_one_process_whatever_the_environment_asks_for(
    served: list[uvicorn.Config],
) -> None:
    # uvicorn would ask for the name of an app that each process makes anew, and end.
    assert [(it.workers, it.should_reload) for it in served] == [(1, False)]


@pytest.mark.parametrize(
    ("stated", "named"),
    [
        ({"linger": 5}, " linger."),
        ({"acks": "secret"}, "request.required.acks"),
        ({"acks": 1}, " acks"),
        ({"debug": "broker,secret"}, " debug."),
        ({"security.protocol": "sasl_ssl", "sasl.mechanism": "secret\nline"}, " it as a whole."),
        ({"security.protocol": "secret" * 200}, " it as a whole."),
        (
            {"security.protocol": "ssl", "ssl.keystore.location": "/secret.p12"},
            "ssl.keystore.password",
        ),
        ({"security.protocol": "SSL", "ssl.ca.location": "/secret.pem"}, "ssl.ca.location"),
        ({"security.protocol": "SSL", "ssl.key.pem": "secret"}, "ssl.key.pem"),
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"}, "sasl.password"),
        ({"message.max.bytes": 3}, " message.max.bytes."),
        ({"plugin.library.paths": "my.secret"}, " it as a whole."),
        ({"oauth_cb": "secret"}, "oauth_cb"),
        ({"client.id": "secret\0of another"}, " client.id."),
        # Kafka's client would end the process.
        ({"cli\udfffent.id": "secret"}, " it as a whole."),
    ],
)
def test_the_program_names_the_property_that_kafkas_client_refuses_before_it_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stated: dict[str, Any], named: str
) -> None:
    started: list[object] = []
    monkeypatch.setattr(uvicorn, "run", lambda app, **_: started.append(app))
    monkeypatch.setenv("FEIRA_VALKEY_URL", "valkey://127.0.0.1:1")
    monkeypatch.setenv("FEIRA_KAFKA", json.dumps({"bootstrap.servers": "127.0.0.1:1"} | stated))
    with pytest.raises(SystemExit) as ended:
        program.main(str(tmp_path / "served.json"))
    words = ended.value.code
    assert isinstance(words, str) and words.startswith("FEIRA_KAFKA makes no producer: ")
    assert named in words and "secret" not in words
    assert started == []


def test_the_program_ends_with_the_one_thing_that_is_missing_before_it_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    monkeypatch.setattr(uvicorn, "run", lambda app, **_: started.append(app))
    kafka = '{"bootstrap.servers": "127.0.0.1:1", "sasl.password": "secret"}'
    valkey = "valkey://127.0.0.1:1"
    with changed_contract(tmp_path, lambda it: with_column(it, "device", "quantity")) as contract:
        for given, named in (
            (
                {"FEIRA_VALKEY_URL": valkey, "FEIRA_KAFKA": kafka},
                f"{contract.parent}/{TABLE}.2.avsc",
            ),
            ({"FEIRA_VALKEY_URL": valkey, "FEIRA_KAFKA": kafka[:-1]}, "FEIRA_KAFKA"),
            ({"FEIRA_VALKEY_URL": "secret"}, "FEIRA_VALKEY_URL"),
        ):
            with monkeypatch.context() as patched:
                for name, text in given.items():
                    patched.setenv(name, text)
                with pytest.raises(SystemExit) as ended:
                    program.main(str(tmp_path / "served.json"))
            # Words for standard error, with which Python ends with 1.
            assert isinstance(ended.value.code, str)
            assert named in ended.value.code and "secret" not in ended.value.code
        assert started == []
        # Where no events are taken none is written.
        monkeypatch.setenv("FEIRA_VALKEY_URL", valkey)
        program.main(str(tmp_path / "served.json"))
    assert len(started) == 1
