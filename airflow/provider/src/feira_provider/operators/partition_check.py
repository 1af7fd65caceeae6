"""Checks one partition of a warehouse table: rows, revenue, freshness, or any other figure.

Needs Airflow and its SQL provider, nothing else of this repository.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow.providers.common.sql.operators.sql import BaseSQLOperator
from airflow.sdk.exceptions import AirflowException

from feira_provider.partition import is_stated

if TYPE_CHECKING:
    from airflow.sdk import Context

PARTITION = ":partition"


class PartitionCheckError(AirflowException):
    """A figure of the partition is out of bounds; the message names it, its value and the limit."""


@dataclass(frozen=True)
class PartitionCheck:
    """One figure and its bounds, as SQL.

    ``value`` aggregates the partition's rows. ``at_least`` and ``at_most`` are constants, or queries
    in brackets that give one value; a bound that is null, or None, is no bound. All three may hold
    ``:partition``.
    """

    name: str
    value: str
    at_least: str | None = None
    at_most: str | None = None


@dataclass(frozen=True)
class Measured:
    """A check's figures as the warehouse has given them."""

    name: str
    value: Any
    at_least: Any
    at_most: Any

    def violation(self) -> str | None:
        """``revenue is 12.00, under 3700.00``; None where the value is within its bounds."""
        if self.value is None:
            return f"{self.name} is null"
        # NaN is neither under nor over any bound: it would be within all of them.
        for what, figure in (
            ("", self.value),
            (" at least", self.at_least),
            (" at most", self.at_most),
        ):
            if isinstance(figure, (float, Decimal)) and math.isnan(figure):
                return f"{self.name} is{what} {figure}, which is no number"
        try:
            if self.at_least is not None and self.value < self.at_least:
                return f"{self.name} is {self.value}, under {self.at_least}"
            if self.at_most is not None and self.value > self.at_most:
                return f"{self.name} is {self.value}, over {self.at_most}"
        except TypeError:
            bounds = f"{self.at_least!r} and {self.at_most!r}"
            return f"{self.name} is {self.value!r}, which cannot be compared with {bounds}"
        return None


class PartitionCheckOperator(BaseSQLOperator):
    """Fails when a figure of a table's partition is out of bounds.

    The provider's ``SQLTableCheckOperator`` reports that a check has failed; this one reports the value
    and the limit, so that the message can be acted on. All checks are one query, with the partition
    as its parameter.

    :param conn_id: a connection of any SQL provider (templated)
    :param table: the table, with its schema (templated)
    :param partition_column: the column that holds the partition
    :param checks: the figures and their bounds
    :param partition: the partition; the run's own unless stated (templated)
    :param next_step: what to do when a check fails, for the message (templated)
    """

    template_fields: Sequence[str] = (
        "table",
        "partition",
        "next_step",
        *BaseSQLOperator.template_fields,
    )
    ui_color = "#fff7e6"

    def __init__(
        self,
        *,
        conn_id: str,
        table: str,
        partition_column: str,
        checks: Sequence[PartitionCheck],
        partition: str = "{{ dag_run.partition_key }}",
        next_step: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(conn_id=conn_id, **kwargs)
        names = [check.name for check in checks]
        if not names or len(set(names)) != len(names):
            raise ValueError(
                f"{self.task_id}: checks are {names}; at least one is needed, each with a name of its own."
            )
        self.table = table
        self.partition_column = partition_column
        self.checks = tuple(checks)
        self.partition = partition
        self.next_step = next_step

    def statement(self, placeholder: str = "%s") -> tuple[str, list[str]]:
        """The query and its parameters: three columns a check, one row. ``placeholder`` is what the
        connection's driver writes for a parameter."""
        columns = [
            bound if bound is not None else "NULL"
            for check in self.checks
            for bound in (check.value, check.at_least, check.at_most)
        ]
        query = (
            f"SELECT {', '.join(columns)} FROM {self.table} "
            f"WHERE {self.partition_column} = {PARTITION}"
        )
        # With parameters a driver takes every percent sign for one of them.
        literal = query.replace("%", "%%") if placeholder == "%s" else query
        return literal.replace(PARTITION, placeholder), [self.partition] * query.count(PARTITION)

    def execute(self, context: Context) -> dict[str, str]:
        """Returns each figure as text; raises PartitionCheckError naming those out of bounds."""
        # A DAG that renders templates to native objects makes None of a run without one, and a number of 20101201.
        self.partition = str(self.partition)
        if not is_stated(self.partition):
            raise PartitionCheckError(
                f"{self.task_id}: the run has no partition key, so there is no partition of "
                f"{self.table} to check. Trigger it with one, or state the operator's `partition`."
            )
        hook = self.get_db_hook()
        query, parameters = self.statement(hook.placeholder)
        row = hook.get_first(query, parameters)
        values = [row[index : index + 3] for index in range(0, len(row), 3)]
        measured = [
            Measured(check.name, *figures)
            for check, figures in zip(self.checks, values, strict=True)
        ]
        for each in measured:
            self.log.info(
                "%s %s: %s %s (at least %s, at most %s)",
                self.table,
                self.partition,
                each.name,
                each.value,
                each.at_least,
                each.at_most,
            )
        violations = [text for each in measured if (text := each.violation())]
        if violations:
            raise PartitionCheckError(
                f"{self.table} {self.partition}: {'; '.join(violations)}. {self.next_step}".strip()
            )
        return {each.name: str(each.value) for each in measured}
