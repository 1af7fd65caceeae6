"""One step of recommendations in a process of its own, timed: ``python recommendation_step.py STEP SIZE``.

Prints what it found as its last line, JSON. SIZE is how many interactions are drawn, for ``publish`` how many
users have lists. Seconds are of the step alone, not of the data's making.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from feira.recommendations.blocks import in_blocks
from feira.recommendations.candidates import BASELINE
from feira.recommendations.candidates.als import ALS
from feira.recommendations.candidates.item_item import ItemItem
from feira.recommendations.candidates.reranked import Reranked
from feira.recommendations.history import History, history_before
from feira.recommendations.interactions import Ints, day_number, distinct
from feira.recommendations.lists import chosen, fitted, rows_of
from feira.recommendations.publish import publish
from feira.recommendations.serving.lists_file import ListsFiles, lists_of
from feira.recommendations.serving.packing import Packer
from feira.recommendations.slots import LENGTH, Popular, listed
from valkey_server import SCHEMA, ValkeyServer

# Of each interaction drawn: a user of 25, an item of 250.
USER_OF, ITEM_OF = 25, 250
DAYS = 90
AS_OF = date(2011, 3, 1)
LISTED_USERS = 20_480


def history(interactions: int) -> History:
    """Drawn users and items, whose popularity falls as a power of their rank; the same ones each time."""
    generator = np.random.default_rng(1)
    users, items = max(interactions // USER_OF, 10), max(interactions // ITEM_OF, 10)
    # A tenth more than wanted: some are drawn twice.
    drawn = interactions * 11 // 10
    who = (users * generator.random(drawn) ** 1.5).astype(np.int32)
    what = (items * generator.random(drawn) ** 3).astype(np.int32)
    when = day_number(AS_OF) - 1 - generator.integers(DAYS, size=drawn).astype(np.int32)
    user_ids, item_ids = (
        np.array([f"{at:07d}" for at in range(count)], object) for count in (users, items)
    )
    return history_before(distinct(user_ids, item_ids, who, what, when), AS_OF)


def timed(step: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = step()
    return time.perf_counter() - began, found


def fit(candidate: Any, size: int) -> dict[str, Any]:
    known = history(size)
    seconds, _ = timed(lambda: candidate.fit(known))
    return {"seconds": seconds, "interactions": len(known.days)}


def lists(candidate: Any, size: int) -> dict[str, Any]:
    """The slot `new` of some users, as the lists are made, on every core, without their reasons."""
    known = history(size)
    scorer, seen = candidate.fit(known), known.seen()
    popular = Popular.of(BASELINE.fit(known).of_items)
    count = min(LISTED_USERS, len(known.user_ids))

    def made(users: Ints) -> int:
        return len(listed(scorer(users), seen[users], "new", popular).items)

    seconds, _ = timed(lambda: sum(in_blocks(made, count)))
    return {"seconds": seconds, "users": count}


def method(size: int) -> dict[str, Any]:
    """Both slots of all users with their reasons, by the method that is chosen for a shop of this size."""
    known = history(size)
    choice = chosen(known)
    learned, models = timed(lambda: fitted(choice, known))
    seconds, rows = timed(lambda: sum(map(len, rows_of(models, known))))
    return {
        "seconds": seconds,
        "learn_seconds": learned,
        "users": len(known.user_ids),
        "rows": rows,
        "method": {slot: each.get("name") for slot, each in choice.described().items() if each},
    }


def published(size: int) -> dict[str, Any]:
    """Two lists a user, the one with reasons, as they are read from their Parquet file; Valkey as the stack runs it,
    its log of writes on. What it takes to read the file, of which this holds all, is beside it, and what the loops
    take to import: a task of the stack finds that done."""
    loops = time.process_time()
    Packer("2011-03-01-001", [])
    loops = time.process_time() - loops
    items = [f"{at:05d}" for at in range(max(size // 10, 1000))]
    with tempfile.TemporaryDirectory() as home, ValkeyServer(Path(home)) as server:
        with pq.ParquetWriter(file := Path(home) / "lists.parquet", SCHEMA) as writer:
            for slot in ("again", "new"):
                for batch in drawn_lists(size, items)(slot):
                    writer.write_batch(batch)
        client = server.client()
        before = client.info("memory")["used_memory"]
        with file.open("rb") as opened:
            read, (found, rows) = timed(lambda: _read(opened))
            cpu, of_server = time.process_time(), server.cpu_seconds()
            seconds, done = timed(
                lambda: publish(client, "2011-03-01-001", rows.__getitem__, found.items)
            )
            cpu, of_server = time.process_time() - cpu, server.cpu_seconds() - of_server
        used = client.info("memory")["used_memory"] - before
    return {
        "seconds": seconds,
        "read_seconds": read,
        "import_cpu_seconds": loops,
        "publisher_cpu_seconds": cpu,
        "valkey_cpu_seconds": of_server,
        "users": size,
        "lists": done.lists,
        "bytes": used,
    }


def _read(file: IO[bytes]) -> tuple[ListsFiles, dict[str, list[pa.RecordBatch]]]:
    found = lists_of(file)
    return found, {slot: [*found.rows(slot)] for slot in ("again", "new")}


def drawn_lists(users: int, items: list[str]) -> Callable[[str], Iterator[pa.RecordBatch]]:
    """Two lists a user, of so many items each, as ``publish`` takes them: items are drawn, each reason is one of
    what the user had, and nothing in one list says anything of another."""
    known = pa.array(items)

    def of_slot(slot: str) -> Iterator[pa.RecordBatch]:
        generator = np.random.default_rng(2)
        for start in range(0, users, 5_000):
            count = min(5_000, users - start)
            names = pa.array([f"{at:07d}" for at in range(start, start + count)])
            rows = count * LENGTH
            # Distinct in a list: steps through all items, coprime to how many there are.
            first = generator.integers(len(items), size=(2, count, 1))
            steps = _coprime(len(items))[generator.integers(100, size=(2, count, 1))]
            had, offered = (first + steps * np.arange(LENGTH)) % len(items)
            drawn = generator.integers(LENGTH, size=had.shape)
            why = np.take_along_axis(had, drawn, axis=1).ravel().astype(np.int32)
            new = slot == "new"
            numbers = (offered if new else had).ravel().astype(np.int32)
            of = np.repeat(np.arange(count, dtype=np.int32), LENGTH)
            columns = {
                "slot": pa.repeat(slot, rows),
                "user_id": names.take(pa.array(of)),
                "segment": pa.nulls(rows, pa.string()),
                "position": pa.array(np.tile(np.arange(1, LENGTH + 1, dtype=np.int32), count)),
                "item": known.take(pa.array(numbers)),
                "reason": pa.repeat("goes_with" if new else "bought_before", rows),
                "reason_item": known.take(pa.array(why)) if new else pa.nulls(rows, pa.string()),
            }
            yield pa.RecordBatch.from_arrays([columns[it] for it in SCHEMA.names], schema=SCHEMA)

    return of_slot


def _coprime(items: int) -> npt.NDArray[np.int64]:
    """The first hundred steps that come back only after all items."""
    steps = np.arange(1, items)
    return np.resize(steps[np.gcd(steps, items) == 1], 100)


STEPS: dict[str, Callable[[int], dict[str, Any]]] = {
    "fit item-item": lambda size: fit(ItemItem(), size),
    "fit ALS": lambda size: fit(ALS(), size),
    "lists item-item": lambda size: lists(ItemItem(), size),
    "lists ALS": lambda size: lists(ALS(iterations=1), size),
    # Of a shop whose size is re-ranked at all.
    "lists re-ranked": lambda size: lists(Reranked(), size // 10),
    "method": method,
    "publish": published,
}

if __name__ == "__main__":
    print(json.dumps(STEPS[sys.argv[1]](int(sys.argv[2]))))
