"""The versions that a person looks at: lists from Valkey; names, purchases and the gate's verdict from the lake."""

from __future__ import annotations

import asyncio
import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from fastapi import HTTPException
from valkey.asyncio import Valkey

from feira.core.errors import first_line
from feira.recommendations.serving import layout
from feira.recommendations.serving.served import (
    NONE,
    POPULAR,
    Answer,
    Offer,
    Served,
    served_of,
    stored_in,
)
from feira.recommendations.serving.store import Options

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

LISTED: Final = 20
_SECONDS = 2.0
# Of the versions that are looked at: the three that are kept, and one that has just come.
_REMEMBERED = 4
_Read = TypeVar("_Read")


class LakeError(Exception):
    """The lake did not answer."""


@dataclass(frozen=True)
class Lake:
    """The folder of the lake that has one of each version."""

    files: AbstractFileSystem
    folder: str


class Product(NamedTuple):
    """A product with what a search looks at, in folded case."""

    item: str
    name: str | None
    folded_item: str
    folded_name: str


class Versions:
    """What the page shows of the versions that are kept."""

    def __init__(self, options: Options, lake: Lake) -> None:
        self.client = Valkey(
            **{**options, "socket_timeout": _SECONDS, "socket_connect_timeout": _SECONDS}
        )
        self._lake = lake
        # With the meta that each had: one that was removed, or published anew, has it no more.
        self._read: dict[str, tuple[bytes, Served]] = {}
        self._names: dict[str, dict[str, str]] = {}
        self._products: dict[str, tuple[Served, list[Product]]] = {}

    async def all(self) -> dict[str, Any]:
        """The versions that are complete, the newest first, and which is served."""
        live = await self.client.get(layout.LIVE)
        members = [name.decode() for name in await self.client.smembers(layout.VERSIONS)]
        names = sorted(members, key=layout.age, reverse=True)
        metas = await self.client.mget([layout.meta_key(it) for it in names]) if names else []
        served = None if live is None else live.decode("utf-8", "replace")
        return {
            "served": served,
            "versions": [
                {"version": name, "served": name == served}
                for name, meta in zip(names, metas, strict=True)
                if layout.complete(meta) is not None
            ],
        }

    async def of(self, version: str, *keys: str) -> tuple[Served, list[bytes | None]]:
        """A version, and the values of these keys of it; raises HTTPException where it is not kept."""
        for _ in range(2):
            meta, served = self._read.get(version) or await self._load(version)
            # Together: what is found without a value is then none that was removed.
            now, *values = await self.client.mget([layout.meta_key(version), *keys])
            if now == meta:
                return served, values
            self._read.pop(version, None)
        raise _not_kept(version)

    async def _load(self, version: str) -> tuple[bytes, Served]:
        stored = await stored_in(self.client, version)
        found = None if stored is None else await asyncio.to_thread(served_of, stored)
        if stored is None or found is None:
            raise _not_kept(version)
        _remember(self._read, version, (stored.meta, found))
        return stored.meta, found

    async def names(self, version: str) -> dict[str, str]:
        """The names of products; none of a version that has no file of them."""
        if version not in self._names:
            named = await self._table(version, "names.parquet", _names)
            _remember(self._names, version, named or {})
        return self._names[version]

    async def bought(self, version: str, user: str) -> list[dict[str, Any]]:
        """What a user had, newest first: the row groups alone are read that can hold it."""
        of_user = [("user_id", "=", user)]
        return await self._table(version, "purchases.parquet", _purchases, of_user) or []

    async def lists(self, version: str, user: str) -> dict[str, Answer]:
        """What the user is offered of that version, by slot."""
        served, (value,) = await self.of(version, layout.user_key(version, user))
        return {slot: _answer(served, slot, value) for slot in layout.SLOTS}

    async def products(self, version: str, query: str) -> list[Product]:
        """Those of which the number begins so, or the name has every word; at most ``LISTED``."""
        served, _ = await self.of(version)
        names = await self.names(version)
        of, products = self._products.get(version, (None, []))
        if of is not served:
            products = await asyncio.to_thread(_folded, served.items, names)
            _remember(self._products, version, (served, products))
        return await asyncio.to_thread(_matching, products, query)

    async def gate(self, version: str) -> dict[str, Any]:
        """What the gate found: ``verdict`` is None where it has not judged, or its file is none."""
        layout.require_version(version)
        problem = None
        try:
            path = f"{self._lake.folder}/{version}/gate.json"
            content = await _from_lake(lambda: self._lake.files.cat_file(path))
            found = json.loads(content)
            figures = [
                *found["figures"],
                *(each for name in ("estimates", "drift") for each in found.get(name, [])),
            ]
            if isinstance(found["verdict"], str) and all(isinstance(it, dict) for it in figures):
                return {"verdict": found["verdict"], "figures": figures, "problem": None}
            problem = "gate.json is no verdict of the gate"
        except FileNotFoundError:
            pass
        except (KeyError, TypeError, ValueError):
            problem = "gate.json is no verdict of the gate"
        return {"verdict": None, "figures": [], "problem": problem}

    async def _table(
        self, version: str, name: str, read_as: Callable[[pa.Table], _Read], filters: Any = None
    ) -> _Read | None:
        """What a table of the version is read as; None where there is no such file."""
        layout.require_version(version)

        def read() -> _Read:
            path = f"{self._lake.folder}/{version}/{name}"
            with self._lake.files.open(path, "rb") as file:
                return read_as(pq.read_table(file, filters=filters))

        try:
            return await _from_lake(read)
        except FileNotFoundError:
            return None


async def _from_lake(read: Callable[[], _Read]) -> _Read:
    """What is read, in a thread.

    :raises FileNotFoundError: where it is not there
    :raises ValueError: where it has not the form that it is to have
    :raises LakeError: for all else: an object store's client has errors of its own, which are no OSError
    """
    try:
        return await asyncio.to_thread(read)
    except (FileNotFoundError, ValueError):
        raise
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"{type(error).__name__}: {first_line(error)}") from error
    except Exception as error:
        raise LakeError(first_line(error)) from error


def _names(table: pa.Table) -> dict[str, str]:
    found: dict[str, str] = {}
    # Some at a time: a column is made texts without letting another thread run meanwhile.
    for rows in table.to_batches(1_000):
        found.update(zip(rows["sku"].to_pylist(), rows["name"].to_pylist(), strict=True))
    return found


def _purchases(table: pa.Table) -> list[dict[str, Any]]:
    return [
        {"item": row["item"], "days": row["days"], "last": row["last"].isoformat()}
        for row in table.to_pylist()
    ]


def _folded(items: list[str], names: dict[str, str]) -> list[Product]:
    return [
        Product(item, name := names.get(item), _fold(item), _fold(name or "")) for item in items
    ]


def _fold(text: str) -> str:
    """A text as all that reads the same is compared: one program writes ü as one character, another as two."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", text).casefold())


def _matching(products: list[Product], query: str) -> list[Product]:
    number = _fold(query).strip()
    words = number.split()
    if not words:
        return []
    found = [
        each
        for each in products
        if each.folded_item.startswith(number) or all(word in each.folded_name for word in words)
    ]
    found.sort(key=lambda each: (each.folded_item != number, each.name or each.item))
    return found[:LISTED]


def _remember(kept: dict[str, _Read], version: str, found: _Read) -> None:
    kept[version] = found
    for old in list(kept)[:-_REMEMBERED]:
        del kept[old]


def _not_kept(version: str) -> HTTPException:
    return HTTPException(404, f"{version[:64]!r} is no complete version in Valkey.")


def _answer(served: Served, slot: str, value: bytes | None) -> Answer:
    found = None if value is None else served.answer(slot, value, LISTED, frozenset())
    if found is not None:
        return found
    items = served.everyone.get(slot, [])[:LISTED]
    source = POPULAR if items else NONE
    return Answer(served.version, source, [Offer(item, layout.POPULAR) for item in items])
