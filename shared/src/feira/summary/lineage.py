"""What the marts and the day's report are made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psycopg

from feira.core.contracts.registry import BUILT_SCHEMA, INTERMEDIATE_SCHEMA
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

    :param compiled: the query of each model, by schema and name
    :raises SqlglotError: where a query cannot be read
    """
    fact = warehouse_table(warehouse, PUBLISHED.table)
    return Step(
        (fact,),
        {
            warehouse_table(warehouse, mart): {
                column: [Source(fact, each) for each in sorted(of)]
                for column, of in of_fact(query, compiled).items()
            }
            for mart, query in compiled.items()
            if mart.startswith(f"{BUILT_SCHEMA}.")
        },
    )


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


def of_fact(query: str, models: Mapping[str, str] | None = None) -> dict[str, set[str]]:
    """The columns of the fact that each of the columns of a query over it, or over models of it, is made of;
    a count of rows is made of none.

    :param models: the queries of the models, by schema and name
    """
    from sqlglot import exp, parse_one
    from sqlglot.lineage import lineage

    def read(text: str) -> exp.Query:
        parsed = parse_one(text, read="postgres")
        assert isinstance(parsed, exp.Query)
        for each in [*parsed.find_all(exp.Table)]:
            if model := (models or {}).get(f"{each.db}.{each.name}"):
                each.replace(read(model).subquery(each.alias_or_name))
        return parsed

    parsed = read(query)
    # What a name without a schema stands for is a query of the same statement.
    # What `intermediate` holds beside the models says which rows, not what is in them.
    (fact,) = {
        each for each in parsed.find_all(exp.Table) if each.db not in ("", INTERMEDIATE_SCHEMA)
    }
    types = {each.name: each.type for each in PUBLISHED.contract.columns}
    known = {fact.catalog: {fact.db: {fact.name: types}}}
    roots = lineage(None, parsed, schema=known, dialect="postgres", trim_selects=False)
    return {
        column: {
            each.name.rpartition(".")[2].strip('"')
            for each in root.walk()
            if isinstance(each.expression, exp.Table) and each.expression.db == fact.db
        }
        for column, root in roots.items()
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
