"""Matrix factorisation by Spark, for more interactions than one machine's library is for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame, SparkSession

from feira.recommendations.candidates.als import Factors
from feira.recommendations.candidates.spark_als import SparkALS
from feira.recommendations.history import History
from feira.recommendations.metrics import Floats

_ROW_GROUP = 1_000_000


@dataclass(frozen=True)
class BySpark:
    """Fits ``SparkALS``: the history's days go to Spark as a file below ``folder`` and come back as factors.

    :param files: the file system of ``folder``, which Spark reads too
    :param blocks: into how many parts users and items are divided; a cluster's cores at least
    """

    spark: SparkSession
    files: AbstractFileSystem
    folder: str
    blocks: int = 10

    def __call__(self, candidate: SparkALS, history: History) -> Factors:
        days = history.matrix().tocoo()
        path = f"{self.folder}/als-{history.as_of}.parquet"
        table = pa.table({"user": days.coords[0], "item": days.coords[1], "days": days.data})
        with self.files.open(path, "wb") as file:
            pq.write_table(table, file, row_group_size=_ROW_GROUP)
        try:
            model = ALS(
                rank=candidate.factors,
                maxIter=candidate.iterations,
                regParam=candidate.regularisation,
                alpha=candidate.confidence,
                implicitPrefs=True,
                seed=candidate.seed,
                numUserBlocks=self.blocks,
                numItemBlocks=self.blocks,
                userCol="user",
                itemCol="item",
                ratingCol="days",
            ).fit(self.spark.read.parquet(path))
            return Factors(
                _factors(model.userFactors, len(history.user_ids), candidate.factors),
                _factors(model.itemFactors, len(history.item_ids), candidate.factors),
            )
        finally:
            self.files.rm(path)


def _factors(found: DataFrame, count: int, factors: int) -> Floats:
    """By number; 0 of those that Spark has none of."""
    table = found.toArrow()
    rows = np.zeros((count, factors))
    values = table["features"].combine_chunks().flatten().cast(pa.float64())
    rows[table["id"].to_numpy()] = values.to_numpy().reshape(-1, factors)
    return rows
