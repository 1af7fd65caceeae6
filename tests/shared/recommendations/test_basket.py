"""What goes with a guest's basket, over the API on a real server that is up, killed, or holds damage."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest
import valkey

from feira.recommendations import goes_with
from feira.recommendations.publish import publish
from feira.recommendations.serving import app, bodies, reading
from feira.recommendations.serving.packing import ListsError
from feira.recommendations.serving.reading import Lists
from recommendations_api import Api, running
from valkey_server import ValkeyServer, in_slots, rows

VERSION = "2010-12-01-001"
PAIRS = {
    "a": {"b": 0.5, "c": 0.25},
    "b": {"a": 0.5, "d": 0.375},
    "é/:": {"c": 0.5},
}
EVERYONE = ["p1", "c", "a", "p2"]


@pytest.fixture
def client(server: ValkeyServer) -> Iterator[valkey.Valkey]:
    with server.client() as client:
        client.flushall()
        yield client


def pairs(of: dict[str, dict[str, float]]) -> list[pa.RecordBatch]:
    """A batch of each item."""
    return [
        pa.RecordBatch.from_pylist(
            [{"item": item, "goes_with": list(others), "similarity": list(others.values())}],
            schema=goes_with.ROWS,
        )
        for item, others in of.items()
    ]


def publish_pairs(client: valkey.Valkey, of: dict[str, dict[str, float]] = PAIRS) -> None:
    lists = rows({("new", ""): [(item, "popular", None) for item in EVERYONE]})
    publish(client, VERSION, in_slots(lists), ["a", "b", "c", "d", "p1", "p2"], pairs(of))


def asked(server: ValkeyServer, test: Callable[[Api], Awaitable[None]]) -> None:
    async def run() -> None:
        async with running(server) as api:
            await test(api)

    asyncio.run(run())


async def post(
    api: Api, body: Any, query: str = "", kind: str = "application/json"
) -> tuple[int, dict[str, Any]]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, _, answer = await api.send(
        f"/recommendations/basket{query}", "POST", content, {"content-type": kind}
    )
    return status, json.loads(answer)


def test_the_similarities_of_a_baskets_items_are_summed_and_what_is_popular_follows(
    server: ValkeyServer, client: valkey.Valkey
) -> None:
    publish_pairs(client)

    async def test(api: Api) -> None:
        # d 0.375, c 0.25 of a: neither item of the basket is offered.
        assert await post(api, {"items": ["a", "b", "a"]}) == (
            200,
            {
                "user_id": None,
                "slot": "new",
                "version": VERSION,
                "source": "basket",
                "items": [
                    {"item": "d", "reason": "goes_with", "reason_item": "b"},
                    {"item": "c", "reason": "goes_with", "reason_item": "a"},
                    {"item": "p1", "reason": "popular"},
                    {"item": "p2", "reason": "popular"},
                ],
            },
        )
        # c has 0.25 of a and 0.5 of the other, b 0.5 of a alone.
        _, found = await post(api, {"items": ["a", "é/:"]}, "?n=2&exclude=p1")
        assert [(it["item"], it["reason_item"]) for it in found["items"]] == [
            ("c", "é/:"),
            ("b", "a"),
        ]
        _, found = await post(api, {"items": ["a"]}, "?n=3&exclude=b,p1")
        assert [it["item"] for it in found["items"]] == ["c", "p2"]
        _, found = await post(api, {"items": ["unknown"]}, "?n=2")
        assert (found["source"], [it["item"] for it in found["items"]]) == ("popular", ["p1", "c"])

    asked(server, test)


def test_a_basket_is_answered_while_valkey_is_down_and_with_what_is_damaged(
    server: ValkeyServer, client: valkey.Valkey
) -> None:
    publish_pairs(client)

    async def test(api: Api) -> None:
        for damaged in (b"\x00" * 7, b"\xff" * 8):
            client.set(f"reco:{VERSION}:with:a", damaged)
            _, found = await post(api, {"items": ["a"]}, "?n=2")
            assert (found["source"], found["version"]) == ("popular", VERSION)
        assert await api.failures() == {"damaged": 2.0}
        server.kill()
        try:
            _, found = await post(api, {"items": ["b", "p1"]}, "?n=2")
        finally:
            server.__enter__()
        items = [it["item"] for it in found["items"]]
        assert (found["source"], items) == ("popular", ["c", "a"])

    asked(server, test)


def test_what_goes_with_an_item_is_counted_and_in_the_checksum_and_removed_with_the_version(
    client: valkey.Valkey,
) -> None:
    publish_pairs(client)
    meta = json.loads(client.get(f"reco:{VERSION}:meta"))
    assert (meta["lists"], meta["keys"]) == (1, 4)
    assert client.get(f"reco:{VERSION}:with:a") == bytes.fromhex("01000000020000000000003f0000803e")
    other = {**PAIRS, "b": {"a": 0.5, "d": 0.25}}
    with pytest.raises(Exception, match="published with other lists"):
        publish_pairs(client, other)
    for number in range(2, 5):
        lists = rows({("new", ""): [("a", "popular", None)]})
        publish(client, f"2010-12-01-{number:03d}", in_slots(lists), ["a"])
    assert not list(client.scan_iter(match=f"reco:{VERSION}:*"))


def test_an_item_without_a_number_or_there_again_is_refused(client: valkey.Valkey) -> None:
    with pytest.raises(ListsError, match="with 'a': the item 'z' is none"):
        publish_pairs(client, {"a": {"b": 0.5, "z": 0.5}})
    lists = rows({("new", ""): [("a", "popular", None)]})
    with pytest.raises(ListsError, match="with 'a': it is there again"):
        publish(client, VERSION, in_slots(lists), ["a", "b"], pairs({"a": {"b": 1.0}}) * 2)
    assert client.get("reco:live") is None


@pytest.mark.parametrize(
    ("body", "query", "status", "name", "limit"),
    [
        ({"items": []}, "", 422, "items", "1 to 50"),
        ({"items": [str(n) for n in range(51)]}, "", 422, "items", "1 to 50"),
        ({"items": ["x" * 65]}, "", 422, "items", "1 to 64"),
        ({"items": [""]}, "", 422, "items", "1 to 64"),
        ({"items": [1]}, "", 422, "items", "1 to 64"),
        ({"items": [["a"]]}, "", 422, "items", "1 to 64"),
        ({"items": "abc"}, "", 422, "items", "1 to 50"),
        ({}, "", 422, "items", "1 to 50"),
        ({"items": ["a"], "user": "u"}, "", 422, "body", "items"),
        (["a"], "", 422, "body", "JSON object"),
        (b"", "", 422, "body", "JSON object"),
        (b'{"items": ["a"]', "", 422, "body", "JSON object"),
        (b'{"items": ["\\ud800"]}', "", 422, "body", "JSON object"),
        (b'{"items": ["\xff"]}', "", 422, "body", "JSON object"),
        (b'{"items": ["a"], "items": ["b"]}', "", 422, "body", "JSON object"),
        (b'{"items": [NaN]}', "", 422, "body", "JSON object"),
        (b"[" * 100_000, "", 422, "body", "JSON object"),
        (b" " * 262_145, "", 413, "body", "262,144 bytes"),
        ({"items": ["a"]}, "?n=0", 422, "n", "1 to 100"),
        ({"items": ["a"]}, "?slot=new", 422, "parameter", "one of n, exclude"),
    ],
)
def test_a_basket_that_is_not_understood_is_refused_by_name_value_and_limit(
    server: ValkeyServer,
    client: valkey.Valkey,
    body: Any,
    query: str,
    status: int,
    name: str,
    limit: str,
) -> None:
    async def test(api: Api) -> None:
        found_status, found = await post(api, body, query)
        assert (found_status, found["status"]) == (status, status)
        (error,) = found["errors"]
        assert error["name"] == name and limit in error["limit"] and limit in found["detail"]
        assert len(json.dumps(found)) < 1000

    asked(server, test)


@pytest.mark.parametrize("most", [1_000, 10])
def test_what_is_asked_at_once_is_read_by_reads_of_a_bounded_number_of_keys(
    server: ValkeyServer, client: valkey.Valkey, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(reading, "_MOST_KEYS", most)
    publish_pairs(client)
    read: list[int] = []
    answered: list[tuple[int, str]] = []
    answered_before: list[int] = []

    class Noted(Lists):
        async def _values_once(self, keys: list[str]) -> list[bytes | None]:
            read.append(len(keys))
            answered_before.append(len(answered))
            return await super()._values_once(keys)

    monkeypatch.setattr(app, "Lists", Noted)

    async def test(api: Api) -> None:
        # The pointer, an item that is known and 49 that are not.
        body = {"items": ["a", *map(str, range(49))]}
        await post(api, body)
        read.clear()
        answered_before.clear()

        async def ask() -> None:
            status, found = await post(api, body)
            answered.append((status, found["source"]))

        await asyncio.gather(*(ask() for _ in range(100)))
        assert set(answered) == {(200, "basket")}
        # A basket's 51 keys are never parted.
        assert sum(read) == 5_100 and max(read) == max(51, most - most % 51)
        if most == 1_000:
            # No read waits for the answers of the one before it.
            assert answered_before == [sum(read[:n]) // 51 for n in range(len(read))]

    asked(server, test)


def test_the_duplicate_key_of_a_large_body_is_found_in_one_pass(
    server: ValkeyServer, client: valkey.Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As many passes as there are keys would take an hour, in which nobody is answered.
    monkeypatch.setattr(bodies, "MOST_BYTES", 2**24)
    keys = ", ".join(f'"k{number}": 0' for number in range(400_000))

    async def test(api: Api) -> None:
        status, found = await post(api, f'{{{keys}, "last": 0, "last": 0}}'.encode())
        assert (status, found["errors"][0]["value"]) == (422, "duplicate key 'last'")

    asked(server, test)


def test_a_basket_that_is_not_stated_as_json_is_refused(
    server: ValkeyServer, client: valkey.Valkey
) -> None:
    async def test(api: Api) -> None:
        for kind in ("text/plain", "", "application/x-www-form-urlencoded"):
            status, found = await post(api, {"items": ["a"]}, kind=kind)
            assert (status, found["errors"][0]["name"]) == (415, "content-type")
        assert (await post(api, {"items": ["a"]}, kind="Application/JSON; charset=utf-8"))[0] == 200
        # The user of that name still has a list.
        assert (await api.get("/recommendations/basket"))["user_id"] == "basket"
        status, headers, _ = await api.send("/recommendations/basket", "PUT")
        assert (status, headers[b"allow"]) == (405, b"GET, POST")

    asked(server, test)
