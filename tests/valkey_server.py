"""The stack's own Valkey, with its settings and its password, for as long as a test needs it; and lists."""

from __future__ import annotations

import signal
import struct
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import valkey

from feira.recommendations.publish import Published, publish
from feira.recommendations.serving.store import StoreError, connect, named_failures
from feira_local.stack.config import StackConfig
from feira_local.stack.secrets import load_secrets
from feira_local.stack.service import by_name
from feira_local.valkey import local
from temporary_postgres import free_port

SCHEMA = pa.schema(
    [
        ("slot", pa.string()),
        ("user_id", pa.string()),
        ("segment", pa.string()),
        ("position", pa.int32()),
        ("item", pa.string()),
        ("reason", pa.string()),
        ("reason_item", pa.string()),
    ]
)
Lists = Mapping[tuple[str, str], list[tuple[str, str, str | None]]]


@dataclass(frozen=True)
class InSegments:
    """Of each segment the items of its list, and which segment users without a list have."""

    lists: dict[str, list[str]]
    users: dict[str, str]


class ValkeyServer:
    """The service of the laptop's part, on a free port; ``with`` starts and ends it."""

    def __init__(self, home: Path) -> None:
        env = {"FEIRA_HOME": str(home), "FEIRA_PORT_VALKEY": str(free_port())}
        self.config = StackConfig.from_env(env)
        self.config.make_folders()
        self._secrets = load_secrets(self.config.home)
        self._service = by_name(local.services(self.config))["valkey"]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def options(self) -> dict[str, Any]:
        return local.valkey_options(self.config)

    def client(self) -> valkey.Valkey:
        return connect(self.options)

    def __enter__(self) -> ValkeyServer:
        local.prepare(self.config, self._secrets)
        self._process = subprocess.Popen(
            self._service.command, cwd=self._service.cwd, stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while True:
            client = self.client()
            try:
                with named_failures(client):
                    client.ping()
                return self
            except (StoreError, RuntimeError):  # not there yet, or still reading its log
                assert self._process.poll() is None and time.monotonic() < deadline
                time.sleep(0.005)
            finally:
                client.close()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Ends it as `kill -9` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def hang(self) -> None:
        """Its sockets stay open, and it answers nothing, until ``go_on``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


def some_lists(
    mark: str, users: int = 4
) -> dict[tuple[str, str], list[tuple[str, str, str | None]]]:
    """Lists of some users and one for everyone, in their order; each names ``mark`` in every item."""
    found: dict[tuple[str, str], list[tuple[str, str, str | None]]] = {}
    for user in range(users):
        found["again", f"u{user}"] = [(f"{mark}-a{user}", "bought_before", None)]
    found["new", ""] = [(f"{mark}-p{n}", "popular", None) for n in range(3)]
    for user in range(users):
        found["new", f"u{user}"] = [
            (f"{mark}-n{user}", "goes_with", f"{mark}-a{user}"),
            (f"{mark}-p0", "popular", None),
        ]
    return {name: found[name] for name in sorted(found)}


def items_of(lists: Lists) -> list[str]:
    """The items of lists and reasons, in order: what their numbers are places in."""
    rows = [row for each in lists.values() for row in each]
    return sorted({item for item, _, _ in rows} | {it for _, _, it in rows if it is not None})


def rows(lists: Lists) -> pa.RecordBatch:
    """Lists as rows."""
    return pa.RecordBatch.from_pylist(
        [
            dict(zip(SCHEMA.names, (slot, user, None, place, *row), strict=True))
            for (slot, user), each in lists.items()
            for place, row in enumerate(each, 1)
        ],
        schema=SCHEMA,
    )


def rows_with(lists: Lists, segments: InSegments) -> pa.RecordBatch:
    """Lists and those of segments as rows, in order."""
    of_segments = [
        dict(
            zip(
                SCHEMA.names,
                ("new", "", name, place, item, "popular_in_category", None),
                strict=True,
            )
        )
        for name, items in segments.lists.items()
        for place, item in enumerate(items, 1)
    ]
    order = ("slot", "user_id", "segment", "position")
    every = sorted(
        rows(lists).to_pylist() + of_segments,
        key=lambda row: [row[name] or "" for name in order[:3]],
    )
    return pa.RecordBatch.from_pylist(every, schema=SCHEMA)


def users_of(segments: InSegments) -> pa.RecordBatch:
    users = sorted(segments.users)
    return pa.record_batch(
        {
            "user_id": pa.array(users, pa.string()),
            "segment": pa.array([segments.users[user] for user in users], pa.string()),
        }
    )


NO_SEGMENTS = InSegments({}, {})


def publish_lists(
    client: valkey.Valkey, version: str, lists: Lists, segments: InSegments = NO_SEGMENTS
) -> Published:
    return publish(
        client,
        version,
        [rows_with(lists, segments)],
        sorted({*items_of(lists), *(item for items in segments.lists.values() for item in items)}),
        (),
        sorted(segments.lists),
        [users_of(segments)],
    )


def published_segments(client: valkey.Valkey, version: str) -> InSegments:
    """The segments of a version, read key by key."""
    items = orjson.loads(client.get(f"reco:{version}:items"))
    names = orjson.loads(client.get(f"reco:{version}:segments") or b"[]")
    lists = {
        name: [
            items[it]
            for (it,) in struct.iter_unpack("<I", client.get(f"reco:{version}:segment:{number}"))
        ]
        for number, name in enumerate(names)
    }
    prefix = f"reco:{version}:new:"
    users = {
        key.decode().removeprefix(prefix): names[int.from_bytes(value, "little")]
        for key in client.scan_iter(match=f"{prefix}*")
        if len(value := client.get(key)) == 3
    }
    return InSegments(lists, users)


def published(client: valkey.Valkey, version: str) -> Lists:
    """A version read key by key with plain loops: this shares no code with what wrote it.

    Every key of the version must be one that it says to have.
    """
    items = orjson.loads(client.get(f"reco:{version}:items"))
    width, kind = (2, "H") if len(items) < 65_534 else (4, "I")
    alone = {
        256**width - 1: "popular",
        256**width - 2: "bought_before",
        256**width - 3: "popular_in_category",
    }
    keys = {key.decode() for key in client.scan_iter(match=f"reco:{version}:*")}
    found = {}
    for key in sorted(keys):
        _, _, slot, *user = key.split(":", 3)
        if slot not in ("again", "new"):
            continue
        value = client.get(key)
        if len(value) == 3:
            continue
        numbers = [number for (number,) in struct.iter_unpack("<I", value)]
        why_key = f"reco:{version}:why:{slot}:{user[0]}"
        why = client.get(why_key) if why_key in keys else None
        reasons: Iterable[tuple[str, str | None]] = (
            [("bought_before" if slot == "again" else "popular", None)] * len(numbers)
            if why is None
            else [
                (alone[number], None) if number in alone else ("goes_with", items[number])
                for (number,) in struct.iter_unpack(f"<{kind}", why)
            ]
        )
        found[slot, user[0]] = [
            (items[number], *reason) for number, reason in zip(numbers, reasons, strict=True)
        ]
    others = {f"reco:{version}:{name}" for name in ("items", "meta")}
    others |= {f"reco:{version}:why:{slot}:{user}" for slot, user in found}
    others |= {f"reco:{version}:with:{item}" for item in items}
    others |= {f"reco:{version}:segments"}
    segments = published_segments(client, version)
    others |= {f"reco:{version}:segment:{number}" for number in range(len(segments.lists))}
    others |= {f"reco:{version}:new:{user}" for user in segments.users}
    assert keys <= others | {f"reco:{version}:{slot}:{user}" for slot, user in found}
    return found
