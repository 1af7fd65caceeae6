"""The gate on tables: what it reads is what the version was made from, whatever the tables hold by now."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from fact_rows import FACT, fact_row
from feira.core.contracts import contract
from feira.core.lake import lake_files
from feira.core.settings import LakeSettings
from feira.recommendations import gate as rules
from feira.recommendations.first_ten import beside, stored_rows
from feira.recommendations.interactions import interactions
from feira.recommendations.lists import Chosen, MethodError, history_of
from feira.recommendations.live import estimate as limits
from feira.recommendations.segments import CATEGORIES, ROWS, Segments
from feira.recommendations.versions import Finished, ListStore, Version
from feira.user_events.codec import TABLE as EVENTS
from feira_spark.core.tables import as_declared, current_snapshot, drop_staged, require_tables
from feira_spark.recommendations import gate as steps
from feira_spark.recommendations.as_of import sources
from feira_spark.recommendations.impressions import stage

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAY = date(2011, 1, 31)
FIRST, SECOND = "2011-01-31-001", "2011-01-31-002"
USERS, ITEMS = "recommendations.user_features", "recommendations.item_features"
# Each user has two items of its own taste every week, in turns.
BOUGHT = [
    (str(user), f"i{4 * (user % 3) + (week + user + more) % 4}", DAY - timedelta(days=7 * week))
    for user in range(12)
    for week in range(6)
    for more in range(2)
]


@pytest.fixture
def store(
    lake: LakeSettings, empty_lake: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ListStore:
    monkeypatch.setattr(rules, "LEAST_USERS", 5)
    tables = (USERS, ITEMS, "sales.order_lines", EVENTS)
    require_tables(empty_lake, [FACT, *map(contract, tables)])
    return ListStore(lake_files(lake), f"file://{tmp_path}")


def sell(spark: SparkSession, bought: list[Any]) -> None:
    facts = [
        fact_row(f"o{number}", 1, customer_id=int(user), sku=sku, order_date=day)
        for number, (user, sku, day) in enumerate(bought)
    ]
    schema = spark.table("lake.sales.fact").schema
    values = [tuple(fact[name] for name in schema.names) for fact in facts]
    spark.createDataFrame(values, schema).writeTo("lake.sales.fact").overwrite(F.lit(True))


def fill(spark: SparkSession, table: str, rows: list[dict[str, Any]]) -> int | None:
    """Replaces a table of features; what a row does not say is 0. Returns the snapshot."""
    columns = contract(table).columns
    values = [[row.get(it.name, 0) for it in columns] for row in rows]
    texts = [tuple(None if it is None else str(it) for it in row) for row in values]
    found = spark.createDataFrame(texts, ", ".join(f"{it.name} string" for it in columns))
    as_declared(found, contract(table)).writeTo(f"lake.{table}").overwrite(F.lit(True))
    return current_snapshot(spark, table)


def features(spark: SparkSession, spent: int) -> dict[str, int | None]:
    users = [
        {
            "as_of": DAY,
            "user_id": n,
            "lifetime_usd": n * spent,
            "orders": n,
            "days_since_order": n or None,
            "views_28d": n % 5,
            "purchase_propensity": None if n < 10 else n / spent,
        }
        for n in range(40)
    ]
    items = [
        {
            "as_of": DAY,
            "sku": f"i{n}",
            "category": "BAG" if n < 4 else None if n == 11 else "BOX",
            "popularity": 100.0 if spent > 1 and n < 6 else float(n),
        }
        for n in range(12)
    ]
    return {USERS: fill(spark, USERS, users), ITEMS: fill(spark, ITEMS, items)}


def made(
    spark: SparkSession, store: ListStore, run: str, bought: list[Any], spent: int = 1
) -> tuple[Version, Finished]:
    sell(spark, bought)
    of = {"sources": sources(spark), "features": features(spark, spent)}
    version = store.claim(DAY, run, of)
    return version, store.make(version, interactions(bought))


@pytest.mark.slow
def test_a_version_is_judged_by_what_it_was_made_from_and_what_is_gone_is_named(
    store: ListStore, spark: SparkSession, lake: LakeSettings
) -> None:
    version, finished = made(spark, store, "run 1", BOUGHT)
    mine = Chosen.of_described(finished.candidates)
    expected = rules.judge(interactions(BOUGHT), DAY, mine)
    assert {each.users for each in expected.figures} > {0}
    # The fact is another by now, and so are the features.
    other, after_made = made(
        spark, store, "run 2", [(user, "i0", day) for user, _, day in BOUGHT], 5
    )
    before = spark.sql("SHOW TABLES IN lake.staging").collect()
    again = steps.replayed(spark, lake, version, finished, None, None)
    assert replace(again, estimates=()) == expected
    assert {(it.value, it.verdict) for it in again.estimates if it.figure.startswith("ctr_")} == {
        (None, "nothing_logged")
    }
    assert spark.sql("SHOW TABLES IN lake.staging").collect() == before
    second = steps.judged(spark, lake, store, other, after_made, FIRST)
    assert second.live == FIRST and second.live_method == finished.candidates
    of_second = {(it.figure, it.slot): it for it in second.figures}
    assert of_second["ndcg_to_live", "all"].value == of_second["users_to_live", "all"].value == 1.0
    fewer = replace(finished, users=finished.users // 2)
    for versions in (store, None):
        live = (SECOND, after_made.candidates)
        halved = steps.replayed(spark, lake, version, fewer, *live, versions=versions)
        of_halved = {(it.figure, it.slot): it for it in halved.figures}
        held = {key[0] for key in of_halved} & rules.OF_LISTS
        assert held == (rules.OF_LISTS if versions else set())
        if versions:
            assert of_halved["users_to_live", "all"].value == fewer.users / after_made.users
            # The lists of the other are of one product, which everybody had.
            stored = (stored_rows(store.files, it.parquet) for it in (finished, after_made))
            figure, users = beside(*stored, history_of(interactions(BOUGHT), DAY), 99)[
                "novelty", "again"
            ]
            novelty = of_halved["novelty_to_live", "again"]
            assert (novelty.value, novelty.low, novelty.users) == (figure.value, figure.low, users)
            assert users == 12 and figure.value is not None
    drift = {it.figure: it for it in second.drift}
    of_users = ("lifetime_usd", "days_since_order", "orders", "views_28d", "purchase_propensity")
    names = (*of_users, "popularity", "items", "categories")
    assert list(drift) == [f"psi_{it}" for it in names]
    for name in ("orders", "days_since_order", "views_28d"):
        assert drift[f"psi_{name}"].value == 0
    assert drift["psi_purchase_propensity"].verdict == "much_drift"
    popularity = drift["psi_popularity"]
    assert (popularity.slot, popularity.users) == ("features", 12)
    # Deciles 1.1, 2.2, … of 0 to 11, two of them in the first bin and the last: five of the six that were below
    # 5.5 leave as many bins empty, and all six come to the last.
    before = [2, 1, 1, 1, 1, 1, 1, 1, 1, 2]
    after = [0, 0, 0, 0, 0, 1, 1, 1, 1, 8]
    least = 1e-4
    moved = [(max(e / 12, least), max(a / 12, least)) for e, a in zip(before, after, strict=True)]
    assert popularity.value == pytest.approx(sum((a - e) * math.log(a / e) for e, a in moved))
    assert steps.drifted(spark, store, (other, after_made), FIRST) == second.drift
    assert steps.drifted(spark, store, (other, after_made), None) == ()
    assert drift["psi_orders"].verdict == "stable" and drift["psi_orders"].users == 40
    # Of deciles 3.9, 7.8, … each side of one held 4 of 40; five times as much is above the last but for 8 users.
    counts = [0] * 11
    for n in range(40):
        counts[1 + sum(5 * n > 3.9 * tenth for tenth in range(1, 10))] += 1
    deciles = [0] * 11
    for n in range(40):
        deciles[1 + sum(n > 3.9 * tenth for tenth in range(1, 10))] += 1
    by_hand = sum(
        (max(a / 40, 1e-4) - max(e / 40, 1e-4)) * math.log(max(a / 40, 1e-4) / max(e / 40, 1e-4))
        for e, a in zip(deciles, counts, strict=True)
    )
    assert drift["psi_lifetime_usd"].value == pytest.approx(by_hand)
    assert {drift[it].verdict for it in ("psi_lifetime_usd", "psi_items")} == {"much_drift"}
    rows = [row.asDict() for row in spark.table(f"lake.{steps.FIGURES}").collect()]
    assert {row["list_version"] for row in rows} == {SECOND}
    held = {(it["figure"], it["slot"]): it for it in rows}
    assert len(second.estimates) == 15
    for each in (*second.figures, *second.drift, *second.estimates):
        row = held.pop((each.figure, each.slot))
        of_figure = {name: row[name] for name in asdict(each).keys() & row.keys()}
        assert of_figure == {name: asdict(each)[name] for name in of_figure}
        assert (row["must_reach"], row["must_reach_by"]) == (each.limit, each.must)
        assert (row["as_of"], row["live_version"]) == (DAY, FIRST)
        assert row["held_out_from"].isoformat() == second.cut
        assert row["version_verdict"] == second.verdict
    assert held == {}
    # The lists that were served then were removed, and their features have expired: nothing to hold against it.
    found = steps.judged(spark, lake, store, version, finished, "2011-01-30-001")
    to_live = {it.verdict for it in found.figures if it.figure.endswith("_to_live")}
    assert (to_live, found.live_method) == ({rules.NOT_ENOUGH}, None)
    assert {it.verdict for it in found.drift} == {"unknown"}
    of_lists = tuple(it for it in found.figures if not it.figure.endswith("_to_live"))
    assert of_lists == expected.figures
    unknown = replace(finished, candidates={"again": {"name": "other"}})
    with pytest.raises(MethodError, match="is no method"):
        steps.replayed(spark, lake, version, unknown, None, None)
    for table in ("sales.fact", EVENTS):
        read = {**version.sources["sources"], table: 7}
        gone = replace(version, sources={"sources": read})
        with pytest.raises(steps.SnapshotGoneError, match=f"{FIRST} .* snapshot 7 of {table}"):
            steps.replayed(spark, lake, gone, finished, None, None)


def impressions(day: date, users: list[str], placed: dict[Any, str]) -> list[dict[str, Any]]:
    """In each slot the first three places of each user, of which every fourth shows another product than the
    version has there; every third impression is clicked."""
    rows: list[dict[str, Any]] = []
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    for user in users:
        for slot in ("again", "new"):
            for position in (1, 2, 3):
                number = len(rows)
                shown = placed.get((slot, user, position), "i0") if number % 4 else "i11"
                row = {
                    "event_id": f"{day} {number}",
                    "occurred_at": at,
                    "user_id": user,
                    "session_id": user,
                    "event_type": "impression",
                    "sku": shown,
                    "slot": slot,
                    "list_version": "older",
                    "arm": "a",
                    "position": position,
                    "probability": 0.5 + 0.25 * (number % 2),
                    "event_day": day,
                    "kafka_partition": 0,
                    "kafka_offset": number,
                }
                rows.append(row)
                if number % 3 == 0:
                    click = {"event_id": f"{day} {number} click", "event_type": "click"}
                    rows.append(row | click | {"impression_id": row["event_id"]})
    return rows


def log_events(spark: SparkSession, rows: list[dict[str, Any]]) -> None:
    schema = spark.table(f"lake.{EVENTS}").schema
    values = [tuple(row.get(name) for name in schema.names) for row in rows]
    spark.createDataFrame(values, schema).writeTo(f"lake.{EVENTS}").append()


@pytest.mark.slow
def test_the_lists_are_estimated_from_what_was_shown_on_their_day_and_the_same_comes_of_it_again(
    store: ListStore, spark: SparkSession, lake: LakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One user has no list of its own but a segment, and one nothing.
    known = Segments(
        pa.table({"user_id": ["90"], "segment": ["BAG"]}, ROWS),
        pa.table({"sku": ["i5", "i6", "i7"], "category": ["BAG"] * 3}, CATEGORIES),
    )
    like = store.make(store.claim(DAY, "to see the lists", {}), interactions(BOUGHT), known)
    # Whose list it is: a user's own, that of a segment's one user, or everyone's.
    user_of = {"": "91", "BAG": "90"}
    placed = {}
    for row in pq.read_table(like.parquet.removeprefix("file://")).to_pylist():
        listed = row["segment"] or row["user_id"]
        placed[row["slot"], user_of.get(listed, listed), row["position"]] = row["item"]
    assert placed["new", "90", 1] in ("i5", "i6", "i7")
    users = [*(str(user) for user in range(12)), "90", "91"]
    logged = impressions(DAY, users, placed)
    log_events(spark, [*logged, *impressions(DAY - timedelta(days=1), users, placed)])
    sell(spark, BOUGHT)
    of = {"sources": sources(spark), "features": features(spark, 1)}
    version = store.claim(DAY, "run", of)
    finished = store.make(version, interactions(BOUGHT), known)
    # What comes later is not in the snapshot that the version was made from.
    log_events(spark, impressions(DAY, users, {})[:40])

    verdict = steps.judged(spark, lake, store, version, finished, None)
    refused = {(it.figure, it.slot): it for it in verdict.estimates}
    assert refused["ctr_snips", "all"].value is refused["ctr_dr", "new"].value is None
    assert {it.verdict for it in verdict.estimates} <= {"few_users", "doubtful_probabilities"}
    assert verdict.verdict == steps.replayed(spark, lake, version, finished, None, None).verdict
    for name, value in (("MOST_SUPPORT", 100), ("LEAST_SUPPORT", 0), ("FEWEST_GROUPS", 2)):
        monkeypatch.setattr(limits, name, value)
    monkeypatch.setattr(limits, "_WIDEST", 100)
    again = steps.replayed(spark, lake, version, finished, None, None)
    # What is staged for the gate says the same, and is not computed from the events again.
    staged = stage(spark, store, version, finished)
    shown = sum(row["event_type"] == "impression" for row in logged)
    assert spark.table(staged.table).count() == staged.count == shown
    sums = pq.read_table(staged.sums.removeprefix("file://"))
    with monkeypatch.context() as patched:
        patched.setattr(steps, "sums_of", None)
        assert steps.replayed(spark, lake, version, finished, None, None, sums) == again
    drop_staged(spark, "recommendations_impressions_")
    # They gate nothing.
    assert (again.figures, again.verdict) == (verdict.figures, verdict.verdict)
    found = {(it.figure, it.slot): it for it in again.estimates}
    clicked = {row["impression_id"] for row in logged if row["event_type"] == "click"}
    for slot in ("all", "again", "new"):
        rows = [
            row
            for row in logged
            if row["event_type"] == "impression"
            and slot in ("all", row["slot"])
            and (row["slot"], row["user_id"], row["position"]) in placed
        ]
        weights = [
            (row["sku"] == placed[row["slot"], row["user_id"], row["position"]])
            / row["probability"]
            for row in rows
        ]
        clicks = [row["event_id"] in clicked for row in rows]
        by_hand = {
            "ctr_shown": sum(clicks) / len(rows),
            "ctr_snips": sum(w for w, c in zip(weights, clicks, strict=True) if c) / sum(weights),
            "effective_sample_size": sum(weights) ** 2 / sum(w * w for w in weights),
            "support": sum(weights) / len(rows),
        }
        for name, value in by_hand.items():
            assert found[name, slot].value == pytest.approx(value), (name, slot)
            assert found[name, slot].users == len({row["user_id"] for row in rows})
        assert found["ctr_dr", slot].value is not None
        assert {it.verdict for it in again.estimates} == {"estimated"}
    assert found["ctr_snips", "all"].users > found["ctr_snips", "again"].users
