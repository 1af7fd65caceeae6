"""A report looks at the days that loads have changed, and finds what looking at all of them would."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings

from fact_rows import Row
from feira.core.landing.store import LandingStore
from feira.core.warehouse.load import held_snapshot
from feira.core.warehouse.outcome import day_outcomes
from feira.core.warehouse.schema import connect
from feira.sales.published import PUBLISHED
from feira.summary.files import ReportFiles
from feira.summary.ledger import last_reported
from feira.summary.model import DayReport
from feira.summary.prepare import prepare_reports
from reported_days import D1, D2, D3, Shop, line, sold_plainly

TABLES = (
    "fact",
    "load_ledger",
    "unreconciled_dates",
    "held_days",
    "changed_dates",
    "report_ledger",
)


@pytest.fixture
def shop(connection: psycopg.Connection, folder_store: LandingStore) -> Shop:
    return Shop(connection, folder_store)


def changed(connection: psycopg.Connection) -> set[dt.date]:
    return {day for (day,) in connection.execute("SELECT changed_date FROM sales.changed_dates")}


def reported(shop: Shop, day: dt.date) -> list[tuple[dt.date, int]]:
    return [(each.report.day, each.report.version) for each in shop.report(day)]


DAY_1 = [line("A", D1, "10"), line("B", D1, "5", status="pending")]


def test_what_a_report_has_looked_at_is_not_looked_at_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feira.summary import prepare

    asked: list[set[dt.date]] = []
    read = prepare.sales_by_day

    def noted(connection: psycopg.Connection, days: Any) -> Any:
        asked.append(set(days))
        return read(connection, days)

    monkeypatch.setattr(prepare, "sales_by_day", noted)
    shop.run(D1, DAY_1)
    shop.report(D1)
    # Nothing of the figures changes: the day is looked at all the same, and once.
    later = [DAY_1[0], line("B", D1, "6", seen=D2, status="pending")]
    shop.run(D2, later, by_difference=True)
    assert reported(shop, D2) == [(D2, 1)]
    shop.run(D3, [*later, line("C", D3, "1")], by_difference=True)
    assert reported(shop, D3) == [(D3, 1)]
    assert asked == [{D1}, {D1, D2}, {D3}]
    assert changed(shop.connection) == set()


def test_a_day_that_is_not_agreed_on_is_looked_at_until_it_is(shop: Shop) -> None:
    shop.run(D1, DAY_1)
    shop.report(D1)
    shop.run(D2, DAY_1, by_difference=True)
    late = [*DAY_1, line("C", D1, "7", seen=D3)]
    shop.run(D3, late, by_difference=True, agree=False)
    assert reported(shop, D2) == [(D2, 1)]
    assert D1 in changed(shop.connection)
    shop.agree(D3)
    assert reported(shop, D2) == [(D1, 2)]
    assert changed(shop.connection) == set()


def test_what_a_load_changes_while_a_report_is_written_is_looked_at_by_the_next(
    shop: Shop, loader_dsn: str
) -> None:
    shop.run(D1, DAY_1)

    class Interrupted(ReportFiles):
        def write(self, report: DayReport) -> str:
            with connect(loader_dsn) as other:
                of_another = Shop(other, shop.landings, shop.snapshots, shop.versions, shop.fact)
                of_another.run(D2, [*DAY_1, line("C", D1, "7", seen=D2)], by_difference=True)
            return super().write(report)

    files = Interrupted(shop.files.files, shop.files.lake)
    (first,) = prepare_reports(shop.connection, shop.landings, files, D1)
    assert first.report.figures.revenue == Decimal(10)
    assert changed(shop.connection) == {D1, D2}
    assert reported(shop, D2) == [(D1, 2), (D2, 1)]


def test_a_report_does_not_wait_for_a_load_that_changes_its_day(
    shop: Shop, loader_dsn: str
) -> None:
    shop.run(D1, DAY_1)
    shop.connection.execute("SET lock_timeout = '2s'")
    with connect(loader_dsn) as other, other.transaction(force_rollback=True):
        other.execute("UPDATE sales.changed_dates SET load_sequence = load_sequence + 1")
        assert reported(shop, D1) == [(D1, 1)]
    assert changed(shop.connection) == {D1}, "that load may yet be committed"
    assert reported(shop, D1) == []
    assert changed(shop.connection) == set()


def test_a_warehouse_that_did_not_note_changes_is_looked_at_as_a_whole_once(shop: Shop) -> None:
    far = D1 - dt.timedelta(days=300)
    shop.run(D1, DAY_1)
    shop.report(D1)
    shop.run(D2, [*DAY_1, line("C", D1, "7", seen=D2), line("D", far, "1", seen=D2)])
    shop.connection.execute("DROP TABLE sales.changed_dates")
    assert reported(shop, D2) == [(D1, 2), (D2, 1)]
    assert changed(shop.connection) == set()


# --- against all days, by loops ------------------------------------------------------------------

DATES = [
    *(D1 - dt.timedelta(days=days) for days in (46, 45, 1)),
    *(D1, D2, D3),
    *(D3 + dt.timedelta(days=days) for days in (14, 15)),
]
LINES = st.dictionaries(
    st.integers(1, 12),
    st.fixed_dictionaries(
        {
            "order_id": st.sampled_from("ABCD"),
            "day": st.sampled_from(DATES),
            "seen": st.sampled_from([D1, D2, D3]),
            "amount": st.decimals(0, 500, places=4).map(str),
            "status": st.sampled_from(["pending", "completed", "shipped", "failed", "cancelled"]),
            "sku": st.sampled_from(["S1", "S2", "S3", "S4", "S5", "S6", "S7"]),
            "description": st.none() | st.sampled_from(["A THING", "a thing"]),
            "customer_id": st.none() | st.integers(1, 9),
            "quantity": st.integers(1, 9),
            "line_kind": st.sampled_from(["product", "product", "postage"]),
        }
    ),
    max_size=10,
)
DAYS = st.sampled_from([D1, D2, D3])


@dataclass(frozen=True)
class Load:
    """A day is run. ``lines`` come, or replace those of their number; the ``gone`` leave; with ``anew``
    they are all that there is, as after a history was rebuilt."""

    day: dt.date
    lines: dict[int, dict[str, Any]] = field(default_factory=dict)
    gone: frozenset[int] = frozenset()
    anew: bool = False
    refetch: bool = False
    agree: bool = True
    by_difference: bool = True
    broken: int = 0


@dataclass(frozen=True)
class Report:
    """A day is reported."""

    day: dt.date


LOADS = st.builds(
    Load,
    DAYS,
    LINES,
    st.frozensets(st.integers(1, 12), max_size=4),
    *(st.booleans() for _ in range(4)),
    st.integers(0, 2),
)
STORIES = st.lists(st.one_of(LOADS, LOADS, st.builds(Report, DAYS)), max_size=9)


def as_row(number: int, known: dict[str, Any]) -> Row:
    rest = {name: value for name, value in known.items() if name not in _PLACED}
    placed = [known[name] for name in _PLACED]
    return line(*placed, line_number=number, **rest)


_PLACED = ("order_id", "day", "amount", "seen")


@dataclass
class Plainly:
    """What there is and was reported, in a loop's words."""

    fact: dict[int, Row] = field(default_factory=dict)
    landed: dict[dt.date, tuple[int, int]] = field(default_factory=dict)
    """Of each day the valid lines and the broken ones of its newest landing."""
    reports: dict[dt.date, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    def figures(self, day: dt.date) -> dict[str, Any]:
        valid, broken = self.landed[day]
        return sold_plainly(self.fact.values(), day) | {
            "landed_lines": valid + broken,
            "valid_lines": valid,
            "quarantined_lines": broken,
            "broken_rules": {"sku_blank": broken} if broken else {},
        }

    def revenue_around(self, day: dt.date) -> dict[dt.date, Decimal]:
        around: dict[dt.date, Decimal] = {}
        for row in self.fact.values():
            date, sold = row["order_date"], row["status"] in ("completed", "shipped")
            if -45 <= (date - day).days <= 14:
                amount = row["amount_usd"] if sold else Decimal(0)
                around[date] = around.get(date, Decimal(0)) + amount
        return around


def told(report: DayReport) -> dict[str, Any]:
    figures = report.figures.model_dump()
    top = [(each.sku, each.revenue, each.units) for each in report.figures.top_products]
    return {**{name: figures[name] for name in figures if name != "top_products"}, "top": top}


@pytest.fixture
def fresh(loader_dsn: str) -> Iterator[psycopg.Connection]:
    with connect(loader_dsn) as connection:
        yield connection


PENDING = {"order_id": "A", "day": D1, "seen": D1, "amount": "5", "status": "pending"}
PAID = PENDING | {"seen": D2, "status": "completed"}


@given(STORIES)
@example([Load(D1, {1: PENDING}), Report(D1), Load(D2, {1: PAID}), Report(D2)])
@example([Load(D1, {1: PAID}), Report(D1), Load(D2, gone=frozenset({1})), Report(D2)])
@example([Load(D1, {1: PAID}), Report(D1), Load(D2, agree=False), Report(D1), Report(D2)])
@example([Load(D1, {1: PAID}), Report(D1), Load(D1, refetch=True, broken=1), Report(D1)])
@example([Load(D1), Report(D1), Load(D2, {1: PAID | {"day": D2}}), Report(D2)])
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_report_of_what_has_changed_is_that_of_all_days(
    fresh: psycopg.Connection, folder_store: LandingStore, story: list[Load | Report]
) -> None:
    for table in TABLES:
        fresh.execute(f"DROP TABLE IF EXISTS sales.{table}")
    shop, plain = Shop(fresh, folder_store), Plainly()
    for each in story:
        if isinstance(each, Load):
            run(shop, plain, each)
        elif each.day in plain.landed:
            require_same(shop, plain, each.day)


def run(shop: Shop, plain: Plainly, load: Load) -> None:
    kept = {} if load.anew else plain.fact
    come = {number: as_row(number, known) for number, known in load.lines.items()}
    plain.fact = {
        number: row for number, row in {**kept, **come}.items() if number not in load.gone
    }
    if load.refetch or load.day not in plain.landed:
        valid = sum(row["extract_day"] == load.day for row in plain.fact.values())
        plain.landed[load.day] = valid, load.broken
    valid, broken = plain.landed[load.day]
    shop.run(
        load.day,
        list(plain.fact.values()),
        valid=valid,
        broken={"sku_blank": broken} if broken else {},
        refetch=load.refetch,
        agree=load.agree,
        by_difference=load.by_difference and held_snapshot_of(shop) is not None,
    )


def held_snapshot_of(shop: Shop) -> int | None:
    return held_snapshot(shop.connection, PUBLISHED) if shop.snapshots else None


def require_same(shop: Shop, plain: Plainly, day: dt.date) -> None:
    """Looks at every day that was ever reported, and at this one, as a report of all days would."""
    outcomes = day_outcomes(shop.connection, PUBLISHED, plain.landed)
    due = {}
    for each in sorted({day, *plain.reports}):
        figures, before = plain.figures(each), plain.reports.get(each)
        if not before or (outcomes[each].agreed and figures != before[-1]):
            due[each] = figures
    prepared = {found.report.day: found.report for found in shop.report(day)}
    assert {each: told(report) for each, report in prepared.items()} == due
    for each, report in prepared.items():
        around = [(shown.day, shown.revenue) for shown in report.revenue_by_day]
        assert around == sorted(plain.revenue_around(each).items())
        rows = [row for row in plain.fact.values() if row["order_date"] == each]
        assert report.sources.extracts.keys() == {row["extract_day"] for row in rows}
        plain.reports[each].append(due[each])
        assert report.version == len(plain.reports[each])
        assert (report.correction is None) == (report.version == 1)
    newest = last_reported(shop.connection, {day, *plain.reports})
    assert {each: newest[each].version for each in newest} == {
        each: len(found) for each, found in plain.reports.items()
    }
