"""What Spark's ALS learns, beside a plain computation of the same least squares."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import fsspec
import numpy as np
import pytest

from feira.recommendations.candidates.spark_als import SparkALS, learned_on
from feira.recommendations.history import History
from feira.recommendations.interactions import interactions
from feira.recommendations.lists import history_of
from feira_spark.recommendations.als import BySpark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAY = date(2011, 1, 31)
GROUPS, ITEMS, USERS = 2, 30, 20


@pytest.fixture(scope="module")
def history() -> History:
    """Users of two groups, each buying of its own thirty products alone."""
    rng = np.random.default_rng(5)
    found = set()
    for user in range(USERS):
        for item in rng.integers(ITEMS, size=20):
            day = DAY - timedelta(days=int(rng.integers(60)))
            found.add((f"u{user:02d}", f"{user % GROUPS}-{item:02d}", day))
    return history_of(interactions(sorted(found)), DAY)


def test_what_spark_learns_is_the_least_squares_of_the_days_by_the_users_and_items_of_the_history(
    spark: SparkSession, history: History, tmp_path: Path
) -> None:
    candidate = SparkALS(factors=3, iterations=1)
    by_spark = BySpark(spark, fsspec.filesystem("file"), f"file://{tmp_path}", blocks=1)
    with learned_on(by_spark):
        learned = candidate.fit(history)
    assert not list(tmp_path.iterdir()), "what was handed to Spark is removed"
    # The side that is learned last solves its normal equations.
    days = history.matrix().toarray()
    users, items = learned.factors.of_users, learned.factors.of_items
    residuals = [
        _residual(users, items, days, candidate),
        _residual(items, users, days.T, candidate),
    ]
    assert min(residuals) < 1e-4
    scores = np.where(days > 0, -np.inf, learned(np.arange(USERS, dtype=np.int32)))
    best = np.argsort(-scores, axis=1)[:, :5]
    own = [
        history.item_ids[item].startswith(f"{int(history.user_ids[user][1:]) % GROUPS}-")
        for user in range(USERS)
        for item in best[user]
    ]
    assert np.mean(own) > 0.9  # half of them would be by chance


def _residual(solved: object, given: object, days: object, candidate: SparkALS) -> float:
    """How far the solved side is from its own normal equations (Hu, Koren and Volinsky, 2008, equation 4)."""
    worst = 0.0
    for row, of_row in zip(np.asarray(solved), np.asarray(days), strict=True):
        other = np.asarray(given)
        confidence = 1 + candidate.confidence * of_row
        left = other.T @ (other * confidence[:, None])
        left += candidate.regularisation * np.count_nonzero(of_row) * np.eye(other.shape[1])
        right = other.T @ (confidence * (of_row > 0))
        worst = max(worst, float(np.abs(np.linalg.solve(left, right) - row).max()))
    return worst
