"""Prepares what is reported after a day: its report, and corrections of earlier ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import psycopg

from feira.core.errors import PermanentError, Remedy
from feira.core.landing.store import LandingStore
from feira.core.warehouse.load import held_snapshot
from feira.core.warehouse.outcome import DayOutcome, day_outcomes
from feira.core.warehouse.schema import create_notes, require_tables
from feira.core.warehouse.side import among, side_of
from feira.sales.published import PUBLISHED
from feira.summary.figures import (
    DaySales,
    dates_around,
    day_figures,
    day_sources,
    revenue_by_day,
    sales_by_day,
)
from feira.summary.files import ReportFiles
from feira.summary.ledger import REPORT_LEDGER, Reported, last_reported, record
from feira.summary.model import (
    Change,
    Correction,
    DayFigures,
    DayReport,
    DayRevenue,
    Figure,
    Sources,
)

_SINGLE: tuple[Figure, ...] = (
    "revenue",
    "orders",
    "sold_lines",
    "cancelled_amount",
    "landed_lines",
    "valid_lines",
    "quarantined_lines",
)


def changes(before: DayFigures, after: DayFigures) -> tuple[Change, ...]:
    """Every figure that differs, in the order of the report; empty when all are equal.

    A rule that no line breaks counts 0. What a product is called is no figure.
    """
    return tuple(_changes(before, after))


def _changes(before: DayFigures, after: DayFigures) -> Iterator[Change]:
    for figure in _SINGLE:
        old, new = getattr(before, figure), getattr(after, figure)
        if old != new:
            yield Change(figure=figure, item=None, before=old, after=new)
    for rule in sorted({*before.broken_rules, *after.broken_rules}):
        broke, breaks = before.broken_rules.get(rule, 0), after.broken_rules.get(rule, 0)
        if broke != breaks:
            yield Change(figure="rule", item=rule, before=broke, after=breaks)
    sold = {product.sku: product for product in before.top_products}
    sells = {product.sku: product for product in after.top_products}
    for sku in dict.fromkeys([*sells, *sold]):
        old_product, new_product = sold.get(sku), sells.get(sku)
        revenues: tuple[Decimal | None, Decimal | None] = (
            old_product.revenue if old_product else None,
            new_product.revenue if new_product else None,
        )
        if revenues[0] != revenues[1]:
            yield Change(figure="product_revenue", item=sku, before=revenues[0], after=revenues[1])
        units: tuple[int | None, int | None] = (
            old_product.units if old_product else None,
            new_product.units if new_product else None,
        )
        if units[0] != units[1]:
            yield Change(figure="product_units", item=sku, before=units[0], after=units[1])


def cause(day: date, before: Sources, after: Sources) -> str:
    """What changed a day's figures, as a sentence: a landing of its own, other days' extracts, or
    both."""
    reasons = []
    if after.landing_version != before.landing_version:
        reasons.append(
            f"landing {after.landing_version} of the day has replaced "
            f"landing {before.landing_version}"
        )
    elif after.contract_version != before.contract_version:
        reasons.append(
            f"the day was loaded under contract {after.contract_version} instead of "
            f"{before.contract_version}"
        )
    others = sorted(
        other
        for other in {*before.extracts, *after.extracts}
        if other != day and before.extracts.get(other) != after.extracts.get(other)
    )
    if others:
        reasons.append(f"lines of the day came in or left with the extract of {_list(others)}")
    if not reasons:
        reasons.append("the day's own extract was published again")
    sentence = ", and ".join(reasons)
    return sentence[0].upper() + sentence[1:] + "."


def _list(days: list[date], shown: int = 5) -> str:
    names = [str(day) for day in days[:shown]]
    if len(days) > shown:
        names.append(f"{len(days) - shown} more days")
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


class ReportError(PermanentError, RuntimeError):
    """A day cannot be reported; the message names the day, what is missing and the next step."""


@dataclass(frozen=True)
class Prepared:
    """A report that was written, and the URI of its document."""

    report: DayReport
    uri: str


def prepare_reports(
    connection: psycopg.Connection, landings: LandingStore, files: ReportFiles, day: date
) -> list[Prepared]:
    """Writes what is to be sent after ``day`` and records it; an empty list where nothing is.

    The day's own report, where it has none yet, and a correction of every reported day whose figures
    are others than it was last reported with: a line that is updated late belongs to another day than
    the one that brought it. Looked at are the days that loads have changed since a report last looked at
    them, so a report costs what has changed and not what there is. Doing it again, after a kill or by
    hand, finds nothing new. One at a time.

    Raises ReportError where the day was never loaded or a landing has no validation, and
    ContractError where the ledger is not as declared.
    """
    require_tables(connection, [REPORT_LEDGER])
    create_notes(connection, PUBLISHED)
    with side_of(connection).one_moment(connection):
        changed = _Changed.read(connection)
        reports, unsure = _reports_due(connection, landings, day, changed.dates)
    # Files first: what the ledger names exists. Files that a kill leaves unnamed are overwritten.
    prepared = []
    for report in reports:
        of = files.recommendations_of(report.day)
        due = report.model_copy(update={"recommendations_of": of})
        prepared.append(Prepared(due, files.write(due)))
    with connection.transaction():
        changed.keep(connection, unsure)
        record(connection, [(each.report, each.uri) for each in prepared])
        changed.forget(connection, {day, *changed.dates} - unsure)
    return prepared


@dataclass(frozen=True)
class _Changed:
    """The dates that loads have changed, up to a load, since a report last looked at them."""

    dates: frozenset[date]
    load_sequence: int

    @classmethod
    def read(cls, connection: psycopg.Connection) -> _Changed:
        dates = connection.execute(f"SELECT changed_date FROM {PUBLISHED.changed_dates}").fetchall()
        newest = connection.execute(
            f"SELECT coalesce(max(load_sequence), 0) FROM {PUBLISHED.ledger}"
        ).fetchone()
        assert newest is not None
        return cls(frozenset(each for (each,) in dates), newest[0])

    def keep(self, connection: psycopg.Connection, dates: Iterable[date]) -> None:
        """Notes dates that are not noted, so that a later report looks at them."""
        if missing := sorted({*dates} - self.dates):
            # A load notes dates too, under this lock, and must not find one that it does not know of.
            connection.execute(side_of(connection).lock(PUBLISHED.ledger))
            for each in missing:
                connection.execute(
                    f"INSERT INTO {PUBLISHED.changed_dates} (changed_date, load_sequence) "
                    "SELECT CAST(%s AS date), CAST(%s AS bigint) WHERE NOT EXISTS "
                    f"(SELECT 1 FROM {PUBLISHED.changed_dates} WHERE changed_date = %s)",
                    [each, self.load_sequence, each],
                )

    def forget(self, connection: psycopg.Connection, dates: Iterable[date]) -> None:
        """Forgets what those loads have changed on some of the dates, and no later one."""
        of_dates, values = among("changed_date", dates)
        free = side_of(connection).free_of(
            PUBLISHED.changed_dates, f"{of_dates} AND load_sequence <= %s"
        )
        connection.execute(
            f"DELETE FROM {PUBLISHED.changed_dates} WHERE {free}", [*values, self.load_sequence]
        )


def _reports_due(
    connection: psycopg.Connection, landings: LandingStore, day: date, changed: frozenset[date]
) -> tuple[list[DayReport], set[date]]:
    """What is to be reported, and the days that are to be looked at again, since lake and warehouse have not been
    found equal on them."""
    reported = last_reported(connection, {day, *changed})
    outcomes = day_outcomes(connection, PUBLISHED, {day, *reported})
    snapshot = held_snapshot(connection, PUBLISHED)
    if day not in outcomes or snapshot is None:
        raise ReportError(
            f"sales {day}: sales.load_ledger has no row of the day, so there is nothing to report."
        ).fixed_by(Remedy.RUN, ("sales", str(day)))
    sales = sales_by_day(connection, outcomes)
    pending: dict[date, tuple[DayFigures, Correction | None]] = {}
    unsure: set[date] = set()
    for each, outcome in sorted(outcomes.items()):
        before = reported.get(each)
        if not outcome.agreed:
            # A load is between its commit and its comparison, whose event brings us back; or the two differ.
            # A first report says so. No correction is sent of figures that may be wrong.
            unsure.add(each)
            if before is not None:
                continue
        rules = _broken_rules(landings, outcome, before if each != day else None)
        figures = day_figures(outcome, sales.get(each, DaySales()), rules)
        if before is None:
            pending[each] = figures, None
        elif found := changes(before.figures, figures):
            pending[each] = figures, Correction(changes=found, cause="")
    sources = day_sources(connection, [outcomes[each] for each in pending])
    revenue = _revenue_around(connection, pending, changed, sales)
    due = []
    for each, (figures, correction) in pending.items():
        before = reported.get(each)
        if before is not None and correction is not None:
            why = cause(each, before.sources, sources[each])
            correction = correction.model_copy(update={"cause": why})
        due.append(
            DayReport(
                day=each,
                version=before.version + 1 if before else 1,
                outcome=outcomes[each],
                figures=figures,
                sources=sources[each],
                revenue_by_day=tuple(
                    DayRevenue(day=date_, revenue=revenue[date_])
                    for date_ in dates_around(each)
                    if date_ in revenue
                ),
                snapshot_id=snapshot,
                correction=correction,
            )
        )
    return due, unsure


def _revenue_around(
    connection: psycopg.Connection,
    days: Iterable[date],
    changed: frozenset[date],
    sales: Mapping[date, DaySales],
) -> dict[date, Decimal]:
    """Revenue of the order dates around those days: as it was reported where nothing has changed since,
    else from the fact. A date that no order has is not among them."""
    dates = {date_ for day in days for date_ in dates_around(day)}
    revenue = {date_: sold.revenue for date_, sold in sales.items()}
    unchanged = last_reported(connection, dates - changed - revenue.keys())
    # Where nothing was sold, the figures do not say whether an order has the date.
    revenue |= {day: last.figures.revenue for day, last in unchanged.items() if last.figures.orders}
    return revenue | revenue_by_day(connection, dates - revenue.keys())


def _broken_rules(
    landings: LandingStore, outcome: DayOutcome, before: Reported | None
) -> dict[str, int]:
    """Lines that break each rule, from the landing's validation.

    What is known of an earlier report of the same landing is not read again: a day that a late line
    has changed is looked at for that line's sake.
    """
    if (
        before is not None
        and before.sources.landing_version == outcome.landing_version
        and before.sources.contract_version == outcome.contract_version
        and before.figures.valid_lines == outcome.valid_lines
    ):
        return before.figures.broken_rules
    validation = landings.validation(outcome.day, outcome.landing_version)
    if validation is None:
        raise ReportError(
            f"sales {outcome.day}: {landings.validation_uri(outcome.day, outcome.landing_version)} "
            "is missing, although that landing was loaded. Clear the task validate of the day."
        )
    return validation.broken
