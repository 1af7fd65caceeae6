"""Asks a service whether it is healthy.

``python -m feira_local.stack.health NAME`` asks from inside the service's own container, and ends with 0 if it
works.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from urllib.parse import urlsplit

from feira_local.stack.launch import environment
from feira_local.stack.service import CommandCheck, HttpCheck, Service, TcpCheck

# On a busy machine an answer takes seconds and a heartbeat is late: both are slow, neither is a failure.
PROMPT_SECONDS = 5.0
PATIENCE_SECONDS = 20.0
LATE_HEARTBEAT_SECONDS = 60.0
# A service that does not answer yet is starting for as long as this.
STARTING_SECONDS = 120.0


WORKING = ("healthy", "slow")


@dataclass(frozen=True)
class Health:
    """How a service is, and why; one that is slow works."""

    state: Literal["healthy", "slow", "starting", "unhealthy"]
    note: str = ""

    @property
    def works(self) -> bool:
        return self.state in WORKING


class _NotHealthyError(Exception):
    pass


def ask(service: Service, started: float) -> Health:
    """The health of a service whose process started at ``started`` (epoch), within 20 seconds."""
    began = time.monotonic()
    try:
        late = _answer(service, started)
    except (
        _NotHealthyError,
        OSError,
        http.client.HTTPException,
        subprocess.TimeoutExpired,
        ValueError,
    ) as error:
        young = time.time() - started < STARTING_SECONDS
        return Health("starting" if young else "unhealthy", _reason(error))
    took = time.monotonic() - began
    if took > PROMPT_SECONDS:
        return Health("slow", f"answered after {took:.0f} s")
    return Health("slow", late) if late else Health("healthy")


def _reason(error: Exception) -> str:
    if isinstance(error, (TimeoutError, subprocess.TimeoutExpired)):
        return f"no answer within {PATIENCE_SECONDS:.0f} s"
    if isinstance(error, ConnectionRefusedError):
        return "takes no connections"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _answer(service: Service, started: float) -> str:
    """What is late about an answer that is good, mostly nothing; raises where there is no good one."""
    check = service.health
    if isinstance(check, HttpCheck):
        return _http(check, started)
    if isinstance(check, TcpCheck):
        socket.create_connection((check.host, check.port), timeout=PATIENCE_SECONDS).close()
    elif isinstance(check, CommandCheck):
        ended = subprocess.run(
            check.command,
            env=environment(service, os.environ),
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        if ended.returncode != 0:
            name = check.command[0].rsplit("/", 1)[-1]
            raise _NotHealthyError(f"{name} ended with {ended.returncode}")
    return ""


def _http(check: HttpCheck, started: float) -> str:
    url = urlsplit(check.url)
    # No proxy settings, no redirects, no connection reuse: the question is whether it answers.
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", url.path or "/")
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status not in check.statuses:
        raise _NotHealthyError(f"{check.url} answers {answer.status}")
    if check.component is None:
        return ""
    report = json.loads(body).get(check.component) or {}
    text = report.get(f"latest_{check.component}_heartbeat")
    heartbeat = datetime.fromisoformat(text).timestamp() if text else 0.0
    # The heartbeat of a process that was killed just now still looks fresh.
    if heartbeat < started:
        raise _NotHealthyError("no heartbeat yet")
    if report.get("status") == "healthy":
        return ""
    age = time.time() - heartbeat
    if age > LATE_HEARTBEAT_SECONDS:
        raise _NotHealthyError(f"last heartbeat {age:.0f} s ago")
    return f"last heartbeat {age:.0f} s ago"


def main() -> None:
    import sys

    import psutil

    from feira_local.stack.secrets import known_secrets
    from feira_local.stack.service import named
    from feira_local.stack.services import services
    from feira_local.stack.state import running_config

    config = running_config()
    service = named(services(config, known_secrets(config.home)), sys.argv[1])
    # A container's first process is as old as its service.
    found = ask(service, psutil.Process(1).create_time())
    sys.exit(0 if found.works else f"{service.name} is {found.state}: {found.note}")


if __name__ == "__main__":
    main()
