"""An HTTP server on loopback that answers with the very bytes a test gives, at the pace it gives."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class RawServer:
    """``answer`` is called for each request, with its connection and an event set at the end."""

    url: str
    asked: list[bytes] = field(default_factory=list)


def http_answer(body: bytes, *headers: str, length: int | None = None) -> bytes:
    """A 200 with these headers, and the body's length or the one given."""
    size = len(body) if length is None else length
    head = ["HTTP/1.1 200 OK", *headers, f"Content-Length: {size}", "Connection: close", "", ""]
    return "\r\n".join(head).encode() + body


@contextmanager
def raw_server(
    answer: Callable[[socket.socket, threading.Event], None],
    tls: ssl.SSLContext | None = None,
) -> Iterator[RawServer]:
    """The server, in a thread of its own; at the end it has answered everybody who has connected."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        scheme = "https" if tls else "http"
        server = RawServer(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")

        def serve() -> None:
            while True:
                last = over.is_set()
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    if last:
                        return
                    continue
                connection.settimeout(5)
                with suppress(OSError), _secured(connection, tls) as opened:
                    server.asked.append(opened.recv(65536))
                    answer(opened, over)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server
        finally:
            over.set()
            thread.join()


def _secured(connection: socket.socket, tls: ssl.SSLContext | None) -> socket.socket:
    return tls.wrap_socket(connection, server_side=True) if tls else connection


class Dripping:
    """Answers ``first`` at once, and then ``drip`` again and again for half a minute, and hangs up:
    who is not done by then reads an answer that was cut off.

    ``left`` has of each request whether the client hung up before that.
    """

    def __init__(self, first: bytes, drip: bytes = b" ") -> None:
        self.first, self.drip = first, drip
        self.left: list[bool] = []

    def __call__(self, connection: socket.socket, over: threading.Event) -> None:
        try:
            self.left.append(self._drips_until_left(connection, over))
        except OSError:
            self.left.append(True)

    def _drips_until_left(self, connection: socket.socket, over: threading.Event) -> bool:
        connection.sendall(self.first)
        connection.settimeout(0.02)
        for _ in range(1_500):
            last = over.is_set()
            connection.sendall(self.drip)
            try:
                return not connection.recv(1)
            except TimeoutError:
                if last:
                    break
        return False
