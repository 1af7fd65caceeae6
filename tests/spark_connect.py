"""A Spark Connect server with the stack's own command and properties, on a lake of the tests."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feira.core.settings import LakeSettings, repository_root
from feira_local.stack import spark
from feira_local.stack.config import DEFAULT_PORTS, HOST, Ports, ShopOptions, StackConfig
from feira_spark.core.session import FOR_FEW_ROWS
from temporary_postgres import free_port

WAIT_SECONDS = 120


@contextmanager
def connect_server(home: Path, lake: LakeSettings) -> Iterator[str]:
    """Yields ``sc://host:port``; ends the server at the end."""
    ports = Ports(**{name: free_port() for name in DEFAULT_PORTS})
    config = StackConfig(home, repository_root(), ports, ShopOptions(None, 7, 1))
    config.make_folders()
    spark.write_properties(config, lake)
    with (config.run / "spark.properties").open("a") as properties:
        # Of a few rows, what Spark does to be fast with many is most of what they cost. The row rules have
        # tests on compiled code, and `make verify` runs everything as it is on a laptop.
        properties.writelines(f"{name} {value}\n" for name, value in FOR_FEW_ROWS.items())
    log = config.logs / "spark.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            spark.command(config),
            cwd=home,
            # The tests end before the optimising compiler has paid for itself.
            env={
                **os.environ,
                **spark.environment(config),
                "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1",
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(process, ports.spark, log)
        yield config.spark_url
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Returns once a server listens; fails with its log where it does not."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return
        except OSError:
            ended = process.poll() is not None or time.monotonic() > deadline
            assert not ended, (
                f"Nothing listens on {port}: {log.read_text(errors='replace')[-3000:]}"
            )
            time.sleep(0.1)
