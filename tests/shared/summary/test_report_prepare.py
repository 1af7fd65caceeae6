"""What is reported, what is corrected, and what is left alone: on a real PostgreSQL and S3."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings

from fact_rows import Row
from feira.core.landing.store import LandingStore
from feira.core.warehouse.schema import connect
from feira.summary.ledger import due, last_reported, mark_delivered
from feira.summary.prepare import Prepared, ReportError
from reported_days import D1, D2, D3, Shop, line, sold_plainly


@pytest.fixture
def shop(connection: psycopg.Connection, store: LandingStore) -> Shop:
    return Shop(connection, store)


def reported(prepared: list[Prepared]) -> list[tuple[dt.date, int]]:
    return [(each.report.day, each.report.version) for each in prepared]


DAY_1 = [
    line("A", D1, "100.1234", sku="S1", quantity=2),
    line("A", D1, "50", line_number=2, sku="S2"),
    line("B", D1, "7.5", sku="S2", status="shipped"),
    line("C", D1, "-30", sku="S1", status="cancelled", quantity=-1),
    line("E", D1, "999", sku="S3", status="pending"),
    line("F", D1, "4.95", sku="POST", line_kind="postage"),
]


def test_the_first_run_of_a_day_reports_it(shop: Shop) -> None:
    shop.run(D1, DAY_1, broken={"sku_blank": 2})
    (only,) = shop.report(D1)
    found = only.report
    assert (found.day, found.version, found.correction) == (D1, 1, None)
    assert found.figures.revenue == Decimal("162.5734")
    assert (found.figures.orders, found.figures.sold_lines) == (3, 4)
    assert found.figures.cancelled_amount == Decimal("-30")
    assert (found.figures.landed_lines, found.figures.quarantined_lines) == (8, 2)
    assert found.figures.broken_rules == {"sku_blank": 2}
    assert [(p.sku, p.units, str(p.revenue)) for p in found.figures.top_products] == [
        ("S1", 2, "100.1234"),
        ("S2", 2, "57.5000"),
    ]
    assert found.outcome.agreed


def test_the_report_is_in_the_lake_as_it_was_made(shop: Shop) -> None:
    shop.run(D1, DAY_1)
    (only,) = shop.report(D1)
    assert shop.files.read(only.uri) == only.report
    assert shop.files.chart(only.report).startswith(b"\x89PNG")
    assert shop.files.csv(only.report).startswith(b"day,version,figure,")
    assert f"/reports/sales/{D1}/v0001-" in only.uri


def test_a_report_has_the_newest_chart_of_recommendations_that_is_not_of_a_later_day_nor_old(
    shop: Shop,
) -> None:
    files, root = shop.files.files, f"{shop.files.lake}/reports/recommendations"
    shop.run(D1, DAY_1)
    for days in (-8, 1):
        files.pipe_file(f"{root}/{D1 + dt.timedelta(days=days)}/chart.png", b"no")
    files.pipe_file(f"{root}/{D1}/live.html", b"no chart")
    files.pipe_file(f"{root}/history.html", b"of no day")
    (without,) = shop.report(D1)
    assert without.report.recommendations_of is None
    assert shop.files.recommendations_chart(without.report) is None
    shop.run(D2, [*DAY_1, line("G", D2, "5")])
    before = D2 - dt.timedelta(days=7)
    for day in (before, before - dt.timedelta(days=2)):
        files.pipe_file(f"{root}/{day}/chart.png", f"chart of {day}".encode())
    files.rm_file(f"{root}/{D1 + dt.timedelta(days=1)}/chart.png")
    (report,) = shop.report(D2)
    assert report.report.recommendations_of == before
    # It is the one that was there then, also in a report that is sent again.
    files.pipe_file(f"{root}/{before}/chart.png", b"measured again")
    stored = shop.files.read(report.uri)
    assert shop.files.recommendations_chart(stored) == f"chart of {before}".encode()
    # A newer chart is no new figure of the day.
    files.pipe_file(f"{root}/{D2}/chart.png", b"newer")
    assert shop.report(D2) == []


def test_a_run_again_reports_nothing(shop: Shop) -> None:
    shop.run(D1, DAY_1)
    shop.report(D1)
    assert shop.report(D1) == []
    shop.run(D1, DAY_1)
    assert shop.report(D1) == []


def test_another_landing_with_the_same_figures_reports_nothing(shop: Shop) -> None:
    shop.run(D1, DAY_1)
    shop.report(D1)
    shop.run(D1, DAY_1, refetch=True)
    assert shop.report(D1) == []


def test_a_later_landing_with_other_figures_is_a_correction_that_names_it(shop: Shop) -> None:
    shop.run(D1, DAY_1, broken={"sku_blank": 2})
    shop.report(D1)
    shop.run(D1, DAY_1[:-1], refetch=True)
    (only,) = shop.report(D1)
    assert only.report.version == 2
    correction = only.report.correction
    assert correction is not None
    assert correction.cause == "Landing 2 of the day has replaced landing 1."
    changed = {(c.figure, c.item): (c.before, c.after) for c in correction.changes}
    assert changed == {
        ("revenue", None): (Decimal("162.5734"), Decimal("157.6234")),
        ("orders", None): (3, 2),
        ("sold_lines", None): (4, 3),
        ("landed_lines", None): (8, 5),
        ("valid_lines", None): (6, 5),
        ("quarantined_lines", None): (2, 0),
        ("rule", "sku_blank"): (2, 0),
    }


def test_a_late_update_corrects_the_day_of_the_order_beside_the_report_of_its_own(
    shop: Shop,
) -> None:
    shop.run(D1, DAY_1)
    shop.report(D1)
    paid = line("E", D1, "999", seen=D2, sku="S3")
    shop.run(D2, [*(r for r in DAY_1 if r["order_id"] != "E"), paid, line("G", D2, "1")], valid=2)
    prepared = shop.report(D2)
    assert reported(prepared) == [(D1, 2), (D2, 1)]
    correction = prepared[0].report.correction
    assert correction is not None
    assert correction.cause == "Lines of the day came in or left with the extract of 2010-12-02."
    assert correction.changes[0].before == Decimal("162.5734")
    assert correction.changes[0].after == Decimal("1161.5734")
    assert shop.report(D2) == []
    assert shop.report(D1) == []


def test_a_late_update_that_is_withdrawn_corrects_the_day_back(shop: Shop) -> None:
    shop.run(D1, DAY_1)
    shop.report(D1)
    paid = [*(r for r in DAY_1 if r["order_id"] != "E"), line("E", D1, "999", seen=D2)]
    shop.run(D2, paid, valid=1)
    shop.report(D2)
    shop.run(D2, DAY_1, refetch=True, valid=0)
    prepared = shop.report(D2)
    assert reported(prepared) == [(D1, 3), (D2, 2)]
    correction = prepared[0].report.correction
    assert correction is not None
    assert correction.cause.endswith("with the extract of 2010-12-02.")
    assert correction.changes[0].after == Decimal("162.5734")


def causes(prepared: list[Prepared]) -> dict[dt.date, str]:
    return {
        each.report.day: each.report.correction.cause
        for each in prepared
        if each.report.correction is not None
    }


WITH_3 = "Lines of the day came in or left with the extract of 2010-12-03."


def of_1_by_3(extract: str) -> str:
    return f"Lines of the day from the extract of {extract} came in or left with the load of 2010-12-03."


@pytest.mark.parametrize("others", [[], [line("A", D1, "10")]])
def test_an_order_that_a_later_extract_shows_under_another_date_corrects_both_by_that_extract(
    shop: Shop, others: list[Row]
) -> None:
    there = [*others, line("B", D1, "7")]
    shop.run(D1, there)
    shop.report(D1)
    shop.run(D2, [*there, line("C", D2, "1")], by_difference=True)
    shop.report(D2)
    moved = [*others, line("C", D2, "1"), line("B", D2, "7", seen=D3)]
    shop.run(D3, moved, by_difference=True)
    assert causes(shop.report(D3)) == {D1: of_1_by_3("2010-12-01"), D2: WITH_3}


def test_a_day_whose_own_extract_is_published_again_says_so(shop: Shop) -> None:
    """As where it is converted at another rate."""
    shop.run(D1, DAY_1)
    shop.run(D2, [*DAY_1, line("G", D2, "1")], by_difference=True)
    for day in (D1, D2):
        shop.report(day)
    shop.run(D1, [*DAY_1[1:], line("A", D1, "90"), line("G", D2, "1")], by_difference=True)
    assert causes(shop.report(D1)) == {D1: "The day's own extract was published again."}


def test_what_changed_no_figure_when_it_was_looked_at_is_not_the_cause_of_a_later_change(
    shop: Shop,
) -> None:
    """Neither a landing of the day, nor an extract that has taken a line over, nor one that it is taken from."""
    both = [line("A", D1, "10"), line("B", D1, "5")]
    shop.run(D1, both)
    shop.report(D1)
    shop.run(D1, both, refetch=True, by_difference=True)
    assert shop.report(D1) == []
    abroad = [
        line("A", D1, "10", seen=D2, country="France"),
        line("B", D1, "5", seen=D2, country="France"),
    ]
    shop.run(D2, abroad, by_difference=True)
    assert causes(shop.report(D2)) == {}
    shop.run(D3, [line("A", D1, "12", seen=D3), abroad[1]], by_difference=True)
    assert causes(shop.report(D3)) == {D1: WITH_3}
    shop.run(D3, [line("A", D1, "12", seen=D3), line("B", D1, "6", seen=D3)], by_difference=True)
    assert causes(shop.report(D3)) == {D1: WITH_3}


def test_what_another_days_load_has_brought_is_not_of_that_days_extract(shop: Shop) -> None:
    """A load brings all that is published: a landing of the day, a day before it that was published again."""
    first, second, third = line("A", D1, "10"), line("G", D2, "5"), line("H", D3, "1")
    shop.run(D1, [first])
    shop.report(D1)
    shop.run(D2, [first, line("B", D1, "9", seen=D2), second], by_difference=True)
    shop.report(D2)
    again = [line("A", D1, "11"), line("B", D1, "9", seen=D2), second, third]
    shop.run(D3, again, by_difference=True)
    assert causes(shop.report(D3)) == {D1: of_1_by_3("2010-12-01")}
    # The day's own load then finds nothing to do.
    shop.run(D1, again, refetch=True, by_difference=True)
    assert causes(shop.report(D1)) == {}
    shop.run(D3, [again[0], line("B", D1, "8", seen=D2), second, third], by_difference=True)
    assert causes(shop.report(D3)) == {D1: of_1_by_3("2010-12-02")}


def test_a_day_that_was_never_reported_is_not_corrected(shop: Shop) -> None:
    shop.run(D1, DAY_1)
    shop.run(D2, [*DAY_1, line("H", D1, "5", seen=D2)], valid=1)
    assert reported(shop.report(D2)) == [(D2, 1)]


def test_days_may_be_reported_in_any_order(shop: Shop) -> None:
    shop.run(D2, [line("G", D2, "1")])
    assert reported(shop.report(D2)) == [(D2, 1)]
    shop.run(D1, [line("G", D2, "1"), *DAY_1])
    assert reported(shop.report(D1)) == [(D1, 1)]


def test_what_lake_and_warehouse_have_not_agreed_on_corrects_nothing_yet(shop: Shop) -> None:
    shop.run(D1, DAY_1)
    shop.report(D1)
    shop.run(D2, DAY_1)
    late = [*DAY_1, line("H", D1, "5", seen=D3)]
    shop.run(D3, late, valid=1, agree=False)
    assert reported(shop.report(D2)) == [(D2, 1)]
    shop.agree(D3)
    assert reported(shop.report(D3)) == [(D1, 2), (D3, 1)]


def test_a_day_that_is_not_agreed_on_says_so(shop: Shop) -> None:
    shop.run(D1, DAY_1, agree=False)
    (only,) = shop.report(D1)
    assert not only.report.outcome.agreed


def test_a_first_report_of_a_day_that_was_not_agreed_on_is_corrected_once_it_is(shop: Shop) -> None:
    shop.run(D1, DAY_1)
    shop.run(D2, [*DAY_1, line("G", D1, "1", seen=D2)], valid=1)
    # This looks at all days that have changed, so that nothing is left to lead to D1 but its own report.
    shop.report(D2)
    by_hand = "UPDATE sales.fact SET amount_usd = amount_usd + %s WHERE order_id = 'G'"
    shop.connection.execute(by_hand, [1000])
    shop.connection.execute(
        "INSERT INTO sales.unreconciled_dates (order_date, extract_day, load_sequence) "
        "VALUES (%s, %s, -2)",
        [D1, D2],
    )
    (first,) = shop.report(D1)
    assert not first.report.outcome.agreed
    assert shop.report(D2) == []
    shop.connection.execute(by_hand, [-1000])
    shop.agree(D2)
    (corrected,) = shop.report(D2)
    assert (corrected.report.day, corrected.report.version) == (D1, 2)
    assert corrected.report.outcome.agreed
    assert shop.report(D2) == []


def test_agreement_outlives_the_loads_of_other_days(shop: Shop) -> None:
    """The two snapshots of a ledger row may differ although the day is right."""
    shop.run(D1, DAY_1)
    shop.run(D2, [*DAY_1, line("G", D2, "1")])
    shop.agree(D1)
    (only,) = shop.report(D1)
    assert only.report.outcome.agreed


def test_a_closed_day_is_reported_as_closed(shop: Shop) -> None:
    shop.run(D1, DAY_1)
    shop.run(D2, DAY_1)
    (only,) = shop.report(D2)
    assert only.report.outcome.closed
    assert only.report.figures.revenue == 0
    assert [each.day for each in only.report.revenue_by_day] == [D1]


def test_a_day_that_was_never_loaded_is_refused_by_name(shop: Shop) -> None:
    shop.run(D1, DAY_1)
    with pytest.raises(ReportError, match=r"sales 2010-12-02: sales\.load_ledger .*no row"):
        shop.report(D2)


def test_a_missing_validation_is_named(shop: Shop) -> None:
    shop.run(D1, DAY_1)
    shop.landings.files.rm(shop.landings.validation_uri(D1, 1))
    with pytest.raises(ReportError, match=r"2010-12-01/v0001/validation.json is missing"):
        shop.report(D1)


class _Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", ["files", "ledger"])
def test_a_kill_leaves_a_report_that_the_retry_makes_whole(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    from feira.summary import prepare

    shop.run(D1, DAY_1)
    written = prepare.record

    def killed(*arguments: Any) -> None:
        if moment == "ledger":
            written(*arguments)
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(prepare, "record", killed)
        with pytest.raises(_Killed):
            shop.report(D1)
    again = shop.report(D1)
    # What is recorded and what is forgotten of the changes are one transaction.
    assert reported(again) == [(D1, 1)]
    (waiting,) = due(shop.connection, "mail")
    assert shop.files.read(waiting.report_uri).day == D1
    # The retry wrote what the killed try had written, and nothing beside it.
    folder = f"{shop.files.lake}/reports/sales/{D1}"
    shop.landings.files.invalidate_cache()
    assert len(shop.landings.files.ls(folder)) == 1


def test_a_report_is_due_on_each_channel_until_that_one_took_it(shop: Shop) -> None:
    shop.run(D1, DAY_1)
    shop.report(D1)
    (waiting,) = due(shop.connection, "mail")
    mark_delivered(shop.connection, waiting, "mail")
    assert due(shop.connection, "mail") == []
    assert due(shop.connection, "slack") == [waiting]


TABLES = ("fact", "load_ledger", "unreconciled_dates", "changed_dates", "report_ledger")


# --- against plain Python ------------------------------------------------------------------------

rows = st.lists(
    st.builds(
        dict,
        order_id=st.sampled_from("ABCD"),
        day=st.sampled_from([D1, D2, D3]),
        later=st.integers(0, 2),
        amount=st.decimals(0, 500, places=4).map(str),
        status=st.sampled_from(["pending", "completed", "shipped", "failed", "cancelled"]),
        sku=st.sampled_from(["S1", "S2", "S3", "S4", "S5", "S6", "S7"]),
        quantity=st.integers(1, 9),
        line_kind=st.sampled_from(["product", "product", "postage"]),
    ),
    max_size=14,
)


def as_fact(drawn: list[dict[str, Any]]) -> list[Row]:
    return [
        line(
            each["order_id"],
            each["day"],
            each["amount"],
            seen=each["day"] + dt.timedelta(days=each["later"]),
            line_number=number,
            **{name: each[name] for name in ("status", "sku", "quantity", "line_kind")},
        )
        for number, each in enumerate(drawn, 1)
    ]


@pytest.fixture
def fresh(loader_dsn: str) -> Iterator[psycopg.Connection]:
    with connect(loader_dsn) as connection:
        yield connection


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(before=rows, after=rows)
def test_reports_and_corrections_are_those_that_a_plain_program_finds(
    fresh: psycopg.Connection,
    folder_store: LandingStore,
    monkeypatch: pytest.MonkeyPatch,
    before: list[Any],
    after: list[Any],
) -> None:
    for table in TABLES:
        fresh.execute(f"DROP TABLE IF EXISTS sales.{table}")
    shop = Shop(fresh, folder_store)
    # What is drawn is tested elsewhere, and would be most of this test's time.
    monkeypatch.setattr("feira.summary.chart.chart_png", lambda _: b"")
    facts = [as_fact(before), as_fact(after)]
    shop.run(D1, facts[0], valid=1)
    shop.report(D1)
    shop.run(D2, facts[0], valid=1)
    shop.report(D2)
    shop.run(D3, facts[1], valid=1)
    prepared = {each.report.day: each.report for each in shop.report(D3)}

    expected = {D3} | {
        day for day in (D1, D2) if sold_plainly(facts[0], day) != sold_plainly(facts[1], day)
    }
    assert set(prepared) == expected
    for day, found in prepared.items():
        plain = sold_plainly(facts[1], day)
        top = [(p.sku, p.revenue, p.units) for p in found.figures.top_products]
        assert {**found.figures.model_dump(), "top": top}.items() >= plain.items()
        assert (found.correction is None) == (day == D3)
    for day, reported in last_reported(fresh, (D1, D2, D3)).items():
        assert reported.figures.revenue == sold_plainly(facts[1], day)["revenue"]
    assert shop.report(D3) == []
