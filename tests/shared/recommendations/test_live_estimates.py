"""Intervals and estimates of what was shown, on cases by hand and on logs whose truth is known."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import Any, get_type_hints

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feira.core.contracts import contract
from feira.recommendations.bootstrap import Figure
from feira.recommendations.live import estimate as module
from feira.recommendations.live.estimate import SUMS, estimate, estimates, of_groups
from feira.recommendations.live.figures import MEASURES, live_figures
from feira.recommendations.live.intervals import GROUPS, jackknife, mean, share
from feira.recommendations.serving.__main__ import main as serve
from feira.recommendations.serving.requests import RefusedError, parse
from feira.recommendations.serving.served import Offer
from feira.recommendations.serving.shown import swapped

Sums = dict[str, Any]


def groups(*values: float) -> Any:
    return np.array([*values, *[0.0] * (GROUPS - len(values))])


def test_the_jackknife_of_three_groups_by_hand() -> None:
    """5 of 20 in all; without each group 4/16, 3/12 and 3/12: the ratio never moves but for rounding. With
    1, 1 and 4 it is 6/20 and 5/16, 5/12, 2/12."""
    value, error, count = jackknife(groups(1, 1, 4), groups(4, 8, 8))
    assert (value, count) == (0.3, 3)
    left = [(5 / 16 - 0.3) ** 2, (5 / 12 - 0.3) ** 2, (2 / 12 - 0.3) ** 2]
    assert error == pytest.approx((2 / 3 * sum(left)) ** 0.5)
    found = mean(groups(1, 1, 4), groups(4, 8, 8))
    # The 97.5 % point of Student's t with two degrees of freedom.
    assert found.high == pytest.approx(0.3 + 4.302653 * error)


def test_where_nothing_varies_a_share_is_of_so_many_trials() -> None:
    none = share(groups(0, 0, 0), groups(10, 10, 10), 30)
    squared = 4.302653**2 / 30
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(squared / (1 + squared))
    assert share(groups(10, 10), groups(10, 10), 5).high == 1.0
    # One group has no interval, none no value.
    assert share(groups(3), groups(10), 5) == mean(groups(3), groups(10))
    assert (mean(groups(3), groups(10)).value, mean(groups(3), groups(10)).low) == (0.3, None)
    assert share(groups(0), groups(0), 5).value is None


def test_an_interval_ends_where_the_figure_does() -> None:
    """One of two groups has nothing: 5 ± 12.7 × 5, and a half ± 12.7 × a half."""
    half = 12.706205
    found = mean(groups(100, 0), groups(10, 10))
    assert (found.value, found.low) == (5.0, 0.0) and found.high == pytest.approx(5 * (1 + half))
    assert mean(groups(10, 0), groups(10, 10), most=1.0) == Figure(0.5, 0.0, 1.0)
    # A corrected sum may be outside; neither the figure nor its ends are.
    assert mean(groups(-1, -1), groups(10, 10), most=1.0) == Figure(0.0, 0.0, 0.0)
    assert mean(groups(11, 11), groups(10, 10), most=1.0) == Figure(1.0, 1.0, 1.0)
    assert mean(groups(-1), groups(10)) == Figure(0.0)


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 50)).map(sorted), min_size=1, max_size=GROUPS
    ),
    st.integers(1, 1000),
)
def test_an_interval_of_a_share_is_in_0_to_1_and_holds_it(pairs: Any, trials: int) -> None:
    clicked, shown = (groups(*column) for column in zip(*pairs, strict=True))
    found = share(clicked, shown, trials)
    if found.value is None:
        assert not shown.any()
    elif found.low is not None and found.high is not None:
        assert (
            0 <= found.low <= found.value + 1e-12 and found.value <= found.high + 1e-12 <= 1 + 1e-9
        )


def test_the_interval_of_a_ctr_holds_the_truth_as_often_as_it_says_though_users_differ() -> None:
    """Users of very unequal habits; an interval of independent impressions holds the truth half as often."""
    draw = np.random.default_rng(3)
    held = alone = 0
    for _ in range(300):
        users = 600
        rate = np.where(draw.random(users) < 0.1, 0.5, 0.01)
        shown = draw.geometric(0.05, users)
        clicked = draw.binomial(shown, rate)
        group = draw.integers(0, GROUPS, users)
        sums = [np.bincount(group, weights=it, minlength=GROUPS) for it in (clicked, shown)]
        found = share(*sums, users)
        truth = 0.1 * 0.5 + 0.9 * 0.01
        held += bool(found.low < truth < found.high)  # type: ignore[operator]
        value = clicked.sum() / shown.sum()
        half = 1.96 * np.sqrt(value * (1 - value) / shown.sum())
        alone += bool(abs(value - truth) < half)
    assert 0.92 <= held / 300 <= 0.99
    assert alone / 300 < 0.7


def cells(*rows: tuple[Any, ...]) -> pa.Table:
    names = ("list_version", "arm", "position", "slot", "bucket", *MEASURES)
    return pa.table({name: [row[n] for row in rows] for n, name in enumerate(names)})


def test_figures_of_cells_by_hand() -> None:
    found = list(
        live_figures(
            cells(
                ("v", "a", 0, None, 7, 10, 2, 4, 1, 30.0, 10, 1.5, 2),
                ("v", "b", 3, "new", 0, 5, 5, 0, 0, 0.0, 0, 0.0, 0),
                ("v", "a", 0, "new", 7, 4, 2, 3, 1, 8.0, 4, 1.0, 1),
                ("v", "a", 0, None, 199, 10, 1, 0, 0, 10.0, 10, 0.5, 2),
            )
        )
    )
    values = {
        (it.arm, it.position, it.slot, it.figure): (it.value, it.impressions, it.users)
        for it in found
    }
    assert values == {
        ("a", 0, None, "ctr"): (0.2, 20, 3),
        ("a", 0, None, "conversion"): (0.25, 20, 3),
        ("a", 0, None, "novelty"): (2.0, 20, 3),
        ("a", 0, None, "category_diversity"): (0.5, 20, 3),
        ("a", 0, "new", "ctr"): (0.75, 4, 2),
        ("a", 0, "new", "conversion"): (1 / 3, 4, 2),
        ("a", 0, "new", "novelty"): (2.0, 4, 2),
        ("a", 0, "new", "category_diversity"): (1.0, 4, 2),
        ("b", 3, "new", "ctr"): (0.0, 5, 5),
        ("b", 3, "new", "conversion"): (None, 5, 5),
    }
    assert list(live_figures(cells())) == []


def test_the_intervals_of_diversity_and_novelty_hold_nothing_that_these_cannot_be() -> None:
    """Three groups of ten lists of which nearly all are of different categories, and of unequal information."""
    rows = [
        ("v", "a", 0, None, group, 100, 5, 9, 1, information, 100, diverse, 10)
        for group, information, diverse in ((3, 1.0, 9.0), (77, 900.0, 8.0), (120, 2.0, 10.0))
    ]
    found = {it.figure: it for it in live_figures(cells(*rows))}
    diversity, novelty = found["category_diversity"], found["novelty"]
    must = share(groups(9, 8, 10), groups(10, 10, 10), 15)
    assert (diversity.value, diversity.low, diversity.high) == (0.9, must.low, must.high)
    assert diversity.low is not None and diversity.high is not None
    assert 0 < diversity.low < 0.9 < diversity.high < 1
    assert (novelty.value, novelty.low) == (3.01, 0.0)
    # Where no list is of one category twice nothing varies, and three groups are still no proof of it.
    same = [(*row[:-2], 10.0, 10) for row in rows]
    (sure,) = (it for it in live_figures(cells(*same)) if it.figure == "category_diversity")
    assert (sure.value, sure.high) == (1.0, 1.0) and sure.low is not None and sure.low < 0.6


def of(**columns: Any) -> Sums:
    return {name: groups() for name in SUMS} | columns


def test_estimates_by_hand() -> None:
    """Each group has 40 impressions, of which 20 match at q = 1/2, 10 of these with a click; elsewhere the
    model expects a tenth."""
    every = np.ones(GROUPS)
    found = of_groups(
        "v",
        of(
            impressions=40 * every,
            users=10 * every,
            clicked=12 * every,
            weight=40 * every,
            weight_squared=80 * every,
            weighted_clicks=20 * every,
            expected=4 * every,
            weighted_expected=4 * every,
        ),
    )
    assert (found.snips.value, found.dr.value) == (0.5, 0.5)
    assert found.support.value == 1.0
    assert found.effective == pytest.approx((40 * GROUPS) ** 2 / (80 * GROUPS))
    # (1.96 / 0.5)² × 0.7 / 0.3 = 35.9
    assert found.needed == 36
    assert (found.refused, found.impressions, found.users) == (None, 8000, 2000)
    # Of nine tenths of the weight, which by chance is no more: clicks by weight, not by impression.
    some = logged(weight=36, by=36)
    some["weighted_clicks"] = some["weight"] / 2
    assert of_groups("v", some).snips.value == pytest.approx(0.5)
    assert [row.figure for row in found.rows()][:2] == ["ctr_snips", "ctr_dr"]


def logged(
    weight: float = 40,
    squared: float = 80,
    clicked: float = 12,
    many: int = GROUPS,
    by: float = 0,
) -> Sums:
    """Groups of 40 impressions; the weight is ``by`` more and less in turn."""
    there = groups(*[1.0] * many)
    columns = {"impressions": 40, "users": 10, "clicked": clicked, "weighted_clicks": 1}
    columns |= {"weight": weight, "weight_squared": squared, "expected": 1, "weighted_expected": 1}
    sums = of(**{name: value * there for name, value in columns.items()})
    sums["weight"] += by * there * np.where(np.arange(GROUPS) % 2, 1, -1)
    return sums


@pytest.mark.parametrize(
    ("sums", "refused"),
    [
        (logged(), None),
        (logged(many=0), "nothing_logged"),
        (logged(clicked=0), "no_clicks"),
        (logged(weight=0, squared=0), "no_support"),
        (logged(weight=31.9), "no_support"),
        (logged(weight=32.1), "small_sample"),
        # The interval is by × 1.98 / √99 / 40 to both sides: 0.7 + 0.0997 and + 0.14, 1.5 - 0.2 and - 0.3.
        (logged(weight=28, by=20, many=100), "no_support"),
        (logged(weight=28, by=28, many=100), "small_sample"),
        (logged(weight=60, by=40, many=100), "doubtful_probabilities"),
        (logged(weight=60, by=60, many=100), "small_sample"),
        # 0.75 ± 0.36 holds 1, and is too far from it all the same.
        (logged(weight=30, by=29.9, many=20), "small_sample"),
        # 0.95 ± 0.042 does not reach 1, and ± 0.056 does.
        (logged(weight=38, by=12), "small_sample"),
        (logged(weight=38, by=16), None),
        (logged(weight=39.9), "small_sample"),
        (logged(weight=40 * 0.999999999), None),
        # Of one group there is no interval.
        (logged(weight=1, many=1), "few_users"),
        (logged(weight=400, many=1), "few_users"),
        (logged(weight=49.9), None),
        (logged(weight=50.1), "doubtful_probabilities"),
        (logged(many=19), "few_users"),
        (logged(many=20), None),
        # 800² / 17,000 = 37.6 of 36 that are needed, and 800² / 18,000 = 35.6.
        (logged(many=20, squared=17_000 / 20 * 2), "small_sample"),
        (logged(many=20, squared=17_000 / 20), None),
    ],
)
def test_an_estimate_that_says_too_little_is_refused_and_has_no_number(
    sums: Sums, refused: str | None
) -> None:
    found = of_groups("v", sums)
    assert found.refused == refused
    assert (found.snips.value is None) == (found.dr.value is None) == (refused is not None)
    rows = {row.figure: row for row in found.rows()}
    assert rows["ctr_snips"].refused == rows["ctr_dr"].refused == refused
    assert rows["effective_sample_size"].value == found.effective


def test_an_estimate_reads_its_sums_by_group_in_any_order() -> None:
    sums = logged(many=30)
    order = np.random.default_rng(1).permutation(30)
    table = pa.table({"bucket": order} | {name: sums[name][order] for name in SUMS})
    assert estimate("v", table) == of_groups("v", sums)


def test_each_slot_has_an_estimate_of_its_own_and_both_have_one_together() -> None:
    of_slots = {None: logged(), "new": logged(many=30), "again": logged(many=0)}
    table = pa.concat_tables(
        pa.table(
            {
                "slot": pa.array([slot] * GROUPS, pa.string()),
                "bucket": np.arange(GROUPS),
                **{name: sums[name] for name in SUMS},
            }
        )
        for slot, sums in of_slots.items()
    )
    both, again, new = estimates("v", table)
    assert [it.slot for it in (both, again, new)] == [None, "again", "new"]
    assert both == of_groups("v", logged())
    assert (again.refused, new.refused) == ("nothing_logged", None)
    assert new.impressions == 1200 and {row.slot for row in new.rows()} == {"new"}
    nothing = estimates("v", table.slice(0, 0))
    assert [it.refused for it in nothing] == ["nothing_logged"] * 3


def simulated(
    draw: np.random.Generator, swapped: float, users: int = 4000
) -> tuple[Sums, float, float]:
    """A log that shows a list of five and swaps one pair now and then; the version has another order for most
    users. Clicks depend on item and position. Returns the sums, the truth and the CTR of what matched."""
    places, items = 5, 5
    taste = np.linspace(0.5, 0.01, items)
    seen = 1 / (1 + 0.35 * np.arange(places))
    old = np.tile(np.arange(items), (users, 1))
    new = old.copy()
    other = draw.random(users) < 0.7
    new[other] = old[other][:, ::-1]
    rank = old.copy()
    swap = np.flatnonzero(draw.random(users) < swapped * places / 2)
    one = draw.integers(0, places, len(swap))
    two = (one + draw.integers(1, places, len(swap))) % places
    rank[swap, one], rank[swap, two] = two, one
    probability = np.where(rank == np.arange(places), 1 - swapped, swapped / (places - 1))
    # A user clicks more or less as a whole, so that its impressions are alike.
    eager = draw.choice([0.5, 1.5], users)[:, None]
    clicked = draw.random((users, places)) < taste[rank] * seen * eager
    group = draw.integers(0, GROUPS, users)
    match = rank == new
    weight = match / probability
    model = np.zeros((users, places))
    for fold in range(5):
        inside, outside = group % 5 == fold, group % 5 != fold
        for place in range(places):
            of_all = clicked[outside, place].mean()
            for item in range(items):
                at = outside & (rank[:, place] == item)
                learned = (clicked[at, place].sum() + 50 * of_all) / (at.sum() + 50)
                model[inside & (new[:, place] == item), place] = learned
    columns = {
        "impressions": np.ones_like(weight),
        "clicked": clicked,
        "weight": weight,
        "weight_squared": weight**2,
        "weighted_clicks": weight * clicked,
        "expected": model,
        "weighted_expected": weight * model,
    }
    sums = {
        name: np.bincount(group, weights=it.sum(axis=1), minlength=GROUPS)
        for name, it in columns.items()
    }
    sums["users"] = np.bincount(group, minlength=GROUPS).astype(float)
    truth = float((0.3 * taste * seen + 0.7 * taste[::-1] * seen).mean())
    return sums, truth, float(clicked[match].mean())


def test_both_estimates_hold_the_truth_as_often_as_they_say_and_what_matched_does_not() -> None:
    draw = np.random.default_rng(11)
    tries = 100
    held = {"snips": 0, "dr": 0, "naive": 0}
    given = 0
    errors: dict[str, list[float]] = {"snips": [], "dr": []}
    for _ in range(tries):
        sums, truth, naive = simulated(draw, swapped=0.2)
        found = of_groups("v", sums)
        if (found.support.high or 0) < 1:
            # As often as an interval does not hold the truth.
            assert found.refused == "small_sample"
            continue
        assert found.refused is None
        given += 1
        for name, it in (("snips", found.snips), ("dr", found.dr)):
            assert it.value is not None and it.low is not None and it.high is not None
            held[name] += it.low < truth < it.high
            held["naive"] += name == "snips" and it.low < naive < it.high
            errors[name].append(it.value - truth)
    assert given >= 0.94 * tries
    assert min(held["snips"], held["dr"]) >= 0.89 * given
    assert held["naive"] < 0.5 * given
    for each in errors.values():
        # No bias that one could see.
        assert abs(np.mean(each)) < 3 * np.std(each) / tries**0.5


def test_what_the_log_has_not_drawn_yet_is_not_taken_for_the_rest() -> None:
    """A version that has changed a tenth of the places, to products that are shown once in 450 times and are
    clicked four times as often. Of few impressions none of these is drawn, whose weights are nine tenths then."""
    draw = np.random.default_rng(7)
    given = 0
    for _ in range(100):
        group = draw.integers(0, GROUPS, 2_000)
        same = draw.random(2_000) < 0.9
        match = draw.random(2_000) < np.where(same, 0.98, 1 / 450)
        weight = match * np.where(same, 1 / 0.98, 450)
        clicked = draw.random(2_000) < np.where(same | ~match, 0.1, 0.4)
        columns = {"impressions": np.ones(2_000), "clicked": clicked, "weight": weight}
        columns |= {"weight_squared": weight**2, "weighted_clicks": weight * clicked}
        sums = {
            name: np.bincount(group, weights=it, minlength=GROUPS) for name, it in columns.items()
        }
        sums |= {"expected": 0.1 * sums["impressions"], "weighted_expected": 0.1 * sums["weight"]}
        found = of_groups("v", sums | {"users": sums["impressions"]})
        assert found.refused == "small_sample" or (found.support.high or 0) >= 1
        given += found.refused is None
    assert given == 0


def test_the_interval_of_a_doubly_robust_estimate_is_as_narrow_near_0_as_elsewhere() -> None:
    """A mean of 0.0001, from which each group is 0.2 away: 1.97 × 0.2 / √199 to both sides, wherever it is."""
    half = 1.971957 * 0.2 / 199**0.5
    away = 8 * np.where(np.arange(GROUPS) % 2, 1, -1)
    for value, low in ((0.0001, 0.0), (0.0, 0.0), (0.3, 0.3 - half)):
        sums = logged() | {"expected": 40 * value + away, "weighted_expected": groups()}
        found = of_groups("v", sums | {"weighted_clicks": groups()}).dr
        assert found.value == pytest.approx(value, abs=1e-12)
        assert (found.low, found.high) == pytest.approx((low, value + half), abs=1e-7)


@pytest.mark.parametrize(
    ("value", "rate"), [(0.0, 0.3), (0.0001, 0.3), (0.3, 0.3), (0.5, 0.5), (0.9, 0.3)]
)
def test_no_interval_is_narrower_than_that_of_as_many_trials_as_the_effective_sample_size(
    value: float, rate: float
) -> None:
    """8,000² / 16,000 = 4,000 of a log whose CTR is 0.3, and groups that hardly differ."""
    away = 0.01 * np.where(np.arange(GROUPS) % 2, 1, -1)
    clicks = 40 * value + (away if value else 0)
    every = {"weighted_clicks": clicks * np.ones(GROUPS), "expected": groups()}
    found = of_groups("v", logged() | every | {"weighted_expected": groups()})
    half = 1.971957 * (rate * (1 - rate) / 4000) ** 0.5
    assert (found.snips.value, found.dr.value) == pytest.approx((value, value), abs=1e-12)
    ends = max(0.0, value - half), value + half
    assert (found.dr.low, found.dr.high) == pytest.approx(ends, abs=1e-8)
    # Wilson's; where nothing is clicked of the 2,000 users.
    squared = 1.971957**2 / (4000 if value else 2000)
    apart = (squared * (value * (1 - value) + squared / 4)) ** 0.5
    ends = tuple((value + squared / 2 + side * apart) / (1 + squared) for side in (-1, 1))
    assert (found.snips.low, found.snips.high) == pytest.approx(ends, abs=1e-8)


def test_groups_that_differ_widen_an_interval_beyond_that_of_the_effective_sample_size() -> None:
    clicks = np.where(np.arange(GROUPS) % 2, 20.0, 4.0)
    sums = logged() | {
        "weighted_clicks": clicks,
        "expected": groups(),
        "weighted_expected": groups(),
    }
    found = of_groups("v", sums)
    assert found.snips == share(clicks, sums["weight"], 2000)
    assert found.dr == mean(clicks, sums["impressions"], most=1.0)


def rarely_swapped(
    draw: np.random.Generator, users: int, changed: float, places: int = 10, swapped: float = 0.02
) -> tuple[Sums, float]:
    """A log of lists of ten of which one place in fifty is swapped, and a version with the first two places of some
    users the other way round: those count 450 times, and seldom. Returns the sums and the truth."""
    own = np.arange(places)
    appeal, seen = draw.beta(1, 15, (users, places)), 0.9**own
    shown, version = np.tile(own, (users, 1)), np.tile(own, (users, 1))
    for user in np.flatnonzero(draw.random(users) < swapped * places / 2):
        one, two = draw.choice(places, 2, replace=False)
        shown[user, [one, two]] = two, one
    version[draw.random(users) < changed, :2] = 1, 0
    row = np.arange(users)[:, None]
    clicked = draw.random((users, places)) < appeal[row, shown] * seen
    probability = np.where(shown == own, 1 - swapped, swapped / (places - 1))
    weight = (shown == version) / probability
    model = np.broadcast_to(seen / 16, (users, places))
    columns = {"impressions": np.ones_like(weight), "clicked": clicked, "weight": weight}
    columns |= {"weight_squared": weight**2, "weighted_clicks": weight * clicked}
    columns |= {"expected": model, "weighted_expected": weight * model}
    group = draw.integers(0, GROUPS, users)
    sums = {
        name: np.bincount(group, weights=it.sum(axis=1), minlength=GROUPS)
        for name, it in columns.items()
    }
    sums["users"] = np.bincount(group, minlength=GROUPS).astype(float)
    return sums, float((appeal[row, version] * seen).mean())


@pytest.mark.parametrize(("users", "changed"), [(4_000, 1.0), (4_000, 0.3), (8_000, 0.3)])
def test_both_estimates_hold_the_truth_as_often_where_what_weighs_most_is_seldom_drawn(
    users: int, changed: float
) -> None:
    draw = np.random.default_rng(17)
    tries, given, held = 60, 0, {"snips": 0, "dr": 0}
    for _ in range(tries):
        sums, truth = rarely_swapped(draw, users, changed)
        found = of_groups("v", sums)
        given += found.refused is None
        for name, it in (("snips", found.snips), ("dr", found.dr)):
            if it.low is not None and it.high is not None:
                held[name] += it.low <= truth <= it.high
    assert given >= 0.7 * tries
    assert min(held.values()) >= 0.9 * given


def test_a_log_that_never_swaps_supports_no_other_order() -> None:
    sums, _, _ = simulated(np.random.default_rng(2), swapped=1e-9)
    found = of_groups("v", sums)
    assert (found.refused, found.snips.value) == ("no_support", None)
    # Three tenths of the users have the same order, the others one place of five.
    assert found.support.value == pytest.approx(0.3 + 0.7 / 5, abs=0.03)


def test_the_greatest_weight_is_that_of_the_longest_list_with_the_fewest_swaps() -> None:
    (option,) = get_type_hints(serve, include_extras=True)["swapped"].__metadata__
    asked = parse(b"/recommendations/u", b"n=100&shown=true")
    with pytest.raises(RefusedError, match="n is '101'"):
        parse(b"/recommendations/u", b"n=101&shown=true")
    offers = [Offer(f"{rank}", "popular") for rank in range(asked.n)]
    shown = [place for seed in range(99) for place in swapped(offers, option.min, Random(seed))]
    assert min(probability for _, probability in shown) == pytest.approx(0.01 / 99)
    assert pytest.approx(99 / 0.01) == module.MOST_WEIGHT


def test_limits_are_what_the_contract_and_the_page_of_docs_say() -> None:
    page = (Path(__file__).parents[3] / "docs" / "recommendations.md").read_text()
    table = page.split("| `refused` | limit |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (`.*?`) \| (.*) \|$", table, re.MULTILINE)
    limits = {name: limit for names, limit in rows for name in re.findall(r"`(\w+)`", names)}
    refused = next(
        it for it in contract("recommendations.live_figures").columns if it.name == "refused"
    )
    assert [*limits] == [*refused.allowed]
    for name, limit in (
        ("no_support", f"is below {module.LEAST_SUPPORT}"),
        ("doubtful_probabilities", f"above {module.MOST_SUPPORT}"),
        ("few_users", f"fewer than {module.FEWEST_GROUPS} groups"),
        ("small_sample", f"below {(module._NORMAL / module._WIDEST) ** 2:.1f} × (1 − CTR) / CTR"),
    ):
        assert limit in limits[name]
    assert f"(at most {module.MOST_WEIGHT:,.0f})" in page
    assert f"as by {module.PRIOR_IMPRESSIONS} impressions" in page
    assert f"beside {module.LEAST_SUPPORT:.2f}" in page
