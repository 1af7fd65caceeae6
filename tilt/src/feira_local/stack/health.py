"""Asks a service whether it is healthy."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
from datetime import datetime
from urllib.parse import urlsplit

from feira_local.stack.service import CommandCheck, HttpCheck, Service, TcpCheck

TIMEOUT = 5.0


def complaint(service: Service, started: float) -> str | None:
    """What is wrong with the service, None when healthy; its process started at ``started`` (epoch)."""
    check = service.health
    try:
        if isinstance(check, HttpCheck):
            return _http(check, started)
        if isinstance(check, TcpCheck):
            socket.create_connection((check.host, check.port), timeout=TIMEOUT).close()
        elif isinstance(check, CommandCheck):
            ended = subprocess.run(check.command, capture_output=True, timeout=TIMEOUT, check=False)
            if ended.returncode != 0:
                return f"{check.command[0].rsplit('/', 1)[-1]} ended with {ended.returncode}"
    except (OSError, http.client.HTTPException, subprocess.TimeoutExpired, ValueError) as error:
        return str(error) or type(error).__name__
    return None


def _http(check: HttpCheck, started: float) -> str | None:
    url = urlsplit(check.url)
    # No proxy settings, no redirects, no connection reuse: the question is whether it answers.
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=TIMEOUT)
    try:
        connection.request("GET", url.path or "/")
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status not in check.statuses:
        return f"{check.url} answers {answer.status}"
    if check.component is None:
        return None
    report = json.loads(body).get(check.component) or {}
    if report.get("status") != "healthy":
        return f"its status is {report.get('status')}"
    heartbeat = report.get(f"latest_{check.component}_heartbeat")
    # The heartbeat of a process that was killed just now still looks fresh.
    if not heartbeat or datetime.fromisoformat(heartbeat).timestamp() < started:
        return "it has sent no heartbeat yet"
    return None
