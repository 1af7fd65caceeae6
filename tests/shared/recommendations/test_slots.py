"""A slot's lists and an item's neighbours, against plain loops over every pair."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from feira.recommendations.candidates import item_item
from feira.recommendations.candidates.als import Factors
from feira.recommendations.candidates.item_item import ByItems
from feira.recommendations.candidates.spark_als import ByFactors
from feira.recommendations.slots import Popular, Slot, listed

LENGTH = 3
# Ties, ties that only rounding makes, scores that are none, and ones below 0.
VALUES = [0.0, 1.0, 1.0 + 1e-12, 1.0 - 1e-12, 2.0, 0.5, 3e-10, 7e-10, 1.3e-9, -1.0, 1e-3]
# A user's scores are all as small as it came long ago, or as great as it came often.
WORTH = [1.0, 1e6, 2.0**-30, 1.5e-10, 1e-40, 1e-300]
SCORES = st.sampled_from(VALUES)
POPULAR = [0.25, 1.0, 1.0 + 1e-12, 1.0 - 1e-12, 2.0]


@st.composite
def blocks(draw: st.DrawFn) -> tuple[Any, Any, Any]:
    users, items = draw(st.integers(1, 5)), draw(st.integers(1, 9))

    def table(values: st.SearchStrategy[Any], rows: int) -> Any:
        cells = st.lists(values, min_size=rows * items, max_size=rows * items)
        return np.array(draw(cells), dtype=float).reshape(rows, items)

    worth = draw(st.lists(st.sampled_from(WORTH), min_size=users + 1, max_size=users + 1))
    scores, seen = table(SCORES, users), table(st.booleans(), users)
    scores *= np.array(worth[1:])[:, np.newaxis]
    popular = table(st.sampled_from(POPULAR), 1)[0] * worth[0]
    return scores, seen, popular


def beside_greatest(scores: Any) -> list[float]:
    """To nine decimals beside the greatest, of whatever sign."""
    greatest = max(map(abs, scores), default=0) or 1
    return [round(it / greatest, 9) * greatest for it in scores]


def by_loops(scores: Any, had: Any, popular: Any, slot: str) -> list[tuple[int, float, bool]]:
    """One user's places: item, score, whether it is by score."""
    allowed = [item for item, it in enumerate(had) if bool(it) == (slot == "again")]
    scores, shares = beside_greatest(scores), beside_greatest(popular)
    popular = [popular[shares.index(share)] for share in shares]
    value = {item: scores[item] for item in allowed if scores[item] > 0}
    first = sorted(value, key=lambda item: (-value[item], item))
    rest = sorted(set(allowed) - set(value), key=lambda item: (-shares[item], item))
    places = [(item, value[item], True) for item in first]
    return (places + [(item, popular[item], False) for item in rest])[:LENGTH]


@settings(max_examples=100, deadline=None)
@given(blocks(), st.sampled_from(get_args(Slot)), st.sampled_from(["dense", "sparse", "unsorted"]))
def test_lists_of_a_block_are_those_of_plain_loops(
    block: tuple[Any, Any, Any], slot: Slot, form: str
) -> None:
    scores, seen, popular = block
    given_as = scores if form == "dense" else sparse.csr_array(scores)
    if form == "unsorted":
        # As products of sparse matrices are: the entries of a row in any order.
        for row in range(len(scores)):
            of_row = slice(given_as.indptr[row], given_as.indptr[row + 1])
            for values in (given_as.indices, given_as.data):
                values[of_row] = values[of_row][::-1].copy()
    found = listed(given_as, sparse.csr_array(seen), slot, Popular.of(popular), LENGTH)
    for user in range(len(scores)):
        count = int((found.items[user] >= 0).sum())
        assert (found.items[user, count:] == -1).all()
        places = zip(found.items[user], found.scores[user], found.own[user], strict=True)
        assert list(places)[:count] == by_loops(scores[user], seen[user], popular, slot)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("slot", get_args(Slot))
def test_lists_of_a_few_of_many_items_are_those_of_plain_loops(seed: int, slot: Slot) -> None:
    generator = np.random.default_rng(seed)
    users, items = 3, int(generator.integers(20, 200))
    scores = generator.choice([VALUES, [*generator.standard_normal(10)]][seed % 2], (users, items))
    if seed % 3 == 0:
        scores[:, :] += generator.random((users, items))
    scores *= generator.choice(WORTH, (users, 1))
    # Of some blocks one user has had much.
    share = 0.6 if seed % 4 == 0 else 0.01
    seen = generator.random((users, items)) < np.array([[0.0], [0.02], [share]])
    popular = generator.choice(POPULAR, items)
    for given_as in (scores, sparse.csr_array(scores)):
        found = listed(given_as, sparse.csr_array(seen * 1.0), slot, Popular.of(popular), LENGTH)
        for user in range(users):
            count = int((found.items[user] >= 0).sum())
            places = zip(found.items[user], found.scores[user], found.own[user], strict=True)
            expected = by_loops(scores[user], seen[user], popular, slot)
            assert list(places)[:count] == expected


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sets(st.integers(0, 7), min_size=1), min_size=2, max_size=12),
    st.integers(1, 4),
)
def test_the_neighbours_of_an_item_are_those_of_plain_loops_with_those_that_equal_the_last(
    baskets: list[set[int]], neighbours: int
) -> None:
    users_of = [{user for user, it in enumerate(baskets) if item in it} for item in range(8)]
    seen = sparse.csr_array(np.array([[float(item in it) for item in range(8)] for it in baskets]))
    found = item_item._similar(seen, neighbours).toarray()
    for one, of in enumerate(users_of):
        cosine = {
            other: len(of & its) / math.sqrt(len(of) * len(its))
            for other, its in enumerate(users_of)
            if other != one and of & its
        }
        last = sorted(cosine.values(), reverse=True)[:neighbours][-1:] or [0.0]
        kept = [it for it, value in cosine.items() if value > last[0] - 1e-9]
        kept = sorted(kept, key=lambda it: (-round(cosine[it], 9), it))[: 3 * neighbours]
        expected = {it: cosine[it] for it in kept}
        assert {it: found[one, it] for it in np.flatnonzero(found[one])} == pytest.approx(expected)


@pytest.mark.parametrize("pairs", [item_item._PAIRS, 100])
def test_what_one_user_alone_had_costs_no_square_of_its_items(
    pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_item, "_PAIRS", pairs)
    had = np.zeros((3, 62))
    # The first two items are of two users each, all others of one.
    had[0, :42], had[1, [0, 1, *range(42, 62)]], had[2, 1] = 1, 1, 1
    found = item_item._similar(sparse.csr_array(had), 4)
    assert found.nnz <= 3 * 4 * 62
    neighbours = {row: found.indices[found.indptr[row] : found.indptr[row + 1]] for row in (5, 50)}
    # Of those that equal the last one the first.
    assert neighbours[5].tolist() == [2, 3, 4, *range(6, 15)]
    assert neighbours[50].tolist() == list(range(42, 50)) + list(range(51, 55))
    # Where they fit they are all there.
    assert Counter(np.diff(item_item._similar(sparse.csr_array(had), 14).indptr)[2:]) == {
        39: 40,
        19: 20,
    }


@settings(max_examples=40, deadline=None)
@given(blocks(), st.data())
def test_the_reason_is_the_same_however_the_weights_are_held(
    block: tuple[Any, Any, Any], data: st.DataObject
) -> None:
    _, taken, popular = block
    users, items = taken.shape
    worth = st.lists(st.sampled_from(WORTH), min_size=users, max_size=users)
    taken = taken * np.array(data.draw(worth))[:, np.newaxis]
    cells = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=items**2, max_size=items**2)
    weights = np.array(data.draw(cells)).reshape(items, items)
    scores = taken @ weights
    places = listed(scores, sparse.csr_array(taken), "new", Popular.of(popular), LENGTH)
    lists = np.where(places.own, places.items, -1)
    everyone = np.arange(users, dtype=np.int32)
    for held in (weights, sparse.csr_array(weights)):
        found = ByItems(sparse.csr_array(taken), held, items).strongest(everyone, lists)
        for user, place in np.ndindex(lists.shape):
            item = lists[user, place]
            had = [it for it in range(items) if taken[user, it]]
            wanted = max(had, key=lambda it: (weights[it, item], -it)) if item >= 0 else -1
            assert found[user, place] == wanted


def test_of_contributions_that_only_adding_tells_apart_the_more_popular_item_is_the_reason() -> (
    None
):
    taken = sparse.csr_array(np.array([[1.0, 1.0, 1.0, 0.0]]))
    weights = np.zeros((4, 4))
    weights[:3, 3] = 0.5, 0.5 + 1e-13, 0.5 + 2e-13
    user, lists = np.zeros(1, dtype=np.int32), np.array([[3]], dtype=np.int32)
    for held in (weights, sparse.csr_array(weights)):
        assert ByItems(taken, held, 4).strongest(user, lists).tolist() == [[0]]
    of_items = np.array([[3.0, 6.0 + 2e-6], [1.0, 2.0], [0.1, 0.2], [0.7, 1.4]])
    by_factors = ByFactors(Factors(np.zeros((1, 2)), of_items), taken)
    assert by_factors.strongest(user, lists).tolist() == [[0]]
