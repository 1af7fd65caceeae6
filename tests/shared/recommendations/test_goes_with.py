"""What goes with an item and what a user had: as plain loops find them, whatever the interactions."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feira.recommendations import goes_with, purchases
from feira.recommendations.history import history_before
from feira.recommendations.interactions import interactions

FIRST, CUT = date(2011, 1, 1), date(2011, 1, 9)
bought = st.lists(
    st.tuples(
        st.sampled_from(["u1", "u10", "u2", "é", "u3"]),
        st.sampled_from(["b", "a", "c", "ab", "d"]),
        st.integers(0, 10).map(lambda day: FIRST + timedelta(days=day)),
    ),
    max_size=40,
)


def of(module: Any, rows: list[tuple[str, str, date]]) -> list[dict[str, Any]]:
    history = history_before(interactions(rows), CUT)
    return [row for batch in module.rows(history) for row in batch.to_pylist()]


def users_of(rows: list[tuple[str, str, date]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for user, item, day in rows:
        if day < CUT:
            found[item].add(user)
    return found


@settings(max_examples=60, deadline=None)
@given(bought)
def test_what_goes_with_an_item_is_what_a_loop_over_all_pairs_finds(rows: Any) -> None:
    users = users_of(rows)
    by_popularity = sorted(users, key=lambda item: (-len(users[item]), item))
    expected = {}
    for item in by_popularity:
        pairs = []
        for place, other in enumerate(by_popularity):
            both = len(users[item] & users[other])
            if other != item and both >= 2:
                similarity = both / ((len(users[item]) + 10) * (len(users[other]) + 10)) ** 0.5
                pairs.append((-round(similarity, 9), place, other))
        if pairs:
            expected[item] = [(other, -value) for value, _, other in sorted(pairs)]
    found = {
        row["item"]: list(zip(row["goes_with"], row["similarity"], strict=True))
        for row in of(goes_with, rows)
    }
    assert list(found) == list(expected)
    for item, pairs in expected.items():
        assert [other for other, _ in found[item]] == [other for other, _ in pairs]
        assert [value for _, value in found[item]] == pytest.approx([value for _, value in pairs])


def test_a_pair_that_one_customer_alone_had_is_none() -> None:
    one = [("u1", "a", FIRST), ("u1", "b", FIRST), ("u2", "a", FIRST), ("u3", "b", FIRST)]
    assert of(goes_with, one) == []
    both = of(goes_with, [*one, ("u2", "b", FIRST)])
    assert [(row["item"], row["goes_with"]) for row in both] == [("b", ["a"]), ("a", ["b"])]


def test_the_twenty_best_of_the_most_popular_items_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [(f"u{user}", f"i{item:02d}", FIRST) for user in range(3) for item in range(30)]
    assert {len(row["goes_with"]) for row in of(goes_with, rows)} == {20}
    monkeypatch.setattr(goes_with, "MOST_ITEMS", 5)
    monkeypatch.setattr(goes_with, "_BLOCK", 2)
    found = of(goes_with, rows)
    assert [row["item"] for row in found] == [f"i{item:02d}" for item in range(5)]
    assert {other for row in found for other in row["goes_with"]} <= {row["item"] for row in found}


@settings(max_examples=60, deadline=None)
@given(bought)
def test_what_a_user_had_is_what_a_loop_finds_newest_first(rows: Any) -> None:
    days: dict[tuple[str, str], set[date]] = defaultdict(set)
    for user, item, day in rows:
        if day < CUT:
            days[user, item].add(day)
    users = users_of(rows)
    expected = sorted(
        days,
        key=lambda pair: (
            pair[0],
            -max(days[pair]).toordinal(),
            -len(users[pair[1]]),
            pair[1],
        ),
    )
    assert of(purchases, rows) == [
        {
            "user_id": user,
            "item": item,
            "days": len(days[user, item]),
            "last": max(days[user, item]),
        }
        for user, item in expected
    ]


def test_of_a_user_that_had_much_the_newest_are_kept_and_others_stay_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(purchases, "MOST", 3)
    monkeypatch.setattr(purchases, "ROW_GROUP", 2)
    rows = [("u1", f"i{n}", FIRST + timedelta(days=n)) for n in range(7)]
    rows += [("u2", "i1", FIRST), ("u2", "i1", FIRST + timedelta(days=1))]
    found = [(row["user_id"], row["item"], row["days"]) for row in of(purchases, rows)]
    assert found == [("u1", "i6", 1), ("u1", "i5", 1), ("u1", "i4", 1), ("u2", "i1", 2)]
