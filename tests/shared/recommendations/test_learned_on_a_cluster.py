"""Lists of more interactions than one machine learns from: what a cluster has learned is stored, and has reasons."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from feira.recommendations import lists
from feira.recommendations.candidates.als import ALS, Factors
from feira.recommendations.candidates.spark_als import ByFactors, SparkALS, learned_on
from feira.recommendations.history import History
from feira.recommendations.interactions import InteractionsError, interactions
from feira.recommendations.versions import ListStore, Version

DAY = date(2011, 1, 31)
RNG = np.random.default_rng(3)
BOUGHT = sorted(
    {
        (f"u{user}", f"{user % 2}-{item:02d}", DAY - timedelta(days=int(RNG.integers(30))))
        for user in range(12)
        for item in RNG.integers(20, size=8)
    }
)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MOST_ON_ONE_MACHINE", len(BOUGHT) - 1)


@pytest.fixture
def store(tmp_path: Path) -> ListStore:
    return ListStore(fsspec.filesystem("file", auto_mkdir=True), f"file://{tmp_path}")


def version(store: ListStore) -> Version:
    return store.claim(DAY, "run", {})


def test_of_one_interaction_more_than_one_machine_learns_from_a_cluster_learns_once_and_a_retry_reads_it(
    few: None, store: ListStore
) -> None:
    asked: list[tuple[SparkALS, int]] = []

    def cluster(candidate: SparkALS, history: History) -> Factors:
        asked.append((candidate, len(history.days)))
        found: Any = ALS(factors=4, iterations=3).fit(history)
        return Factors(found.of_users, found.of_items)

    with learned_on(cluster):
        made = store.make(version(store), interactions(BOUGHT))
        store.files.rm(f"{store.folder(made.version)}/finished.json")
        again = store.make(version(store), interactions(BOUGHT))
    assert asked == [(SparkALS(), len(BOUGHT))]
    assert (made.candidates["new"]["name"], made.model_hash) == ("Spark ALS", again.model_hash)
    had: dict[str, set[str]] = {}
    for user, item, _ in BOUGHT:
        had.setdefault(user, set()).add(item)
    rows = pq.read_table(made.parquet.removeprefix("file://")).to_pylist()
    new = [row for row in rows if row["slot"] == "new" and row["user_id"]]
    assert {row["user_id"] for row in new} == set(had)
    reasoned = [row for row in new if row["reason"] == "goes_with"]
    assert reasoned
    for row in reasoned:
        assert row["item"] not in had[row["user_id"]] and row["reason_item"] in had[row["user_id"]]


def test_as_many_as_one_machine_learns_from_are_learned_here(store: ListStore) -> None:
    made = store.make(version(store), interactions(BOUGHT))
    assert made.candidates["new"]["name"] == "EASE"


def test_without_a_cluster_nothing_is_learned_of_more(few: None, store: ListStore) -> None:
    with pytest.raises(InteractionsError, match=f"{len(BOUGHT)} interactions .* Spark"):
        store.make(version(store), interactions(BOUGHT))
    assert store.finished(version(store).version) is None


def test_the_reason_is_what_the_user_had_that_points_the_same_way() -> None:
    # Items 0 and 1 point one way, whatever their lengths; 2 another; 3 against both; 4 nowhere.
    of_items = np.array([[9.0, 0], [0.1, 0], [0, 1], [-1, -1], [0, 0]])
    had = sparse.csr_array(np.array([[1, 0, 1, 0, 0], [0, 0, 0, 0, 0]]))
    listed = np.array([[1, 2, 3, 4, -1], [1, 2, 3, 4, -1]], dtype=np.int32)
    found = ByFactors(Factors(np.zeros((2, 2)), of_items), had).strongest(
        np.array([0, 1], dtype=np.int32), listed
    )
    assert found.tolist() == [[0, 2, -1, -1, -1], [-1, -1, -1, -1, -1]]
