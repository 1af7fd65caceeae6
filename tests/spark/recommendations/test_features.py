"""Features as of a day, against plain loops over the same rows, and against themselves once the future is there."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from fact_rows import fact_row
from feira.core.contracts import contract
from feira_spark.core.tables import require_tables
from feira_spark.recommendations import day as steps
from feira_spark.recommendations.features import item_features, user_features, visits

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

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
# On both sides of each window's first day, the day itself, and the days around it.
AGES = (-9, -2, -1, 0, 1, 6, 7, 13, 14, 27, 28, 29, 60, 89, 90, 120)
Row = dict[str, Any]


def ago(days: int) -> date:
    return DAY - timedelta(days=days)


def versions(draw: random.Random) -> list[Row]:
    """Rows of the extracts: each line as it was ordered, and half of them again as they were changed later."""
    made = []
    for number in range(240):
        order = draw.randrange(90)
        ordered = ago(AGES[order % len(AGES)])
        customer = None if order % 9 == 0 else 1 + order % 13
        sku = draw.choice([*PRODUCTS * 3, *NO_PRODUCTS])
        if ordered > DAY and number % 2:
            customer, sku = 50, "11111"
        shown = ordered + timedelta(days=draw.choice([0, 0, 0, 1]))
        for _ in range(draw.choice([1, 1, 2, 3])):
            made.append(
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
                    created_at=datetime.combine(ordered, time(9, tzinfo=UTC)),
                    updated_at=datetime.combine(shown, time(draw.randrange(10, 24), tzinfo=UTC)),
                )
            )
            shown += timedelta(days=draw.choice([1, 5, 40]))
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
    for number in range(900):
        session = draw.randrange(150)
        day = ago(AGES[session % len(AGES)])
        kinds = ["view"] * 5 + ["add_to_cart"] * 2 + ["purchase", "impression", "click"]
        kind = draw.choice(kinds if session % 7 else ["purchase", "add_to_cart"])
        made.append(
            dict.fromkeys(contract("web.user_events").column_names)
            | {
                "event_id": f"event-{number}",
                "occurred_at": datetime.combine(day, time(12, tzinfo=UTC)),
                "user_id": draw.choice(["1", "2", "9", "a", "b"])
                if session % 3
                else f"in {day:%b}",
                "session_id": f"session-{session}",
                "event_type": kind,
                "sku": draw.choice([*PRODUCTS, "99999" if day <= DAY else "11112", *NO_PRODUCTS]),
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


def expected(extracts: list[Row], events: list[Row]) -> Expected:
    """By the table of docs/recommendations.md, line by line; knows of no day after DAY."""
    lines = newest([row for row in extracts if row["updated_at"].date() <= DAY])
    sold = [row for row in lines if row["status"] in ("completed", "shipped")]
    events = [row for row in events if ago(27) <= row["event_day"] <= DAY]
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
    for user, sku, _ in bought:
        if category := items[sku]["category"]:
            categories.setdefault((user, category), {"purchases": 0})["purchases"] += 1
    for (user, _), row in categories.items():
        row["share"] = row["purchases"] / sum(
            other["purchases"] for (whose, _), other in categories.items() if whose == user
        )
    return Expected(users, items, categories)


def last_word(text: str) -> str | None:
    while text and not text[-1].isalpha():
        text = text[:-1]
    word = ""
    while text and text[-1].isalpha():
        word, text = text[-1] + word, text[:-1]
    return word.upper() if len(word) >= 3 else None


def fill(spark: SparkSession, table: str, rows: list[Row]) -> None:
    """Writes the rows in the place of all that the table holds."""
    names, schema = contract(table).column_names, spark.table(f"lake.{table}").schema
    given = [tuple(row.get(name, 1) for name in names) for row in rows]
    spark.createDataFrame(given, schema).writeTo(f"lake.{table}").overwritePartitions()


def held(spark: SparkSession, table: str) -> list[Row]:
    names = contract(table).column_names
    rows = spark.table(f"lake.{table}").select(*names).orderBy(*names[:3]).collect()
    return [row.asDict() for row in rows]


TABLES = (steps.USER_FEATURES, steps.ITEM_FEATURES, steps.USER_CATEGORIES)


@dataclass(frozen=True)
class Runs:
    """The tables after a run when nothing of later days was there, and after one when it was."""

    must: Expected
    before: dict[str, list[Row]]
    after: dict[str, list[Row]]
    first: steps.Features
    second: steps.Features
    summaries: list[dict[str, str]]


@pytest.fixture(scope="module")
def runs(spark: SparkSession) -> Runs:
    draw = random.Random(13)
    extracts, events = versions(draw), web_events(draw)
    read = ("sales.order_lines", "sales.fact", "web.user_events")
    for table in (*read, *TABLES):
        spark.sql(f"DROP TABLE IF EXISTS lake.{table} PURGE")
    require_tables(spark, [contract(table) for table in read])
    then = [row for row in extracts if row["updated_at"].date() <= DAY]
    for table, rows in zip(read, (then, newest(then), [e for e in events if e["event_day"] <= DAY]),
                           strict=True):  # fmt: skip
        fill(spark, table, rows)
    first = steps.features(spark, DAY)
    before = {table: held(spark, table) for table in TABLES}
    spark.sql("DELETE FROM lake.sales.fact")
    for table, rows in zip(read, (extracts, newest(extracts), events), strict=True):
        fill(spark, table, rows)
    second = steps.features(spark, DAY)
    after = {table: held(spark, table) for table in TABLES}
    found = spark.sql(f"SELECT summary FROM lake.{TABLES[0]}.snapshots ORDER BY committed_at")
    summaries = [row["summary"] for row in found.collect()]
    return Runs(expected(extracts, events), before, after, first, second, summaries)


def test_the_features_of_users_are_what_plain_loops_find(runs: Runs) -> None:
    found = {row.pop("user_id"): row for row in copied(runs.before[steps.USER_FEATURES])}
    assert found == runs.must.users
    # The draw has everybody: customers who look, who do not, and users who only look.
    assert {"1", "5", "a"} <= found.keys() and not {"50", "in Apr"} & found.keys()


def test_the_features_of_products_are_what_plain_loops_find(runs: Runs) -> None:
    found = {row.pop("sku"): row for row in copied(runs.before[steps.ITEM_FEATURES])}
    assert found == {
        sku: row | {"popularity": pytest.approx(row["popularity"], rel=1e-12)}
        for sku, row in runs.must.items.items()
    }
    assert {row["category"] for row in found.values()} >= {"HOLDER", None}


def test_a_users_categories_are_what_plain_loops_find(runs: Runs) -> None:
    rows = copied(runs.before[steps.USER_CATEGORIES])
    found = {(row.pop("user_id"), row.pop("category")): row for row in rows}
    assert found == runs.must.categories


def copied(rows: list[Row]) -> list[Row]:
    """The rows without the day, which is the same in all."""
    assert {row["as_of"] for row in rows} == {DAY}
    return [{name: value for name, value in row.items() if name != "as_of"} for row in rows]


@pytest.mark.parametrize("table", TABLES)
def test_with_the_future_planted_every_feature_is_the_same_value(runs: Runs, table: str) -> None:
    """Later orders, new users and products, and lines of before that were changed or cancelled since."""
    assert runs.after[table] == runs.before[table]


def test_a_run_says_what_it_read_and_so_does_the_snapshot_that_it_made(runs: Runs) -> None:
    for done, summary in zip((runs.first, runs.second), runs.summaries, strict=True):
        assert json.loads(summary["feira.sources"]) == done.sources
        assert summary["feira.as-of"] == "2011-03-31"
        assert done.rows == {table: len(runs.before[table]) for table in TABLES}
    assert all(runs.first.sources[table] != of for table, of in runs.second.sources.items())
    assert runs.first.snapshots.keys() == set(TABLES) == runs.second.snapshots.keys()


def test_without_a_view_there_is_no_rate(spark: SparkSession) -> None:
    sold = spark.createDataFrame(
        [("7", "o", 1, "22423", "MUG", DAY, Decimal(5), "product")],
        "user_id string, order_id string, line_number int, sku string, description string, "
        "order_date date, amount_usd decimal(18,4), line_kind string",
    )
    seen = "user_id string, session_id string, sku string, event_type string, event_day date"
    visited = visits(spark.createDataFrame([("8", "s", "22423", "purchase", DAY)], seen), DAY)
    users = {row["user_id"]: row for row in user_features(sold, visited, DAY).collect()}
    assert {user: row["purchase_propensity"] for user, row in users.items()} == {
        "7": None,
        "8": None,
    }
    assert (users["7"]["views_28d"], users["8"]["orders"]) == (0, 0)
    (item,) = item_features(sold, visited, DAY).collect()
    assert (item["conversion"], item["popularity"], item["buyers"]) == (None, 1.0, 1)
