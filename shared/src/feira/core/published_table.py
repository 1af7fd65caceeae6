"""A table that is published in the lake and loaded into the warehouse, as one declaration.

What publishes, compares, loads and reconciles takes it, and knows no pipeline. What a contract states
(columns, types, key, partition) comes from the contract; the declaration says the rest, once.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from decimal import Decimal

from feira.core.by_place import declarations
from feira.core.contracts import Contract, ContractError, contract
from feira.core.contracts.ddl import warehouse_type
from feira.core.contracts.identifiers import LONGEST

# The ledger's rows of a day. One landing has several where it was loaded under several contracts.
NEWEST_FIRST = "landing_version DESC, load_sequence DESC"
_LEDGER = "load_ledger"
_LANDING = ("landing_version", "contract_version")
# Of the ledger, beside the day and the measures' sums.
_LEDGER_TYPES = {
    "landing_version": "int",
    "contract_version": "string",
    "landing_uri": "string",
    **dict.fromkeys((f"{kind}_lines" for kind in ("landed", "valid", "quarantined")), "bigint"),
    **dict.fromkeys((f"{of}_rows" for of in ("day", "inserted", "updated", "deleted")), "bigint"),
    **dict.fromkeys(("snapshot_id", "load_sequence", "agreed_snapshot_id"), "bigint"),
    "loaded_at": "timestamp",
}
# Of the tables that loads note in beside it, by what else they have.
_BESIDE_DAY = (*_LEDGER_TYPES, "row_key", "reason", "held_at")
_BESIDE_EVENT_DATE, _BESIDE_KEY = ("load_sequence",), ("load_sequence", "noted_at")


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
    :param noted_key: a column of the key, not the event date, whose values loads note when they change
        rows of theirs; none where nobody follows the table by it
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
        """The event date's column among the dates that wait for reconcile, beside the day's."""
        if self.event_date != self.day:
            return self.event_date
        return "event_date" if self.day != "event_date" else "waiting_date"

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
            warehouse_type(each)
            if extracted.get(each.name) != each.type:
                return f"{self.extracts} has no {each.name} of type {each.type}"
        return self._name_problem(declared.partition_by[0]) or self._ledger_problem(declared)

    def _name_problem(self, day: str) -> str | None:
        """Where a table that loads write would have a name that is cut, or a column twice."""
        if not self.ledger.endswith(_LEDGER):
            return f"its ledger's name {self.ledger} must end in {_LEDGER}"
        for name in (self.table, self.unreconciled):
            if (length := len(name.partition(".")[2])) > LONGEST:
                return f"the name {name} has {length} characters, and PostgreSQL holds {LONGEST}"
        if self.noted_key == self.event_date:
            return f"its noted_key {self.noted_key} is its event date, which is noted anyway"
        noted = _BESIDE_EVENT_DATE if self.noted_key is None else _BESIDE_KEY
        beside = ((day, _BESIDE_DAY), (self.event_date, noted), (self.noted_key, noted))
        for column, others in beside:
            if column in others:
                return f"{column} is also a column of the loads' own, beside it; rename it"
        columns = [day, *_LEDGER_TYPES, *(f"day_{measure.name}" for measure in self.measures)]
        if twice := [name for name in columns if columns.count(name) > 1]:
            return f"{self.ledger} would have several columns {twice[0]}; rename a measure"
        return None

    def _ledger_problem(self, declared: Contract) -> str | None:
        """Where the ledger has not what a load writes."""
        day, ledger = declared.partition_by[0], contract(self.ledger)
        types = {day: "date", **_LEDGER_TYPES}
        for measure in self.measures:
            type_ = declared.column(measure.column).type
            if _digits(type_) is None:
                return f"{measure.column} is {type_}, and a sum is of integers or decimals"
            types[f"day_{measure.name}"] = _of_sum(type_)
        found = {each.name: each.type for each in ledger.columns}
        for name, type_ in types.items():
            if name not in found:
                return f"{self.ledger} has no column {name}"
            if not _holds(found[name], type_):
                return f"{name} of {self.ledger} is {found[name]}, and must hold every {type_}"
        if {*ledger.primary_key} != {day, *_LANDING}:
            key = ", ".join(ledger.primary_key)
            return (
                f"{self.ledger} has the key ({key}), and must have ({', '.join((day, *_LANDING))})"
            )
        written = types.keys() - {"agreed_snapshot_id"}
        if unknown := [name for name in ledger.required_columns if name not in written]:
            return f"{self.ledger} requires {unknown[0]}, which a load does not write"
        return None


@functools.cache
def _digits(type_: str) -> tuple[int, int] | None:
    """How many digits a number has before and after its point; None for a type that is none."""
    if match := re.fullmatch(r"decimal\((\d+),(\d+)\)", type_):
        return int(match[1]) - int(match[2]), int(match[2])
    return {"int": (10, 0), "bigint": (19, 0)}.get(type_)


def _of_sum(type_: str) -> str:
    """The type that Spark gives a sum of the type's numbers: of decimals ten digits more."""
    match = re.fullmatch(r"decimal\((\d+),(\d+)\)", type_)
    return f"decimal({min(38, int(match[1]) + 10)},{match[2]})" if match else "bigint"


def _holds(type_: str, other: str) -> bool:
    """Whether a column of the type holds every value of the other, to its last digit."""
    digits, others = _digits(type_), _digits(other)
    if digits is None or others is None:
        return type_ == other
    return digits[0] >= others[0] and digits[1] >= others[1]


@functools.cache
def published_tables() -> tuple[PublishedTable, ...]:
    """What the pipelines publish: ``PUBLISHED`` of each ``feira.<pipeline>.published``, by name.

    :raises ContractError: where two have one ledger: each would take up the other's snapshot
    """
    import feira

    found = [*declarations(feira.__path__, "feira", "published", PublishedTable, ContractError)]
    of_ledger: dict[str, str] = {}
    for each in found:
        if (other := of_ledger.setdefault(each.ledger, each.name)) != each.name:
            raise ContractError(
                f"{other} and {each.name} both have the ledger {each.ledger}; declare one for each."
            )
    return tuple(found)
