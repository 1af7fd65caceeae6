"""The program that asks, on servers that close connections: what it counts is what became of its requests."""

from __future__ import annotations

import asyncio
from collections import Counter

from api_load import CONNECTIONS, Answered, open_loop

BODY = b'{"source":"own"}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY


async def asked(
    count: int, *, closes_after: int = 0, never_answers: int = 0
) -> tuple[Answered, Counter[int]]:
    """What it counts of so many requests, and how many each connection had.

    :param closes_after: answers on a connection, which is then closed while nothing is on it
    :param never_answers: each request of this number closes its connection instead
    """
    by_connection: Counter[int] = Counter()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            by_connection[id(writer)] += 1
            if never_answers and not by_connection.total() % never_answers:
                break
            writer.write(ANSWER)
            if by_connection[id(writer)] == closes_after:
                break
        writer.close()

    def quiet(*_: object) -> None:
        """A connection that ends is no fault of the test's server."""

    asyncio.get_running_loop().set_exception_handler(quiet)
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        return await open_loop("127.0.0.1", port, ["/a", "/b"], 2000, count / 2000), by_connection


def test_a_connection_that_is_closed_while_it_is_idle_loses_no_request() -> None:
    found, _ = asyncio.run(asked(CONNECTIONS, closes_after=1))
    assert found.statuses == {"200": CONNECTIONS}
    assert len(found.latencies) == CONNECTIONS and found.sources == {"own": CONNECTIONS}


def test_a_request_whose_connection_is_closed_under_it_is_lost_and_the_others_are_waited_for() -> (
    None
):
    found, _ = asyncio.run(asked(200, never_answers=10))
    assert found.statuses == {"200": 180, "connection lost": 20}


def test_connections_are_used_in_turn_so_that_none_is_idle_for_long() -> None:
    found, by_connection = asyncio.run(asked(5 * CONNECTIONS))
    assert found.statuses == {"200": 5 * CONNECTIONS}
    assert len(by_connection) == CONNECTIONS and min(by_connection.values()) >= 4
