"""Servers of a benchmark: started, watched for memory and CPU, and ended with it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from feira.core.settings import LakeSettings
from feira_local.stack import spark
from feira_local.stack.config import HOST, StackConfig
from feira_local.stack.steps import spark_warmup
from feira_spark.core.session import connect
from memory import MemorySampler, stopwatch, tree

WAIT_SECONDS = 120


class StepError(RuntimeError):
    """A step or a server of the benchmark failed; the message ends with what it said."""


@contextmanager
def spark_server(
    config: StackConfig, lake: LakeSettings, sampler: MemorySampler
) -> Iterator[dict[str, Any]]:
    """The stack's Spark Connect server, warm as `feira up` leaves it; how long that took. The sampler
    has it as ``jvm``."""
    # The stack's properties, but for the catalog and the store: a folder is both here.
    spark.write_properties(config, lake)
    elapsed = stopwatch()
    environment = spark.environment(config)
    command = list(spark.command(config))
    with server(config, sampler, "jvm", command, config.ports.spark, **environment):
        session = connect(config.spark_url)
        session.range(1).collect()
        session.stop()
        started = elapsed()
        spark_warmup(config)  # what `feira up` does once the server answers
        yield {
            "seconds": started,
            "warm_up_seconds": elapsed() - started,
            "heap": spark.HEAP,
            "cores": spark.CORES,
        }


@contextmanager
def server(
    config: StackConfig,
    sampler: MemorySampler,
    name: str,
    command: list[str],
    port: int,
    **env: str,
) -> Iterator[None]:
    """A program that listens on a port, sampled by its name; raises StepError where it does not come up."""
    log = config.logs / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=config.home,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    sampler.watch(name, tree(process.pid))
    try:
        _wait_for(process, port, log)
        yield
    finally:
        sampler.forget(name)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace")[-3000:]
                raise StepError(f"Nothing listens on port {port}: {said}") from None
            time.sleep(0.1)
