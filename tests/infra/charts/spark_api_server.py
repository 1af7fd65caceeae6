"""As much of a Kubernetes API as Spark asks for its executors: it keeps pods, and lets through what a Role says."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Manifest = dict[str, Any]
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class SparkApi:
    """Pods by name; what was asked, as verb and resource; and what of it was refused."""

    def __init__(self, rules: list[dict[str, Any]], driver: Manifest) -> None:
        self.rules = rules
        self.pods: dict[str, Manifest] = {driver["metadata"]["name"]: driver}
        self.asked: set[tuple[str, str]] = set()
        self.refused: set[tuple[str, str]] = set()
        self.ended = threading.Event()

    def executors(self) -> list[Manifest]:
        return [
            pod
            for pod in list(self.pods.values())
            if pod["metadata"].get("labels", {}).get("spark-role") == "executor"
        ]

    def allows(self, verb: str, resource: str) -> bool:
        self.asked.add((verb, resource))
        if any(resource in each["resources"] and verb in each["verbs"] for each in self.rules):
            return True
        self.refused.add((verb, resource))
        return False

    def answer(self, method: str, resource: str, name: str, body: bytes) -> tuple[int, Any]:
        if resource != "pods":
            return 404, {"kind": "Status", "code": 404}
        if method == "POST":
            pod = json.loads(body)
            pod["metadata"] |= {"uid": str(uuid.uuid4()), "resourceVersion": "1"}
            pod["status"] = {"phase": "Pending"}
            self.pods[pod["metadata"]["name"]] = pod
            return 201, pod
        if method == "DELETE":
            gone = [name] if name else [each["metadata"]["name"] for each in self.executors()]
            for each in gone:
                self.pods.pop(each, None)
            return 200, {"kind": "Status", "status": "Success"}
        if name:
            found = self.pods.get(name)
            return (200, found) if found else (404, {"kind": "Status", "code": 404})
        return 200, {
            "kind": "PodList",
            "apiVersion": "v1",
            "metadata": {"resourceVersion": "1"},
            "items": self.executors(),
        }


@contextmanager
def running(api: SparkApi) -> Iterator[str]:
    """Serves it on loopback; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            url = urlsplit(self.path)
            parts = url.path.strip("/").split("/")
            # api/v1/namespaces/NAMESPACE/RESOURCE[/NAME]
            resource = parts[4] if len(parts) > 4 else url.path
            name = parts[5] if len(parts) > 5 else ""
            watch = parse_qs(url.query).get("watch") == ["true"]
            verb = VERBS.get(self.command) or ("watch" if watch else "get" if name else "list")
            if verb == "delete" and not name:
                verb = "deletecollection"
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not api.allows(verb, resource):
                self._send(403, {"kind": "Status", "code": 403, "message": f"forbidden: {verb}"})
            elif watch and self.headers.get("Upgrade"):
                # Then the client watches by HTTP alone.
                self._send(503, {"kind": "Status", "code": 503})
            elif watch:
                # Nothing is told: Spark also asks for the list.
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.flush()
                api.ended.wait()
                self.close_connection = True
            else:
                self._send(*api.answer(self.command, resource, name, body))

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

        def _send(self, status: int, body: Any) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        api.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
