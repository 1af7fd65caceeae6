"""Re-ranking: what it learns from, what it is worth, when it is chosen, and that its reasons are true."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache

import numpy as np
import pytest

from feira.recommendations import choice as choosing
from feira.recommendations import lists
from feira.recommendations.bootstrap import Means, means
from feira.recommendations.candidates import BASELINE, Candidate
from feira.recommendations.candidates.als import ALS
from feira.recommendations.candidates.counts import OwnFrequency
from feira.recommendations.candidates.interface import dense
from feira.recommendations.candidates.item_item import EASE, ByItems, ItemItem
from feira.recommendations.candidates.reranked import (
    OF_A_CANDIDATE,
    OF_THE_PAIR,
    OF_WHAT_WAS_HAD,
    ByRanker,
    Ranking,
    Reranked,
    RerankedAgain,
    RerankedSlots,
)
from feira.recommendations.candidates.tifu_knn import Habits, TifuKnn
from feira.recommendations.evaluation import evaluate
from feira.recommendations.history import History, history_before, split_at
from feira.recommendations.interactions import Interactions, day_of, interactions
from feira.recommendations.lists import Chosen, choose, fitted, history_of, rows_of
from feira.recommendations.metrics import Floats

FIRST = date(2011, 1, 1)
LAST = FIRST + timedelta(days=83)
QUICK = Reranked(factors=ALS(factors=8, iterations=5))
AGAIN = RerankedAgain(factors=QUICK.factors)


@cache
def young_items_sell(days: int = 84, users: int = 400, items: int = 80) -> Interactions:
    """Users of six groups, who take from their group's items, and mostly those of the last weeks:
    what no single candidate knows."""
    generator = np.random.default_rng(1)
    group, born = generator.integers(0, 6, items), generator.integers(-days, days, items)
    of_user = generator.integers(0, 6, users)
    rows = []
    for day in range(days):
        age = day - born
        worth = (age >= 0) * np.where(age < 20, 40.0, 1.0)
        for user in np.flatnonzero(generator.random(users) < 0.15):
            likes = worth * ((group == of_user[user]) + 0.03)
            for item in generator.choice(items, 3, p=likes / likes.sum()):
                rows.append((f"u{user:03d}", f"i{item:02d}", FIRST + timedelta(days=day)))
    return interactions(rows)


@cache
def bought_when_due(days: int = 168, users: int = 120, items: int = 50) -> Interactions:
    """Users who take each of twenty items about every sixty days: what was had last is what is not taken again."""
    generator = np.random.default_rng(1)
    rows = []
    for user in range(users):
        for item in generator.choice(items, 20, replace=False):
            day = int(generator.integers(60))
            while day < days:
                rows.append((f"u{user:03d}", f"i{item:02d}", FIRST + timedelta(days=day)))
                day += 55 + int(generator.integers(11))
    return interactions(rows)


def learned() -> History:
    return history_of(young_items_sell(), LAST)


def test_where_more_decides_than_one_candidate_knows_re_ranking_is_better_and_chosen() -> None:
    all_of = young_items_sell()
    found = evaluate(all_of, FIRST + timedelta(days=63), [EASE(), QUICK])
    _, new, _ = found.slots
    _, reranked = new.rows
    assert reranked.ratio.low is not None and reranked.ratio.low > 1.1, reranked
    method, choices = choose(learned())
    _of_worth(choices["new"], "new")
    assert isinstance(method.new, Reranked) and method.described()["new"]["name"] == "re-ranked"
    assert Chosen.of_described(json.loads(json.dumps(method.described()))) == method


def test_where_time_decides_what_is_taken_again_re_ranking_is_better_and_chosen() -> None:
    all_of = bought_when_due()
    both = RerankedSlots(AGAIN, QUICK)
    found = evaluate(all_of, FIRST + timedelta(days=140), [TifuKnn(), OwnFrequency(), both])
    again, new, everything = found.slots
    # Nobody takes what is new to him.
    assert new.users == 0
    for slot in (again, everything):
        *singles, reranked = slot.rows
        for single in singles:
            assert single.ndcg.high is not None and reranked.ndcg.low is not None
            assert reranked.ndcg.low > single.ndcg.high, (slot.slot, single, reranked)
    method, choices = choose(history_of(all_of, FIRST + timedelta(days=167)))
    _of_worth(choices["again"], "again")
    assert isinstance(method.again, RerankedAgain) and isinstance(method.new, EASE)
    assert Chosen.of_described(json.loads(json.dumps(method.described()))) == method


def _of_worth(choice: choosing.Choice, slot: str) -> None:
    assert choice.rerank and choice.users >= choosing.LEAST_USERS, choice
    assert choice.ratio is not None and choice.ratio.value is not None
    assert choice.ratio.value >= choosing.LEAST_RATIO[slot]


@pytest.mark.parametrize(
    ("ranking", "drawn"),
    [(QUICK, young_items_sell), (AGAIN, bought_when_due)],
    ids=["new", "again"],
)
def test_the_choice_knows_nothing_of_the_days_by_which_the_gate_judges(
    ranking: Ranking, drawn: Callable[[], Interactions]
) -> None:
    all_of = drawn()
    end = day_of(all_of.days.max())
    choice = choosing.whether_to_rerank(history_of(all_of, end), ranking)
    assert choice.cut is not None and choice.ratio is not None
    held_out = all_of.days > all_of.days.max() - 28
    # In the days that are held out everybody takes other things.
    moved = replace(all_of, items=np.where(held_out, all_of.items[::-1], all_of.items))
    assert choosing.whether_to_rerank(history_of(moved, end), ranking) == choice
    before = replace(all_of, items=np.where(held_out, all_of.items, all_of.items[::-1]))
    assert choosing.whether_to_rerank(history_of(before, end), ranking) != choice


def test_where_re_ranking_is_not_better_or_cannot_be_compared_a_single_candidate_is_chosen() -> (
    None
):
    few = history_of(young_items_sell(users=60), LAST)
    method, choices = choose(few)
    assert isinstance(method.new, EASE) and isinstance(method.again, TifuKnn)
    for choice in choices.values():
        assert not choice.rerank and "users" in choice.why
    one_day = history_before(interactions([("a", "x", FIRST)]), FIRST + timedelta(days=1))
    for choice in choose(one_day)[1].values():
        assert (choice.rerank, choice.why) == (False, "there are too few days")
    # Items as they come: there is nothing to learn beside popularity.
    generator = np.random.default_rng(2)
    drawn = [
        (f"u{user:03d}", f"i{item:02d}", FIRST + timedelta(days=int(day)))
        for user in range(250)
        for day in generator.choice(84, 12)
        for item in generator.choice(20, 2)
    ]
    method, choices = choose(history_of(interactions(drawn), LAST))
    assert isinstance(method.new, EASE) and isinstance(method.again, TifuKnn)
    for choice in choices.values():
        assert not choice.rerank
        assert choice.ratio is not None and choice.ratio.value is not None


@dataclass(frozen=True)
class Misled(EASE):
    """Learns from items that others have taken."""

    def fit(self, history: History) -> ByItems:
        return super().fit(replace(history, items=history.items[::-1]))


def groups_of_items(users: int = 250) -> Interactions:
    """Users of five groups, each of whom takes any of its group's forty items every third day."""
    generator = np.random.default_rng(3)
    return interactions(
        (f"u{user:03d}", f"i{40 * (user % 5) + item:03d}", FIRST + timedelta(days=3 * at))
        for user in range(users)
        for at, item in enumerate(generator.permutation(40)[:28])
    )


@dataclass(frozen=True, kw_only=True)
class OfMany(Reranked):
    """There are never so many users."""

    least_users: int = 1_000


@pytest.mark.parametrize("ranking", [Reranked, OfMany])
def test_a_single_candidate_that_is_better_than_the_first_by_more_than_chance_takes_its_place(
    ranking: type[Reranked], monkeypatch: pytest.MonkeyPatch
) -> None:
    history = history_of(groups_of_items(), LAST)
    monkeypatch.setattr(lists, "Reranked", ranking)
    method, choices = choose(history)
    assert isinstance(method.new, EASE) and choices["new"].instead is None, choices
    monkeypatch.setattr(
        lists, "singles", lambda _: Chosen(again=TifuKnn(), new=Misled(), popular=BASELINE)
    )
    method, choices = choose(history)
    assert isinstance(method.new, ItemItem), choices
    # Nobody takes anything again, and the first candidate stays.
    assert isinstance(method.again, TifuKnn) and choices["again"].instead is None
    why = choices["new"].told()
    assert not choices["new"].rerank and "beside that of EASE that of item-item is" in why, why
    assert ("users to learn from" in why) == (ranking is OfMany)


@dataclass(frozen=True)
class Twin(EASE):
    """Scores as its elder does."""

    name: str = "twin"


@dataclass(frozen=True, kw_only=True)
class OfTwins(OfMany):
    @property
    def alone(self) -> tuple[Candidate, ...]:
        return EASE(), Twin()


def test_of_single_candidates_that_only_adding_tells_apart_the_first_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def added_otherwise(values: Floats) -> Means:
        found = means(values)
        return replace(found, observed=found.observed * [1, 1 + 1e-15])

    monkeypatch.setattr(choosing, "means", added_otherwise)
    choice = choosing.whether_to_rerank(history_of(groups_of_items(), LAST), OfTwins())
    assert (choice.single, choice.instead, choice.users) == ("EASE", None, 250)


def test_with_too_few_users_to_learn_from_it_is_its_first_candidate() -> None:
    history = learned()
    split = QUICK._window(history)
    assert split is not None
    assert isinstance(QUICK.fit(history), ByRanker)
    alone = replace(QUICK, least_users=len(split.users) + 1).fit(history)
    assert isinstance(alone, ByItems)
    users = np.arange(5, dtype=np.int32)
    assert np.array_equal(alone(users), EASE().fit(history)(users))
    habits = replace(AGAIN, least_users=len(split.users) + 1).fit(history)
    assert isinstance(AGAIN.fit(history), ByRanker) and isinstance(habits, Habits)
    assert np.array_equal(habits(users), TifuKnn().fit(history)(users))


def test_a_slot_is_scored_by_its_own_ranker_and_what_was_had_is_before_the_rest() -> None:
    history = learned()
    users = np.arange(40, dtype=np.int32)
    had = history.seen()[users].toarray() > 0
    small = {"trees": 5, "factors": ALS(factors=4, iterations=1)}
    slots = replace(AGAIN, **small), replace(QUICK, **small)
    again, new = (dense(each.fit(history)(users)) for each in slots)
    assert np.isfinite(again[had]).sum() > 500 and not np.isfinite(again[~had]).any()
    assert np.isfinite(new[~had]).sum() > 500 and not np.isfinite(new[had]).any()
    both = RerankedSlots(*slots).fit(history)(users)
    for user in range(len(users)):
        best = [np.argsort(-each[user], kind="stable") for each in (again, new, both)]
        count = int(np.isfinite(again[user]).sum())
        assert best[2][:count].tolist() == best[0][:count].tolist()
        rest = int(np.isfinite(new[user]).sum())
        assert best[2][count : count + rest].tolist() == best[1][:rest].tolist()


def test_it_learns_from_an_earlier_window_by_what_was_known_before_it() -> None:
    history = learned()
    split = QUICK._window(history)
    assert split is not None
    assert split.history.days.max() < split.history.as_of <= history.as_of - 28
    again = split_at(history.interactions(), FIRST + timedelta(days=56))
    assert (split.history.as_of, split.after) == (again.history.as_of, again.after)


def test_the_features_of_a_pair_are_what_they_are_called() -> None:
    rows = [
        *[("a", "x", 0), ("a", "y", 0), ("a", "y", 3), ("b", "x", 1), ("b", "z", 6), ("c", "x", 6)],
        *[("c", "y", 6), ("d", "z", 2)],
    ]
    known = [(user, item, FIRST + timedelta(days=day)) for user, item, day in rows]
    history = history_before(interactions(known), FIRST + timedelta(days=8))
    quick = replace(QUICK, similar=ItemItem(), strong=ItemItem(), of_each=2)
    offers = quick._offers(history)
    # Two candidates are the same one, and there once.
    assert len(offers.scorers) == 3
    users = np.flatnonzero(history.user_ids == "b").astype(np.int32)
    row, item, features = offers(users)
    assert [history.item_ids[it] for it in item] == ["y"] and row.tolist() == [0]
    of_pair = dict(zip(OF_THE_PAIR, features[0][3 * len(OF_A_CANDIDATE) :], strict=True))
    recent = {"x": [8, 7, 2], "y": [8, 5, 2], "z": [2, 6]}
    worth = {name: sum(0.5 ** (age / 14) for age in ages) for name, ages in recent.items()}
    assert of_pair == pytest.approx(
        {
            "item_recent_popularity": worth["y"] / max(worth.values()),
            "item_users": 2 / 4,
            "item_age": 8,
            "user_items": 2,
            "user_days": 2,
            "user_since": 2,
        }
    )
    # It is the best that b never had, by item-item and by popularity.
    assert features[0][[0, 1, 4, 5]].tolist() == [1, 0, 1, 0]
    # Of what a had: x on one day, y on two; by own frequency y is the first.
    offers = replace(AGAIN, of_each=2)._offers(history)
    _, item, features = offers(np.flatnonzero(history.user_ids == "a").astype(np.int32))
    assert [history.item_ids[it] for it in item] == ["x", "y"]
    of_pairs = features[:, 4 * len(OF_A_CANDIDATE) + len(OF_THE_PAIR) :]
    assert of_pairs.shape[1] == len(OF_WHAT_WAS_HAD)
    assert of_pairs.tolist() == [[1, 8, 8], [2, 5, 8]]
    assert features[:, 3].tolist() == [1, 0]


@pytest.mark.parametrize("years", [5, 15])
def test_what_is_known_of_a_pair_is_there_years_after_everything_was_bought(years: int) -> None:
    of = young_items_sell(days=28, users=60, items=30)
    soon, late = (
        history_before(of, FIRST + timedelta(days=28 + days)) for days in (0, 365 * years)
    )
    quick = replace(QUICK, factors=ALS(factors=2, iterations=1), of_each=5)
    at_once, then = quick._offers(soon), quick._offers(late)
    assert np.array_equal(at_once.of_items[:, 0], then.of_items[:, 0])
    assert len(set(then.of_items[:, 0])) > 20
    users = np.arange(len(late.user_ids), dtype=np.int32)
    row, _, features = then(users)
    ease_scores, ease_places = features[:, 0], features[:, 1]
    for user in users:
        offered = ease_places[row == user] < 5
        assert offered.sum() == 5 and ease_scores[row == user].max() == 1
        assert (ease_scores[row == user][offered] > 0).all()


def test_items_that_are_equally_popular_are_so_whoever_of_their_users_came_first() -> None:
    generator = np.random.default_rng(0)
    rows = [
        (f"{case}-{user}", f"{case}-{item}", FIRST + timedelta(days=int(day)))
        for case in range(30)
        for days in [generator.integers(0, 200, 6)]
        for item in "ab"
        for user, day in enumerate(generator.permutation(days))
    ]
    history = history_before(interactions(rows), FIRST + timedelta(days=200)).capped(1000)
    of_items = dict(zip(history.item_ids, QUICK._offers(history).of_items[:, 0], strict=True))
    assert len(of_items) == 60
    assert all(of_items[f"{case}-a"] == of_items[f"{case}-b"] for case in range(30))


def test_a_reason_of_what_is_re_ranked_adds_to_the_first_candidates_score_and_the_rest_is_popular() -> (
    None
):
    history = learned()
    method = Chosen(OwnFrequency(), QUICK, BASELINE)
    models = fitted(method, history)
    assert isinstance(models.new, ByRanker)
    first = models.new.offers.scorers[0]
    adds, taken = first.weights, first.taken.toarray()
    user_at = {name: place for place, name in enumerate(history.user_ids)}
    item_at = {name: place for place, name in enumerate(history.item_ids)}
    rows = [row for batch in rows_of(models, history) for row in batch.to_pylist()]
    counted = {"goes_with": 0, "popular": 0}
    for row in rows:
        if row["slot"] == "new" and row["user_id"]:
            user, item = user_at[row["user_id"]], item_at[row["item"]]
            assert not taken[user, item]
            contributions = taken[user] * adds[:, item]
            counted[row["reason"]] += 1
            if row["reason"] == "goes_with":
                assert contributions[item_at[row["reason_item"]]] == contributions.max() > 0
            else:
                assert row["reason_item"] is None
    assert counted["goes_with"] > 1000 and counted["popular"] > 100


def test_no_reason_is_given_where_nothing_adds_to_the_score() -> None:
    taken = history_before(
        interactions([("a", "x", FIRST), ("b", "y", FIRST)]), FIRST + timedelta(days=1)
    ).matrix()
    users, lists = np.arange(2, dtype=np.int32), np.array([[1], [0]], dtype=np.int32)
    weights = np.array([[0.0, -1.0], [0.0, 0.0]])
    assert ByItems(taken, weights, 2).strongest(users, lists).tolist() == [[-1], [-1]]
