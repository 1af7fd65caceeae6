"""Each mart's column leads to the columns that the query which dbt has run makes it of, whatever tables have them."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from feira.core.contracts import contract
from feira.summary.lineage import built, compiled_marts, made_of
from lineage_expected import MARTS_OF_THE_FACT


def test_what_dbt_has_run_says_of_which_columns_of_the_fact_each_mart_is_made(warehouse) -> None:
    queries = compiled_marts(warehouse.scratch, warehouse.build())
    with psycopg.connect(warehouse.dsns.dbt) as connection:
        step = built(connection, queries)
        database = connection.info.dbname
    assert [each.name for each in step.inputs] == [f"{database}.sales.fact"]
    found = {
        dataset.name.rpartition(".")[2]: {
            column: {source.column for source in sources if source.dataset in step.inputs}
            for column, sources in columns.items()
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
        ("sum(quantity) over (w rows 1 preceding)", {"quantity", "currency", "fx_date"}),
        ("max(sku) over Later", {"sku", "currency", "fx_date", "created_at"}),
        ("string_agg(sku, ',' order by line_number)", {"sku", "line_number"}),
        ("sum(amount) filter (where status = 'paid')", {"amount", "status"}),
        ("count(*) filter (where country = 'BR' and f.quantity > 1)", {"country", "quantity"}),
        ("count(*) filter (where fx_rate > 1) over w", {"fx_rate", "currency", "fx_date"}),
        ("1 - avg(amount) filter (where not (sku = currency))", {"amount", "sku", "currency"}),
        ("count(*)", set()),
        ("'constant'", set()),
    ],
)  # fmt: skip
def test_a_query_is_read_through_its_parts(expression: str, columns: set[str]) -> None:
    query = (
        f'with inner_part as (select {expression} as value from "w"."sales"."fact" as f '
        "where unit_price > 0 having count(*) filter (where line_kind = 'a') > 1 "
        "window w as (partition by currency order by fx_date), later as (w order by created_at)), "
        "outer_part as (select * from inner_part) select cast(value as text) as shown from outer_part"
    )
    made = made_of(query)
    assert made.tables == {"sales.fact"}
    assert made.columns == {"shown": {("sales.fact", name) for name in columns}}


FACT = '"w"."sales"."fact"'


@pytest.mark.parametrize(
    ("query", "tables", "columns"),
    [
        (
            f"select a.order_id as x, b.sku as y from {FACT} as a join {FACT} as b using (order_id)",
            {"sales.fact"},
            {"x": {"sales.fact.order_id"}, "y": {"sales.fact.sku"}},
        ),
        (
            f"with p as (select sku from {FACT}), q as (select f.country from {FACT} as f) "
            "select p.sku, q.country from p cross join q",
            {"sales.fact"},
            {"sku": {"sales.fact.sku"}, "country": {"sales.fact.country"}},
        ),
        (
            'select user_id, count(*) as n, max(item_id) as item from "w"."web"."user_events" group by 1',
            {"web.user_events"},
            {"user_id": {"web.user_events.user_id"}, "n": set(), "item": {"web.user_events.item_id"}},
        ),
        (
            # Neither column says which table has it; the contracts do.
            f"select country || user_id as both from {FACT} join web.user_events on sku = item_id",
            {"sales.fact", "web.user_events"},
            {"both": {"sales.fact.country", "web.user_events.user_id"}},
        ),
        (
            f"select sku as a from {FACT} union all select item_id from web.user_events",
            {"sales.fact", "web.user_events"},
            {"a": {"sales.fact.sku", "web.user_events.item_id"}},
        ),
        (
            "select m.revenue, u.size from marts.daily_revenue as m join other.unknown as u on true",
            {"marts.daily_revenue", "other.unknown"},
            {"revenue": {"marts.daily_revenue.revenue"}, "size": {"other.unknown.size"}},
        ),
        (
            # Which rows, of tables whose columns nobody knows.
            f"select max(sku) filter (where country = 'BR') as last from {FACT} "
            "where sku in (select a from other.x, other.y) group by order_id "
            "having max(sku) in (select a from other.x, other.y) "
            "qualify row_number() over (order by (select a from other.x, other.y)) = 1",
            {"sales.fact", "other.x", "other.y"},
            {"last": {"sales.fact.sku", "sales.fact.country"}},
        ),
        (
            f"select count(*) filter (where sku in (select e.sku from web.user_events as e where e.slot = 'a')) as n "
            f"from {FACT}",
            {"sales.fact", "web.user_events"},
            {"n": {"sales.fact.sku", "web.user_events.sku"}},
        ),
        (
            # Two queries may give two windows one name.
            f"select a, max(a) over w as b from (select max(sku) over w as a, order_id from {FACT} "
            "window w as (partition by country)) as x window w as (partition by order_id)",
            {"sales.fact"},
            {
                "a": {"sales.fact.sku", "sales.fact.country"},
                "b": {"sales.fact.sku", "sales.fact.country", "sales.fact.order_id"},
            },
        ),
        ("select 1 as one", set(), {"one": set()}),
        (
            "select a, b from intermediate.days cross join intermediate.touched",
            {"sales.fact"},
            {"a": {"sales.fact.sku"}, "b": set()},
        ),
    ],
)  # fmt: skip
def test_each_column_leads_to_the_table_that_has_it(
    query: str, tables: set[str], columns: dict[str, set[str]]
) -> None:
    # One that is incremental reads itself.
    model = f"select sku as a from {FACT} where sku not in (select a from intermediate.days)"
    made = made_of(
        query, {"intermediate.days": model, "marts.daily_revenue": "select 1 as revenue"}
    )
    assert made.tables == tables
    found = {name: {".".join(each) for each in of} for name, of in made.columns.items()}
    assert found == columns


def test_a_mart_that_cannot_be_read_takes_no_other_with_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    info = SimpleNamespace(host="db", port=5432, dbname="w", server_version=180000)
    connection: Any = SimpleNamespace(info=info)
    queries = {
        "marts.broken": "select from where",
        "marts.events": "select user_id from web.user_events",
        "marts.sold": f"select sku from {FACT} where sku in (select sku from marts.sold)",
    }
    with caplog.at_level(logging.WARNING):
        step = built(connection, queries)
    assert [each.name for each in step.inputs] == ["w.sales.fact", "w.web.user_events"]
    named = {
        dataset.name: {
            column: [f"{of.dataset.name}.{of.column}" for of in sources]
            for column, sources in columns.items()
        }
        for dataset, columns in step.outputs.items()
    }
    assert named == {
        "w.marts.broken": {},
        "w.marts.events": {"user_id": ["w.web.user_events.user_id"]},
        "w.marts.sold": {"sku": ["w.sales.fact.sku"]},
    }
    assert ["marts.broken" in each.getMessage() for each in caplog.records] == [True]
