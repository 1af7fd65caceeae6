"""The check of recommendations is itself checked on figures that were worked out by hand."""

from __future__ import annotations

import datetime as dt
import json
import struct
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

import oracle_live
from feira.recommendations.live.estimate import SUMS, of_groups
from oracle_features import (
    Event,
    Shown,
    Sold,
    features_differ,
    item_features,
    user_categories,
    user_features,
)
from oracle_lists import (
    Known,
    both_lists,
    ease,
    own_frequency,
    published_lists,
    recent_popularity,
    scores_differ,
    segments_of,
    tifu_knn,
)
from oracle_live import estimated, estimates_differ, impressions, live_figures, xxh64

DAY = dt.date(2010, 12, 30)


def ago(days: int) -> dt.date:
    return DAY - dt.timedelta(days=days)


def sold(user: str | None, order: str, sku: str, days: int, kind: str = "product") -> Sold:
    return Sold(user, order, 1, sku, f"A {sku} MUG 2", ago(days), Decimal("1.50"), kind)


SOLD = [
    sold("1", "a", "10001", 0),
    sold("1", "a", "10001", 0)._replace(line_number=2),
    sold("1", "b", "10001", 14),
    sold("1", "c", "POST", 40, "postage"),
    sold("2", "d", "10002", 89)._replace(description="SET OF 6"),
    sold(None, "e", "10001", 1),
]
EVENTS = [
    Event("1", "s", "10001", "view", ago(7)),
    Event("1", "s", "10001", "purchase", ago(7)),
    Event("1", "s", "10002", "add_to_cart", ago(7)),
    Event("3", "t", "10002", "view", ago(6)),
    Event("3", "u", "10002", "impression", ago(0)),
]


def test_features_of_a_user_are_those_worked_out_by_hand() -> None:
    found = user_features(SOLD, EVENTS, DAY)
    assert found.keys() == {"1", "2", "3"}
    assert found["1"] == {
        "lifetime_usd": Decimal("6.00"),
        "orders": 3,
        "days_since_order": 0,
        "orders_28d": 2,
        "order_days_28d": 2,
        "orders_90d": 3,
        "order_days_90d": 3,
        "views_7d": 0,
        "views_28d": 1,
        "sessions_7d": 0,
        "sessions_28d": 1,
        "buying_sessions_28d": 1,
        "purchase_propensity": (1 + 20 * 0.5) / 21,
    }
    assert (found["2"]["orders_28d"], found["2"]["orders_90d"]) == (0, 1)
    assert found["3"]["days_since_order"] is None
    assert (found["3"]["views_7d"], found["3"]["sessions_7d"]) == (1, 1)


def test_features_of_a_product_are_those_worked_out_by_hand() -> None:
    found = item_features(SOLD, EVENTS, DAY)
    assert found.keys() == {"10001", "10002"}
    assert found["10001"]["popularity"] == 1 + 0.5
    assert (found["10001"]["category"], found["10002"]["category"]) == ("MUG", None)
    assert (found["10001"]["buyers"], found["10002"]["cart_adds_28d"]) == (1, 1)
    # Two sessions view a product, one of them buys it.
    assert found["10001"]["conversion"] == (1 + 20 * 0.5) / 21
    assert found["10002"]["conversion"] == (0 + 20 * 0.5) / 21
    assert user_categories(SOLD, [*EVENTS, EVENTS[0]._replace(user_id="2")], found, DAY) == {
        ("1", "MUG"): {"purchases": 2, "share": 1.0, "views_28d": 1},
        ("2", "MUG"): {"purchases": 0, "share": 0.0, "views_28d": 1},
    }


FIRST = Shown("v", "a", 1, "new")


def impression(number: int, user: str, sku: str, place: Shown = FIRST, days: int = 0) -> Event:
    return Event(user, "s", sku, "impression", ago(days), f"i{number}", shown=place)


def act(kind: str, user: str, sku: str, minute: int, of: int | None = None) -> Event:
    at = dt.datetime(2010, 12, 30, 12, minute)
    return Event(
        user, "s", sku, kind, DAY, f"{kind} {minute}", at, None if of is None else f"i{of}"
    )


def test_what_was_live_is_as_worked_out_by_hand() -> None:
    second, again = Shown("v", "a", 2, "new"), Shown("v", "b", 1, "again")
    events = [
        impression(1, "1", "A"),
        impression(2, "1", "B", second),
        impression(3, "2", "A", again),
        impression(4, "1", "A", days=1),
        act("click", "1", "A", 1, of=1),
        act("click", "1", "A", 2, of=1),
        act("purchase", "1", "A", 3),
        act("purchase", "1", "B", 4),
        act("click", "1", "B", 5, of=2),
        # Of an impression of another user's, of one of another day, of another product.
        act("click", "1", "A", 6, of=3),
        act("click", "1", "A", 7, of=4),
        act("click", "2", "B", 8, of=3),
    ]
    items = {"A": {"buyers": 2, "category": "MUG"}, "B": {"buyers": 0, "category": None}}
    found = live_figures(impressions(events, DAY), items, 4)
    values = {key[1:]: row["value"] for key, row in found.items()}
    assert {key: values[key] for key in values if key[1] == 0 and key[0] != "b"} == {
        ("a", 0, "", "ctr"): 1.0,
        ("a", 0, "new", "ctr"): 1.0,
        ("a", 0, "", "conversion"): 0.5,
        ("a", 0, "new", "conversion"): 0.5,
        # One bit of A, which half of the buyers had, two of B, which nobody had and counts as had by one.
        ("a", 0, "", "novelty"): 1.5,
        ("a", 0, "new", "novelty"): 1.5,
        ("a", 0, "", "category_diversity"): 1.0,
        ("a", 0, "new", "category_diversity"): 1.0,
        ("", 0, "", "users_in_two_arms"): 0.0,
    }
    assert (values["a", 1, "", "conversion"], values["a", 2, "", "conversion"]) == (1.0, 0.0)
    assert values["b", 1, "again", "ctr"] == 0.0
    assert values["b", 1, "again", "conversion"] is values["b", 0, "", "category_diversity"] is None
    assert found["v", "a", 0, "", "ctr"] == {"value": 1.0, "impressions": 2, "users": 1}
    unknown = live_figures(impressions(events, DAY), items, 0)
    assert unknown["v", "a", 0, "", "novelty"]["value"] is None
    both = [*events, impression(5, "2", "B")]
    twice = live_figures(impressions(both, DAY), items, 4)["v", "", 0, "", "users_in_two_arms"]
    assert twice == {"value": 1.0, "impressions": 4, "users": 2}


@pytest.mark.parametrize(("probability", "weight"), [(0.25, 4), (0.0001, 9900)])
def test_an_estimate_is_as_worked_out_by_hand(
    monkeypatch: pytest.MonkeyPatch, probability: float, weight: int
) -> None:
    monkeypatch.setattr(oracle_live, "_group", int)
    half, rare = (Shown("v", "a", 1, "new", each) for each in (0.5, probability))
    events = [
        impression(1, "1", "A", half),
        impression(2, "2", "A", half),
        impression(3, "3", "B", half),
        impression(4, "4", "A", rare),
        impression(5, "5", "A", half),
        act("click", "1", "A", 1, of=1),
        act("click", "3", "B", 2, of=3),
    ]
    shown = impressions(events, DAY)
    found = estimated(shown, lambda user, slot, position: None if user == "5" else "A")
    snips = 2.0 / (2 + 2 + weight)
    # Without each of the three that count it is 0 of 2 + weight, 2 of 2 + weight and 2 of 4.
    apart = snips**2 + (2 / (2 + weight) - snips) ** 2 + (0.5 - snips) ** 2
    size = (4 + weight) ** 2 / (8 + weight**2)
    part = 4.302653**2 / min(snips * (1 - snips) / (apart * 2 / 3), size)
    half = (part * snips * (1 - snips) + part**2 / 4) ** 0.5
    low, high = ((snips + part / 2 + side * half) / (1 + part) for side in (-1, 1))
    assert found["new", "ctr_snips"] == {
        "value": snips,
        "low": pytest.approx(low, abs=1e-6),
        "high": pytest.approx(high, abs=1e-6),
        "impressions": 4,
        "users": 4,
        "refused": "few_users",
    }
    # By user, of the other four: CTR of the place a quarter or a half; A was clicked once, by user 1.
    must = {"1": 12.5 / 53, "2": 26 / 53, "3": 13.5 / 54, "4": 26 / 53}
    corrected = 2 * (1 - must["1"]) - 2 * must["2"] - weight * must["4"]
    robust = (sum(must.values()) + corrected) / 4
    assert found["new", "ctr_dr"]["value"] == pytest.approx(max(0.0, robust), abs=1e-12)
    assert (robust > 0) == (weight == 4)
    assert found["new", "effective_sample_size"]["value"] == (4 + weight) ** 2 / (4 + 4 + weight**2)
    assert found["new", "support"]["value"] == (4 + weight) / 4
    # A CTR of a half in the log: (1.96 / 0.5)² × 1.
    assert found["", "effective_sample_size_needed"]["value"] == 16.0
    nothing = dict.fromkeys(("value", "low", "high")) | {"impressions": 0, "users": 0}
    nothing |= {"refused": "nothing_logged"}
    assert found["again", "ctr_snips"] == nothing
    assert found["", "ctr_dr"]["refused"] == "few_users"
    assert found["", "support"]["refused"] is None


def logged(users: int, clicks: int, like: int, probability: float) -> list[Event]:
    """An impression a user: so many of A, which is offered, the rest of B; the first ones are clicked."""
    place = Shown("v", "a", 1, "new", probability)
    shown = [impression(n, f"{n}", "A" if n < like else "B", place) for n in range(users)]
    return shown + [
        act("click", f"{n}", "A" if n < like else "B", n % 60, of=n) for n in range(clicks)
    ]


NOTHING = dict.fromkeys(("value", "low", "high"))


@pytest.mark.parametrize(
    ("users", "clicks", "like", "probability", "why"),
    [
        (40, 20, 40, 1.0, None),
        (0, 0, 0, 1.0, "nothing_logged"),
        (40, 0, 40, 1.0, "no_clicks"),
        # A share of 25 ÷ 40 ± 2.02 × √(0.625 × 0.375 ÷ 39) ends at 0.78, of 26 at 0.8045, of 38 above 1.
        (40, 20, 25, 1.0, "no_support"),
        (40, 20, 26, 1.0, "small_sample"),
        (40, 20, 36, 1.0, "small_sample"),
        (40, 20, 38, 1.0, None),
        # 30 ÷ 40 ÷ 0.5 ± 0.28 begins below 1.25; 36 ÷ 40 ÷ 0.5 ± 0.2 above.
        (40, 20, 30, 0.5, "small_sample"),
        (40, 20, 36, 0.5, "doubtful_probabilities"),
        # 20 ÷ 80 ÷ 0.33 ± 0.29 holds 1, and is too far from it.
        (80, 40, 20, 0.33, "small_sample"),
        (40, 20, 40, 0.79, "doubtful_probabilities"),
        (40, 20, 40, 0.8, None),
        (19, 18, 19, 1.0, "few_users"),
        (20, 19, 20, 1.0, None),
        # A CTR of a quarter: 47 impressions.
        (44, 11, 44, 1.0, "small_sample"),
        (48, 12, 48, 1.0, None),
    ],
)
def test_there_is_no_number_exactly_where_a_limit_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
    users: int,
    clicks: int,
    like: int,
    probability: float,
    why: str | None,
) -> None:
    monkeypatch.setattr(oracle_live, "_group", int)
    shown = impressions(logged(users, clicks, like, probability), DAY)
    made = estimated(shown, lambda user, slot, position: "A")
    assert made["new", "ctr_snips"]["refused"] == made["new", "ctr_dr"]["refused"] == why
    rows = [
        {"slot": slot, "figure": figure, **row} | (NOTHING if row["refused"] else {})
        for (slot, figure), row in made.items()
    ]
    assert estimates_differ(made, pd.DataFrame(rows)) == []
    # A number where there must be none, a reason where there must be a number, and another reason.
    other = {"value": 0.5, "refused": None} if why else {"value": None, "refused": "few_users"}
    for change in (other, {"refused": "another"}):
        wrong = [row | (change if row["figure"] == "ctr_dr" else {}) for row in rows]
        assert any("ctr_dr" in each for each in estimates_differ(made, pd.DataFrame(wrong)))
    for row in rows if why is None else ():
        if row["low"] is not None:
            lower = [each | ({"low": each["low"] - 1e-6} if each is row else {}) for each in rows]
            assert any(row["figure"] in it for it in estimates_differ(made, pd.DataFrame(lower)))


@pytest.mark.parametrize("rare", [0.9, 0.02])
def test_intervals_are_those_of_the_estimates_where_one_impression_weighs_most(
    monkeypatch: pytest.MonkeyPatch, rare: float
) -> None:
    monkeypatch.setattr(oracle_live, "_group", int)
    # A number is given, however little they say.
    for limit, value in (("FEWEST_GROUPS", 2), ("MOST_SUPPORT", 100), ("_WIDEST", 100)):
        monkeypatch.setattr(f"feira.recommendations.live.estimate.{limit}", value)
    places = [Shown("v", "a", n, "new", each) for n, each in ((1, 0.9), (2, rare))]
    events = [
        impression(10 * user + place.position, f"{user}", sku, place)
        for user in range(40)
        for place, sku in zip(places, "AB" if user % 20 else "BA", strict=True)
    ] + [act("click", f"{user}", "A", user, of=10 * user + 1) for user in range(10, 20)]
    shown = impressions(events, DAY)
    offers = {1: "A", 2: "A" if rare < 0.5 else "B"}
    made = estimated(shown, lambda user, slot, position: offers[position])
    expected = oracle_live._expected(shown)
    sums = {name: np.zeros(200) for name in SUMS}
    for event, clicked, _ in shown:
        at = event.shown
        assert at is not None
        has, group = offers[at.position], int(event.user_id)
        weight = (has == event.sku) / at.probability
        must = expected(event.user_id, at.slot, at.position, has)
        row = (1, at.position == 1, clicked, weight, weight**2, weight * clicked)
        for name, each in zip(SUMS, (*row, must, weight * must), strict=True):
            sums[name][group] += each
    found = of_groups("v", sums)
    assert found.refused is None
    for figure, it in (
        ("ctr_snips", found.snips),
        ("ctr_dr", found.dr),
        ("support", found.support),
    ):
        row = made["new", figure]
        assert (row["value"], row["low"], row["high"]) == pytest.approx((it.value, it.low, it.high))


@pytest.mark.parametrize(
    ("text", "hashed"),
    [
        ("", 0xEF46DB3751D8E999),
        ("abc", 0x44BC2CF5AD770999),
        ("Nobody inspects the spammish repetition", 0xFBCEA83C8A378BF1),
    ],
)
def test_the_hash_of_users_is_that_of_its_published_vectors(text: str, hashed: int) -> None:
    assert xxh64(text.encode(), 0) == hashed


@pytest.mark.parametrize(
    "change", [{"orders": 4}, {"purchase_propensity": 0.53}, {"views_7d": None}]
)
def test_a_feature_that_is_another_is_named(change: dict[str, object]) -> None:
    must = user_features(SOLD, EVENTS, DAY)
    held = pd.DataFrame([{"user_id": user, **row} for user, row in must.items()])
    assert features_differ("users", must, held, ["user_id"]) == []
    wrong = pd.DataFrame([{"user_id": user, **row} | change for user, row in must.items()])
    assert any(
        next(iter(change)) in each for each in features_differ("users", must, wrong, ["user_id"])
    )
    assert features_differ("users", must, held[1:], ["user_id"])


@pytest.mark.parametrize(
    ("held", "must", "same"),
    [(0.0, 2.8e-126, True), (1e-18, 3e-18, True), (0.0, 1e-12, False), (1e-9, 2e-9, False)],
)
def test_of_a_decayed_sum_what_is_below_eighteen_decimals_is_nothing(
    held: float, must: float, same: bool
) -> None:
    rows = pd.DataFrame([{"sku": "A", "popularity": held}])
    found = features_differ("items", {"A": {"popularity": must}}, rows, ["sku"])
    assert (found == []) == same


# Two users who bought A and B, of whom one bought A twice, and one of C alone.
KNOWN = Known(
    {("1", "A", ago(0)), ("1", "A", ago(1)), ("1", "B", ago(1)), ("2", "A", ago(0)),
     ("2", "B", ago(0)), ("3", "C", ago(14))},
    DAY,
)  # fmt: skip


def test_scores_are_those_worked_out_by_hand() -> None:
    popular = recent_popularity(KNOWN, 1)
    assert popular.tolist() == [0.5 + 0.25 + 0.5, 0.25 + 0.5, 0.5**15]
    frequency, _ = own_frequency(KNOWN, {})("1")
    assert frequency.tolist() == [2 + 1 / 2, 1 + 1 / 3, 0]
    method = {"groups": 2, "decay_within": 0.9, "decay_by_group": 0.5, "own": 0.75, "neighbours": 1}
    least, most = tifu_knn(KNOWN, method)("1")
    # The newest basket is a group of its own, and so is the other; user 2 is nearest.
    own = np.array([0.5 + 0.25, 0.25, 0])
    assert np.allclose(least, 0.75 * own + 0.25 * np.array([1, 1, 0]))
    assert np.array_equal(least, most)
    # Of user 3 both others are... one at 2 - 0, one nearer: no tie is broken by chance.
    least, most = tifu_knn(KNOWN, method | {"neighbours": 2})("3")
    assert np.allclose(least, 0.75 * np.array([0, 0, 1]) + 0.25 * (own + np.array([1, 1, 0])) / 2)


def test_where_neighbours_tie_a_score_may_be_either() -> None:
    tied = Known({("1", "A", DAY), ("2", "B", DAY), ("3", "C", DAY)}, DAY)
    method = {"groups": 7, "decay_within": 1, "decay_by_group": 1, "own": 0.5, "neighbours": 1}
    least, most = tifu_knn(tied, method)("1")
    assert least.tolist() == [0.5, 0, 0] and most.tolist() == [0.5, 0.5, 0.5]


def test_ease_leaves_no_item_to_explain_itself() -> None:
    of, taken, weights = ease(KNOWN, {"regularisation": 1, "half_life": 1e9})
    assert np.diag(weights).tolist() == [0, 0, 0]
    # A ridge of each item on the others: solved one by one it is the same.
    gram = taken.T @ taken
    alone = np.linalg.solve(gram[1:, 1:] + np.eye(2), gram[1:, 0])
    assert np.allclose(weights[1:, 0], alone)
    assert np.allclose(of("1")[0], taken[0] @ weights)


def test_a_wrong_list_is_named() -> None:
    scores = np.array([3.0, 2.0, 1.0])
    right = [("A", 3.0), ("B", 2.0), ("C", 1.0)]
    everything = {0, 1, 2}
    assert scores_differ("x", right, KNOWN, (scores, scores), everything) == []
    for wrong in (
        [("A", 3.0), ("B", 2.1), ("C", 1.0)],
        [("B", 2.0), ("A", 3.0), ("C", 1.0)],
        [("A", 3.0), ("C", 1.0)],
    ):
        assert scores_differ("x", wrong, KNOWN, (scores, scores), everything)


# Of 3 items a number has 2 bits, of 65,537 it has 17: 2 0 of again, 1 0 2 of new. Then three reasons of 3 bits.
@pytest.mark.parametrize(
    ("items", "of_7", "alone"),
    [
        (3, "020300 1202 0301", "0001ff 01"),
        (65_537, "020300 0200000004000000200000 0301", "0001ff 010000"),
    ],
)
def test_published_bytes_are_read_as_the_layout_says(items: int, of_7: str, alone: str) -> None:
    names = [f"i{number}" for number in range(items)]
    values = {
        "items": json.dumps(names).encode(),
        "meta": json.dumps({"lists": 4, "keys": 5}).encode(),
        "claim": b"1",
        "segments": json.dumps(["BAG", "MUG"]).encode(),
        "segment:1": struct.pack("<1I", 2),
        "user:9": b"\x01\x00\x00",
        "user:7": bytes.fromhex(of_7),
        "user:": bytes.fromhex(alone),
    }
    lists, segments, meta = published_lists(
        {f"reco:v-1:{k}".encode(): v for k, v in values.items()}, "v-1"
    )
    assert lists == {
        ("again", "7"): [("i2", "bought_before", None), ("i0", "bought_before", None)],
        ("new", "7"): [("i1", "goes_with", "i2"), ("i0", "popular", None), ("i2", "goes_with", "i0")],
        ("new", ""): [("i1", "popular", None)],
        ("segment", "MUG"): [("i2", "popular_in_category", None)],
    }  # fmt: skip
    assert segments == {"9": "MUG"}
    assert meta == {"lists": 4, "keys": 5, "counted": 5}


def test_a_reason_that_was_not_bought_before_is_among_the_further_items() -> None:
    # Two items of 2 bits, 1 | 2 | 0: bought 1, offered 0 with 2. Then one reason of 3 bits, 3 + 1.
    value = bytes([1, 1, 1, 0b00_10_01, 0b100])
    assert both_lists(value, ["a", "b", "c"]) == (
        [("b", "bought_before", None)],
        [("a", "goes_with", "c")],
    )
    for wrong in (value[:-1], value + b"\0"):
        with pytest.raises((AssertionError, IndexError)):
            both_lists(wrong, ["a", "b", "c"])


def test_a_users_segment_is_what_it_viewed_most() -> None:
    category_of = {"A": "MUG", "B": "BAG", "C": "MUG"}
    viewed = {
        ("1", "MUG"): (9, 0),
        ("7", "MUG"): (1, 1),
        ("7", "BAG"): (1, 0),
        ("8", "MUG"): (2, 0),
        ("8", "BAG"): (1, 5),
        ("9", "JAR"): (3, 0),
        ("9", "BAG"): (2, 0),
        ("5", "MUG"): (1, 0),
        ("5", "BAG"): (1, 0),
        ("4", "BAG"): (0, 1),
    }
    rows = {of: {"views_28d": views, "purchases": had} for of, (views, had) in viewed.items()}
    found = segments_of(rows, category_of, KNOWN)
    # User 1 has a list of its own, nobody bought a jar, and user 4 viewed nothing.
    assert found == {"7": "MUG", "8": "MUG", "5": "BAG"}
