"""What each candidate scores, by hand or by plain loops; and none of them knows what comes after the cut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from feira.recommendations import metrics
from feira.recommendations.candidates import (
    CANDIDATES,
    Candidate,
    Scorer,
    dense,
    reranked,
    tifu_knn,
)
from feira.recommendations.candidates.als import ALS
from feira.recommendations.candidates.counts import OwnFrequency, Popularity, RecentPopularity
from feira.recommendations.candidates.interface import or_nothing
from feira.recommendations.candidates.item_item import EASE, ItemItem
from feira.recommendations.candidates.reranked import Reranked, RerankedAgain, RerankedSlots
from feira.recommendations.candidates.tifu_knn import TifuKnn
from feira.recommendations.history import history_before, split_at
from feira.recommendations.interactions import InteractionsError, interactions
from feira.recommendations.lists import singles

CUT = date(2011, 1, 4)
Row = tuple[str, str, date]
Scores = dict[tuple[str, str], float]


def ago(days: int) -> date:
    return CUT - timedelta(days=days)


def scores(candidate: Candidate, rows: Sequence[Row]) -> Scores:
    """By user and item; what a candidate has nothing to say of is left out."""
    history = history_before(interactions(rows), CUT)
    found = dense(candidate.fit(history)(np.arange(len(history.user_ids), dtype=np.int32)))
    assert found.shape == (len(history.user_ids), len(history.item_ids))
    return {
        (str(history.user_ids[user]), str(history.item_ids[item])): float(found[user, item])
        for user, item in zip(*np.nonzero(found > -np.inf), strict=True)
    }


# a: x on two days, y once; b: x and z; c: x alone.
ROWS: list[Row] = [
    ("a", "x", ago(1)),
    ("a", "x", ago(8)),
    ("a", "y", ago(8)),
    ("b", "x", ago(15)),
    ("b", "z", ago(15)),
    ("c", "x", ago(1)),
]


def test_popularity_counts_users_and_recent_popularity_days_that_fade() -> None:
    assert scores(Popularity(), ROWS) == {
        (user, item): count for user in "abc" for item, count in (("x", 3), ("y", 1), ("z", 1))
    }
    faded = scores(RecentPopularity(half_life=7), ROWS)
    one, eight, fifteen = (0.5 ** (days / 7) for days in (1, 8, 15))
    for user in "abc":
        assert faded[user, "x"] == pytest.approx(2 * one + eight + fifteen)
        assert (faded[user, "y"], faded[user, "z"]) == pytest.approx((eight, fifteen))


def test_own_frequency_counts_days_and_of_equals_the_last_is_first() -> None:
    rows = [*ROWS, ("b", "y", ago(2))]
    found = scores(OwnFrequency(), rows)
    assert set(found) == {("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"), ("b", "z"), ("c", "x")}
    assert found["a", "x"] == 2 + 1 / 2
    assert found["b", "y"] > found["b", "z"] == found["b", "x"] < found["a", "x"]


def test_item_item_sums_the_cosines_with_what_the_user_had() -> None:
    found = scores(ItemItem(), ROWS)
    x_y, x_z = 1 / math.sqrt(3 * 1), 1 / math.sqrt(3 * 1)
    assert found == pytest.approx(
        {
            ("a", "x"): x_y,
            ("a", "y"): x_y,
            ("a", "z"): x_z,
            ("b", "x"): x_z,
            ("b", "y"): x_y,
            ("b", "z"): x_z,
            ("c", "y"): x_y,
            ("c", "z"): x_z,
        }
    )


def test_item_item_keeps_the_most_similar_neighbours_alone() -> None:
    rows = [("a", item, ago(1)) for item in "xyz"] + [("b", item, ago(1)) for item in "xy"]
    assert ("c", "z") in scores(ItemItem(), [*rows, ("c", "x", ago(1))])
    assert ("c", "z") not in scores(ItemItem(neighbours=1), [*rows, ("c", "x", ago(1))])


def test_ease_is_ridge_regression_of_each_item_on_the_others() -> None:
    rows = [
        (f"u{user}", f"i{item}", ago(1 + (user * item) % 9))
        for user in range(12)
        for item in range(6)
        if (user * 7 + item * 5) % 3
    ]
    history = history_before(interactions(rows), CUT)
    taken = history.matrix(0.5 ** (history.ages() / 30)).toarray()
    expected = np.zeros((6, 6))
    for item in range(6):
        others = [it for it in range(6) if it != item]
        gram = taken[:, others].T @ taken[:, others] + 2 * np.eye(5)
        expected[others, item] = np.linalg.solve(gram, taken[:, others].T @ taken[:, item])
    users = np.arange(12, dtype=np.int32)
    found = EASE(regularisation=2, half_life=30).fit(history)(users)
    assert found == pytest.approx(taken @ expected)
    fewer = EASE(regularisation=2, half_life=30, most_items=4).fit(history)(users)
    assert (fewer[:, 4:] == -np.inf).all() and (fewer[:, :4] > -np.inf).any()


def test_ease_without_a_solution_is_refused() -> None:
    twice = [("a", "x", ago(1)), ("a", "y", ago(1))]
    with pytest.raises(InteractionsError, match="no solution with a regularisation of 0"):
        scores(EASE(regularisation=0), twice)


def test_als_offers_a_user_what_its_like_had() -> None:
    groups = {"even": ["p", "q", "r"], "odd": ["s", "t", "u"]}
    rows = [
        (f"{group}{user}", item, ago(1))
        for group, items in groups.items()
        for user in range(6)
        for item in items
        if (user, item) not in ((0, "r"), (0, "u"))
    ]
    found = scores(ALS(factors=4), rows)
    assert found["even0", "r"] > max(found["even0", it] for it in "stu")
    assert found["odd0", "u"] > max(found["odd0", it] for it in "pqr")


def tifu(rows: Sequence[Row], candidate: TifuKnn) -> Scores:
    """The paper's formulas in plain loops; groups are counted from the newest basket on."""
    users, items = sorted({it[0] for it in rows}), sorted({it[1] for it in rows})
    habits: dict[str, dict[str, float]] = {}
    for user in users:
        days = sorted({it[2] for it in rows if it[0] == user}, reverse=True)
        size = math.ceil(len(days) / candidate.groups)
        groups = [days[start : start + size] for start in range(0, len(days), size)]
        habits[user] = dict.fromkeys(items, 0.0)
        for late, group in enumerate(groups):
            for after, day in enumerate(group):
                for item in {it[1] for it in rows if it[0] == user and it[2] == day}:
                    habits[user][item] += (
                        candidate.decay_within**after
                        / len(group)
                        * candidate.decay_by_group**late
                        / len(groups)
                    )
    found = {}
    for user in users:
        others = sorted(
            (it for it in users if it != user),
            key=lambda it: sum((habits[it][i] - habits[user][i]) ** 2 for i in items),
        )[: candidate.neighbours]
        for item in items:
            near = sum(habits[it][item] for it in others) / len(others)
            found[user, item] = candidate.own * habits[user][item] + (1 - candidate.own) * near
    return {pair: value for pair, value in found.items() if value}


def test_tifu_knn_is_the_formulas_of_its_paper() -> None:
    rows = [
        (f"u{user}", f"i{(user * 3 + day * day) % 7}", ago(day))
        for user in range(6)
        for day in range(1, 12 + user)
        if (user + day) % 3
    ]
    candidate = TifuKnn(neighbours=2, groups=3)
    assert scores(candidate, rows) == pytest.approx(tifu(rows, candidate))
    alone = [row for row in rows if row[0] == "u1"]
    assert set(scores(candidate, alone)) == {(user, item) for user, item, _ in alone}


def test_tifu_knn_scores_the_same_to_the_last_bit_however_its_users_fall_into_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [
        (f"u{n:02d}", f"i{n * it % 23}", ago(1 + n % 5)) for n in range(60) for it in range(1, 6)
    ]
    history = history_before(interactions(rows), CUT)
    score, users = TifuKnn(neighbours=7).fit(history), np.arange(60, dtype=np.int32)
    whole = score(users)
    for cells in (1, 60, 7 * 60, 10_000):
        monkeypatch.setattr(tifu_knn, "_CELLS", cells)
        assert np.array_equal(score(users), whole)
    assert score(users[:0]).shape == (0, 23)


def test_of_neighbours_that_only_adding_tells_apart_the_first_users_count() -> None:
    distance = np.array([[np.inf, 1 + 2e-13, 1 - 1e-13, 1 + 1e-13, 0.5, 2.0]])
    for count, nearest in ((1, [4]), (2, [1, 4]), (3, [1, 2, 4]), (5, [1, 2, 3, 4, 5])):
        assert tifu_knn._nearest(distance, count).indices.tolist() == nearest


@pytest.mark.parametrize("worth", [1.0, 1e9, 1e-10, 1e-40, 1e-300])
def test_what_adding_has_left_over_says_as_little_as_0(worth: float) -> None:
    rows = np.array([[0.25, 1e-17, 0.0, -1e-17, 2e-9], [-3.0, 1e-16, 0.5, -np.inf, 0.0]]) * [worth]
    nothing = [[False, True, True, True, False], [False, True, False, True, True]]
    assert np.array_equal(or_nothing(rows), np.where(nothing, -np.inf, rows))
    assert np.array_equal(dense(sparse.csr_array(rows[:1])), np.where(nothing, -np.inf, rows)[:1])
    assert or_nothing(np.zeros((1, 3))).tolist() == [[-np.inf] * 3]


def test_a_history_that_is_capped_has_the_newest_of_each_user() -> None:
    rows = [("a", f"i{day}", ago(day)) for day in range(1, 9)] + [("b", "i8", ago(8))]
    history = history_before(interactions(rows), CUT)
    capped = history.capped(3)
    assert {
        (str(capped.user_ids[user]), str(capped.item_ids[item]))
        for user, item in zip(capped.users, capped.items, strict=True)
    } == {("a", "i1"), ("a", "i2"), ("a", "i3"), ("b", "i8")}
    assert list(capped.item_ids) == list(history.item_ids)


@pytest.mark.parametrize("too_many", [False, True])
def test_what_is_re_ranked_is_what_the_size_of_the_history_allows(
    too_many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reranked, "MOST_COMPARED", 5 if too_many else 6)
    monkeypatch.setattr(reranked, "EASE", lambda: EASE(most_items=8 if too_many else 9))
    # What was had most often was had first.
    rows = [(f"u{n}", f"i{n % 3}", ago(days)) for n in range(6) for days in (40, 41)]
    rows += [(f"u{n}", f"i{n * it % 9}", ago(it)) for n in range(6) for it in range(1, 7)]
    history = history_before(interactions(rows), CUT)
    served = singles(history)
    both: list[tuple[Candidate, Candidate]] = [(TifuKnn(), EASE()), (OwnFrequency(), ItemItem())]
    assert [it.name for it in (served.again, served.new)] == [it.name for it in both[too_many]]
    # With too few users to learn from each slot is its first candidate.
    users, had = np.arange(6, dtype=np.int32), history.seen().toarray() > 0

    def lists(score: Scorer, slot: Any) -> Any:
        return metrics.top(np.where(slot, dense(score(users)), -np.inf), 9).tolist()

    found = RerankedSlots().fit(history)
    for slot, *alone in ((had, *(it[0] for it in both)), (~had, *(it[1] for it in both))):
        assert [lists(found, slot) == lists(it.fit(history), slot) for it in alone] == [
            not too_many,
            too_many,
        ]


PAIR = st.tuples(st.sampled_from("abcd"), st.sampled_from("uvwxyz"))
PAST = st.lists(st.tuples(PAIR, st.integers(1, 40)), min_size=3, max_size=20)
# Users and items that the past does not know, whose names come before and after its own.
FUTURE = st.lists(
    st.tuples(st.tuples(st.sampled_from("Aade"), st.sampled_from("Auz~")), st.integers(-30, 0)),
    max_size=15,
)
ALS_QUICK = ALS(factors=3, iterations=2)
# Few users are enough, so that there is a ranker.
QUICKLY: Any = {
    "factors": ALS_QUICK,
    "of_each": 3,
    "least_users": 1,
    "trees": 3,
    "leaves": 3,
    "least_in_leaf": 1,
}
RERANKED = RerankedSlots(RerankedAgain(**QUICKLY), Reranked(**QUICKLY))
QUICK = [{"ALS": ALS_QUICK, "re-ranked": RERANKED}.get(it.name, it) for it in CANDIDATES]


@pytest.mark.parametrize("candidate", QUICK, ids=lambda it: it.name)
@settings(max_examples=15, deadline=None)
@given(PAST, FUTURE)
def test_with_a_future_planted_every_score_as_of_the_cut_is_the_same(
    candidate: Candidate,
    past: list[tuple[tuple[str, str], int]],
    future: list[tuple[tuple[str, str], int]],
) -> None:
    known = [(*pair, ago(days)) for pair, days in past]
    planted = [(*pair, ago(days)) for pair, days in future]
    assert scores(candidate, planted + known) == scores(candidate, known)
    if {it[0] for it in planted} & {it[0] for it in known}:
        split = split_at(interactions(planted + known), CUT)
        assert split.history.days.max() < split.history.as_of


@settings(max_examples=15, deadline=None)
@given(PAST)
def test_what_is_learned_does_not_hang_on_the_order_of_the_rows(
    past: list[tuple[tuple[str, str], int]],
) -> None:
    rows = [(*pair, ago(days)) for pair, days in past]
    for candidate in QUICK:
        assert scores(candidate, rows[::-1]) == scores(candidate, rows)
