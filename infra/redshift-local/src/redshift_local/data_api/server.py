"""The Data API's HTTP server, on loopback. What a client signs is not checked, unless there is a key to check it by."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from botocore.credentials import Credentials

from redshift_local.data_api.model import TARGET, ApiError, answer, request
from redshift_local.data_api.operations import DataApi
from redshift_local.data_api.signature import require_signature
from redshift_local.loading.files import S3
from redshift_local.loopback import refuse_outside

# The service's own limit of a request is smaller; nothing longer is read.
_MAX_BODY = 32 * 1024 * 1024


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], api: DataApi, keys: Credentials | None) -> None:
        super().__init__(address, _Handler)
        self.api = api
        self.keys = keys


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = b""
        try:
            length = int(self.headers.get("Content-Length", 0))
            if length > _MAX_BODY:
                self.close_connection = True
                raise ApiError(
                    "SerializationException", f"The request has {length} bytes; {_MAX_BODY} at most"
                )
            body = self.rfile.read(length)
            if self.server.keys is not None:
                require_signature(self.server.keys, dict(self.headers), self.path, body)
            service, _, operation = self.headers.get("X-Amz-Target", "").partition(".")
            if service != TARGET:
                raise ApiError(
                    "UnknownOperationException", f"X-Amz-Target must be {TARGET}.OPERATION"
                )
            response = self.server.api.answer(operation, request(operation, body))
            self._send(200, answer(operation, response))
        except ApiError as error:
            self._send(error.status, error.body())
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except Exception as error:
            # A client is told of a fault of this server as it is of one of the service.
            fault = ApiError("InternalServerException", f"{type(error).__name__}: {error}")
            self._send(fault.status, fault.body())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a statement's text may hold what no log should."""


@contextmanager
def data_api(
    dsn: str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    s3: S3 | None = None,
    rows_a_page: int = 1_000,
    keys: Credentials | None = None,
) -> Iterator[str]:
    """Serves the Data API for the database of ``dsn``; yields the URL for ``endpoint_url``.

    ``port`` 0 is a free one, ``s3`` where COPY finds its files (default: AWS's). With ``keys`` a
    request must be signed with them. What runs is cancelled at the end. ValueError when ``host`` is not loopback.
    """
    refuse_outside(host)
    api = DataApi(dsn, s3 or S3(), rows_a_page)
    server = _Server((host, port), api, keys)
    thread = threading.Thread(target=server.serve_forever, name="data-api", daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        api.close()
        thread.join()
