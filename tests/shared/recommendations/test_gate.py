"""The gate: which methods pass, against plain loops and scikit-learn, and what it can never have seen."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from feira.recommendations import choice, gate
from feira.recommendations.bootstrap import Figure
from feira.recommendations.candidates import BASELINE
from feira.recommendations.candidates.als import ALS
from feira.recommendations.candidates.counts import OfPairs, OwnFrequency
from feira.recommendations.candidates.interface import Scorer
from feira.recommendations.candidates.item_item import EASE, ByItems, ItemItem
from feira.recommendations.candidates.reranked import Reranked, RerankedAgain
from feira.recommendations.candidates.tifu_knn import TifuKnn
from feira.recommendations.evaluation import lists_by_slot
from feira.recommendations.first_ten import beside, first_ten
from feira.recommendations.gate import (
    NOT_ENOUGH,
    PASSED,
    REFUSED,
    USERS,
    Judgement,
    Live,
    Stored,
    judge,
    rules_table,
)
from feira.recommendations.history import History, history_before, split_at
from feira.recommendations.interactions import interactions
from feira.recommendations.lists import ROWS, Chosen, chosen, fitted, history_of, rows_of

DAY = date(2011, 1, 31)
CUT = date(2011, 1, 11)
METHOD = Chosen(TifuKnn(), EASE(), BASELINE)
SIMPLE = Chosen(OwnFrequency(), ItemItem(), BASELINE)
Row = tuple[str, str, date]


@dataclass(frozen=True)
class Rarest(OwnFrequency):
    """What the user had least often, first."""

    name: str = "rarest"

    def fit(self, history: History) -> OfPairs:
        found = history.matrix()
        found.data[:] = 1 / found.data
        return OfPairs(found)


@dataclass(frozen=True)
class Unlike(EASE):
    """What goes least with what the user had, first."""

    name: str = "unlike"

    def fit(self, history: History) -> ByItems:
        likes = EASE().fit(history)
        weights = np.asarray(likes.weights).max() - likes.weights
        return ByItems(likes.taken, weights, likes.items)


def shop(users: int = 128, days: int = 42, seed: int = 1) -> list[Row]:
    """Users of eight tastes with 16 items each: of four favourites some each week, and sometimes another
    one of the taste."""
    draw = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        taste = 16 * (user % 8)
        favourites = taste + draw.choice(16, 4, replace=False)
        for day in range(int(draw.integers(7)), days, 7):
            taken = [*draw.choice(favourites, 2, replace=False), taste + draw.integers(16)]
            taken += [taste + draw.integers(16)] * int(draw.integers(2))
            rows += [(f"u{user}", f"i{item:03d}", DAY - timedelta(days=day)) for item in taken]
    return rows


SHOP = shop()


@cache
def of_shop(method: Chosen, live: Chosen | None) -> Judgement:
    return judged(method, live)


def judged(
    method: Chosen = METHOD, live: Chosen | None = None, rows: Sequence[Row] = SHOP
) -> Judgement:
    served = None if live is None else Live("2011-01-30-001", live)
    return judge(interactions(rows), DAY, method, served)


@cache
def lists_of(method: Chosen, day: date) -> tuple[pa.RecordBatch, ...]:
    """Those of the shop that were made when the day had ended."""
    history = history_of(interactions(SHOP), day)
    return tuple(rows_of(fitted(method, history), history))


def stored(users: int | None = 128, method: Chosen = METHOD, day: date = DAY) -> Stored:
    return Stored(users, lambda: lists_of(method, day))


def of_lists(found: Judgement) -> dict[tuple[str, str], gate.GateFigure]:
    return {(it.figure, it.slot): it for it in found.figures if it.figure in gate.OF_LISTS}


def verdicts(found: Judgement) -> dict[tuple[str, str], str]:
    return {(each.figure, each.slot): each.verdict for each in found.figures}


@pytest.fixture(scope="module")
def good() -> Judgement:
    return of_shop(METHOD, METHOD)


def test_a_good_method_passes_and_every_rule_has_its_figures(good: Judgement) -> None:
    assert (good.verdict, good.cut, good.days) == (PASSED, CUT, 21)
    must = {(rule.figure, slot) for rule in gate.RULES for slot in rule.slots}
    of_reranked = {("ndcg_to_best_single", "new"), ("ndcg_to_other_single", "again")}
    # Of a version that is judged, and not of its method.
    of_lists = {(figure, slot) for figure, slot in must if figure in gate.OF_LISTS}
    assert set(verdicts(good)) == must - of_reranked - of_lists
    assert set(verdicts(good).values()) == {PASSED}
    for each in good.figures:
        assert each.value is not None and each.users > 100
        if each.figure != "coverage":
            assert each.low is not None and each.high is not None
            assert each.low <= each.value <= each.high


def test_a_method_beside_itself_is_exactly_1(good: Judgement) -> None:
    beside = [each for each in good.figures if each.figure.endswith("_to_live")]
    assert len(beside) == 3
    assert {(each.value, each.low, each.high) for each in beside} == {(1.0, 1.0, 1.0)}


@pytest.mark.parametrize(
    ("users", "served", "must"),
    [
        (128, 128, PASSED),
        (950, 1000, PASSED),
        (949, 1000, REFUSED),
        (50, 100, REFUSED),
        (49, 99, NOT_ENOUGH),
        (128, 0, NOT_ENOUGH),
        (128, None, NOT_ENOUGH),
    ],
)
def test_the_same_method_is_refused_where_it_has_lists_of_fewer_users(
    good: Judgement, users: int, served: int | None, must: str
) -> None:
    live = Live("2011-01-31-001", METHOD, stored(served))
    found = judge(interactions(SHOP), DAY, METHOD, live, lists=stored(users))
    beside = of_lists(found)
    assert {key: it for key, it in verdicts(found).items() if key not in beside} == verdicts(good)
    figure = beside.pop((USERS, "all"))
    assert (figure.verdict, found.verdict) == (must, must)
    assert figure.value == (users / served if served else None)
    assert (figure.users, figure.low, figure.high) == (served or 0, None, None)
    # The lists are the same.
    assert len(beside) == 4
    assert {(it.value, it.low, it.high, it.verdict) for it in beside.values()} == {
        (1.0, 1.0, 1.0, PASSED)
    }


def test_an_older_day_than_what_is_served_may_have_lists_of_fewer_users(good: Judgement) -> None:
    for version in ("2011-02-01-001", "2012-01-01-001"):
        live = Live(version, METHOD, stored(1000))
        found = judge(interactions(SHOP), DAY, METHOD, live, lists=stored(10))
        assert {name for name, _ in of_lists(found)} == gate.OF_LISTS - {USERS}
        assert found.verdict == PASSED


def test_with_nothing_served_nothing_is_held_against_it(good: Judgement) -> None:
    found = judged()
    of_others = [each for each in good.figures if not each.figure.endswith("_to_live")]
    assert (found.verdict, list(found.figures)) == (PASSED, of_others)


@pytest.mark.parametrize(
    ("method", "figure"),
    [
        (replace(METHOD, again=Rarest()), ("ndcg_to_own_frequency", "again")),
        (replace(METHOD, again=Rarest()), ("ndcg_to_live", "again")),
        (replace(METHOD, new=Unlike()), ("ndcg_to_popular", "new")),
        (replace(METHOD, new=Unlike()), ("ndcg_to_other_single", "new")),
        (replace(METHOD, new=Unlike()), ("ndcg_to_live", "new")),
    ],
)
def test_a_method_that_is_made_worse_is_refused(method: Chosen, figure: tuple[str, str]) -> None:
    found = of_shop(method, METHOD)
    assert found.verdict == REFUSED and verdicts(found)[figure] == REFUSED
    (worst,) = [each for each in found.figures if (each.figure, each.slot) == figure]
    words = worst.in_words()
    for part in (figure[0], figure[1], f"{worst.value:.3f}", f"{worst.users:,} users", "limit"):
        assert part in words


def test_what_is_popular_alone_covers_too_little() -> None:
    # 128 users with one taste for everything: ten places each, and all the same.
    found = judged(replace(METHOD, new=replace(EASE(), most_items=1)))
    assert verdicts(found)["coverage", "new"] == REFUSED and found.verdict == REFUSED


@dataclass(frozen=True)
class Ordered(Reranked):
    """What a re-ranking has come to, without its training."""

    by: tuple[EASE, ...] = ()

    def fit(self, history: History) -> ByItems:
        return self.by[0].fit(history)


def test_a_method_that_re_ranks_is_held_against_the_best_of_what_it_re_ranks() -> None:
    # One that has learned nothing offers what its first candidate does, and that says nothing of it.
    for by, verdict in ((Unlike(), REFUSED), (EASE(), NOT_ENOUGH)):
        found = judged(replace(METHOD, new=Ordered(by=(by,))))
        figure = next(it for it in found.figures if it.figure == "ndcg_to_best_single")
        assert (figure.slot, figure.limit, figure.verdict) == ("new", 1.1, verdict)
        assert figure.value is not None and figure.value <= 1 + 1e-9
        assert ("ndcg_to_other_single", "new") not in verdicts(found)
    history = history_before(interactions(SHOP), CUT)
    method = replace(METHOD, new=Reranked(strong=EASE(half_life=1)))
    of_it = [EASE(half_life=1), ALS(), BASELINE]
    assert gate._singles(method, history) == [ItemItem(), EASE(), *of_it]
    assert gate._singles(METHOD, history) == [ItemItem(), EASE()]


def test_beside_the_best_single_candidate_is_the_ratio_of_what_scikit_learn_finds_of_both() -> None:
    history = history_before(interactions(SHOP), CUT)
    had, future = defaultdict(set), defaultdict(set)
    for user, item, day in SHOP:
        (had if day < CUT else future)[user].add(item)
    right = {user: future[user] - had[user] for user in history.user_ids}
    asked = [place for place, user in enumerate(history.user_ids) if right[user]]
    truth = [[it in right[history.user_ids[at]] for it in history.item_ids] for at in asked]

    def ndcg(lists: Any) -> float:
        # What is not listed comes after what is.
        score = np.full((len(asked), len(history.item_ids)), -100.0)
        for row, items in enumerate(lists[asked]):
            score[row, items[items >= 0]] = -np.flatnonzero(items >= 0)
        return float(ndcg_score(truth, score, k=10))

    split = split_at(interactions(SHOP), CUT)
    everybody = np.arange(len(history.user_ids), dtype=np.int32)
    alone = {
        single.name: ndcg(first_ten(replace(METHOD, new=single), history)["new"])
        for single in (EASE(), ItemItem())
    } | {
        single.name: ndcg(lists_by_slot(single.fit(history), split, everybody)["new"])
        for single in (ALS(), BASELINE)
    }
    method = replace(METHOD, new=Ordered(by=(Unlike(),)))
    figure = next(it for it in judged(method).figures if it.figure == "ndcg_to_best_single")
    assert len({*alone.values()}) == 4
    assert figure.value == pytest.approx(
        ndcg(first_ten(replace(METHOD, new=Unlike()), history)["new"]) / max(alone.values())
    )


@dataclass(frozen=True)
class OrderedAgain(RerankedAgain):
    """What a re-ranking of what was had has come to, without its training."""

    by: tuple[OwnFrequency | TifuKnn, ...] = ()

    def fit(self, history: History) -> Scorer:
        return self.by[0].fit(history)


def test_what_re_ranks_what_was_had_is_refused_where_a_single_candidate_is_better() -> None:
    for by, verdict in ((Rarest(), REFUSED), (TifuKnn(), PASSED)):
        found = judged(replace(METHOD, again=OrderedAgain(by=(by,))))
        (figure,) = [it for it in found.figures if it.figure == "ndcg_to_other_single"][1:]
        assert (figure.slot, figure.limit, figure.must) == ("again", 1.0, "high")
        assert (figure.verdict, figure.value is not None) == (verdict, True)
        assert verdicts(found)["ndcg_to_other_single", "new"] == PASSED


def test_with_fewer_places_than_items_coverage_cannot_be_told() -> None:
    # Each user has 11 items that nobody else has: ten places are for ten of them.
    rows = [
        (f"u{user}", f"i{user}-{item}", DAY - timedelta(days=day))
        for user in range(104)
        for item in range(11)
        for day in (0, 30)
    ]
    found = judged(rows=rows, method=SIMPLE)
    (again,) = [it for it in found.figures if (it.figure, it.slot) == ("coverage", "again")]
    (new,) = [it for it in found.figures if (it.figure, it.slot) == ("coverage", "new")]
    assert again.value == 10 / 11 and new.value is not None and new.value < 0.2
    assert again.verdict == new.verdict == NOT_ENOUGH


def test_of_too_few_users_there_is_not_enough_to_tell_however_bad_or_good() -> None:
    few = shop(users=90)
    for method in (METHOD, replace(METHOD, again=Rarest(), new=Unlike())):
        found = judged(method, live=METHOD, rows=few)
        assert found.verdict == NOT_ENOUGH and set(verdicts(found).values()) == {NOT_ENOUGH}


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [("u", "i", DAY)],
        [("u", "i", DAY - timedelta(days=9)), ("v", "i", DAY)],
        [("u", "i", DAY + timedelta(days=9))],
    ],
    ids=["none", "one day", "nobody on both sides", "later days alone"],
)
def test_without_a_past_and_a_future_there_is_not_enough_to_tell(rows: list[Row]) -> None:
    found = judged(live=METHOD, rows=rows)
    assert found.verdict == NOT_ENOUGH and {each.users for each in found.figures} == {0}
    assert {each.value for each in found.figures} == {None} and "unknown" in found.figures[
        0
    ].in_words()


def test_beside_a_served_method_that_is_not_known_here_there_is_not_enough_to_tell(
    good: Judgement,
) -> None:
    found = judge(interactions(SHOP), DAY, METHOD, Live("2011-01-30-001", None))
    beside = {each.verdict for each in found.figures if each.figure.endswith("_to_live")}
    assert (found.verdict, beside) == (NOT_ENOUGH, {NOT_ENOUGH})
    assert len(found.figures) == len(good.figures)


def test_what_comes_after_the_day_changes_nothing(good: Judgement) -> None:
    planted = [(f"u{n}", f"i{n % 200:03d}", DAY + timedelta(days=1 + n % 3)) for n in range(400)]
    assert judged(live=METHOD, rows=[*SHOP, *planted]) == good


@pytest.mark.parametrize("last", [date.max, date.min + timedelta(days=41)])
def test_a_method_is_judged_and_chosen_on_the_last_and_the_first_days_that_dates_have_as_on_others(
    last: date,
) -> None:
    moved = interactions([(user, item, last - (DAY - day)) for user, item, day in SHOP])
    found, must = judge(moved, last, METHOD), of_shop(METHOD, None)
    assert (found.figures, found.days) == (must.figures, must.days)
    assert found.cut == last - timedelta(days=found.days - 1)
    assert chosen(history_of(moved, last)) == chosen(history_of(interactions(SHOP), DAY))
    one_day = interactions([(f"u{n}", "i", last) for n in range(3)])
    assert history_of(one_day, last).items.tolist() == [0, 0, 0]


def test_the_method_learns_nothing_from_the_days_that_are_held_out() -> None:
    # The lists of the judgement are those of what was known when the cut began.
    before = [row for row in SHOP if row[2] < CUT]
    other = [(user, "i000", DAY) for user, *_ in SHOP]
    seen = []

    @dataclass(frozen=True)
    class Watched(OwnFrequency):
        def fit(self, history: History) -> Any:
            seen.append(history)
            return OwnFrequency.fit(self, history)

    judge(interactions([*before, *other]), DAY, replace(SIMPLE, again=Watched()))
    assert seen and {history.as_of for history in seen} == {(CUT - date(1970, 1, 1)).days}
    assert all((history.days < history.as_of).all() for history in seen)


def test_the_days_that_are_held_out_are_half_of_those_that_there_are_and_28_at_most() -> None:
    for first, days in [(0, 1), (1, 1), (2, 1), (3, 2), (40, 20), (55, 28), (400, 28)]:
        rows = [("u", "i", DAY - timedelta(days=first)), ("u", "i", DAY)]
        found = judged(rows=rows)
        assert (found.days, found.cut) == (days, DAY - timedelta(days=days - 1))


def test_a_verdict_is_computed_again_with_the_days_that_it_held_out() -> None:
    found = judge(interactions(SHOP), DAY, METHOD, days=14)
    assert (found.days, found.cut) == (14, DAY - timedelta(days=13))
    assert judge(interactions(SHOP), DAY, METHOD).days != 14


STRAYS = {
    "one of 1900": [date(1900, 1, 1)],
    "one of seven weeks ago": [DAY - timedelta(days=49)],
    "one a week for a year": [DAY - timedelta(days=49 + 7 * week) for week in range(52)],
}


@pytest.mark.parametrize("stray", STRAYS.values(), ids=STRAYS)
def test_lines_of_orders_of_long_ago_leave_a_young_shop_days_to_learn_from(
    stray: list[date],
) -> None:
    """They made 28 days held out of a shop of four weeks, nothing to learn from, and a verdict that is no refusal."""
    rows = shop(days=28)
    planted = [*rows, *(("u1", "i001", day) for day in stray)]
    refused = judged(replace(METHOD, new=Unlike()), rows=rows)
    assert (refused.verdict, refused.days) == (REFUSED, 14)
    found = judged(replace(METHOD, new=Unlike()), rows=planted)
    assert found.verdict == REFUSED and 14 <= found.days <= 15
    assert judged(rows=planted).verdict == judged(rows=rows).verdict


def test_days_without_interactions_are_held_out_as_they_come() -> None:
    # Closed on two days of seven, and for a fortnight.
    open_on = [n for n in range(60) if n % 7 < 5 and not 20 <= n < 34]
    rows = [(f"u{k}", "i", DAY - timedelta(days=n)) for n in open_on for k in range(9)]
    assert judged(rows=rows).days == 28
    # Half of the interactions are of the last three days: those are held out.
    rows += [(f"u{k}", f"i{k}", DAY - timedelta(days=n)) for n in range(3) for k in range(100)]
    assert judged(rows=rows).days == 3


def test_whether_to_rerank_is_not_decided_by_the_days_that_are_held_out_beside_a_stray_line() -> (
    None
):
    def chosen_by(rows: Sequence[Row]) -> date | None:
        history = history_of(interactions(rows), DAY)
        return choice.whether_to_rerank(history, Reranked()).cut

    rows = shop(days=28)
    known = chosen_by(rows)
    assert known is not None
    for stray in STRAYS["one of 1900"] + STRAYS["one of seven weeks ago"]:
        cut = chosen_by([*rows, ("u1", "i001", stray)])
        assert cut is not None and abs((cut - known).days) <= 1


def test_what_is_judged_is_what_would_be_published() -> None:
    history = history_before(interactions(SHOP), CUT)
    published: dict[tuple[str, str], list[str]] = defaultdict(list)
    for batch in rows_of(fitted(METHOD, history), history):
        for row in batch.to_pylist():
            published[row["slot"], row["user_id"]].append(row["item"])
    found = first_ten(METHOD, history)
    for place, user in enumerate(history.user_ids):
        again, new = published["again", user], published["new", user]
        for slot, items in (("again", again), ("new", new), ("all", again[:10] + new)):
            held = [history.item_ids[it] for it in found[slot][place] if it >= 0]
            assert held == items[:10]


def test_figures_are_those_of_plain_loops_and_scikit_learn(good: Judgement) -> None:
    had, future = defaultdict(set), defaultdict(set)
    score: dict[str, float] = defaultdict(float)
    for user, item, day in set(SHOP):
        (had if day < CUT else future)[user].add(item)
        if day < CUT:
            score[item] += 0.5 ** ((CUT - day).days / 14)
    users_of = {item: sum(item in of for of in had.values()) for item in score}
    popular = sorted(score, key=lambda item: (-score[item], -users_of[item], item))
    history = history_before(interactions(SHOP), CUT)
    published = first_ten(METHOD, history)
    ours, theirs, truth = defaultdict(list), defaultdict(list), defaultdict(list)
    everything = sorted(score)
    for place, user in enumerate(history.user_ids):
        for slot in ("again", "new", "all"):
            right = {
                "again": future[user] & had[user],
                "new": future[user] - had[user],
                "all": future[user],
            }[slot]
            if not right:
                continue
            mine = [history.item_ids[it] for it in published[slot][place] if it >= 0]
            offered = [it for it in popular if slot != "new" or it not in had[user]][:10]
            for of, items in ((ours, mine), (theirs, offered)):
                # Everything that is not listed comes after what is.
                of[slot].append([-items.index(it) if it in items else -100 for it in everything])
            truth[slot].append([it in right for it in everything])
            assert right <= score.keys()
    found = {(each.figure, each.slot): each for each in good.figures}
    for slot in ("again", "new", "all"):
        figure = found["ndcg_to_popular", slot]
        assert figure.users == len(ours[slot])
        mine, popular_ones = (ndcg_score(truth[slot], of[slot], k=10) for of in (ours, theirs))
        assert figure.value == pytest.approx(mine / popular_ones)
    covered = {it for row in published["new"] for it in row if it >= 0}
    assert found["coverage", "new"].value == len(covered) / len(everything)


def test_novelty_and_diversity_are_of_the_lists_of_both_versions() -> None:
    """Two versions of one method, of which the other was made a month before: that of what is known by now."""
    served = DAY - timedelta(days=28)
    live = Live(f"{served}-001", METHOD, stored(128, SIMPLE, served))
    found = of_lists(judge(interactions(SHOP), DAY, SIMPLE, live, lists=stored(128, METHOD)))
    had: dict[str, set[str]] = defaultdict(set)
    for user, item, _ in SHOP:
        had[user].add(item)
    who = {item: {user for user in had if item in had[user]} for _, item, _ in SHOP}

    def novelty(listed: list[str]) -> float:
        return fmean(-math.log2(len(who[it]) / len(had)) for it in listed)

    def unlike(one: str, other: str) -> float:
        shared = len(who[one] & who[other])
        return 1 - shared / math.sqrt(len(who[one]) * len(who[other]))

    def diversity(listed: list[str]) -> float:
        return fmean(unlike(*pair) for pair in combinations(listed, 2))

    for slot in ("again", "new"):
        both = []
        for batches in (lists_of(METHOD, DAY), lists_of(SIMPLE, served)):
            lists: dict[str, list[str]] = defaultdict(list)
            for row in pa.Table.from_batches(batches).to_pylist():
                if row["slot"] == slot and row["user_id"] and row["position"] <= 10:
                    lists[row["user_id"]].append(row["item"])
            both.append(lists)
        for name, of, least in (("novelty", novelty, 1), ("diversity", diversity, 2)):
            users = [it for it in both[1] if min(len(lists[it]) for lists in both) >= least]
            mine, theirs = (fmean(of(lists[it]) for it in users) for lists in both)
            figure = found[f"{name}_to_live", slot]
            assert figure.users == len(users) > 100 and mine != theirs
            assert figure.value == pytest.approx(mine / theirs)
            assert figure.low is not None and figure.high is not None
            assert figure.low < figure.value < figure.high


def rows(lists: dict[str, list[str]], slot: str = "new") -> list[pa.RecordBatch]:
    listed = [
        {"slot": slot, "user_id": user, "position": place + 1, "item": item}
        for user, items in lists.items()
        for place, item in enumerate(items)
    ]
    return pa.Table.from_pylist(listed, ROWS).to_batches()


def test_the_same_method_is_refused_once_its_lists_are_the_same_for_everybody() -> None:
    had = Counter(item for _, item in {(user, item) for user, item, _ in SHOP})
    popular = [item for item, _ in had.most_common(10)]
    narrow = Stored(128, lambda: rows({f"u{user}": popular for user in range(128)}))
    live = Live("2011-01-30-001", METHOD, stored())
    found = judge(interactions(SHOP), DAY, METHOD, live, lists=narrow)
    novelty, again = (of_lists(found)["novelty_to_live", slot] for slot in ("new", "again"))
    assert (found.verdict, novelty.verdict) == (REFUSED, REFUSED)
    assert novelty.value is not None and novelty.value < 0.95
    # Of a slot in which one of them has no list there is nothing to compare.
    assert (again.users, again.value, again.verdict) == (0, None, NOT_ENOUGH)


def test_what_is_not_known_on_the_day_is_in_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version of a newer day is served, and has products and customers that nobody knew."""
    monkeypatch.setattr(gate, "LEAST_USERS", 1)
    bought = [("u", "A", DAY), ("u", "B", DAY), ("v", "A", DAY), ("w", "C", DAY)]
    mine = rows({"u": ["C"], "v": ["B", "C"], "w": ["A", "B"]})
    live = rows(
        {
            "x": ["A", "B"],
            "u": ["later", "C"],
            "v": ["C", *["later"] * 9, "B"],
            "w": ["A", "later", "C"],
        }
    )
    served = Live("2011-02-01-001", METHOD, Stored(4, lambda: live))
    found = of_lists(
        judge(interactions(bought), DAY, METHOD, served, lists=Stored(3, lambda: mine))
    )
    a, b = (-math.log2(count / 3) for count in (2, 1))
    novelty, diversity = (found[f"{it}_to_live", "new"] for it in ("novelty", "diversity"))
    # Of v the eleventh place is not looked at.
    assert novelty.users == 3
    assert novelty.value == pytest.approx((b + b + (a + b) / 2) / (b + b + (a + b) / 2))
    assert diversity.users == 1
    assert diversity.value == pytest.approx(1 - 1 / math.sqrt(2))


@pytest.mark.parametrize("rows_of_day", [[], [("u", "i", DAY)]], ids=["none", "one"])
def test_without_users_or_lists_novelty_cannot_be_told(rows_of_day: list[Row]) -> None:
    for lists in (stored(), Stored(128), Stored(128, list)):
        for of_live in (stored(), Stored(128), Stored(128, list)):
            live = Live("2011-01-30-001", METHOD, of_live)
            found = judge(interactions(rows_of_day), DAY, METHOD, live, lists=lists)
            beside = of_lists(found)
            assert beside.pop((USERS, "all")).value == 1.0
            assert {(it.value, it.users, it.verdict) for it in beside.values()} == {
                (None, 0, NOT_ENOUGH)
            }


def test_of_many_users_a_part_is_drawn_and_the_same_ones_each_time() -> None:
    history, served = history_of(interactions(SHOP), DAY), DAY - timedelta(days=28)
    drawn = [
        beside(lists_of(METHOD, DAY), lists_of(SIMPLE, served), history, most)["novelty", "new"]
        for most in (40, 40, 1000)
    ]
    assert drawn[0] == drawn[1]
    (part, of_part), (whole, of_all) = drawn[1:]
    assert of_part == 40 and of_all > 100
    assert part.value == pytest.approx(whole.value, rel=0.1) and part != whole


ENDS = st.lists(st.floats(0, 4), min_size=3, max_size=3).map(sorted)


@given(ENDS, st.floats(0, 2), st.sampled_from(gate.RULES))
def test_a_greater_figure_never_has_a_worse_verdict(
    ends: list[float], more: float, rule: gate.Rule
) -> None:
    def verdict(low: float, value: float, high: float) -> str:
        measured = gate._Measured(Figure(value, low, high), 500, enough=True)
        return gate._judged(rule, rule.slots[0], measured).verdict

    order = [REFUSED, NOT_ENOUGH, PASSED]
    before, after = verdict(*ends), verdict(*(each + more for each in ends))
    assert order.index(after) >= order.index(before)
    assert (before == REFUSED) == (ends[2] < rule.limit)
    assert gate._judged(rule, "new", gate._Measured(Figure(9, 9, 9), 99)).verdict == NOT_ENOUGH
    nothing = gate._judged(rule, "new", gate._Measured(Figure(None), 500, enough=True))
    assert nothing.verdict == NOT_ENOUGH


def test_the_page_has_the_rules() -> None:
    page = Path(__file__).parents[3] / "docs" / "recommendations.md"
    assert rules_table() in page.read_text()
