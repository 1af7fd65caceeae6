"""Each mart's column leads to the columns of the fact that the query which dbt has run makes it of."""

from __future__ import annotations

import psycopg
import pytest

from feira.core.contracts import contract
from feira.summary.lineage import built, compiled_marts, of_fact
from lineage_expected import MARTS_OF_THE_FACT


def test_what_dbt_has_run_says_of_which_columns_of_the_fact_each_mart_is_made(warehouse) -> None:
    queries = compiled_marts(warehouse.scratch, warehouse.build())
    with psycopg.connect(warehouse.dsns.dbt) as connection:
        step = built(connection, queries)
        database = connection.info.dbname
    assert [each.name for each in step.inputs] == [f"{database}.sales.fact"]
    found = {
        dataset.name.rpartition(".")[2]: {
            column: {source.column for source in sources} for column, sources in columns.items()
        }
        for dataset, columns in step.outputs.items()
    }
    assert found == MARTS_OF_THE_FACT
    assert {name: set(of) for name, of in found.items()} == {
        name: set(contract(f"marts.{name}").column_names) for name in MARTS_OF_THE_FACT
    }


@pytest.mark.parametrize(
    ("expression", "columns"),
    [
        ("sum(amount)", {"amount"}),
        ("f.sku || coalesce(f.description, '')", {"sku", "description"}),
        ("first_value(country) over (partition by order_id)", {"country", "order_id"}),
        ("count(*)", set()),
        ("'constant'", set()),
    ],
)
def test_a_query_is_read_through_its_parts(expression: str, columns: set[str]) -> None:
    query = (
        f'with inner_part as (select {expression} as value from "w"."sales"."fact" as f), '
        "outer_part as (select * from inner_part) select cast(value as text) as shown from outer_part"
    )
    assert of_fact(query) == {"shown": columns}
