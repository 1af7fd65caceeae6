"""Takes OTLP metrics over HTTP, protobuf alone, as an OpenTelemetry collector would."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.message import DecodeError

PATH = "/v1/metrics"
MOST_BYTES = 4 * 2**20


@contextmanager
def receiving(take: Callable[[bytes], None], host: str, port: int) -> Iterator[int]:
    """Inside, what is posted to ``/v1/metrics`` is handed to ``take``; the port, where 0 was asked for.

    ``take`` is called from several threads and raises DecodeError for what it cannot read. A sender is answered
    400 then, 404 for another path, 411 without a length, 413 above 4 MiB, 415 for another type or a compressed body.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            self._answer(self._status())

        def _status(self) -> int:
            if self.path != PATH:
                return 404
            kind = self.headers.get("Content-Type", "").partition(";")[0].strip()
            if kind != "application/x-protobuf" or self.headers.get("Content-Encoding"):
                return 415
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal():
                return 411
            if int(length) > MOST_BYTES:
                return 413
            try:
                take(self.rfile.read(int(length)))
            except DecodeError:
                return 400
            return 200

        def _answer(self, status: int) -> None:
            # An empty body is the answer in protobuf: all was taken.
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: a request every few seconds."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
