"""One Spark session with an Iceberg catalog on a local folder for all Spark tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from feira.settings import LakeSettings
from feira_spark.session import spark_conf

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> LakeSettings:
    root: Path = tmp_path_factory.mktemp("lake")
    return LakeSettings(root=f"file://{root}", catalog="hadoop")


@pytest.fixture(scope="session")
def spark(lake: LakeSettings, spark_jars: str) -> Iterator[SparkSession]:
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.jars", spark_jars)
    for name, value in spark_conf(lake).items():
        builder = builder.config(name, value)
    # Tables of a few rows: more partitions would only be more tasks.
    session = (
        builder.config("spark.sql.shuffle.partitions", "1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()
