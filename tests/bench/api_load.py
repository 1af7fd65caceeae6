"""An open loop of requests to an HTTP server: each is due at its own time, whatever became of those before.

A latency counts from when the request was due, so that a server that is slow for a while is not asked less.
Connections are used in turn: the newest first would leave the others idle until the server closes them.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

CONNECTIONS = 64
_HEAD_ENDS = b"\r\n\r\n"


@dataclass
class Answered:
    """Latencies in seconds, and how many answers had which status or error, and which ``source``."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)

    def percentile(self, share: float) -> float:
        """In seconds: the least latency that at least this share of the requests does not exceed."""
        ordered = sorted(self.latencies)
        return ordered[math.ceil(len(ordered) * share) - 1]


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, loop: _Loop) -> None:
        self._of = loop
        self._due = 0.0
        self._read = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, due: float, request: bytes) -> None:
        assert self._transport is not None
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._read += data
        end = self._read.find(_HEAD_ENDS)
        if end < 0:
            return
        head = bytes(self._read[:end]).lower()
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(self._read) < end + len(_HEAD_ENDS) + length:
            return
        body = bytes(self._read[end + len(_HEAD_ENDS) :])
        self._read.clear()
        self._of.answered(self, self._due, head[9:12].decode(), body)

    def connection_lost(self, error: Exception | None) -> None:
        self._of.lost(self)


class _Loop:
    def __init__(self) -> None:
        self.found = Answered()
        self.free: deque[_Connection] = deque()
        self.waiting: deque[tuple[float, bytes]] = deque()
        self.left = 0
        self.done = asyncio.Event()

    def ask(self, due: float, request: bytes) -> None:
        if self.free:
            self.free.popleft().ask(due, request)
        else:
            self.waiting.append((due, request))

    def answered(self, connection: _Connection, due: float, status: str, body: bytes) -> None:
        self.found.latencies.append(time.perf_counter() - due)
        self.found.statuses[status] += 1
        source = body.partition(b'"source":"')[2].partition(b'"')[0].decode()
        self.found.sources[source] += 1
        if self.waiting:
            connection.ask(*self.waiting.popleft())
        else:
            self.free.append(connection)
        self._ended()

    def lost(self, connection: _Connection) -> None:
        """A request is lost with the connection that it is on; one that is idle has none."""
        if connection in self.free:
            self.free.remove(connection)
            return
        self.found.statuses["connection lost"] += 1
        self._ended()

    def _ended(self) -> None:
        self.left -= 1
        if not self.left:
            self.done.set()


async def open_loop(
    host: str, port: int, paths: Sequence[str], rate: float, seconds: float
) -> Answered:
    """Asks for the paths in turn, ``rate`` a second.

    :raises TimeoutError: where 30 s after the last one was due some have neither an answer nor lost their connection
    """
    loop, state = asyncio.get_running_loop(), _Loop()
    requests = [f"GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode() for path in paths]
    opened = [
        await loop.create_connection(lambda: _Connection(state), host, port)
        for _ in range(CONNECTIONS)
    ]
    state.free.extend(connection for _, connection in opened)
    state.left = count = round(rate * seconds)
    began, sent = time.perf_counter(), 0
    while sent < count:
        now = time.perf_counter() - began
        while sent < count and sent / rate <= now:
            state.ask(began + sent / rate, requests[sent % len(requests)])
            sent += 1
        await asyncio.sleep(min(max(sent / rate - (time.perf_counter() - began), 0), 0.001))
    await asyncio.wait_for(state.done.wait(), 30)
    for transport, _ in opened:
        transport.close()
    return state.found
