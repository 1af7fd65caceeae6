"""What the marts and the day's report are made of."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from feira.core.contracts.ddl import Dialect
from feira.core.contracts.registry import BUILT_SCHEMA, INTERMEDIATE_SCHEMA, contracts
from feira.core.errors import first_line
from feira.core.lineage import Columns, Dataset, Source, Step, in_store, warehouse_table
from feira.core.settings import LakeSettings
from feira.core.warehouse.side import side_of
from feira.sales.lineage import landing_datasets
from feira.sales.published import PUBLISHED
from feira.summary.files import csv_name
from feira.summary.ledger import REPORT_LEDGER
from feira.summary.model import DayReport

if TYPE_CHECKING:
    from sqlglot import exp

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MadeOf:
    """The tables that a query reads, as ``schema.name``, and of each of its columns the tables' columns that its
    value is computed from or grouped by."""

    tables: frozenset[str]
    columns: Mapping[str, frozenset[tuple[str, str]]]


def built(warehouse: psycopg.Connection, compiled: Mapping[str, str]) -> Step:
    """The marts, from the tables and their columns that the queries name which dbt has run.

    A mart whose query cannot be read is reported without its columns, and a warning says so.

    :param compiled: the query of each model, by schema and name
    """
    dialect = side_of(warehouse).dialect
    inputs: set[str] = set()
    outputs: dict[Dataset, Columns] = {}
    for mart, query in compiled.items():
        if not mart.startswith(f"{BUILT_SCHEMA}."):
            continue
        try:
            made = made_of(query, compiled, dialect)
        except Exception as error:
            log.warning("lineage: what %s is made of is not known: %s", mart, first_line(error))
            made = MadeOf(frozenset(), {})
        inputs |= made.tables - {mart}
        outputs[warehouse_table(warehouse, mart)] = {
            column: [Source(warehouse_table(warehouse, table), name) for table, name in sorted(of)]
            for column, of in made.columns.items()
        }
    return Step(tuple(warehouse_table(warehouse, each) for each in sorted(inputs)), outputs)


def compiled_marts(folder: Path, marts: Mapping[str, int]) -> dict[str, str]:
    """The queries of these marts, and of what they are made of, as dbt has left them below its target folder."""
    (models,) = folder.glob("compiled/*/models")
    queries = {
        f"{each.parent.name}.{each.stem}": each.read_text() for each in models.glob("*/*.sql")
    }
    made = {f"{BUILT_SCHEMA}.{mart}" for mart in marts}
    return {
        name: query
        for name, query in queries.items()
        if name in made or name.startswith(f"{INTERMEDIATE_SCHEMA}.")
    }


def made_of(
    query: str, models: Mapping[str, str] | None = None, dialect: Dialect = "postgres"
) -> MadeOf:
    """What a query over tables, or over models of them, is made of; a count of rows is made of no column.

    :param models: the queries of models, by schema and name; those of ``intermediate`` are looked into
    :raises SqlglotError: where a query cannot be read
    """
    from sqlglot import exp
    from sqlglot.lineage import lineage

    parsed = _with_models(query, models or {}, dialect)
    # What a name without a schema stands for is a query of the same statement.
    # What `intermediate` holds beside the models says which rows, not what is in them.
    tables = frozenset(
        f"{each.db}.{each.name}"
        for each in parsed.find_all(exp.Table)
        if each.db not in ("", INTERMEDIATE_SCHEMA)
    )
    for select in parsed.find_all(exp.Select):
        # They say which rows too, and the columns of what they look up need not be known.
        for clause in ("where", "having", "qualify"):
            select.set(clause, None)
        _write_windows_out(select)
    known: dict[str, dict[str, dict[str, str]]] = {}
    for table in tables & contracts().keys():
        schema, _, name = table.partition(".")
        types = {each.name: each.type for each in contracts()[table].columns}
        known.setdefault(schema, {})[name] = types
    roots = lineage(None, parsed, schema=known, dialect=dialect, trim_selects=False)
    return MadeOf(
        tables,
        {
            column: frozenset(
                (table, each.name.rpartition(".")[2].strip('"'))
                for each in root.walk()
                if isinstance(each.expression, exp.Table)
                and (table := f"{each.expression.db}.{each.expression.name}") in tables
            )
            for column, root in roots.items()
        },
    )


def _write_windows_out(select: exp.Select) -> None:
    """Puts the columns of the query's named windows where the windows are used."""
    from sqlglot import exp

    named: dict[str, list[exp.Column]] = {}
    for window in select.args.get("windows") or ():
        of = named.get(window.alias.lower(), [])
        named[window.name.lower()] = [*of, *window.find_all(exp.Column)]
    for window in select.find_all(exp.Window):
        if window.parent_select is select and window.alias.lower() in named:
            columns = [each.copy() for each in named[window.alias.lower()]]
            window.set("partition_by", [*(window.args.get("partition_by") or ()), *columns])


def _with_models(query: str, models: Mapping[str, str], dialect: Dialect) -> exp.Query:
    """The query with those of the intermediate models in their places, and tables without their database."""
    from sqlglot import exp, parse_one

    parsed = parse_one(query, read=dialect)
    assert isinstance(parsed, exp.Query)
    for each in [*parsed.find_all(exp.Table)]:
        each.set("catalog", None)
        name = f"{each.db}.{each.name}"
        if each.db == INTERMEDIATE_SCHEMA and name in models:
            # One that is incremental may read itself.
            others = {model: text for model, text in models.items() if model != name}
            of = _with_models(models[name], others, dialect)
            each.replace(of.subquery(each.alias_or_name))
    return parsed


def reported(
    lake: LakeSettings, warehouse: psycopg.Connection, reports: list[tuple[DayReport, str]]
) -> Step:
    """The reports' CSVs, each beside its document at a URI, from the fact, the ledger of loads and the
    verdicts that lie beside the landed lines; and the ledger of reports."""
    files = [f"{uri.rpartition('/')[0]}/{csv_name(report)}" for report, uri in reports]
    return Step(
        (
            warehouse_table(warehouse, PUBLISHED.table),
            warehouse_table(warehouse, PUBLISHED.ledger),
            landing_datasets(lake)[0],
        ),
        {
            **{in_store(uri): {} for uri in files},
            warehouse_table(warehouse, REPORT_LEDGER): {},
        },
    )
