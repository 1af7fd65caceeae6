"""An HTTP server that answers as a test has written down."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answering:
    """Its address, and the headers of each request that it has had, their names in lower case."""

    url: str
    asked: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def answering(answers: Mapping[str, tuple[int, bytes]]) -> Iterator[Answering]:
    """Answers GET by the path, with its query or without, with a status and a body, and any other with 404;
    ended at the end."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append({name.lower(): value for name, value in self.headers.items()})
            path = self.path.partition("?")[0]
            status, body = answers.get(self.path, answers.get(path, (404, b"")))
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Answering(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# What a store answers to who asks for the names in the folder a of its bucket b: one, x.
ONE_NAME = b"""<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>
    <Prefix>a/</Prefix><KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>
    <Contents><Key>a/x</Key><LastModified>2020-01-01T00:00:00.000Z</LastModified><ETag>"1"</ETag>
    <Size>1</Size></Contents></ListBucketResult>"""
