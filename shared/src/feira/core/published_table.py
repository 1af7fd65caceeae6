"""A table that is published in the lake and loaded into the warehouse, as one declaration.

What publishes, compares, loads and reconciles takes it, and knows no pipeline. What a contract states
(columns, types, key, partition) comes from the contract; the declaration says the rest, once.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from decimal import Decimal

from feira.core.by_place import declarations
from feira.core.contracts import Contract, ContractError, contract

# The ledger's rows of a day. One landing has several where it was loaded under several contracts.
NEWEST_FIRST = "landing_version DESC, load_sequence DESC"
_LEDGER = "load_ledger"


@dataclass(frozen=True)
class Measure:
    """A sum that lake and warehouse must agree on, and that the ledger keeps as ``day_<name>``.

    :param column: an integer or decimal column of the table
    :param counts: SQL that is true of the rows that count, in Spark's and PostgreSQL's words alike
    :param unit: what the sum is of, for messages
    """

    name: str
    column: str
    counts: str = "TRUE"
    unit: str = ""

    @property
    def sql(self) -> str:
        """The sum over rows; 0 for none."""
        return f"coalesce(sum(CASE WHEN {self.counts} THEN {self.column} END), 0)"

    def shown(self, value: Decimal) -> str:
        """The sum for a message."""
        return f"{value:.2f} {self.unit}" if self.unit else f"{self.name} {value}"


@dataclass(frozen=True)
class PublishedTable:
    """A function of each day's current extract: for each key the row with the greatest version.

    :param name: the pipeline, and the dataset of its landings; messages begin with it
    :param table: the published table, by its contract's name
    :param extracts: the table of each day's current extract, of the same key and columns
    :param version: the column whose greatest value wins; of equal ones the later day's
    :param event_date: the date that rows are about, beside the day whose extract holds them
    :param ledger: the table of loads, ``<schema>.load_ledger``; several tables of one schema have
        ledgers of their own, as in ``sales.returns_load_ledger``
    :param measures: the sums that are compared beside rows and their hash
    :param noted_key: a column of the key whose values loads note when they change rows of theirs; none
        where nobody follows the table by it
    """

    name: str
    table: str
    extracts: str
    version: str
    event_date: str
    ledger: str
    measures: tuple[Measure, ...] = ()
    noted_key: str | None = None

    @property
    def contract(self) -> Contract:
        """The table's contract.

        :raises ContractError: where contract and declaration do not fit, naming column and cause
        """
        declared = contract(self.table)
        if problem := self._problem(declared):
            raise ContractError(f"{self.table} cannot be published as declared: {problem}.")
        return declared

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that name a row."""
        return self.contract.primary_key

    @property
    def day(self) -> str:
        """The column that says whose extract a row is of; the table is partitioned by it."""
        return self.contract.partition_by[0]

    @property
    def waiting_date(self) -> str:
        """The event date's column among the dates that wait for reconcile."""
        return self.event_date if self.event_date != self.day else "event_date"

    @property
    def unreconciled(self) -> str:
        """The table of dates that loads have changed and no reconcile has settled."""
        return self.ledger.removesuffix(_LEDGER) + "unreconciled_dates"

    @property
    def changed_dates(self) -> str:
        """The table of event dates, and extract days, that loads have changed since who follows the table
        last looked at them: ``changed_date``, and the newest ``load_sequence`` that did."""
        return self.ledger.removesuffix(_LEDGER) + "changed_dates"

    @property
    def changed_keys(self) -> str:
        """The table of what the last loads have changed, where there is a ``noted_key``: its value with the
        event dates of the rows that were and of those that are, and the ``load_sequence``. One row has
        neither key nor date: at its ``noted_at`` the table was loaded whole, or noting began, and what had
        changed up to then is not noted."""
        return self.ledger.removesuffix(_LEDGER) + "changed_keys"

    @property
    def looked_up_by(self) -> tuple[str, ...]:
        """The columns beside the key by which a day's steps look for rows: the warehouse's copy has an
        index on each, where the warehouse has indexes."""
        return tuple(dict.fromkeys((self.day, self.event_date)))

    @property
    def ranged_by(self) -> str | None:
        """The key's first column: where its values rise with the event date, as an order's number does, a
        day's steps skip the lake's files that hold none near its own. None where it is neither text nor
        an integer, whose values are the same in Python; the steps then read the keys of all files."""
        first = self.key[0]
        return first if self.contract.column(first).type in ("string", "int", "bigint") else None

    @property
    def held_days(self) -> str:
        """The table of days with a row that the warehouse refuses."""
        return self.ledger.removesuffix(_LEDGER) + "held_days"

    @property
    def held_rows(self) -> str:
        """The table of the keys that the lake has under a held day and the warehouse still as they were before."""
        return self.ledger.removesuffix(_LEDGER) + "held_rows"

    def _problem(self, declared: Contract) -> str | None:
        if not declared.primary_key:
            return "its contract states no key"
        if len(declared.partition_by) != 1:
            return f"it is partitioned by {declared.partition_by}, and must be by its extract day"
        if contract(self.extracts).partition_by != declared.partition_by:
            return f"{self.extracts} is not partitioned by {declared.partition_by[0]}"
        for name in (declared.partition_by[0], self.event_date):
            column = declared.column(name)
            if column.type != "date" or not column.required:
                return f"{name} is {column.type}, and must be a required date"
        if not declared.column(self.version).required:
            return f"its version {self.version} may be null"
        if self.noted_key is not None and self.noted_key not in declared.primary_key:
            return f"its noted_key {self.noted_key} is not of the key"
        extracted = {each.name: each.type for each in contract(self.extracts).columns}
        for each in declared.columns:
            if extracted.get(each.name) != each.type:
                return f"{self.extracts} has no {each.name} of type {each.type}"
        if not self.ledger.endswith(_LEDGER):
            return f"its ledger's name {self.ledger} must end in {_LEDGER}"
        kept = {each.name for each in contract(self.ledger).columns}
        for measure in self.measures:
            type_ = declared.column(measure.column).type
            if not type_.startswith(("int", "bigint", "decimal")):
                return f"{measure.column} is {type_}, and a sum is of integers or decimals"
            if f"day_{measure.name}" not in kept:
                return f"{self.ledger} has no column day_{measure.name}"
        return None


@functools.cache
def published_tables() -> tuple[PublishedTable, ...]:
    """What the pipelines publish: ``PUBLISHED`` of each ``feira.<pipeline>.published``, by name."""
    import feira

    return tuple(declarations(feira.__path__, "feira", "published", PublishedTable, ContractError))
