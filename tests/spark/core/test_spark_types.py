"""The types of a contract's columns are those that Spark's own parser reads."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from feira.core.contracts.columns import LOGICAL
from feira_spark.core.tables import spark_type


@pytest.mark.parametrize("name", [*LOGICAL, "decimal(18,4)", "decimal(5,0)", "decimal(38,38)"])
def test_a_type_is_as_spark_reads_it(spark: SparkSession, name: str) -> None:
    found = spark.sql(f"SELECT CAST(NULL AS {name}) AS value").schema["value"].dataType
    assert spark_type(name) == found
