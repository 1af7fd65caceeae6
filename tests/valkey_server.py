"""The stack's own Valkey, with its settings and its password, for as long as a test needs it; and lists."""

from __future__ import annotations

import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import valkey

from feira.recommendations.publish import Published, keep_on_disk, publish
from feira.recommendations.serving.store import StoreError, connect, named_failures
from feira_local.stack.config import StackConfig
from feira_local.stack.secrets import load_secrets
from feira_local.stack.service import by_name
from feira_local.valkey import local
from stopped_process import stand_still
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
        deadline = time.monotonic() + 60
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

    def keep(self) -> None:
        """Has all on its disk that it was given: killed before, it loses the last two seconds of a busy one."""
        with self.client() as client:
            assert any(keep_on_disk(client, "kept") for _ in range(6)), "not within a minute"

    def cpu_seconds(self) -> float:
        """What it has taken of processors so far."""
        assert self._process is not None
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def hang(self) -> None:
        """Its sockets stay open, and it answers nothing, until ``go_on``."""
        assert self._process is not None
        stand_still(self._process.pid)

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


def in_slots(*batches: pa.RecordBatch) -> Callable[[str], Iterator[pa.RecordBatch]]:
    """Rows as ``publish`` takes them: each batch's by slot."""
    return lambda slot: (batch.filter(pc.equal(batch.column("slot"), slot)) for batch in batches)


def publish_lists(
    client: valkey.Valkey, version: str, lists: Lists, segments: InSegments = NO_SEGMENTS
) -> Published:
    return publish(
        client,
        version,
        in_slots(rows_with(lists, segments)),
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
    prefix = f"reco:{version}:user:"
    users = {
        key.decode().removeprefix(prefix): names[int.from_bytes(value, "little")]
        for key in client.scan_iter(match=f"{prefix}*")
        if len(value := client.get(key)) == 3
    }
    return InSegments(lists, users)


def bits_of(value: bytes) -> str:
    """Bits as text, the least of each byte first."""
    return "".join(f"{byte:08b}"[::-1] for byte in value)


def lists_in(
    value: bytes, items: list[str]
) -> tuple[list[tuple[str, str, str | None]], list[tuple[str, str, str | None]]]:
    """What a user is offered again and new, read bit by bit: this shares no code with what wrote it."""
    again, new, further = value[:3]
    has_reasons = further != 255
    further = further if has_reasons else 0
    width = next(bits for bits in range(1, 33) if 2**bits >= len(items))
    reason_width = next(bits for bits in range(10) if 2**bits >= 3 + again + further)
    bits = bits_of(value[3:])

    def taken(count: int, width: int) -> list[int]:
        nonlocal bits
        numbers = [int(bits[at : at + width][::-1], 2) for at in range(0, count * width, width)]
        end = -(-count * width // 8) * 8
        assert "1" not in bits[count * width : end], "a bit that nothing needs"
        bits = bits[end:]
        return numbers

    names = [items[number] for number in taken(again + further + new, width)]
    alone = ["popular", "bought_before", "popular_in_category"]
    reasons: list[tuple[str, str | None]] = [("popular", None)] * new
    if has_reasons:
        reasons = [
            (alone[number], None) if number < 3 else ("goes_with", names[number - 3])
            for number in taken(new, reason_width)
        ]
    assert not bits, "more than the lists"
    offered = names[again + further :]
    return (
        [(name, "bought_before", None) for name in names[:again]],
        [(name, *reason) for name, reason in zip(offered, reasons, strict=True)],
    )


def published(client: valkey.Valkey, version: str) -> Lists:
    """A version read key by key with plain loops.

    Every key of the version must be one that it says to have.
    """
    items = orjson.loads(client.get(f"reco:{version}:items"))
    keys = {key.decode() for key in client.scan_iter(match=f"reco:{version}:*")}
    prefix = f"reco:{version}:user:"
    found = {}
    for key in keys:
        if key.startswith(prefix) and len(value := client.get(key)) != 3:
            for slot, offers in zip(("again", "new"), lists_in(value, items), strict=True):
                if offers:
                    found[slot, key.removeprefix(prefix)] = offers
    segments = published_segments(client, version)
    others = {f"reco:{version}:{name}" for name in ("items", "meta", "segments")}
    others |= {f"reco:{version}:with:{item}" for item in items}
    others |= {f"reco:{version}:segment:{number}" for number in range(len(segments.lists))}
    assert all(key in others or key.startswith(prefix) for key in keys)
    return dict(sorted(found.items()))
