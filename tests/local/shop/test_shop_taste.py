"""What customers like: enough for the recommendations' gate, the same for sales and events, of any day alone."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feira.recommendations.gate import NOT_ENOUGH, PASSED, judge
from feira.recommendations.interactions import interactions
from feira.recommendations.lists import choose, history_of
from feira_local.shop import taste
from feira_local.shop.catalogue import make_catalogue
from feira_local.shop.fx import FxRates
from feira_local.shop.generator import GeneratedSource, GeneratorSettings
from feira_local.shop.source import Line, SourceError
from feira_local.shop.taste import Taste
from feira_local.web import sessions
from feira_local.web.settings import WebSettings
from oracle import Landing, expected
from oracle_features import interactions as bought_on_days
from oracle_features import sold_lines

FIRST = dt.date(2010, 12, 1)
TASTE = Taste()
GOODS = make_catalogue(TASTE.seed)
PRODUCT = {sku: at for at, sku in enumerate(GOODS.skus[: GOODS.product_count])}
# Customer (None: a guest), order, product.
Choice = tuple[int | None, str, int]


def source(lines_per_day: int, of: Taste = TASTE) -> GeneratedSource:
    return GeneratedSource(GeneratorSettings(of, lines_per_day=lines_per_day, dirty_share=0))


def whole_day(days: GeneratedSource, day: dt.date) -> list[Line]:
    return days.lines(day, 0, days.total(day))


def ordered(days: GeneratedSource, day: dt.date) -> list[Choice]:
    """What the day's new orders are of, each line once."""
    return [
        (customer, order, PRODUCT[sku])
        for order, _, customer, sku in {
            (line["order_id"], line["line_number"], line["customer_id"], line["sku"])
            for line in whole_day(days, day)
            if line["created_at"][:10] == str(day)
        }
        if sku in PRODUCT
    ]


@pytest.fixture(scope="module")
def weeks() -> list[list[Choice]]:
    """Four weeks, day by day."""
    days = source(1500)
    return [ordered(days, FIRST + dt.timedelta(days=at)) for at in range(28)]


@given(
    seed=st.integers(0, 2**31),
    lines=st.integers(1, 900),
    clusters=st.integers(1, 400),
    after=st.integers(0, 500),
)
@settings(max_examples=25, deadline=None)
def test_a_day_drawn_alone_is_the_day_drawn_in_a_range(
    seed: int, lines: int, clusters: int, after: int
) -> None:
    of, day = Taste(seed, clusters), FIRST + dt.timedelta(days=after)
    in_range = source(lines, of)
    for at in range(max(after - 6, 0), after):
        whole_day(in_range, FIRST + dt.timedelta(days=at))
    alone = whole_day(source(lines, of), day)
    assert whole_day(in_range, day) == alone
    half = len(alone) // 2
    assert source(lines, of).lines(day, half, len(alone)) == alone[half:]


def test_about_a_quarter_of_what_known_customers_buy_in_a_fourth_week_they_had_before(
    weeks: list[list[Choice]],
) -> None:
    had: set[tuple[int, int]] = set()
    again = Counter[bool]()
    for at, day in enumerate(weeks):
        pairs = {(customer, product) for customer, _, product in day if customer}
        known = {customer for customer, _ in had}
        if at >= 21:
            again.update(pair in had for pair in pairs if pair[0] in known)
        had |= pairs
    assert again.total() > 2000
    assert 0.2 < again[True] / again.total() < 0.4


def lift(baskets: list[list[int]], kind: list[int]) -> tuple[float, float]:
    """How much more often two products of a basket are of one kind than two of all that is bought, and how much
    more often of two kinds."""
    pairs = [kind[a] == kind[b] for basket in baskets for a, b in combinations(basket, 2)]
    shares = Counter(kind[product] for basket in baskets for product in basket)
    alike = sum((count / shares.total()) ** 2 for count in shares.values())
    found = sum(pairs) / len(pairs)
    return found / alike, (1 - found) / (1 - alike)


def kinds() -> dict[str, list[int]]:
    words = [text.split()[-1] for text in GOODS.descriptions[: GOODS.product_count]]
    names = sorted(set(words))
    return {
        "cluster": taste.group_of(TASTE).tolist(),
        "category": [names.index(word) for word in words],
    }


@pytest.mark.parametrize(("kind", "least"), [("cluster", 6), ("category", 3)])
def test_products_of_a_cluster_and_of_a_category_are_ordered_together(
    weeks: list[list[Choice]], kind: str, least: float
) -> None:
    orders: dict[str, list[int]] = defaultdict(list)
    for _, order, product in weeks[0] + weeks[14]:
        orders[order].append(product)
    within, between = lift(list(orders.values()), kinds()[kind])
    assert within > least and between < 0.6


@pytest.mark.parametrize(("kind", "least"), [("cluster", 5), ("category", 2.5)])
def test_a_customer_stays_with_its_clusters_and_categories_from_order_to_order(
    weeks: list[list[Choice]], kind: str, least: float
) -> None:
    of_order: dict[int, dict[str, int]] = defaultdict(dict)
    for day in weeks:
        for customer, order, product in day:
            if customer:
                # One of each order: two of one order would say nothing of the customer.
                of_order[customer].setdefault(order, product)
    baskets = [sorted(orders.values()) for orders in of_order.values() if len(orders) > 1]
    within, between = lift(baskets, kinds()[kind])
    assert within > least and between < 0.7


def test_an_order_has_a_product_once_as_a_rule(weeks: list[list[Choice]]) -> None:
    lines = [(order, product) for day in weeks for _, order, product in day]
    assert 1 - len(set(lines)) / len(lines) < 0.03


def test_what_sells_best_drifts_but_for_what_customers_keep_buying() -> None:
    def best(after: int) -> set[int]:
        days = source(20_000, Taste(repeats=0))
        counted = Counter(
            product for *_, product in ordered(days, FIRST + dt.timedelta(days=after))
        )
        return {product for product, _ in counted.most_common(50)}

    same = [len(best(0) & best(after)) / 50 for after in (1, 60)]
    assert same[0] > 0.5 > 0.3 > same[1]


def test_the_same_customer_likes_something_else_with_another_seed() -> None:
    homes = [taste.likes(Taste(seed), np.arange(2000)).homes for seed in (7, 7, 8)]
    same = [(homes[0] == other).mean() for other in homes[1:]]
    assert same[0] == 1 and same[1] < 0.2


def test_customers_come_back_and_guests_have_tastes_of_their_own(
    weeks: list[list[Choice]],
) -> None:
    before = {customer for day in weeks[:21] for customer, _, _ in day if customer}
    after = [customer for day in weeks[21:] for customer, _, _ in day if customer]
    assert sum(customer in before for customer in after) > 0.8 * len(after)
    guests: dict[str, list[int]] = defaultdict(list)
    for customer, order, product in weeks[0]:
        if customer is None:
            guests[order].append(product)
    assert lift(list(guests.values()), kinds()["cluster"])[0] > 6
    liked = Counter(
        Counter(kinds()["cluster"][product] for product in order).most_common(1)[0][0]
        for order in guests.values()
    )
    assert len(liked) > 10


@pytest.mark.parametrize(("of_events", "least", "most"), [(TASTE, 0.5, 1), (Taste(8), 0, 0.25)])
def test_a_customer_likes_in_the_web_shop_what_it_buys(
    weeks: list[list[Choice]], of_events: Taste, least: float, most: float
) -> None:
    """With another seed for the events there is nothing in common."""
    web = WebSettings(of_events, events=20_000, users=taste.customer_count(1500))
    viewed: dict[int, Counter[int]] = defaultdict(Counter)
    group = taste.group_of(TASTE)
    for at in range(5):
        who, events = sessions.draw(
            web, FIRST + dt.timedelta(days=at), 0, sessions.SESSIONS // 2, (0, 1)
        )
        views = np.flatnonzero(events.kind == sessions.VIEW)
        users = who.user[events.session[views]] + taste.FIRST_CUSTOMER
        for user, product in zip(users.tolist(), events.item[views].tolist(), strict=True):
            viewed[user][int(group[product])] += 1
    bought: dict[int, Counter[int]] = defaultdict(Counter)
    for day in weeks:
        for customer, _, product in day:
            if customer:
                bought[customer][int(group[product])] += 1
    both = [it for it in bought if bought[it].total() >= 10 and viewed[it].total() >= 10]
    assert len(both) > 300
    same = [bought[it].most_common(1)[0][0] == viewed[it].most_common(1)[0][0] for it in both]
    assert least < sum(same) / len(same) < most


@pytest.mark.parametrize(("days", "verdict"), [(5, NOT_ENOUGH), (14, PASSED), (28, PASSED)])
def test_the_gate_passes_weeks_of_generated_sales_and_refuses_no_days(
    days: int, verdict: str
) -> None:
    shop, rates = GeneratedSource(GeneratorSettings(lines_per_day=1000)), FxRates(TASTE.seed)
    day, landings = FIRST, []
    for day in (FIRST + dt.timedelta(days=at) for at in range(days)):
        known = rates.rates(day - dt.timedelta(days=14), day)
        landings.append(Landing(str(day), 1, whole_day(shop, day), known))
    fact = expected(landings).fact
    bought = interactions(sorted(bought_on_days(sold_lines(fact, day))))
    found = judge(bought, day, choose(history_of(bought, day))[0])
    assert found.verdict == verdict, "\n".join(each.in_words() for each in found.figures)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("seed", -1),
        ("clusters", 0),
        ("clusters", 401),
        ("cohesion", float("nan")),
        ("repeats", 1.1),
        ("drift_days", 0),
    ],
)
def test_a_taste_out_of_its_limits_is_refused_by_name(setting: str, value: float) -> None:
    with pytest.raises(SourceError, match=f"^{setting} is {value}; "):
        Taste(**{setting: value})  # type: ignore[arg-type]
