"""Features as of a day, against plain loops over the same rows, and against themselves once the future is there."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

import pytest

from fact_rows import fact_row
from feira.core.contracts import contract
from feira_spark.core.tables import require_tables
from feira_spark.recommendations import day as steps
from feira_spark.recommendations.as_of import events, sold_lines, sources
from feira_spark.recommendations.features import (
    BROWSED_DAYS,
    browsed_by_item,
    browsed_by_user,
    item_features,
    user_categories,
    user_features,
    visits,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAY = date(2011, 3, 31)
# What the list of stock codes says of them.
PRODUCTS = ("22423", "85123A", "DCGS0003", "47566", "21730")
NO_PRODUCTS = {"POST": "postage", "M": "adjustment", "XYZ": "other"}
NAMES = (
    "WHITE HEART T-LIGHT HOLDER",
    "red retrospot mug.",
    "SET OF 6",
    "PARTY BUNTING 2",
    "Bouquet Fleurs séchées",
    "",
    None,
)
STATUSES = ("completed", "completed", "shipped", "pending", "failed", "cancelled")
# On both sides of each window's first day, and of the day itself.
ORDER_AGES = (-2, -1, 0, 13, 14, 27, 28, 89, 90)
EVENT_AGES = (-1, 0, 6, 7, 27, 28)
# When lines are changed: before the day, on it and after it.
CHANGE_AGES = (20, 0, -3)
OFFSETS = '{"user_events": {"7": [3, 9], "10": [0, 0]}}'
Row = dict[str, Any]


def ago(days: int) -> date:
    return DAY - timedelta(days=days)


def versions(draw: random.Random) -> list[Row]:
    """Rows of the extracts: each line as it was ordered, and most of them again as they were changed later."""
    made = []
    for number in range(240):
        order = draw.randrange(90)
        ordered = ago(ORDER_AGES[order % len(ORDER_AGES)])
        customer = None if order % 10 == 0 else 1 + order % 6
        sku = draw.choice([*PRODUCTS * 3, *NO_PRODUCTS])
        if ordered > DAY and number % 2:
            customer, sku = 50, "11111"
        changed = [ago(age) for age in CHANGE_AGES if ago(age) > ordered and draw.random() < 0.4]
        made += [
            fact_row(
                f"order-{order}",
                number,
                sku=sku,
                description=draw.choice(NAMES),
                status=draw.choice(STATUSES),
                customer_id=customer,
                amount_usd=Decimal(draw.randrange(1, 10**7)) / 10**4,
                line_kind=NO_PRODUCTS.get(sku, "product"),
                order_date=ordered,
                created_at=datetime.combine(ordered, time(9), UTC),
                updated_at=datetime.combine(shown, time(draw.randrange(10, 24)), UTC),
            )
            for shown in (ordered, *changed)
        ]
    return made


def newest(extracts: list[Row]) -> list[Row]:
    """The fact of these extracts: of each line the newest version."""
    found: dict[tuple[str, int], Row] = {}
    for row in sorted(extracts, key=lambda row: row["updated_at"]):
        found[row["order_id"], row["line_number"]] = row
    return list(found.values())


def web_events(draw: random.Random) -> list[Row]:
    """Users 1 to 9 are customers too; those of letters only look."""
    made = []
    for number in range(600):
        session = draw.randrange(48)
        day = ago(EVENT_AGES[session % len(EVENT_AGES)])
        kinds = ["view"] * 4 + ["add_to_cart"] * 2 + ["purchase"] * 2 + ["impression", "click"]
        kind = draw.choice(kinds if session % 7 else ["purchase", "add_to_cart"])
        made.append(
            dict.fromkeys(contract("web.user_events").column_names)
            | {
                "event_id": f"event-{number}",
                "occurred_at": datetime.combine(day, time(12), UTC),
                "user_id": draw.choice(["1", "2", "9", "a", "b"])
                if session % 3
                else f"in {day:%b}",
                "session_id": f"session-{session}",
                "event_type": kind,
                "sku": draw.choice([*PRODUCTS[:3], "99999" if day <= DAY else "11112", "POST"]),
                "event_day": day,
                "kafka_partition": 0,
                "kafka_offset": number,
            }
        )
    return made


@dataclass(frozen=True)
class Expected:
    """What plain loops make of the rows, by each table's key without the day."""

    users: dict[str, Row]
    items: dict[str, Row]
    categories: dict[tuple[str, str], Row]


def expected(extracts: list[Row], seen: list[Row]) -> Expected:
    """By the table of docs/recommendations.md, line by line; knows of no day after DAY."""
    lines = newest([row for row in extracts if row["updated_at"].date() <= DAY])
    sold = [row for row in lines if row["status"] in ("completed", "shipped")]
    events = [row for row in seen if ago(27) <= row["event_day"] <= DAY]
    customers = {str(row["customer_id"]) for row in sold if row["customer_id"] is not None}

    def rates(of: str, rows: list[Row]) -> dict[str, Row]:
        viewed, bought, views = defaultdict(set), defaultdict(set), defaultdict(int)
        for row in rows:
            if row["event_type"] == "view":
                viewed[row[of]].add((row["user_id"], row["session_id"]))
                views[row[of]] += 1
            if row["event_type"] == "purchase":
                bought[row[of]].add((row["user_id"], row["session_id"]))
        sessions = {each: len(viewed[each]) for each in [*viewed]}
        buying = {each: len(viewed[each] & bought[each]) for each in [*viewed]}
        of_all = sum(buying.values()) / sum(sessions.values())
        return defaultdict(
            lambda: {"views_28d": 0, "sessions_28d": 0, "buying_sessions_28d": 0, "rate": of_all},
            {
                each: {
                    "views_28d": views[each],
                    "sessions_28d": sessions[each],
                    "buying_sessions_28d": buying[each],
                    "rate": (buying[each] + 20 * of_all) / (sessions[each] + 20),
                }
                for each in viewed
            },
        )

    users, of_user = {}, rates("user_id", events)
    for user in customers | {row["user_id"] for row in events}:
        own = [row for row in sold if str(row["customer_id"]) == user]
        views = [r for r in events if r["user_id"] == user and r["event_type"] == "view"]
        week = [row for row in views if row["event_day"] >= ago(6)]
        rate = of_user[user].copy()
        users[user] = rate | {
            "lifetime_usd": sum((row["amount_usd"] for row in own), Decimal(0)),
            "orders": len({row["order_id"] for row in own}),
            "days_since_order": min(((DAY - r["order_date"]).days for r in own), default=None),
            "views_7d": len(week),
            "sessions_7d": len({row["session_id"] for row in week}),
            "purchase_propensity": rate.pop("rate"),
        }
        for days in (28, 90):
            inside = [row for row in own if row["order_date"] > ago(days)]
            users[user][f"orders_{days}d"] = len({row["order_id"] for row in inside})
            users[user][f"order_days_{days}d"] = len({row["order_date"] for row in inside})

    products = [row for row in sold if row["sku"] not in NO_PRODUCTS]
    looked_at = [row for row in events if row["sku"] not in NO_PRODUCTS]
    items, of_item, bought = {}, rates("sku", looked_at), set()
    for sku in {row["sku"] for row in [*products, *looked_at]}:
        own = [row for row in products if row["sku"] == sku]
        pairs = {(row["customer_id"], row["order_date"]) for row in own if row["customer_id"]}
        named = [row for row in own if row["description"] is not None]
        last = max(named, default={"description": ""},
                   key=lambda row: (row["order_date"], row["order_id"], row["line_number"]))  # fmt: skip
        rate = of_item[sku].copy()
        items[sku] = {
            "conversion": rate.pop("rate"),
            "category": last_word(last["description"]),
            "popularity": sum(0.5 ** ((DAY - day).days / 14) for _, day in pairs),
            "buyers": len({customer for customer, _ in pairs}),
            "cart_adds_28d": sum(
                row["sku"] == sku and row["event_type"] == "add_to_cart" for row in events
            ),
        } | rate
        bought |= {(str(customer), sku, day) for customer, day in pairs}

    categories: dict[tuple[str, str], Row] = {}
    viewed = [(row["user_id"], row["sku"]) for row in looked_at if row["event_type"] == "view"]
    for name, pairs in (("purchases", [it[:2] for it in bought]), ("views_28d", viewed)):
        for user, sku in pairs:
            if category := items[sku]["category"]:
                nothing = {"purchases": 0, "views_28d": 0}
                categories.setdefault((user, category), nothing)[name] += 1
    for (user, _), row in categories.items():
        of_all = sum(it["purchases"] for (whose, _), it in categories.items() if whose == user)
        row["share"] = row["purchases"] / of_all if of_all else 0
    return Expected(users, items, categories)


def last_word(text: str) -> str | None:
    while text and not text[-1].isalpha():
        text = text[:-1]
    word = ""
    while text and text[-1].isalpha():
        word, text = text[-1] + word, text[:-1]
    return word.upper() if len(word) >= 3 else None


def add(spark: SparkSession, table: str, rows: list[Row]) -> None:
    names, schema = contract(table).column_names, spark.table(f"lake.{table}").schema
    given = [tuple(row.get(name, 1) for name in names) for row in rows]
    spark.createDataFrame(given, schema).writeTo(f"lake.{table}").append()


TABLES = (steps.USER_FEATURES, steps.ITEM_FEATURES, steps.USER_CATEGORIES)


@dataclass(frozen=True)
class Runs:
    """The features computed when nothing of later days was there, and the tables of a run when it was."""

    must: Expected
    before: dict[str, list[Row]]
    after: dict[str, list[Row]]
    read: dict[str, int | None]
    done: steps.Features
    kept: int


def computed(spark: SparkSession, read: dict[str, int | None]) -> dict[str, list[Row]]:
    sold = sold_lines(spark, DAY, read)
    seen = events(spark, DAY, read, BROWSED_DAYS)
    visited = visits(seen, DAY)
    items = item_features(sold, browsed_by_item(seen, visited), DAY)
    users = user_features(sold, browsed_by_user(seen, visited), DAY)
    made = (users, items, user_categories(sold, visited, items))
    return dict(zip(TABLES, map(collected, TABLES, made), strict=True))


def collected(table: str, frame: DataFrame) -> list[Row]:
    """The columns of the contract without the day, ordered by the key."""
    declared = contract(table)
    rows = frame.select(*declared.column_names[1:]).orderBy(*declared.primary_key[1:]).collect()
    return [row.asDict() for row in rows]


@pytest.fixture(scope="module")
def runs(spark: SparkSession) -> Runs:
    draw = random.Random(13)
    extracts, seen = versions(draw), web_events(draw)
    read = ("sales.order_lines", "sales.fact", "web.user_events")
    for table in (*read, *TABLES):
        spark.sql(f"DROP TABLE IF EXISTS lake.{table} PURGE")
    require_tables(spark, [contract(table) for table in (*read, *TABLES)])
    for later in (False, True):
        shown = [row for row in extracts if later == (row["updated_at"].date() > DAY)]
        add(spark, "sales.order_lines", shown)
        if later:
            spark.sql("DELETE FROM lake.sales.fact")
        add(spark, "sales.fact", newest(extracts if later else shown))
        add(spark, "web.user_events", [row for row in seen if later == (row["event_day"] > DAY)])
        if not later:
            at_first = sources(spark)
            before = computed(spark, at_first)
    # What an earlier run of the day and one of another day have left.
    spark.sql(
        f"INSERT INTO lake.{TABLES[2]} VALUES (DATE'{DAY}', 'gone', 'MUG', 1, 1.0D, 1), "
        f"(DATE'{ago(1)}', 'stays', 'MUG', 1, 1.0D, 1)"
    )
    ingested = spark.table("lake.web.user_events").limit(0).writeTo("lake.web.user_events")
    for name, value in (("event-day", str(DAY)), ("kafka-offsets", OFFSETS)):
        ingested = ingested.option(f"snapshot-property.feira.{name}", value)
    ingested.append()
    done = steps.features(spark, DAY)
    after = {table: collected(table, steps.of_day(spark, table, DAY)) for table in TABLES}
    kept = steps.of_day(spark, TABLES[2], ago(1)).count()
    return Runs(expected(extracts, seen), before, after, at_first, done, kept)


def dicts(runs: Runs, table: str) -> list[Row]:
    return [dict(row) for row in runs.after[table]]


def test_the_features_of_users_are_what_plain_loops_find(runs: Runs) -> None:
    found = {row.pop("user_id"): row for row in dicts(runs, steps.USER_FEATURES)}
    assert found == runs.must.users
    # The draw has everybody: customers who look, who do not, and users who only look.
    assert {"1", "5", "a"} <= found.keys() and not {"50", "in Apr"} & found.keys()


def test_the_features_of_products_are_what_plain_loops_find(runs: Runs) -> None:
    found = {row.pop("sku"): row for row in dicts(runs, steps.ITEM_FEATURES)}
    assert found == {
        sku: row | {"popularity": pytest.approx(row["popularity"], rel=1e-12)}
        for sku, row in runs.must.items.items()
    }
    assert {row["category"] for row in found.values()} >= {"HOLDER", None}


def test_a_users_categories_are_what_plain_loops_find(runs: Runs) -> None:
    rows = dicts(runs, steps.USER_CATEGORIES)
    found = {(row.pop("user_id"), row.pop("category")): row for row in rows}
    assert found == runs.must.categories
    # The draw has who only bought in a category, who only viewed in it, and both.
    assert {(it["purchases"] > 0, it["views_28d"] > 0) for it in found.values()} == {
        (True, False), (False, True), (True, True),
    }  # fmt: skip


@pytest.mark.parametrize("table", TABLES)
def test_with_the_future_planted_every_feature_is_the_same_value(runs: Runs, table: str) -> None:
    """Later orders, new users and products, and lines of before that were changed or cancelled since."""
    assert runs.after[table] == runs.before[table]


def test_a_run_replaces_its_day_alone_and_says_what_it_read(
    spark: SparkSession, runs: Runs
) -> None:
    assert runs.kept == 1
    assert runs.done.rows == {table: len(runs.after[table]) for table in TABLES}
    assert all(runs.done.sources[table] != snapshot for table, snapshot in runs.read.items())
    found = spark.sql(
        f"SELECT summary FROM lake.{TABLES[0]}.snapshots "
        f"WHERE snapshot_id = {runs.done.snapshots[TABLES[0]]}"
    ).collect()
    summary = found[0]["summary"]
    assert json.loads(summary["feira.sources"]) == runs.done.sources
    assert steps.offsets_of(spark, DAY, runs.done.sources) == {"7": [3, 9], "10": [0, 0]}
    assert summary["feira.as-of"] == "2011-03-31"


def test_a_name_is_of_one_category_in_whatever_form_its_letters_are_written(
    spark: SparkSession,
) -> None:
    names = {
        "TASSE GRÜN": "GRÜN",
        "chapéu de verão.": "VERÃO",
        "BOUQUET SÉCHÉES 2": "SÉCHÉES",
        "MUG 2\u20e3": "MUG",
        "SET ÄÖ": None,
        "\ud55c\uad6d": None,  # two syllables, which are six letters where they are written apart
        "\ud55c\uad6d\uc5b4": "\ud55c\uad6d\uc5b4",
        "TEE A\u0323\u0308BC": "Ạ\u0308BC",  # no single character
        "\u0928\u092e\u0938\u094d\u0924\u0947": "\u0928\u092e\u0938\u094d\u0924\u0947",
    }
    rows = [
        (
            "7",
            "o",
            number,
            f"{22000 + number}{form[-1]}",
            normalize(form, name),
            DAY,
            Decimal(5),
            "product",
        )
        for number, name in enumerate(names)
        for form in ("NFC", "NFD")
    ]
    sold = spark.createDataFrame(
        rows,
        "user_id string, order_id string, line_number int, sku string, description string, "
        "order_date date, amount_usd decimal(18,4), line_kind string",
    )
    columns = "user_id string, session_id string, sku string, event_type string, event_day date"
    none = spark.createDataFrame([], columns)
    found = item_features(sold, browsed_by_item(none, visits(none, DAY)), DAY)
    assert {row["sku"]: row["category"] for row in found.collect()} == {
        f"{22000 + number}{form}": category
        for number, category in enumerate(names.values())
        for form in "CD"
    }


def test_without_a_view_there_is_no_rate(spark: SparkSession) -> None:
    sold = spark.createDataFrame(
        [
            ("7", "o", 1, "22423", "TEA MUG", DAY, Decimal(5), "product"),
            ("7", "o", 2, "22424", "SET OF 6", DAY, Decimal(5), "product"),
        ],
        "user_id string, order_id string, line_number int, sku string, description string, "
        "order_date date, amount_usd decimal(18,4), line_kind string",
    )
    columns = "user_id string, session_id string, sku string, event_type string, event_day date"
    seen = spark.createDataFrame([("8", "s", "22423", "purchase", DAY)], columns)
    visited = visits(seen, DAY)
    by_user, by_item = browsed_by_user(seen, visited), browsed_by_item(seen, visited)
    users = {row["user_id"]: row for row in user_features(sold, by_user, DAY).collect()}
    assert {user: row["purchase_propensity"] for user, row in users.items()} == {
        "7": None,
        "8": None,
    }
    assert (users["7"]["views_28d"], users["8"]["orders"]) == (0, 0)
    items = sorted(item_features(sold, by_item, DAY).collect(), key=lambda row: row["sku"])
    assert [row["conversion"] for row in items] == [None, None]
    assert [row["category"] for row in items] == ["MUG", None]
