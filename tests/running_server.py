"""A server of the tests or of a benchmark: started, waited for, and ended."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from feira_local.stack.config import HOST

WAIT_SECONDS = 120


class ServerError(RuntimeError):
    """A server that does not come up; the message ends with what it said."""


@contextmanager
def running(
    command: Sequence[str], log: Path, cwd: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The process, which need not listen yet; ``env`` is added to that of the tests, and what it says is in the log."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Returns once a server listens; raises ServerError where it ends or does not within two minutes."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace")[-3000:]
                raise ServerError(f"Nothing listens on port {port}: {said}") from None
            time.sleep(0.1)
