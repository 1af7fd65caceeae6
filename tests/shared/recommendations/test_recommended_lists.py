"""The lists of every user, by hand and by plain loops that know the formulas alone."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from feira.recommendations import lists
from feira.recommendations.candidates import BASELINE
from feira.recommendations.candidates.als import ALS
from feira.recommendations.candidates.counts import OwnFrequency
from feira.recommendations.candidates.item_item import EASE, ByItems, ItemItem
from feira.recommendations.candidates.reranked import Reranked, RerankedAgain
from feira.recommendations.candidates.spark_als import SparkALS
from feira.recommendations.candidates.tifu_knn import TifuKnn
from feira.recommendations.history import HISTORY_CAP
from feira.recommendations.interactions import interactions
from feira.recommendations.lists import (
    Chosen,
    MethodError,
    chosen,
    fitted,
    history_of,
    interactions_of,
    rows_of,
    singles,
)

DAY = date(2011, 1, 3)
SIMPLE = Chosen(OwnFrequency(), ItemItem(), BASELINE)
Row = tuple[str, str, date]
# Item, reason, reason's item; best first.
Place = tuple[str, str, str | None]


def ago(days: int) -> date:
    return DAY - timedelta(days=days)


def made(
    rows: Sequence[Row],
    candidates: Chosen | None = None,
    day: date = DAY,
    categories: dict[str, str] | None = None,
) -> list[Any]:
    """The rows of all lists as dicts."""
    history = history_of(interactions(rows), day)
    models = fitted(candidates or chosen(history), history)
    known = pa.table(list(zip(*sorted((categories or {"": ""}).items()), strict=True)),
                     names=["sku", "category"])  # fmt: skip
    return [row for batch in rows_of(models, history, known) for row in batch.to_pylist()]


def listed(found: Sequence[Any]) -> dict[tuple[str, str], list[Place]]:
    """By slot and user; the positions of each are 1, 2, …"""
    by_list = defaultdict(list)
    order = [(row["slot"], row["user_id"], row["position"]) for row in found]
    assert order == sorted(order)
    for row in found:
        of = by_list[row["slot"], row["user_id"]]
        of.append((row["item"], row["reason"], row["reason_item"]))
        assert row["position"] == len(of)
    return dict(by_list)


# a: x on two days, y once; b: x and z; c: x alone.
ROWS: list[Row] = [
    *[("a", "x", ago(0)), ("a", "x", ago(7)), ("a", "y", ago(7))],
    *[("b", "x", ago(14)), ("b", "z", ago(14)), ("c", "x", ago(0))],
]


def test_each_user_has_what_it_had_and_what_goes_with_it() -> None:
    found = made(ROWS, SIMPLE)
    assert listed(found) == {
        ("again", "a"): [("x", "bought_before", None), ("y", "bought_before", None)],
        # Of equal scores the more popular item is first.
        ("again", "b"): [("x", "bought_before", None), ("z", "bought_before", None)],
        ("again", "c"): [("x", "bought_before", None)],
        ("new", "a"): [("z", "goes_with", "x")],
        ("new", "b"): [("y", "goes_with", "x")],
        # Equal scores and as many users: by name.
        ("new", "c"): [("y", "goes_with", "x"), ("z", "goes_with", "x")],
        ("new", ""): [(item, "popular", None) for item in "xyz"],
    }
    scores = {(it["slot"], it["user_id"], it["item"]): it["score"] for it in found}
    assert scores["again", "a", "x"] == 2 + 1 / 2
    assert scores["new", "c", "y"] == pytest.approx(1 / math.sqrt(3))
    assert scores["new", "", "z"] == pytest.approx(0.5 ** (15 / 14))


def test_a_list_that_the_candidate_leaves_short_goes_on_by_recent_popularity() -> None:
    # Nobody had w or v together with anything; w was bought later.
    rows = [*ROWS, ("d", "w", ago(1)), ("e", "v", ago(3))]
    found = made(rows, SIMPLE)
    popular = [("w", "popular", None), ("v", "popular", None)]
    assert listed(found)["new", "a"] == [("z", "goes_with", "x"), *popular]
    assert listed(found)["new", "d"] == [(item, "popular", None) for item in "xvyz"]
    (w,) = [it["score"] for it in found if (it["user_id"], it["item"]) == ("a", "w")]
    assert w == pytest.approx(0.5 ** (2 / 14))


def test_the_reason_is_what_adds_most_and_of_equals_the_more_popular() -> None:
    weights = np.array(
        [[0.0, 0.0, 0.5, 1.0], [0.0, 0.0, 0.5, -2.0], [0.0, 0.0, 0.0, 1.5], [0.0] * 4]
    )
    taken = lists.history_of(
        interactions(
            [("a", "i", ago(0)), ("a", "j", ago(0)), ("b", "i", ago(0)), ("b", "k", ago(0))]
        ),
        DAY,
    ).matrix()
    model = ByItems(taken, weights, 4)
    places = np.array([[2, 3], [3, -1]], dtype=np.int32)
    users = np.arange(2, dtype=np.int32)
    # a had 0 and 1, of which both add 0.5 to item 2; b had 0 and 2, of which 2 adds more to item 3.
    assert model.strongest(users, places).tolist() == [[0, 0], [2, -1]]


def test_a_user_without_anything_that_is_known_has_no_reasons() -> None:
    taken = history_of(interactions([("a", "i", ago(0)), ("b", "j", ago(0))]), DAY).matrix()[:, :1]
    model = ByItems(taken, np.array([[1.0]]), 2)
    users, places = np.arange(2, dtype=np.int32), np.array([[0], [-1]], dtype=np.int32)
    assert model.strongest(users, places).tolist() == [[0], [-1]]


CATEGORIES = st.dictionaries(
    st.sampled_from([*"stuvwxyz", "never"]), st.sampled_from(["BAG", "MUG", "ÉTUI"]), max_size=9
)


@settings(max_examples=40, deadline=None)
@given(st.deferred(lambda: PAST), CATEGORIES)
def test_a_segments_list_and_the_reason_of_a_category_are_those_of_plain_loops(
    past: list[Row], categories: dict[str, str]
) -> None:
    popular: dict[str, float] = defaultdict(float)
    bought: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    users_of: dict[str, set[str]] = defaultdict(set)
    for user, item, day in set(past):
        popular[item] += 0.5 ** (((DAY - day).days + 1) / 14)
        users_of[item].add(user)
        if category := categories.get(item):
            bought[user][category] += 1
    expected: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for item in popular:
        if category := categories.get(item):
            expected[category].append((-popular[item], -len(users_of[item]), item))
    liked = {user: min(of, key=lambda it: (-of[it], it)) for user, of in bought.items()}

    found = made(past, SIMPLE, categories=categories)
    plain = made(past, SIMPLE)
    order = [(it["slot"], it["user_id"], it["segment"] or "", it["position"]) for it in found]
    assert order == sorted(order)
    held: dict[str, list[Any]] = defaultdict(list)
    for row in found:
        if row["segment"] is not None:
            assert (row["slot"], row["user_id"]) == ("new", "")
            assert (row["reason"], row["reason_item"]) == ("popular_in_category", None)
            held[row["segment"]].append(row)
            assert row["position"] == len(held[row["segment"]])
    assert held.keys() == expected.keys()
    for segment, rows in held.items():
        # Of sums that differ in their last bit alone the order may be either.
        wanted = sorted((round(score, 9), *rest) for score, *rest in expected[segment])
        got = [(round(-it["score"], 9), -len(users_of[it["item"]]), it["item"]) for it in rows]
        assert sorted(got) == wanted
        assert [it[0] for it in got] == [it[0] for it in wanted]
    # The other lists are what they were, but for the reason of what is popular.
    others = [row for row in found if row["segment"] is None]
    for row, before in zip(others, plain, strict=True):
        in_liked = row["user_id"] and categories.get(row["item"]) == liked.get(row["user_id"], "")
        if before["reason"] == "popular" and in_liked:
            before = before | {"reason": "popular_in_category"}
        assert row == before


def test_a_user_that_had_everything_is_offered_nothing_new() -> None:
    rows = [*ROWS, ("b", "y", ago(3))]
    found = listed(made(rows, SIMPLE))
    assert ("new", "b") not in found
    assert [it[0] for it in found["again", "b"]] == ["y", "x", "z"]


@pytest.mark.parametrize("candidates", [SIMPLE, None], ids=["simple", "chosen"])
def test_one_user_and_one_item_make_lists(candidates: Chosen | None) -> None:
    alone = [("a", "x", ago(0))]
    assert listed(made(alone, candidates)) == {
        ("again", "a"): [("x", "bought_before", None)],
        ("new", ""): [("x", "popular", None)],
    }


def test_names_are_what_they_were() -> None:
    names = ["<script>alert(1)</script>", "ä é", "日本\n", "', \"; --", "x|y\t~"]
    rows = [("ü & \u202e", names[0], ago(0))] + [(f"{n}", it, ago(0)) for n, it in enumerate(names)]
    found = made([*rows, ("0", names[1], ago(0))], SIMPLE)
    assert {it["item"] for it in found} == set(names)
    assert ("new", "ü & \u202e") in listed(found)
    assert {it["reason_item"] for it in found} <= {None, *names}


def test_a_list_ends_after_a_hundred() -> None:
    rows = [("a", f"i{n:03d}", ago(n % 9)) for n in range(150)]
    rows += [("b", f"i{n:03d}", ago(0)) for n in range(75, 230)]
    rows += [("c", "p", ago(0)), ("d", "p", ago(0)), ("d", "q", ago(9))]
    found = listed(made(rows, SIMPLE))
    assert {key: len(places) for key, places in found.items()} == {
        ("again", "a"): 100,
        ("again", "b"): 100,
        ("again", "c"): 1,
        ("again", "d"): 2,
        ("new", "a"): 82,
        ("new", "b"): 77,
        ("new", "c"): 100,
        ("new", "d"): 100,
        ("new", ""): 100,
    }
    of_one = {f"i{n:03d}": "MUG" for n in range(230)}
    with_one = [it for it in made(rows, SIMPLE, categories=of_one) if it["segment"]]
    assert [it["position"] for it in with_one] == list(range(1, 101))
    # The first, and as many popular ones as there is room for.
    assert [it[1] for it in found["new", "c"]] == ["goes_with", *["popular"] * 99]


def test_what_was_had_before_the_newest_interactions_ends_the_list_again() -> None:
    days = HISTORY_CAP
    rows = [("a", "often", ago(n)) for n in range(days)] + [("a", "once", ago(days + 1))]
    found = made([*rows, ("b", "often", ago(0))], SIMPLE)
    assert [it[0] for it in listed(found)["again", "a"]] == ["often", "once"]
    assert ("new", "a") not in listed(found)
    # Learned from are the newest alone: the other's place is by its popularity, which has faded.
    often, once = (it["score"] for it in found if (it["slot"], it["user_id"]) == ("again", "a"))
    assert often == days + 1 / 2 and once < 1e-9


def loops(
    rows: Sequence[Row], taken: dict[tuple[str, str], float], weights: dict[tuple[str, str], float]
) -> dict[str, list[tuple[Any, ...]]]:
    """The list of new items of each user: item, score, reason, reason's item; by loops over pairs."""
    had: dict[str, set[str]] = defaultdict(set)
    popular: dict[str, float] = defaultdict(float)
    for user, item, day in set(rows):
        had[user].add(item)
        popular[item] += 0.5 ** (((DAY - day).days + 1) / 14)
    users_of = {item: sum(item in its for its in had.values()) for item in popular}
    found: dict[str, list[tuple[Any, ...]]] = {}
    for user, its in had.items():
        ranked, rest = [], []
        for item in set(popular) - its:
            adds = {it: taken[user, it] * weights.get((it, item), 0.0) for it in its}
            score = round(sum(adds.values()), 9)
            strongest = min(its, key=lambda it: (-adds[it], -users_of[it], it))
            if score > 0:
                ranked.append((item, score, "goes_with", strongest))
            else:
                rest.append((item, popular[item], "popular", None))
        for part in (ranked, rest):
            part.sort(key=lambda it: (-it[1], -users_of[it[0]], it[0]))
        if places := (ranked + rest)[:100]:
            found[user] = places
    return found


# More users than are taken at once; a few of the items are had by all.
MANY: list[Row] = [
    (f"u{user:03d}", f"i{item:02d}", ago((user * 5 + item) % 60))
    for user in range(150)
    for item in range(40)
    if (user * 13 + item * item * 7) % (3 + item % 11) == 0
]


def same(found: Sequence[Any], expected: dict[str, list[tuple[Any, ...]]]) -> None:
    """Items and reasons alike, and scores to rounding; equal contributions may differ in their last bit."""
    new = [it for it in found if it["slot"] == "new" and it["user_id"]]
    by_user = defaultdict(list)
    for it in new:
        by_user[it["user_id"]].append((it["item"], it["score"], it["reason"], it["reason_item"]))
    assert by_user.keys() == expected.keys()
    for user, places in expected.items():
        items, scores, reasons, because = zip(*by_user[user], strict=True)
        wanted = list(zip(*places, strict=True))
        assert (items, reasons, because) == (wanted[0], wanted[2], wanted[3]), user
        # To nine decimals beside the user's greatest score, of whatever it had too, which is below 10 here.
        assert scores == pytest.approx(wanted[1], abs=1e-8)


def test_item_item_lists_are_those_of_plain_loops() -> None:
    had = {(user, item) for user, item, _ in MANY}
    users_of = defaultdict(set)
    for user, item in had:
        users_of[item].add(user)
    cosine = {
        (one, other): len(users_of[one] & users_of[other])
        / math.sqrt(len(users_of[one]) * len(users_of[other]))
        for one in users_of
        for other in users_of
        if one != other
    }
    same(made(MANY, SIMPLE), loops(MANY, dict.fromkeys(had, 1.0), cosine))


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_an_items_weights_changes_no_list(seed: int) -> None:
    """Items, scores to the last bit and reasons: how fast weights are multiplied depends on it, and nothing else."""
    generator = np.random.default_rng(seed)
    drawn = zip(*(generator.integers(most, size=3_000) for most in (150, 160, 60)), strict=True)
    history = history_of(
        interactions(
            [(f"u{user:03d}", f"i{item:03d}", ago(int(age))) for user, item, age in drawn]
        ),
        DAY,
    )
    models = fitted(SIMPLE, history)
    assert isinstance(models.new, ByItems)
    weights = models.new.weights
    assert weights.has_sorted_indices and weights.indices.dtype == np.int32
    order = np.arange(weights.nnz)
    for row in range(weights.shape[0]):
        generator.shuffle(order[weights.indptr[row] : weights.indptr[row + 1]])
    shuffled = csr_array(
        (weights.data[order], weights.indices[order].astype(np.int64), weights.indptr),
        weights.shape,
    )
    assert not shuffled.has_sorted_indices
    others = replace(models, new=replace(models.new, weights=shuffled))
    assert list(rows_of(others, history)) == list(rows_of(models, history))


def test_ease_lists_are_those_of_ridge_regressions_and_plain_loops() -> None:
    ease = EASE(regularisation=5)
    taken: dict[tuple[str, str], float] = defaultdict(float)
    for user, item, day in MANY:
        taken[user, item] += 0.5 ** (((DAY - day).days + 1) / 60)
    users, items = sorted({it[0] for it in taken}), sorted({it[1] for it in taken})
    matrix = np.array([[taken.get((user, item), 0.0) for item in items] for user in users])
    weights = {}
    for place, item in enumerate(items):
        others = np.delete(matrix, place, axis=1)
        gram = others.T @ others + 5 * np.eye(len(items) - 1)
        solved = np.linalg.solve(gram, others.T @ matrix[:, place])
        weights |= {(it, item): w for it, w in zip(np.delete(items, place), solved, strict=True)}
    found = made(MANY, Chosen(OwnFrequency(), ease, BASELINE))
    same(found, loops(MANY, taken, weights))
    assert {it["reason"] for it in found if it["user_id"] and it["slot"] == "new"} == {
        "goes_with",
        "popular",
    }


PAST = st.lists(
    st.tuples(st.sampled_from("abcde"), st.sampled_from("stuvwxyz"), st.integers(0, 40).map(ago)),
    min_size=1,
    max_size=25,
)
FUTURE = st.lists(
    st.tuples(st.sampled_from("Aabz"), st.sampled_from("Astz~"), st.integers(-30, -1).map(ago)),
    max_size=15,
)


@pytest.mark.parametrize("candidates", [SIMPLE, None], ids=["simple", "chosen"])
@settings(max_examples=12, deadline=None)
@given(PAST, FUTURE)
def test_the_two_slots_of_a_user_are_all_items_once_and_the_future_changes_nothing(
    candidates: Chosen | None, past: list[Row], future: list[Row]
) -> None:
    found = made(past, candidates)
    by_list, items = listed(found), {it[1] for it in past}
    for user in {it[0] for it in past}:
        had = {it[1] for it in past if it[0] == user}
        again, new = by_list["again", user], by_list.get(("new", user), [])
        assert sorted(it[0] for it in again) == sorted(had)
        assert sorted(it[0] for it in new) == sorted(items - had)
        for _, reason, because in new:
            assert (because in had) if reason == "goes_with" else (because is None)
        # By score as long as the reason is the same.
        rows = [it for it in found if (it["slot"], it["user_id"]) == ("new", user)]
        for before, after in pairwise(rows):
            assert before["reason"] <= after["reason"]
            assert before["reason"] != after["reason"] or before["score"] >= after["score"]
    assert sorted(it[0] for it in by_list["new", ""]) == sorted(items)
    assert made([*future, *past], candidates) == found
    assert made(past[::-1] + past, candidates) == found


def test_the_candidates_are_the_better_ones_as_far_as_the_size_allows() -> None:
    def of(users: int, items: int, days: int = 50_000_000) -> Chosen:
        history: Any = SimpleNamespace(
            user_ids=range(users), item_ids=range(items), days=range(days)
        )
        return singles(history)

    small, large = of(20_000, 10_000), of(20_001, 10_001)
    assert (type(small.again), type(small.new)) == (TifuKnn, EASE)
    assert (type(large.again), type(large.new)) == (OwnFrequency, ItemItem)
    assert large.described()["new"] == {"neighbours": 100, "name": "item-item"}
    for items in (10_000, 10_001):
        assert type(of(20_000, items, 50_000_001).new) is SparkALS


def test_the_hash_of_the_models_is_of_what_they_learned() -> None:
    def hashed(rows: Sequence[Row], candidates: Chosen = SIMPLE) -> str:
        return fitted(candidates, history_of(interactions(rows), DAY)).hash()

    assert hashed(ROWS) == hashed(ROWS[::-1])
    others = [
        hashed([*ROWS, ("c", "y", ago(0))]),
        hashed([*ROWS, ("c", "x", ago(1))]),
        hashed(ROWS, Chosen(OwnFrequency(), EASE(), BASELINE)),
        hashed(ROWS, Chosen(TifuKnn(), ItemItem(), BASELINE)),
    ]
    assert len({hashed(ROWS), *others}) == 5


def test_interactions_are_read_from_batches_of_any_text_and_count_once() -> None:
    columns = {"order_date": pa.array([DAY, DAY]), "sku": pa.array(["x", "x"], pa.large_string())}
    batch = pa.record_batch(columns | {"user_id": ["1", "1"]})
    found = interactions_of([batch, batch.slice(0, 1)])
    assert (list(found.user_ids), list(found.item_ids), len(found)) == (["1"], ["x"], 1)
    assert found.days.tolist() == [(DAY - date(1970, 1, 1)).days]
    assert len(interactions_of([])) == 0
    empty = history_of(interactions_of([]), DAY)
    assert len(empty.days) == 0
    assert history_of(found, ago(1)).user_ids.tolist() == []


RERANKED = Chosen(
    RerankedAgain(habits=OwnFrequency(), trees=7),
    Reranked(strong=ItemItem(neighbours=7), factors=ALS(seed=3)),
    BASELINE,
)


@pytest.mark.parametrize(
    "method", [SIMPLE, Chosen(TifuKnn(own=0.5), EASE(half_life=30), BASELINE), RERANKED]
)
def test_a_method_is_had_back_from_its_description(method: Chosen) -> None:
    assert Chosen.of_described(json.loads(json.dumps(method.described()))) == method


@pytest.mark.parametrize(
    ("slot", "change"),
    [
        ("again", {"name": "EASE"}),
        ("again", {"name": ["TIFU-KNN"]}),
        ("again", {"neighbors": 300}),
        ("again", {"own": "0.7"}),
        ("again", {"neighbours": True}),
        ("new", {"name": None}),
        ("best", {"name": "EASE"}),
    ],
)
def test_a_description_that_is_not_understood_is_refused(slot: str, change: Any) -> None:
    described = Chosen(TifuKnn(), EASE(), BASELINE).described()
    with pytest.raises(MethodError, match="is no method"):
        Chosen.of_described(described | {slot: described.get(slot, {}) | change})
    for part in ("again", "popular"):
        with pytest.raises(MethodError):
            Chosen.of_described({name: it for name, it in described.items() if name != part})
    del described["again"]["own"]
    with pytest.raises(MethodError):
        Chosen.of_described(described)
    with pytest.raises(MethodError):
        Chosen.of_described(described | {"again": "TIFU-KNN"})
    for change in ({"seed": "3"}, {"name": "EASE"}, {"trees": 3}, {"factors": {}}):
        described = RERANKED.described()
        described["new"]["factors"] |= change
        with pytest.raises(MethodError):
            Chosen.of_described(described)
