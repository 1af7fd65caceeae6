"""A real PostgreSQL with the stack's databases, roles and privileges, for as long as a test needs it."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

from feira_local.stack.errors import StackError
from feira_local.stack.postgres import (
    HOST,
    Dsns,
    as_server_user,
    binary,
    dsns,
    initialise,
    provision,
    server_command,
)
from feira_local.stack.secrets import Secrets

_WAITS_FOR_DISK = ("fsync", "synchronous_commit", "full_page_writes")
# What begins by itself, at some time, is a session more and takes locks.
_BY_ITSELF = ("autovacuum",)


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Returns when the server takes queries; StackError with its log when it does not."""
    deadline = time.monotonic() + 30
    check = [binary("pg_isready"), "-q", "-h", HOST, "-p", str(port)]
    while subprocess.run(check, check=False).returncode != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            raise StackError(f"PostgreSQL did not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


@contextmanager
def temporary_server(
    directory: Path,
    *,
    durable: bool = False,
    warehouse_database: str = "warehouse",
    **settings: str,
) -> Iterator[Dsns]:
    """A real server with the stack's databases, roles and privileges (2–3 s).

    Yields a DSN for each role; stops the server at the end and removes its data. It does not wait for
    the disk, so its data outlives no crash, and cleans up nothing by itself; ``durable`` keeps the stack's own
    settings, and the data in ``postgres/data`` of the directory, for who measures it; ``settings`` are set
    beside them. The server's log is ``postgres.log`` in the directory.
    """
    # Elsewhere than pytest's folders: each run of pytest closes the root of those of all runs, and where we
    # are root the server is another user.
    with TemporaryDirectory(prefix="feira-postgres-") as elsewhere:
        data = (directory / "postgres" if durable else Path(elsewhere)) / "data"
        off = {} if durable else dict.fromkeys((*_WAITS_FOR_DISK, *_BY_ITSELF), "off")
        with _running(data, directory / "postgres.log", off | settings) as (
            secrets,
            port,
        ):
            provision(secrets, port, warehouse_database)
            yield dsns(secrets, port, warehouse_database)


@contextmanager
def _running(data: Path, log: Path, settings: dict[str, str]) -> Iterator[tuple[Secrets, int]]:
    """A server of that data, which is made; StackError at the end where it had ended before."""
    secrets = Secrets(**{item.name: item.metadata["make"]() for item in fields(Secrets)})
    initialise(data, secrets.postgres_superuser, sync=False)
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            server_command(data, port, **settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            # What is sent to the group of the tests is not for it.
            start_new_session=True,
            **as_server_user(),
        )
    try:
        _wait_until_ready(process, port, log)
        yield secrets, port
    finally:
        ended = process.poll()
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if ended is not None:
            # Each test after it failed with a refused connection, which says nothing of the cause.
            last = log.read_text(errors="replace")[-2000:] if log.exists() else f"{log} is gone"
            raise StackError(f"PostgreSQL ended with {ended} before it was told to: {last}")


def free_port() -> int:
    """A loopback port that nothing listens on, and that nobody else is given before a server takes it.

    The system lends no such port to a client, and each worker of the tests has its own share of them.
    """
    while True:
        port = next(_own_ports)
        with suppress(OSError), socket.socket() as probe:
            probe.bind((HOST, port))
            return port


def _share() -> Iterator[int]:
    """The ports of this process, again and again, from one by chance: another run may be going on."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
    # Above those of a stack and of verify's, and below those that Linux lends, from 32768, and macOS, from 49152.
    own = range(21_000 + 1_400 * worker, 21_000 + 1_400 * (worker + 1))
    first = random.randrange(len(own))
    return cycle([*own[first:], *own[:first]])


_own_ports = _share()
