"""An evaluation as a whole: who is asked in which slot, what counts, and how sure its figures are."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from feira.recommendations import evaluation
from feira.recommendations.bootstrap import NOTHING, Figure, Means, means
from feira.recommendations.candidates import BASELINE, CANDIDATES, Candidate, Scorer
from feira.recommendations.candidates.counts import OwnFrequency
from feira.recommendations.candidates.interface import or_nothing
from feira.recommendations.candidates.item_item import EASE
from feira.recommendations.candidates.tifu_knn import TifuKnn
from feira.recommendations.evaluation import Evaluation, Row, evaluate, lists_by_slot
from feira.recommendations.history import HISTORY_CAP, History, default_cut, split_at
from feira.recommendations.interactions import Interactions, InteractionsError, interactions
from feira.recommendations.reading import Columns, read_interactions
from feira.recommendations.slots import Popular, Slot, listed

CUT = date(2011, 1, 4)
BEFORE, AFTER = CUT - timedelta(days=1), CUT + timedelta(days=1)


@dataclass(frozen=True)
class Fixed:
    """The same items for everybody, in this order."""

    items: str
    name: str = "fixed"

    def fit(self, history: History) -> Scorer:
        rank = {name: place for place, name in enumerate(self.items)}
        score = np.array([-rank.get(it, np.inf) for it in history.item_ids], dtype=float)
        return lambda users: np.tile(score, (len(users), 1))


def evaluated(rows: Sequence[tuple[str, str, date]], *candidates: Candidate) -> Evaluation:
    return evaluate(interactions(rows), CUT, candidates)


def figures(found: Evaluation, slot: str, candidate: str) -> Row:
    (table,) = [it for it in found.slots if it.slot == slot]
    (row,) = [it for it in table.rows if it.candidate == candidate]
    return row


# Before: a had x and y, b had y, c had z. After: a takes x and z, b takes w, which nobody had; d is new.
ROWS = [
    *[("a", "x", BEFORE), ("a", "y", BEFORE), ("b", "y", BEFORE), ("c", "z", BEFORE)],
    *[("a", "x", AFTER), ("a", "z", AFTER), ("b", "w", AFTER), ("d", "x", AFTER)],
]


def test_a_slot_asks_those_who_took_something_of_it_and_offers_only_what_belongs_to_it() -> None:
    found = evaluated(ROWS, BASELINE, Fixed("yxz"))
    assert [(it.slot, it.users) for it in found.slots] == [("again", 1), ("new", 2), ("all", 2)]
    assert (found.users_before, found.items_before, found.users_on_both_sides) == (3, 3, 2)
    assert (found.interactions_before, found.interactions_after) == (4, 4)
    third, second = 1 / np.log2(4), 1 / np.log2(3)
    # again: of a's own y and x, x is second. new: z is the only one for a; none could be right for b.
    assert figures(found, "again", "fixed").ndcg.value == pytest.approx(second)
    assert figures(found, "new", "fixed").ndcg.value == pytest.approx((1 + 0) / 2)
    assert figures(found, "new", "fixed").recall.value == pytest.approx((1 + 0) / 2)
    assert figures(found, "all", "fixed").ndcg.value == pytest.approx(
        (second + third) / (1 + second) / 2
    )
    assert figures(found, "again", "fixed").coverage == pytest.approx(2 / 3)
    assert figures(found, "all", "fixed").coverage == 1


def test_a_list_has_ten_items_and_a_hit_after_them_is_none() -> None:
    names = "abcdefghijkl"
    rows = [("u", it, BEFORE) for it in names] + [("u", "k", AFTER), ("u", "j", AFTER)]
    row = figures(evaluated(rows, BASELINE, Fixed(names)), "again", "fixed")
    assert row.recall.value == 0.5 and row.coverage == pytest.approx(10 / 12)


def test_a_candidate_is_measured_beside_the_first_in_the_same_resamples() -> None:
    rows = [(f"u{n}", it, BEFORE) for n in range(40) for it in "xy"]
    rows += [(f"u{n}", "x" if n % 4 else "y", AFTER) for n in range(40)]
    found = evaluated(rows, Fixed("xy", "first"), Fixed("xy"), Fixed("y", "other"))
    same = figures(found, "all", "fixed").ratio
    assert (same.value, same.low, same.high) == (1, 1, 1)
    other = figures(found, "all", "other")
    assert other.ndcg.value == 0.25
    assert other.ratio.value == pytest.approx(0.25 / (0.75 + 0.25 / np.log2(3)))
    assert other.ratio.low is not None and other.ratio.high is not None
    assert 0 < other.ratio.low < other.ratio.value < other.ratio.high < 1


def test_beside_a_first_candidate_that_hits_nothing_there_is_no_ratio() -> None:
    found = evaluated(ROWS, Fixed("", "nothing"), Fixed("yxz"))
    assert figures(found, "all", "fixed").ratio.value is None
    nothing = figures(found, "all", "nothing")
    assert (nothing.ndcg.value, nothing.novelty.value, nothing.diversity.value) == (0, None, None)
    json.dumps(found.as_dict(), default=str, allow_nan=False)


def test_intervals_hold_the_true_mean_about_as_often_as_they_say() -> None:
    generator = np.random.default_rng(7)
    held = 0
    for _ in range(100):
        figure = means(generator.exponential(size=(200, 1)), resamples=200).figure(0)
        assert figure.low is not None and figure.high is not None
        held += figure.low <= 1 <= figure.high
    assert 88 <= held <= 99


def test_a_figure_that_a_user_does_not_have_is_left_out_of_the_mean() -> None:
    values = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]])
    assert (means(values).figure(0).value, means(values).figure(1).value) == (2, None)


def test_the_figures_are_the_same_however_the_users_fall_into_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [(f"u{n}", f"i{n * it % 13}", BEFORE) for n in range(20) for it in range(5)]
    rows += [(f"u{n}", f"i{n * 3 % 13}", AFTER) for n in range(20)]
    whole = evaluated(rows, *CANDIDATES)
    monkeypatch.setattr(evaluation, "_CELLS", 40)
    assert [it.ndcg.value for table in evaluated(rows, *CANDIDATES).slots for it in table.rows] == (
        pytest.approx([it.ndcg.value for table in whole.slots for it in table.rows])
    )


def test_tifu_knn_of_few_items_does_not_hold_every_user_beside_every_other_one() -> None:
    users, items = 3_000, 40
    rows = [(f"u{n:04d}", f"i{n * it % items}", BEFORE) for n in range(users) for it in (1, 7)]
    rows += [(f"u{n:04d}", f"i{n % items}", AFTER) for n in range(users)]
    split = split_at(interactions(rows), CUT)
    score = TifuKnn().fit(split.history)
    tracemalloc.start()
    try:
        lists = lists_by_slot(score, split, split.users)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert {slot: len(of) for slot, of in lists.items()} == dict.fromkeys(evaluation.SLOTS, users)
    # All distances of these users are 72 MB.
    assert peak < 40 * 2**20


@dataclass(frozen=True)
class Equal:
    """Scores that are 1 by their formula, each with what adding in some order has left over."""

    seed: int
    name: str = "equal"

    def fit(self, history: History) -> Scorer:
        size = len(history.user_ids), len(history.item_ids)
        noise = np.random.default_rng(self.seed).normal(scale=1e-13, size=size)
        return lambda users: 1 + noise[users]


@pytest.mark.parametrize("seed", range(3))
def test_of_equal_scores_the_more_popular_item_is_first_in_whatever_order_they_were_added(
    seed: int,
) -> None:
    rows = [(f"u{n:02d}", f"i{it:02d}", BEFORE) for n in range(30) for it in range(40 - n)]
    rows += [(f"u{n:02d}", "i05", AFTER) for n in range(30)]
    split = split_at(interactions(rows), CUT)
    lists = lists_by_slot(Equal(seed).fit(split.history), split, split.users)
    # The items are had by fewer and fewer users, of equals by name.
    assert lists["all"].tolist() == lists["again"].tolist() == [list(range(10))] * 30
    for user, found in enumerate(lists["new"]):
        new = range(40 - user, min(50 - user, 40))
        assert found.tolist() == [*new, *[-1] * (10 - len(new))]


GROUPS, OF_GROUP = 5, 8


def back_after(days: int) -> Interactions:
    """Users of groups who bought of late, and of each group one that comes back after so many days."""
    rows = [
        (f"recent{user:02d}", f"{user % GROUPS}{(user // GROUPS + it) % OF_GROUP}", BEFORE)
        for user in range(GROUPS * 2 * OF_GROUP)
        for it in range(5)
    ]
    # What most had is of the first group: popularity alone is another order.
    rows += [(f"more{user:02d}", f"0{it}", BEFORE) for user in range(9) for it in range(OF_GROUP)]
    for group in range(GROUPS):
        rows += [(f"back{group}", f"{group}{it}", CUT - timedelta(days=days)) for it in range(3)]
        rows.append((f"back{group}", f"{group}5", AFTER))
    return interactions(rows)


@pytest.mark.parametrize("years", [0.1, 2, 5, 8, 20, 100])
def test_who_comes_back_after_years_is_measured_and_served_by_the_candidate_and_not_by_popularity(
    years: float,
) -> None:
    split = split_at(back_after(round(365 * years)), CUT)
    history, names = split.history, split.history.item_ids
    assert len(split.users) == GROUPS
    score = EASE().fit(history)
    measured = lists_by_slot(score, split, split.users)["new"]
    popular = Popular.of(BASELINE.fit(history).of_items)
    served = listed(score(split.users), history.seen()[split.users], "new", popular)
    because = score.strongest(split.users, np.where(served.own, served.items, -1))
    rest = OF_GROUP - 3
    for row, user in enumerate(split.users):
        group = str(history.user_ids[user])[-1]
        assert set(names[measured[row, :rest]]) == {f"{group}{it}" for it in range(3, OF_GROUP)}
        own = served.items[row, served.own[row]]
        assert own.tolist() == measured[row, measured[row] >= 0][: len(own)].tolist()
        assert len(own) >= rest and (served.scores[row, : len(own)] > 0).all()
        assert set(names[because[row, :rest]]) <= {f"{group}{it}" for it in range(3)}


@dataclass(frozen=True)
class Drawn:
    """Scores with ties, and with what adding has left over of some that are 0; all those of a user in its own size."""

    seed: int
    name: str = "drawn"

    def fit(self, history: History) -> Scorer:
        generator = np.random.default_rng(self.seed)
        size = len(history.user_ids), len(history.item_ids)
        scores = generator.choice([0, 0, 1e-17, -1e-17, 0.25, 0.25 + 1e-13, 0.5, 1.25], size)
        # One is there: what is left over is small beside it.
        scores[:, generator.integers(size[1])] = 1
        scores *= 10.0 ** generator.integers(-200, 9, size[0])[:, np.newaxis]
        return lambda users: or_nothing(scores[users])


@pytest.mark.parametrize("seed", range(10))
def test_what_is_measured_is_what_is_served_however_small_a_users_scores_are(seed: int) -> None:
    rows = [(f"u{n:02d}", f"i{n * it % 17}", BEFORE) for n in range(20) for it in range(5)]
    split = split_at(interactions([*rows, *((f"u{n:02d}", "i0", AFTER) for n in range(20))]), CUT)
    score, seen = Drawn(seed).fit(split.history), split.history.seen()[split.users]
    measured = lists_by_slot(score, split, split.users)
    for slot in get_args(Slot):
        served = listed(score(split.users), seen, slot, Popular.of(np.ones(17)), 10)
        assert np.where(served.own, served.items, -1).tolist() == measured[slot].tolist()
    assert (measured["all"] >= 0).any(axis=1).all()


def test_recent_popularity_is_the_same_whoever_of_its_users_came_first() -> None:
    generator = np.random.default_rng(0)
    for _ in range(30):
        ages = generator.integers(1, 200, 6)
        rows = [
            (f"u{user}", item, CUT - timedelta(days=int(age)))
            for item in "abcd"
            for user, age in enumerate(generator.permutation(ages))
        ]
        split = split_at(interactions([*rows, ("u0", "a", CUT)]), CUT)
        score = BASELINE.fit(split.history.capped(HISTORY_CAP))
        lists = lists_by_slot(score, split, split.users)
        assert lists["all"].tolist() == [[0, 1, 2, 3, *[-1] * 6]]


def test_equal_columns_have_a_ratio_of_one_wherever_blas_has_them() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        users, columns = int(generator.integers(100, 900)), int(generator.integers(2, 9))
        values = generator.random((users, columns))
        values[:, 0] = values[:, -1] = generator.random(users) * (generator.random(users) < 0.4)
        assert means(values, 100).ratio(0, columns - 1) == Figure(1, 1, 1)


@pytest.mark.parametrize(
    ("infinite", "anywhere", "known"),
    [(0, 0, True), (24, 0, True), (25, 0, False), (0, 24, True), (0, 25, False), (12, 12, True), (13, 12, False)],
)  # fmt: skip
def test_a_ratio_is_known_unless_its_interval_has_no_upper_end(
    infinite: int, anywhere: int, known: bool
) -> None:
    """Of 1,000 resamples some have nothing in the second column, and some nothing in either."""
    resampled = np.tile([6.0, 2.0], (1000, 1))
    resampled[:infinite, 1] = 0
    resampled[infinite : infinite + anywhere] = 0
    found = Means(np.array([6.0, 2.0]), resampled).ratio(0, 1)
    assert found == (Figure(3.0, 3.0, 3.0) if known else NOTHING)


def test_a_ratio_far_above_1_is_known_though_few_users_are_right_on_the_other_side() -> None:
    values = np.zeros((300, 2))
    values[:200, 0], values[:5, 1] = 0.5, 0.3
    drawn = means(values)
    assert (drawn.resampled[:, 1] == 0).any()
    found = drawn.ratio(0, 1)
    assert found.value == pytest.approx(200 / 3) and found.low is not None and found.low > 30
    # One user who is right on both sides says 1 to 2 whenever it is drawn, and is no proof.
    values = np.zeros((300, 2))
    values[0] = 0.5, 1.0
    assert means(values).ratio(0, 1) == NOTHING


# Items that are bought together are alike in every figure; linear algebra adds them in an order of its own.
BUNDLES = """
import json, random
from datetime import date, timedelta
from feira.recommendations.candidates import BASELINE
from feira.recommendations.candidates.item_item import EASE, ItemItem
from feira.recommendations.evaluation import evaluate
from feira.recommendations.interactions import interactions

drawn, first, cut = random.Random(3), date(2020, 1, 1), date(2020, 2, 5)
rows = []
for user in range(150):
    for _ in range(drawn.randrange(1, 5)):
        day, bundle = first + timedelta(drawn.randrange(40)), drawn.randrange(12)
        rows += [(f"u{user}", f"b{bundle}-{item}", day) for item in range(4)]
for user in range(60):
    day = cut + timedelta(drawn.randrange(10))
    rows.append((f"u{user}", f"b{drawn.randrange(12)}-{drawn.randrange(4)}", day))
print(json.dumps(evaluate(interactions(rows), cut, [BASELINE, EASE(), ItemItem()]).as_dict(), default=str))
"""


def test_the_figures_are_the_same_whichever_kernel_of_openblas_has_computed_them() -> None:
    found = [
        subprocess.run(
            [sys.executable, "-c", BUNDLES],
            env={**os.environ, "OPENBLAS_CORETYPE": kernel},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for kernel in ("Nehalem", "Haswell")
    ]
    assert found[0] == found[1] and '"EASE"' in found[0]


def test_of_too_many_users_the_same_ones_are_drawn_in_each_run() -> None:
    rows = [(f"u{n}", "x", day) for n in range(50) for day in (BEFORE, AFTER)]
    found = evaluate(interactions(rows), CUT, [BASELINE], most_users=10)
    assert (found.users_on_both_sides, found.users_evaluated, found.slots[0].users) == (50, 10, 10)
    assert evaluate(interactions(rows), CUT, [BASELINE], most_users=10) == found


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (
            BEFORE,
            "The cut 2011-01-03 leaves one side empty: .* a day from 2011-01-04 to 2011-01-05",
        ),
        (AFTER + timedelta(days=1), "The cut 2011-01-06 leaves one side empty"),
    ],
)
def test_a_cut_outside_the_data_is_refused_with_what_it_can_be(cut: date, message: str) -> None:
    with pytest.raises(InteractionsError, match=message):
        evaluate(interactions(ROWS), cut, [BASELINE])


def test_without_a_user_on_both_sides_nothing_can_be_evaluated() -> None:
    with pytest.raises(
        InteractionsError, match=r"No user is on both sides .* 1 with a history and 2 with"
    ):
        evaluated([("a", "x", BEFORE), ("b", "x", AFTER), ("c", "x", AFTER)], BASELINE)
    with pytest.raises(InteractionsError, match="All interactions are of 2011-01-03"):
        evaluated([("a", "x", BEFORE)], BASELINE)


def test_a_cut_that_is_not_given_leaves_the_last_fifth_of_the_days() -> None:
    def cut(days: int) -> int:
        rows = [("a", "x", CUT + timedelta(days=it)) for it in range(days)]
        return (default_cut(interactions(rows)) - CUT).days

    assert [cut(days) for days in (2, 3, 5, 10, 60)] == [1, 2, 4, 8, 48]


def test_one_line_of_an_order_of_years_ago_moves_the_default_cut_by_a_day_at_most() -> None:
    rows = [("a", "x", CUT + timedelta(days=it)) for it in range(60)]
    for stray in (date(1900, 1, 1), date(2005, 1, 1), CUT - timedelta(days=40)):
        cut = default_cut(interactions([*rows, ("a", "x", stray)]))
        assert cut == CUT + timedelta(days=47)


REAL_DATA = Path(
    os.environ.get(
        "FEIRA_REAL_DATA", Path(__file__).parents[4] / "shared" / "data" / "online_retail"
    )
)


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"{REAL_DATA} is not there (Online Retail)")
def test_on_real_sales_own_frequency_and_ease_are_worth_what_the_docs_say() -> None:
    read = read_interactions(
        REAL_DATA,
        Columns(
            "CustomerID",
            "StockCode",
            "InvoiceDate",
            quantity="Quantity",
            items=re.compile("[0-9]{5}[A-Za-z]*|DCGS.*"),
        ),
    )
    assert (read.lines, len(read.interactions), read.duplicates) == (77_628, 45_429, 1_770)
    wanted = [BASELINE, OwnFrequency(), *(it for it in CANDIDATES if it.name == "EASE")]
    found = evaluate(read.interactions, CUT, wanted)
    assert [(it.slot, it.users) for it in found.slots] == [
        ("again", 275),
        ("new", 314),
        ("all", 323),
    ]
    assert figures(found, "all", "own frequency").ratio.value == pytest.approx(2.45, abs=0.01)
    assert figures(found, "new", "EASE").ratio.value == pytest.approx(1.77, abs=0.01)
