"""The words that Spark reserves, as the running one lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from feira.core.contracts.identifiers import RESERVED

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.slow
def test_the_list_holds_what_the_running_spark_reserves(spark: SparkSession) -> None:
    strict = "spark.sql.ansi.enforceReservedKeywords"
    spark.conf.set(strict, "true")
    try:
        rows = spark.sql("SELECT keyword FROM sql_keywords() WHERE reserved").collect()
    finally:
        spark.conf.unset(strict)
    assert {row[0].lower() for row in rows} == RESERVED["Spark"]
