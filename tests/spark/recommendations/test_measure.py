"""What was shown on a simulated day, and the estimates from it, against plain loops over the same events."""

from __future__ import annotations

import json
import math
import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from feira.core.contracts import contract
from feira.recommendations.live import estimate
from feira.user_events.codec import TABLE, decode
from feira_local.shop.taste import Taste
from feira_local.web.day import batches
from feira_local.web.settings import Disorder, WebSettings
from feira_spark.core.tables import require_tables, write_staged
from feira_spark.recommendations import measure as steps
from feira_spark.recommendations.day import ITEM_FEATURES, USER_CATEGORIES, USER_FEATURES, of_day
from feira_spark.recommendations.impressions import impressions_of
from feira_spark.recommendations.lists import LISTS, VERSIONS, segments
from feira_spark.recommendations.replayed import replayed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAY = date(2010, 12, 2)
BEFORE = DAY - timedelta(days=1)
# Of which lists were shown too, and then on no day for years.
LONG_AGO = date(2004, 2, 29)
NEW, OLD, OLDEST = "2010-12-02-002", "2010-12-01-010", "2010-12-01-009"
MARKUP = "<script>$x_1^2$</script>"
LEFT_OUT = (MARKUP, "1")
Row = dict[str, Any]
Key = tuple[str, str, int]
# Both slots, and each.
SLOTS = (None, "again", "new")


def simulated() -> list[Row]:
    orderly = Disorder(out_of_order=0, late=0, duplicate=0, redated=0, malformed=0)
    settings = WebSettings(Taste(clusters=4), events=1500, users=60, swapped=0.05, disorder=orderly)
    found = [decode(it) for batch in batches(settings, DAY) for it in batch.messages.values]
    return [row for row in found if row["event_type"] != "view"]


def faults(found: list[Row]) -> list[Row]:
    """Clicks that count for nothing or once, purchases between clicks, and impressions that nobody expects."""
    shown = [row for row in found if row["event_type"] == "impression"]
    noon = datetime(2010, 12, 2, 12, tzinfo=UTC)
    made: list[Row] = []

    def add(of: Row, kind: str, minute: int, **changed: Any) -> None:
        time = noon + timedelta(minutes=minute)
        own = {"event_id": f"own-{len(made)}", "event_type": kind, "occurred_at": time}
        made.append(of | own | {"impression_id": None, "quantity": 1} | changed)

    def click(of: Row, minute: int, **changed: Any) -> None:
        add(of, "click", minute, **{"impression_id": of["event_id"]} | changed)

    one, two, three = shown[0], shown[11], shown[22]
    click(one, 0)
    click(one, 1)
    add(one, "purchase", 2)
    # At the same moment a purchase is the click's.
    click(shown[33], 3)
    add(shown[33], "purchase", 3)
    click(two, 0, user_id="somebody else")
    click(two, 1, sku="another product")
    click(two, 2, impression_id="of yesterday")
    add(three, "purchase", -1)
    click(three, 0)
    for number in range(20):
        place = {
            "position": (1, 50, 51, 100, 101)[number // 2 % 5],
            "list_version": MARKUP,
            "user_id": f"m{number}",
        }
        add(one, "impression", number, arm=f"{number % 2}", probability=1.0, **place)
    # A product twice in a list, at a probability that would be the whole estimate.
    for again in shown[40:60:4]:
        add(again, "impression", 30, probability=1e-9)
    # The first user of the day's version in its other arm too.
    add(one, "impression", 20, arm="b" if one["arm"] == "a" else "a")
    return made


def bucket(spark: SparkSession, users: set[str]) -> dict[str, int]:
    """Which group each user is in: the one thing that is taken from Spark."""
    frame = spark.createDataFrame([(user,) for user in sorted(users)], "user_id string")
    rows = frame.selectExpr("user_id", "pmod(xxhash64(user_id), 200) AS bucket").collect()
    return {row["user_id"]: row["bucket"] for row in rows}


def impressions(events: list[Row]) -> list[Row]:
    """With clicked and converted."""
    of_product: dict[Any, list[Row]] = defaultdict(list)
    for row in events:
        if row["event_type"] in ("click", "purchase"):
            of_product[row["user_id"], row["sku"]].append(row)
    clicked, converted = set(), set()
    for rows in of_product.values():
        rows.sort(key=lambda it: (it["occurred_at"], it["event_type"], it["event_id"]))
        for row, then in zip(rows, [*rows[1:], None], strict=True):
            if row["event_type"] == "click":
                key = (row["impression_id"], row["user_id"], row["sku"])
                clicked.add(key)
                if then and then["event_type"] == "purchase":
                    converted.add(key)
    found = []
    for row in events:
        if row["event_type"] == "impression":
            key = (row["event_id"], row["user_id"], row["sku"])
            found.append(row | {"clicked": key in clicked, "converted": key in converted})
    return found


ITEM_ROWS = 40


def features(events: list[Row]) -> tuple[list[Row], int]:
    """Products with category and buyers, not all that are shown; and how many bought anything."""
    draw = random.Random(5)
    skus = sorted({row["sku"] for row in events})[:-3]
    rows = [
        {
            "sku": sku,
            "category": draw.choice(["MUG", "BAG", "BOX", None]),
            "buyers": draw.randrange(9),
        }
        for sku in skus
    ]
    return rows, 16


def lists(events: list[Row], version: str) -> list[Row]:
    """Of most users what they were shown, now and then in another order; of the rest that of everyone."""
    draw = random.Random(version)
    made, seen = [], {}
    for row in events:
        if row["event_type"] == "impression" and row["position"] <= 10:
            seen.setdefault((row["slot"], row["user_id"]), {}).setdefault(
                row["position"], row["sku"]
            )
    for (slot, user), placed in seen.items():
        if draw.random() < 0.3:
            continue
        items = [placed[place] for place in sorted(placed)]
        if draw.random() < 0.4:
            items[0], items[-1] = items[-1], items[0]
        made += [(slot, user, n + 1, item) for n, item in enumerate(items)]
    skus = sorted({row["sku"] for row in events})
    made += [("new", "", n + 1, item) for n, item in enumerate(skus[:12])]
    made += [("new", "", n + 1, item, "MUG") for n, item in enumerate(skus[12:15])]
    return [
        dict(zip(("slot", "user_id", "position", "item", "segment"), (*it, None)[:5], strict=True))
        | {"list_version": version, "as_of": date.fromisoformat(version[:10]), "score": 1.0}
        | {"reason": "popular", "reason_item": None}
        for it in made
    ]


@dataclass(frozen=True)
class Day:
    events: list[Row]
    items: list[Row]
    buyers: int
    lists: dict[str, list[Row]]
    groups: dict[str, int]
    segments: dict[str, str]
    measured: steps.Measured
    by_group: list[dict[str, Any]]  # what each of the measured estimates was made from
    table: list[Row]


def add(spark: SparkSession, table: str, rows: list[Row]) -> None:
    """What a row does not say is of the column's type."""
    schema = spark.table(f"lake.{table}").schema
    of_type = {"double": 1.0, "string": "{}", "timestamp": datetime(2010, 12, 3, tzinfo=UTC)}
    of_type |= {"int": 1, "bigint": 1}
    types = {
        it.name: of_type.get(it.type, Decimal(1)) if it.required else None
        for it in contract(table).columns
    }
    given = [tuple(row.get(name, types[name]) for name in types) for row in rows]
    spark.createDataFrame(given, schema).writeTo(f"lake.{table}").append()


@pytest.fixture(scope="module")
def day(spark: SparkSession) -> Day:
    tables = (TABLE, ITEM_FEATURES, USER_FEATURES, USER_CATEGORIES, LISTS, VERSIONS, steps.LIVE)
    for table in tables:
        spark.sql(f"DROP TABLE IF EXISTS lake.{table} PURGE")
    require_tables(spark, [contract(table) for table in tables])
    events = simulated()
    events += faults(events)
    names = contract(TABLE).column_names
    of_day = {"kafka_partition": 0, "kafka_offset": 0}
    other = [row | {"event_day": BEFORE, "list_version": "of another day"} for row in events[:50]]
    stored = [row | {"event_day": DAY} for row in events] + other
    add(spark, TABLE, [dict.fromkeys(names) | of_day | row for row in stored])
    items, buyers = features(events)
    add(spark, ITEM_FEATURES, [row | {"as_of": DAY} for row in items])
    orders = [{"user_id": str(n), "orders": n % 2} for n in range(2 * buyers)]
    add(spark, USER_FEATURES, [row | {"as_of": DAY} for row in orders])
    # Of BAG there is no list.
    segments = {row["user_id"]: "MUG" if len(row["user_id"]) % 2 else "BAG" for row in events}
    viewed = [
        {"user_id": user, "category": category, "views_28d": 1}
        for user, category in segments.items()
    ]
    for each in (DAY, BEFORE):
        add(spark, USER_CATEGORIES, [row | {"as_of": each} for row in viewed])
    versions = {version: lists(events, version) for version in (NEW, OLD, OLDEST)}
    add(spark, LISTS, [row for rows in versions.values() for row in rows])
    rows = [
        {"version": it, "as_of": date.fromisoformat(it[:10]), "removed_at": None} for it in versions
    ]
    # The newest one of the day before has its lists no more.
    removed = {"version": "2010-12-01-011", "as_of": BEFORE, "removed_at": datetime.now(UTC)}
    add(spark, VERSIONS, [*rows, removed])
    read = {TABLE: spark.sql(f"SELECT snapshot_id FROM lake.{TABLE}.refs").collect()[0][0]}
    # What an earlier run of the day and one of another day have left.
    left = dict.fromkeys(contract(steps.LIVE).column_names) | {"list_version": "gone", "arm": ""}
    left |= {"position": 0, "figure": "ctr", "value": 0.5, "impressions": 1, "users": 1}
    add(spark, steps.LIVE, [left | {"as_of": each} for each in (DAY, BEFORE, LONG_AGO)])
    by_group: list[dict[str, Any]] = []
    of_groups = estimate.of_groups

    def noted(version: str, sums: dict[str, Any]) -> estimate.Estimate:
        by_group.append(sums)
        return of_groups(version, sums)

    with pytest.MonkeyPatch.context() as patched:
        # The day has four versions and arms, two of them of as many impressions.
        patched.setattr("feira_spark.recommendations.shown.MOST_ARMS", 3)
        # A number is given, however little the day says.
        patched.setattr(estimate, "MOST_SUPPORT", 100)
        patched.setattr(estimate, "FEWEST_GROUPS", 5)
        patched.setattr(estimate, "_WIDEST", 100)
        patched.setattr(estimate, "of_groups", noted)
        staged = "lake.staging.recommendations_impressions"
        with impressions_of(spark, DAY, read) as rows:
            sums = of_new(spark, rows)
            write_staged(rows, staged)
        # What is staged is read, and dropped then.
        patched.setattr("feira_spark.recommendations.impressions.shown", None)
        measured = steps.measure(spark, DAY, NEW, read, sums, staged)
    assert not spark.catalog.tableExists(staged)
    table = [row.asDict() for row in spark.table(f"lake.{steps.LIVE}").collect()]
    groups = bucket(spark, {row["user_id"] for row in events})
    return Day(events, items, buyers, versions, groups, segments, measured, by_group, table)


def of_new(spark: SparkSession, rows: DataFrame) -> pa.Table:
    """What the impressions say of the lists of the day's version."""
    lists = of_day(spark, LISTS, DAY).where(f"list_version = '{NEW}'")
    return replayed(rows, lists, segments(of_day(spark, USER_CATEGORIES, DAY))).toArrow()


def figure(day: Day, name: str, slot: str | None = None) -> dict[Key, Any]:
    return {
        (row.list_version, row.arm, row.position): row
        for row in day.measured.figures
        if (row.figure, row.slot) == (name, slot)
    }


def by_place(rows: list[Row], slot: str | None = None) -> dict[Key, list[Row]]:
    """Of the versions and arms that are measured."""
    found: dict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        if (row["list_version"], row["arm"]) == LEFT_OUT or slot not in (None, row["slot"]):
            continue
        found[row["list_version"], row["arm"], 0].append(row)
        if row["position"] <= 100:
            found[row["list_version"], row["arm"], row["position"]].append(row)
    return found


@pytest.mark.parametrize("slot", SLOTS)
def test_clicks_and_purchases_by_version_arm_position_and_slot_are_what_plain_loops_count(
    day: Day, slot: str | None
) -> None:
    ctr, conversion = figure(day, "ctr", slot), figure(day, "conversion", slot)
    must = by_place(impressions(day.events), slot)
    assert ctr.keys() == conversion.keys() == must.keys()
    for key, rows in must.items():
        clicked = sum(row["clicked"] for row in rows)
        found = ctr[key]
        assert found.impressions == len(rows)
        assert found.users == len({row["user_id"] for row in rows})
        assert found.value == pytest.approx(clicked / len(rows))
        converted = sum(row["converted"] for row in rows)
        assert conversion[key].value == (pytest.approx(converted / clicked) if clicked else None)
    assert day.measured.impressions == len(impressions(day.events))
    # The day has something to count: clicks that convert and clicks that do not, in both arms.
    web = [key for key in must if key[0] == "web-2010-12-02" and key[2] == 0]
    assert len(web) == 2 and all(0 < conversion[key].value < 1 for key in web)
    if slot is None:
        assert {key for key in must if key[0] == MARKUP} == {
            (MARKUP, "0", position) for position in (0, 1, 50, 51, 100)
        }


def test_the_interval_of_a_ctr_is_of_users_in_groups(day: Day) -> None:
    """The jackknife by its definition: each group is left out once."""
    rows = by_place(impressions(day.events))["web-2010-12-02", "a", 0]
    groups = {day.groups[row["user_id"]] for row in rows}
    means = []
    for group in groups:
        rest = [row["clicked"] for row in rows if day.groups[row["user_id"]] != group]
        means.append(sum(rest) / len(rest))
    ctr = sum(row["clicked"] for row in rows) / len(rows)
    error = math.sqrt((len(groups) - 1) / len(groups) * sum((it - ctr) ** 2 for it in means))
    found = figure(day, "ctr")["web-2010-12-02", "a", 0]
    assert found.low < ctr < found.high
    assert (found.high - found.low) / 2 == pytest.approx(2 * error, rel=0.1)


@pytest.mark.parametrize("slot", SLOTS)
def test_novelty_and_diversity_are_what_plain_loops_find(day: Day, slot: str | None) -> None:
    had = {row["sku"]: row for row in day.items}
    by_arm = by_place(impressions(day.events), slot)
    for (version, arm, position), found in figure(day, "novelty", slot).items():
        rows = by_arm[version, arm, position]
        bits = [
            -math.log2(max(had.get(row["sku"], {"buyers": 0})["buyers"], 1) / day.buyers)
            for row in rows
        ]
        assert position == 0
        assert found.value == pytest.approx(sum(bits) / len(bits))
        shown: dict[Any, set[str]] = defaultdict(set)
        for row in rows:
            shown[row["user_id"], row["session_id"], row["slot"]].add(row["sku"])
        shares = []
        for skus in shown.values():
            category = {it: had.get(it, {"category": None})["category"] or it for it in skus}
            pairs = [category[one] != category[two] for one, two in combinations(skus, 2)]
            if pairs:
                shares.append(sum(pairs) / len(pairs))
        diverse = figure(day, "category_diversity", slot)[version, arm, 0]
        assert diverse.value == (pytest.approx(sum(shares) / len(shares)) if shares else None)
    assert figure(day, "novelty", slot).keys() == {key for key in by_arm if key[2] == 0}


def test_a_user_in_two_arms_is_counted_as_a_fault(day: Day) -> None:
    found = figure(day, "users_in_two_arms")
    assert {key: row.value for key, row in found.items()} == {
        ("web-2010-12-02", "", 0): 1,
        (MARKUP, "", 0): 0,
    }
    users = {it["user_id"] for it in impressions(day.events) if it["list_version"] != MARKUP}
    assert found["web-2010-12-02", "", 0].users == len(users)


def reference(day: Day, version: str, of_slot: str | None) -> dict[str, float]:
    """The formulas of both estimates, row by row."""
    rows = impressions(day.events)
    placed = {
        (it["slot"], it["user_id"] or (it["segment"] or ""), it["position"]): it["item"]
        for it in day.lists[version]
    }
    listed = {user for _, user, _ in placed}
    counts: dict[Any, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        fold = day.groups[row["user_id"]] % 5
        place = (row["slot"], row["position"])
        for key in ((*place, None, fold), (*place, row["sku"], fold)):
            counts[key][0] += 1
            counts[key][1] += row["clicked"]

    def of_others(*of: Any, fold: int) -> tuple[int, int]:
        found = [counts[*of, it] for it in range(5) if it != fold and (*of, it) in counts]
        return sum(n for n, _ in found), sum(c for _, c in found)

    n = weights = squares = clicks = made_up = 0.0
    sources = set()
    for row in rows:
        if of_slot not in (None, row["slot"]):
            continue
        slot, user, position = row["slot"], row["user_id"], row["position"]
        own = user if user in listed else "MUG" if day.segments[user] == "MUG" else ""
        offered = placed.get((slot, own, position))
        if offered is None:
            continue
        sources.add(own if own in ("", "MUG") else "own")
        fold = day.groups[user] % 5
        seen, liked = of_others(slot, position, offered, fold=fold)
        every, of_all = of_others(slot, position, None, fold=fold)
        expected = (liked + 50 * (of_all / every if every else 0)) / (seen + 50)
        weight = min(1 / row["probability"], 9900) if offered == row["sku"] else 0.0
        n, weights, squares = n + 1, weights + weight, squares + weight**2
        clicks += weight * row["clicked"]
        made_up += expected + weight * (row["clicked"] - expected)
    assert sources == ({"own", "MUG", ""} if of_slot != "again" else {"own"})
    return {
        "impressions": n,
        "support": weights / n,
        "effective": weights**2 / squares,
        "snips": clicks / weights,
        "dr": made_up / n,
    }


@pytest.mark.parametrize("number", range(6))
def test_the_estimates_of_a_version_and_slot_are_what_plain_loops_find(
    day: Day, number: int
) -> None:
    found = day.measured.estimates[number]
    version, slot = [(version, slot) for version in (NEW, OLD) for slot in SLOTS][number]
    must = reference(day, version, slot)
    assert (found.list_version, found.slot) == (version, slot)
    assert found.impressions == must["impressions"]
    assert found.support.value == pytest.approx(must["support"])
    assert found.effective == pytest.approx(must["effective"])
    assert found.refused is None
    assert found.snips.value == pytest.approx(must["snips"])
    sums = {name: float(by_group.sum()) for name, by_group in day.by_group[number].items()}
    made_up = sums["expected"] + sums["weighted_clicks"] - sums["weighted_expected"]
    assert made_up / sums["impressions"] == pytest.approx(must["dr"])
    assert found.dr.value == pytest.approx(min(1.0, max(0.0, must["dr"])))
    assert found.snips.low is not None and found.snips.low < must["snips"]


def test_a_day_is_replaced_alone(day: Day) -> None:
    rows = [row for row in day.table if row["as_of"] == DAY]
    assert [row["list_version"] for row in day.table if row["as_of"] != DAY] == ["gone"] * 2
    made = [*day.measured.figures, *(row for it in day.measured.estimates for row in it.rows())]
    keys = contract(steps.LIVE).column_names[1:]
    assert {row["slot"] for row in rows} == set(SLOTS)
    assert sorted(map(json.dumps, ([row[name] for name in keys] for row in rows))) == sorted(
        json.dumps([getattr(row, name) for name in keys]) for row in made
    )
    allowed = contract(steps.LIVE)
    assert {row["figure"] for row in rows} == set(allowed.column("figure").allowed)
    history = [(when, row.list_version, row.arm) for when, row in day.measured.history]
    assert history == [
        (LONG_AGO, "gone", ""),
        (BEFORE, "gone", ""),
        (DAY, MARKUP, "0"),
        (DAY, "web-2010-12-02", "a"),
        (DAY, "web-2010-12-02", "b"),
    ]


def test_a_history_is_of_the_newest_days_that_have_figures(
    spark: SparkSession, day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    def days(last: date, most: int) -> list[date]:
        return sorted({when for when, _ in steps.history(spark, last, most)})

    assert days(DAY, 3) == [LONG_AGO, BEFORE, DAY]
    assert days(DAY, 2) == [BEFORE, DAY]
    assert days(BEFORE, 2) == [LONG_AGO, BEFORE]
    assert days(LONG_AGO - timedelta(days=1), 2) == []
    monkeypatch.setattr(steps, "LONGEST_HISTORY_DAYS", 2)
    assert {when for when, _ in steps.newest_history(spark)} == {BEFORE, DAY}


def test_a_history_reads_no_file_of_an_older_day_than_those_that_it_is_of(
    spark: SparkSession, day: Day
) -> None:
    table = f"lake.{steps.LIVE}"
    (old,) = spark.sql(
        f"SELECT file_path FROM {table}.files WHERE partition.as_of = DATE'{LONG_AGO}'"
    ).collect()
    file = Path(old["file_path"].removeprefix("file:"))
    away = file.rename(file.with_suffix(".away"))
    try:
        assert {when for when, _ in steps.history(spark, DAY, 2)} == {BEFORE, DAY}
        assert {when for when, _ in steps.history(spark, BEFORE, 1)} == {BEFORE}
    finally:
        away.rename(file)


def test_a_day_that_has_figures_and_no_ctr_is_stepped_over_in_a_history(
    spark: SparkSession, day: Day
) -> None:
    between = [DAY - timedelta(days=n) for n in (2, 3, 4)]
    table, rows = (
        f"lake.{steps.LIVE}",
        ", ".join(
            f"(DATE'{each}', 'no', '', 0, 'support', 0.5, null, null, 1, 1, null, null)"
            for each in between
        ),
    )
    spark.sql(f"INSERT INTO {table} VALUES {rows}")
    try:
        for last, most in ((DAY, 3), (between[0], 1)):
            found = {when for when, _ in steps.history(spark, last, most)}
            assert found == ({LONG_AGO, BEFORE, DAY} if most == 3 else {LONG_AGO})
    finally:
        spark.sql(f"DELETE FROM {table} WHERE list_version = 'no'")


def test_the_history_of_all_days_has_the_slots_of_each(spark: SparkSession, day: Day) -> None:
    found = steps.newest_history(spark)
    assert {(when, row.list_version, row.slot) for when, row in found} == {
        (LONG_AGO, "gone", None),
        (BEFORE, "gone", None),
        *((DAY, MARKUP, slot) for slot in (None, "again")),
        *((DAY, "web-2010-12-02", slot) for slot in SLOTS),
    }
    rates = {(row.list_version, row.arm, row.slot): row.value for _, row in found}
    for slot in SLOTS:
        for (version, arm, position), row in figure(day, "ctr", slot).items():
            assert position or rates[version, arm, slot] == row.value


def test_of_too_many_versions_and_arms_the_most_shown_are_measured(day: Day) -> None:
    shown = Counter((row["list_version"], row["arm"]) for row in impressions(day.events))
    assert shown[MARKUP, "0"] == shown[MARKUP, "1"] == day.measured.left_out == min(shown.values())
    found = {(row.list_version, row.arm) for row in day.measured.figures if row.arm}
    assert found == shown.keys() - {LEFT_OUT}


def test_a_day_on_which_nothing_was_shown_has_no_figures(spark: SparkSession, day: Day) -> None:
    read = {TABLE: spark.sql(f"SELECT snapshot_id FROM lake.{TABLE}.refs").collect()[0][0]}
    with impressions_of(spark, date(2010, 12, 3), read) as rows:
        sums = of_new(spark, rows)
    found = steps.measure(spark, date(2010, 12, 3), NEW, read, sums, "lake.staging.gone")
    assert (found.figures, found.impressions, found.left_out) == ((), 0, 0)
    assert [it.refused for it in found.estimates] == ["nothing_logged"] * 6
