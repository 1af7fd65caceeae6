"""The session of a job: spark-submit's, a Spark Connect server's, or one of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from feira.core.settings import LakeSettings
from feira_spark.core.session import connect, spark_conf

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@contextmanager
def job_session(name: str) -> Iterator[SparkSession]:
    """``FEIRA_SPARK_URL`` (``sc://host:port``) names a Connect server, as ``feira env`` prints it.

    Without it the session is the one that spark-submit gives, or a new one on this machine; the
    lake comes from ``FEIRA_LAKE*``, and the jars from spark-submit's ``--packages``.
    """
    url = os.environ.get("FEIRA_SPARK_URL")
    if url:
        spark = connect(url)
    else:
        from pyspark.sql import SparkSession

        builder = SparkSession.builder.appName(name)
        for key, value in spark_conf(LakeSettings.from_env()).items():
            builder = builder.config(key, value)
        spark = builder.getOrCreate()
    try:
        yield spark
    finally:
        spark.stop()
