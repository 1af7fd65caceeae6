"""A Spark Connect server with the stack's own command and properties, on a lake of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feira.core.settings import LakeSettings, repository_root
from feira_local.stack import spark
from feira_local.stack.config import DEFAULT_PORTS, Ports, ShopOptions, StackConfig
from feira_spark.core.session import FOR_FEW_ROWS
from running_server import running, wait_for
from temporary_postgres import free_port


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
    # The tests end before the optimising compiler has paid for itself.
    env = {**spark.environment(config), "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1"}
    with running(spark.command(config), log, home, env) as process:
        wait_for(process, ports.spark, log)
        yield config.spark_url
