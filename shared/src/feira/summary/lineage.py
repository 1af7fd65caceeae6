"""What the marts and the day's report are made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psycopg

from feira.core.contracts import contract
from feira.core.lineage import Source, Step, in_store, warehouse_table
from feira.core.settings import LakeSettings
from feira.sales.lineage import landing_datasets
from feira.sales.published import PUBLISHED
from feira.summary.files import csv_name
from feira.summary.ledger import REPORT_LEDGER
from feira.summary.model import DayReport


def built(warehouse: psycopg.Connection, compiled: Mapping[str, str]) -> Step:
    """The marts, from the fact: each column with the columns that its value is computed from or grouped
    by, as the query says that dbt has run.

    :param compiled: the query of each mart, by the mart's name
    :raises SqlglotError: where a query cannot be read, or has no such column
    """
    fact = warehouse_table(warehouse, PUBLISHED.table)
    return Step(
        (fact,),
        {
            warehouse_table(warehouse, f"marts.{mart}"): {
                column: [Source(fact, of) for of in sorted(of_fact(query, column))]
                for column in contract(f"marts.{mart}").column_names
            }
            for mart, query in compiled.items()
        },
    )


def compiled_marts(folder: Path, marts: Mapping[str, int]) -> dict[str, str]:
    """The query of each of these marts, as dbt has left it below its target folder."""
    (models,) = folder.glob("compiled/*/models/marts")
    return {mart: (models / f"{mart}.sql").read_text() for mart in marts}


def of_fact(query: str, column: str) -> set[str]:
    """The columns of the fact that a column of a query over it alone is made of; a count of rows is made
    of none."""
    from sqlglot import exp, parse_one
    from sqlglot.lineage import lineage

    parsed = parse_one(query, read="postgres")
    # What a name without a schema stands for is a query of the same statement.
    (fact,) = {each for each in parsed.find_all(exp.Table) if each.db}
    types = {each.name: each.type for each in PUBLISHED.contract.columns}
    known = {fact.catalog: {fact.db: {fact.name: types}}}
    root = lineage(column, parsed, schema=known, dialect="postgres")
    return {
        each.name.rpartition(".")[2].strip('"')
        for each in root.walk()
        if isinstance(each.expression, exp.Table)
    }


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
