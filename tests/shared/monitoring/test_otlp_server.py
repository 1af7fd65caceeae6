"""The end that takes OTLP: what it cannot take it refuses, and goes on."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest
from google.protobuf.message import DecodeError

from feira.monitoring.otlp_server import MOST_BYTES, PATH, receiving

PROTOBUF = {"Content-Type": "application/x-protobuf"}


class Taken:
    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def __call__(self, body: bytes) -> None:
        if body == b"garbled":
            raise DecodeError("garbled")
        self.bodies.append(body)


@pytest.fixture
def taken() -> Taken:
    return Taken()


@pytest.fixture
def port(taken: Taken) -> Iterator[int]:
    with receiving(taken, "127.0.0.1", 0) as port:
        yield port


def posted(port: int, path: str, headers: dict[str, str], body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest("POST", path)
    for name, value in ({"Content-Length": str(len(body))} | headers).items():
        if value:
            connection.putheader(name, value)
    connection.endheaders(body)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        ("/v1/traces", PROTOBUF, b"x", 404),
        (PATH, {"Content-Type": "application/json"}, b"{}", 415),
        (PATH, PROTOBUF | {"Content-Encoding": "gzip"}, b"x", 415),
        (PATH, PROTOBUF | {"Content-Length": ""}, b"", 411),
        (PATH, PROTOBUF | {"Content-Length": "-1"}, b"", 411),
        (PATH, PROTOBUF | {"Content-Length": str(MOST_BYTES + 1)}, b"", 413),
        (PATH, PROTOBUF, b"garbled", 400),
    ],
)
def test_what_it_does_not_take_is_refused_and_the_next_is_taken(
    port: int, taken: Taken, path: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    assert posted(port, path, headers, body) == status
    assert posted(port, PATH, PROTOBUF, b"next") == 200
    assert taken.bodies == [b"next"]
