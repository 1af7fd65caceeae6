"""What a user had fades with the years; a list that is wrong is named then as on the day itself."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from feira.recommendations.candidates import BASELINE
from feira.recommendations.candidates.counts import OwnFrequency
from feira.recommendations.candidates.item_item import EASE
from feira.recommendations.interactions import interactions
from feira.recommendations.lists import Chosen, fitted, history_of, rows_of
from oracle_lists import Interactions, Known, ease
from recommendation_checks import Scored, _scores_differ

BOUGHT = dt.date(2010, 12, 9)
DAYS = [BOUGHT, BOUGHT.replace(year=2012), BOUGHT.replace(year=2026)]
METHOD = Chosen(OwnFrequency(), EASE(), BASELINE)
CATEGORIES = ("MUG", "BAG")


@cache
def found() -> Interactions:
    draw = np.random.default_rng(3)
    return {
        (f"u{user:02d}", f"i{(user % 5 * 9 + int(draw.integers(16))) % 60:02d}",
         BOUGHT - dt.timedelta(days=int(draw.integers(300))))
        for user in range(60)
        for _ in range(int(draw.integers(3, 12)))
    }  # fmt: skip


def category_of(known: Known) -> dict[str, str | None]:
    return {item: CATEGORIES[at % 2] for at, item in enumerate(known.items)}


@cache
def made(day: dt.date) -> Scored:
    """The platform's lists as of the day, and of each category."""
    history = history_of(interactions(sorted(found())), day)
    lists: Scored = defaultdict(list)
    for batch in rows_of(fitted(METHOD, history), history):
        for row in batch.to_pylist():
            offer = row["item"], row["reason"], row["reason_item"]
            lists[row["slot"], row["user_id"]].append((offer, row["score"]))
    everybody, known = lists["new", ""], Known(found(), day)
    for name in CATEGORIES:
        of_category = [it for it in everybody if category_of(known)[it[0][0]] == name]
        lists["segment", name] = of_category
    return dict(lists)


def differ(lists: Scored, day: dt.date) -> list[str]:
    known = Known(found(), day)
    return _scores_differ(known, METHOD.described(), {}, lists, category_of(known))


def of_ease(pairs: list[Any]) -> list[Any]:
    return [pair for pair in pairs if pair[0][2] is not None]


def by_popularity(pairs: list[Any]) -> list[Any]:
    return [pair for pair in pairs if pair[0][2] is None]


def with_scores(pairs: list[Any], scores: list[float]) -> list[Any]:
    return [(offer, score) for (offer, _), score in zip(pairs, scores, strict=True)]


def none_of_ease(pairs: list[Any], _: Known) -> list[Any]:
    return by_popularity(pairs)


def the_worst_with_invented_scores(pairs: list[Any], _: Known) -> list[Any]:
    own = of_ease(pairs)
    return with_scores(own[::-1], [score for _, score in own]) + by_popularity(pairs)


def a_score_of_a_thousandth_more(pairs: list[Any], _: Known) -> list[Any]:
    (offer, score), *rest = pairs
    return [(offer, score * 1.001), *rest]


def no_scores(pairs: list[Any], _: Known) -> list[Any]:
    return with_scores(pairs, [0.0] * len(pairs))


def popularity_ascending(pairs: list[Any], _: Known) -> list[Any]:
    return of_ease(pairs) + by_popularity(pairs)[::-1]


def the_best_left_out(pairs: list[Any], _: Known) -> list[Any]:
    return pairs[1:]


def the_worst_reason(pairs: list[Any], known: Known) -> list[Any]:
    """Of the first item: what adds least to its score."""
    (item, why, _), score = pairs[0]
    _, taken, weights = ease(known, METHOD.described()["new"])
    adds = taken[known.user_at["u00"]] * weights[:, known.item_at[item]]
    least = min(known.had("u00"), key=lambda it: float(adds[it]))
    return [((item, why, known.items[least]), score), *pairs[1:]]


Fault = Callable[[list[Any], Known], list[Any]]
FAULTS: list[tuple[Fault, str, str]] = [
    (none_of_ease, "u00", "is left out"),
    (the_worst_with_invented_scores, "u00", "must be"),
    (a_score_of_a_thousandth_more, "u00", "must be"),
    (no_scores, "u00", "must be"),
    (popularity_ascending, "u00", "its popularity does not descend"),
    (the_best_left_out, "u00", "is left out"),
    (the_worst_reason, "u00", "its reason adds"),
    (no_scores, "", "must be"),
    (a_score_of_a_thousandth_more, "", "must be"),
]


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_the_platforms_lists_are_as_they_must_be_however_old_what_was_bought_is(
    day: dt.date,
) -> None:
    lists = made(day)
    pairs = lists["new", "u00"]
    assert min(len(of_ease(pairs)), len(by_popularity(pairs))) > 5
    assert differ(lists, day) == []


@pytest.mark.parametrize("day", DAYS, ids=str)
@pytest.mark.parametrize(("fault", "user", "words"), FAULTS)
def test_a_wrong_list_is_named_however_old_what_was_bought_is(
    day: dt.date, fault: Fault, user: str, words: str
) -> None:
    lists = made(day)
    wrong = fault(lists["new", user], Known(found(), day))
    named = differ({**lists, ("new", user): wrong}, day)
    what = f"new of {user}: " if user else "new '': "
    assert [each for each in named if each.startswith(what) and words in each], named


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_a_category_whose_scores_are_gone_is_named_too(day: dt.date) -> None:
    lists = made(day)
    gone = no_scores(lists["segment", "MUG"], Known(found(), day))
    named = differ({**lists, ("segment", "MUG"): gone}, day)
    assert [each for each in named if each.startswith("segment 'MUG': ")]
