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
from feira.summary.ledger import (
    REPORT_LEDGER,
    Reported,
    keep_sources,
    last_reported,
    record,
)
from feira.summary.model import (
    Change,
    Correction,
    DayFigures,
    DayReport,
    DayRevenue,
    Figure,
    Sources,
)
from feira.summary.wording import counted

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


def cause(
    day: date,
    before: Sources,
    after: Sources,
    loads: Mapping[date, int],
    newest: date | None = None,
) -> str:
    """What changed a day's figures since it was last looked at, as a sentence: a landing of its own, other
    days' extracts, or both.

    ``loads`` has the newest load of each extract day: one whose lines only others have taken was not loaded
    since. ``newest`` is the day whose load was the last to change the day since, where that is known. A load
    brings all that was published by then, other days' too: where nothing else is known it is named, with the
    extracts whose lines have changed.
    """
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
    different = sorted(
        other
        for other in {*before.extracts, *after.extracts}
        if before.extracts.get(other) != after.extracts.get(other)
    )
    others = [
        other
        for other in different
        if other != day
        and (other not in before.extracts or loads.get(other, 0) > before.load_sequence)
    ]
    if not reasons and not others:
        if newest == day and different in ([], [day]):
            reasons.append("the day's own extract was published again")
        else:
            whose = f" from the extract of {_list(different)}" if different else ""
            when = f"with the load of {newest}" if newest else "since the last report"
            reasons.append(f"lines of the day{whose} came in or left {when}")
    if others:
        reasons.append(f"lines of the day came in or left with the extract of {_list(others)}")
    sentence = ", and ".join(reasons)
    return sentence[0].upper() + sentence[1:] + "."


def _list(days: list[date], shown: int = 5) -> str:
    names = [str(day) for day in days[:shown]]
    if len(days) > shown:
        names.append(counted(len(days) - shown, "more day"))
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
        found = _look(connection, landings, day, changed)
    # Files first: what the ledger names exists. Files that a kill leaves unnamed are overwritten.
    prepared = []
    for report in found.due:
        of = files.recommendations_of(report.day)
        due = report.model_copy(update={"recommendations_of": of})
        prepared.append(Prepared(due, files.write(due)))
    with connection.transaction():
        changed.keep(connection, found.unsure)
        record(connection, [(each.report, each.uri) for each in prepared])
        keep_sources(connection, found.unchanged)
        changed.forget(connection, {day, *changed.dates} - found.unsure)
    return prepared


@dataclass(frozen=True)
class _Changed:
    """The dates that loads have changed, up to a load, since a report last looked at them; of each the newest
    load that did, and the day it was of, where the ledger still has that."""

    loads: Mapping[date, tuple[int, date | None]]
    load_sequence: int

    @property
    def dates(self) -> frozenset[date]:
        return frozenset(self.loads)

    def newest_since(self, load_sequence: int, each: date) -> date | None:
        """The day whose load was the last to change a date after that load; None where that is not known."""
        sequence, day = self.loads.get(each, (0, None))
        return day if sequence > load_sequence else None

    @classmethod
    def read(cls, connection: psycopg.Connection) -> _Changed:
        loads = connection.execute(
            f"SELECT changed_date, c.load_sequence, l.{PUBLISHED.day} FROM {PUBLISHED.changed_dates} c "
            f"LEFT JOIN {PUBLISHED.ledger} l ON l.load_sequence = c.load_sequence"
        ).fetchall()
        newest = connection.execute(
            f"SELECT coalesce(max(load_sequence), 0) FROM {PUBLISHED.ledger}"
        ).fetchone()
        assert newest is not None
        return cls({each: (sequence, day) for each, sequence, day in loads}, newest[0])

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


@dataclass(frozen=True)
class _Found:
    """What looking at days has found.

    ``unsure`` are to be looked at again, since lake and warehouse have not been found equal on them.
    ``unchanged`` are the reports whose figures are as they were, with the sources that they have now.
    """

    due: list[DayReport]
    unsure: set[date]
    unchanged: list[tuple[Reported, Sources]]


def _look(
    connection: psycopg.Connection, landings: LandingStore, day: date, changed: _Changed
) -> _Found:
    """Looks at the day and at every reported one that has changed."""
    reported = last_reported(connection, {day, *changed.dates})
    outcomes = day_outcomes(connection, PUBLISHED, {day, *reported})
    snapshot = held_snapshot(connection, PUBLISHED)
    if day not in outcomes or snapshot is None:
        raise ReportError(
            f"sales {day}: sales.load_ledger has no row of the day, so there is nothing to report."
        ).fixed_by(Remedy.RUN, ("sales", str(day)))
    sales = sales_by_day(connection, outcomes)
    pending: dict[date, tuple[DayFigures, tuple[Change, ...]]] = {}
    unsure: set[date] = set()
    equal: list[Reported] = []
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
        found = changes(before.figures, figures) if before else ()
        if before is not None and not found:
            equal.append(before)
        else:
            pending[each] = figures, found
    looked_at = [outcomes[each] for each in {*pending, *(each.day for each in equal)}]
    sources = {
        each: found.model_copy(update={"load_sequence": changed.load_sequence})
        for each, found in day_sources(connection, looked_at).items()
    }
    corrected = [(reported[each], sources[each]) for each in pending if each in reported]
    causes = _causes(connection, corrected, changed)
    revenue = _revenue_around(connection, pending, changed.dates, sales)
    due = [
        DayReport(
            day=each,
            version=reported[each].version + 1 if each in reported else 1,
            outcome=outcomes[each],
            figures=figures,
            sources=sources[each],
            revenue_by_day=tuple(
                DayRevenue(day=date_, revenue=revenue[date_])
                for date_ in dates_around(each)
                if date_ in revenue
            ),
            snapshot_id=snapshot,
            correction=Correction(changes=found, cause=causes[each]) if each in causes else None,
        )
        for each, (figures, found) in pending.items()
    ]
    return _Found(due, unsure, [(each, sources[each.day]) for each in equal])


def _causes(
    connection: psycopg.Connection, corrected: list[tuple[Reported, Sources]], changed: _Changed
) -> dict[date, str]:
    """What changed the figures of each of those days."""
    if not corrected:
        return {}
    extracts = {day for before, _ in corrected for day in before.sources.extracts}
    of_extracts, values = among(PUBLISHED.day, extracts)
    loads = connection.execute(
        f"SELECT {PUBLISHED.day}, max(load_sequence) FROM {PUBLISHED.ledger} "
        f"WHERE {of_extracts} GROUP BY {PUBLISHED.day}",
        values,
    )
    of_days: dict[date, int] = dict(loads.fetchall())
    return {
        before.day: cause(
            before.day,
            before.sources,
            after,
            of_days,
            changed.newest_since(before.sources.load_sequence, before.day),
        )
        for before, after in corrected
    }


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
