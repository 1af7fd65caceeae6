"""The metrics by hand, against plain loops, and NDCG against scikit-learn's."""

from __future__ import annotations

import math
import tracemalloc
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics import ndcg_score

from feira.recommendations import metrics

ITEMS = 12


def lists(*rows: list[int], length: int = 4) -> metrics.Lists:
    return np.array([row + [-1] * (length - len(row)) for row in rows], dtype=np.int32)


def by_items(*relevant: set[int]) -> object:
    table = [[float(item in each) for item in range(ITEMS)] for each in relevant]
    return sparse.csr_array(np.array(table))


def test_ndcg_recall_and_hit_rate_of_lists_worked_out_by_hand() -> None:
    given_lists = lists([3, 1, 2, 0], [5, 6], [], [7, 8, 9, 10])
    hit = metrics.hits(given_lists, by_items({1, 0}, {5}, {4}, {7, 8, 9, 10, 11}))
    assert hit.tolist() == [
        [False, True, False, True],
        [True, False, False, False],
        [False] * 4,
        [True] * 4,
    ]
    count = [2, 3, 1, 5]  # of the second, two more that no list could hold
    first = (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3))
    second = 1 / (1 + 1 / math.log2(3) + 1 / 2)
    assert metrics.ndcg(hit, count) == pytest.approx([first, second, 0, 1])
    assert metrics.recall(hit, count) == pytest.approx([1, 1 / 3, 0, 0.8])
    assert metrics.hit_rate(hit).tolist() == [1, 1, 0, 1]
    assert metrics.coverage(given_lists, ITEMS) == 10 / 12


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(ITEMS)), st.sets(st.integers(0, ITEMS - 1), min_size=1))
def test_ndcg_is_that_of_scikit_learn(order: list[int], relevant: set[int]) -> None:
    scores = np.empty(ITEMS)
    scores[order] = np.arange(ITEMS, 0, -1)
    found = metrics.top(scores[None, :], 10)
    assert found.tolist() == [order[:10]]
    truth = np.array([[float(item in relevant) for item in range(ITEMS)]])
    ours = metrics.ndcg(metrics.hits(found, sparse.csr_array(truth)), [len(relevant)])
    assert ours[0] == pytest.approx(ndcg_score(truth, scores[None, :], k=10))


def test_novelty_is_the_mean_of_bits_and_diversity_the_mean_unlikeness_of_pairs() -> None:
    # Item 0 is had by users 0 to 3, item 1 by 0 and 1, item 2 by 3 alone.
    seen = sparse.csr_array(np.array([[1.0, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 1]]))
    bits = metrics.self_information(seen.sum(axis=0), 4)
    assert bits.tolist() == [0, 1, 2]
    given_lists = lists([0, 1, 2], [2, 1], [0], [])
    assert metrics.novelty(given_lists, bits).tolist() == pytest.approx(
        [1, 1.5, 0, np.nan], nan_ok=True
    )
    zero_one, zero_two = 2 / math.sqrt(4 * 2), 1 / math.sqrt(4 * 1)
    whole = (1 - zero_one + 1 - zero_two + 1) / 3
    unlike = metrics.diversity(given_lists, seen)
    assert unlike.tolist() == pytest.approx([whole, 1, np.nan, np.nan], nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sets(st.integers(0, ITEMS - 1), max_size=6), min_size=2, max_size=8),
    st.lists(st.lists(st.integers(0, ITEMS - 1), unique=True, max_size=4), min_size=1, max_size=5),
    st.integers(1, 5),
)
def test_diversity_is_that_of_plain_loops_however_its_items_fall_into_blocks(
    had: list[set[int]], listed: list[list[int]], block: int
) -> None:
    def cosine(one: int, other: int) -> float:
        users = [{user for user, items in enumerate(had) if it in items} for it in (one, other)]
        both = len(users[0]) * len(users[1])
        return len(users[0] & users[1]) / math.sqrt(both) if both else 0.0

    pairs = [[1 - cosine(*pair) for pair in combinations(items, 2)] for items in listed]
    expected = [sum(of) / len(of) if of else math.nan for of in pairs]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "_BLOCK", block)
        found = metrics.diversity(lists(*listed), by_items(*had))
    assert found.tolist() == pytest.approx(expected, nan_ok=True)


def test_the_diversity_of_lists_over_many_items_does_not_hold_a_square_of_them() -> None:
    items, users = 40_000, 4_000
    seen = sparse.csr_array(
        (np.ones(items), (np.arange(items) % users, np.arange(items))), (users, items)
    )
    # An item of the first few beside each of the others, which are had by the same user or not.
    pairs = np.column_stack([np.arange(items) % 500, np.arange(items)]).astype(np.int32)[500:]
    tracemalloc.start()
    try:
        found = metrics.diversity(pairs, seen)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    same = pairs[:, 0] % users == pairs[:, 1] % users
    assert found.tolist() == (1.0 - same).tolist() and same.sum() == 9 * 500
    assert peak < 40 * 2**20


SCORES = st.one_of(st.sampled_from([-math.inf, 0.0, 1.0]), st.floats(-5, 5))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(SCORES, min_size=5, max_size=5), min_size=1, max_size=4), st.integers(1, 8)
)
def test_a_list_has_the_greatest_scores_of_equal_ones_the_first_and_never_minus_infinity(
    scores: list[list[float]], most: int
) -> None:
    expected = [
        sorted((it for it in range(5) if row[it] > -math.inf), key=lambda it: (-row[it], it))[:most]
        for row in scores
    ]
    assert metrics.top(np.array(scores), most).tolist() == lists(*expected, length=most).tolist()
