"""What the page asks for, over a real Valkey: a lake that is away, versions that are gone, and who is held up."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NoReturn
from unicodedata import normalize
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError
from fsspec.implementations.local import LocalFileSystem

from feira.recommendations.serving import looked_at
from feira.recommendations.serving.looked_at import Lake
from feira.recommendations.versions import NAMES
from recommendations_api import Api, running
from valkey_server import ValkeyServer, publish_lists, some_lists

V1, V2 = "2010-12-01-001", "2010-12-02-001"


@pytest.fixture(autouse=True)
def empty(server: ValkeyServer) -> None:
    with server.client() as client:
        client.flushall()


class Away:
    """A file system that raises an error whatever is asked."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def open(self, *_: object) -> NoReturn:
        raise self._error

    def cat_file(self, *_: object) -> NoReturn:
        raise self._error


def asked(
    server: ValkeyServer, files: Any, folder: Path | str, test: Callable[[Api], Awaitable[None]]
) -> None:
    async def run() -> None:
        async with running(server, lake=Lake(files, str(folder))) as api:
            await test(api)

    asyncio.run(run())


async def page(api: Api, path: str) -> tuple[int, dict[str, Any]]:
    status, _, body = await api.send(f"/ui/api/{path}", headers={"host": "127.0.0.1"})
    return status, json.loads(body)


def published(server: ValkeyServer, version: str, mark: str = "x") -> None:
    with server.client() as client:
        publish_lists(client, version, some_lists(mark))


def write_names(folder: Path, names: dict[str, str]) -> None:
    folder.mkdir()
    table = pa.table([list(names), list(names.values())], schema=NAMES)
    pq.write_table(table, folder / "names.parquet")


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="http://127.0.0.1:1/lake"),
        NoCredentialsError(),
        TimeoutError("of the lake"),
        PermissionError("not yours"),
        RuntimeError("the session is closed"),
    ],
)
def test_a_lake_that_does_not_answer_is_a_problem_whatever_its_client_raises(
    server: ValkeyServer, error: Exception
) -> None:
    published(server, V1)

    async def test(api: Api) -> None:
        for path in ("gate?", "products?q=x&", "product?item=x-a1&"):
            status, found = await page(api, f"{path}version={V1}")
            assert (status, found["title"]) == (503, "The lake does not answer")
            assert str(error).rstrip(".") in found["detail"]
        status, found = await page(api, f"user?user=u1&version={V1}")
        assert (status, found["bought"]) == (200, []) and str(error) in found["problem"]
        assert found["lists"]["again"]["items"][0]["item"] == "x-a1"

    asked(server, Away(error), "lake", test)


def test_a_table_without_its_columns_is_a_version_that_is_damaged(
    server: ValkeyServer, tmp_path: Path
) -> None:
    published(server, V1)
    (tmp_path / V1).mkdir()
    for name in ("names", "purchases"):
        table = pa.table({"user_id": ["u1"], "other": ["x"]})
        pq.write_table(table, tmp_path / V1 / f"{name}.parquet")

    async def test(api: Api) -> None:
        status, found = await page(api, f"products?q=x&version={V1}")
        assert (status, found["title"]) == (503, "What is kept of the version is damaged")
        status, found = await page(api, f"user?user=u1&version={V1}")
        assert (status, found["bought"]) == (200, []) and "sku" in found["problem"]

    asked(server, LocalFileSystem(), tmp_path, test)


def test_no_list_waits_for_what_the_page_makes_of_a_version_and_that_is_made_once(
    server: ValkeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server, V1)
    published(server, V2)
    write_names(tmp_path / V1, {"x-a1": "Lunch Bag", "x-p0": "ÉTUI bag", "x-p1": "TINS"})
    loop_thread, made = threading.get_ident(), list[str]()

    def noted(name: str) -> None:
        work = getattr(looked_at, name)

        def in_a_thread(*given: Any) -> Any:
            assert threading.get_ident() != loop_thread, name
            made.append(name)
            return work(*given)

        monkeypatch.setattr(looked_at, name, in_a_thread)

    for name in ("served_of", "_names", "_folded", "_matching"):
        noted(name)

    async def test(api: Api) -> None:
        for query, items in (
            ("BAG", ["x-a1", "x-p0"]),
            ("bag%20%C3%A9tui", ["x-p0"]),
            ("X-P", ["x-p1", "x-p2", "x-p0"]),
            ("none", []),
        ):
            status, found = await page(api, f"products?q={query}&version={V1}")
            assert (status, [each["item"] for each in found["items"]]) == (200, items)
        assert sorted({*made}) == ["_folded", "_matching", "_names", "served_of"]
        assert [made.count(name) for name in ("served_of", "_names", "_folded")] == [1, 1, 1]

    asked(server, LocalFileSystem(), tmp_path, test)


def test_a_search_finds_a_name_in_whatever_form_it_is_written(
    server: ValkeyServer, tmp_path: Path
) -> None:
    published(server, V1)
    names = {"x-a1": "TASSE GRÜN", "x-p0": "Straße Ｔｅｓｔ", "x-p1": "Café A\u0323\u0308"}
    write_names(
        tmp_path / V1,
        {item: normalize("NFD" if item == "x-a1" else "NFC", name) for item, name in names.items()},
    )

    async def test(api: Api) -> None:
        for query, items in (
            ("grün", ["x-a1"]),
            ("Tasse GRÜ", ["x-a1"]),
            ("STRASSE test", ["x-p0"]),
            ("CAFÉ", ["x-p1"]),
            ("ạ\u0308", ["x-p1"]),
            ("Ｘ-Ａ1", ["x-a1"]),
        ):
            for form in ("NFC", "NFD"):
                asked_for = quote(normalize(form, query))
                status, found = await page(api, f"products?q={asked_for}&version={V1}")
                assert (status, [it["item"] for it in found["items"]]) == (200, items), query

    asked(server, LocalFileSystem(), tmp_path, test)


def test_a_blank_search_is_refused_as_an_empty_one_is(server: ValkeyServer, tmp_path: Path) -> None:
    published(server, V1)

    async def test(api: Api) -> None:
        for query in ("", "%20", "%09%0A%20", "%C2%A0", "%E3%80%80"):
            assert (await page(api, f"products?q={query}&version={V1}"))[0] == 422, query
        # A blank to Python alone.
        status, found = await page(api, f"products?q=%1C&version={V1}")
        assert (status, found["items"]) == (200, [])

    asked(server, LocalFileSystem(), tmp_path, test)


def test_a_version_that_is_removed_is_not_found_also_where_it_was_looked_at_before(
    server: ValkeyServer, tmp_path: Path
) -> None:
    published(server, V1)
    published(server, V2)
    paths = ("user?user=u1", "products?q=x", "product?item=x-a1")

    async def test(api: Api) -> None:
        for path in paths:
            assert (await page(api, f"{path}&version={V1}"))[0] == 200
        for later in (V2, "2010-12-03-001", "2010-12-04-001"):
            published(server, later)
        with server.client() as client:
            assert not [*client.scan_iter(match=f"reco:{V1}:*")]
        for path in (*paths, *paths):
            status, found = await page(api, f"{path}&version={V1}")
            assert status == 404 and V1 in found["detail"]
        assert (await page(api, f"{paths[0]}&version={V2}"))[0] == 200

    asked(server, LocalFileSystem(), tmp_path, test)


def test_a_version_that_is_published_anew_is_not_shown_by_what_it_was(
    server: ValkeyServer, tmp_path: Path
) -> None:
    async def test(api: Api) -> None:
        for mark in ("x", "anew"):
            published(server, V1, mark)
            _, found = await page(api, f"user?user=u1&version={V1}")
            assert found["lists"]["again"]["items"][0]["item"] == f"{mark}-a1"
            _, found = await page(api, f"products?q={mark}-a1&version={V1}")
            assert [each["item"] for each in found["items"]] == [f"{mark}-a1"]
            with server.client() as client:
                client.flushall()

    asked(server, LocalFileSystem(), tmp_path, test)
