"""Servers of a benchmark: started, watched for memory and CPU, and ended with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from feira.core.settings import LakeSettings
from feira_local.stack import spark
from feira_local.stack.config import StackConfig
from feira_local.stack.steps import spark_warmup
from feira_spark.core.session import connect
from memory import MemorySampler, stopwatch, tree
from running_server import running, wait_for


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
    """A program that listens on a port, sampled by its name; raises ServerError where it does not come up."""
    log = config.logs / f"{name}.log"
    with running(command, log, config.home, env) as process:
        sampler.watch(name, tree(process.pid))
        try:
            wait_for(process, port, log)
            yield
        finally:
            sampler.forget(name)
