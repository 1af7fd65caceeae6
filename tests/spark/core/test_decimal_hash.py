"""A decimal of any precision and scale is compared as one integer, in Spark and in the warehouse."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from feira.core.contracts import Column
from feira.core.warehouse.fingerprint import Engine, row_hash, row_token
from feira.core.warehouse.schema import connect
from feira_local.stack.postgres import Dsns

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Precision and scale; the value as the integer of its last place.
Type = tuple[int, int]
EDGES: list[Type] = [
    *((1, 0), (1, 1), (18, 4), (18, 18), (19, 8), (20, 19), (28, 10), (38, 0), (38, 1), (38, 4)),
    *((38, 6), (38, 18), (38, 37), (38, 38)),
    # As many digits as a product may have, and one more.
    *((36, 0), (37, 0), (28, 8), (28, 9), (19, 17), (19, 18)),
]
TYPES = st.integers(1, 38).flatmap(lambda p: st.tuples(st.just(p), st.integers(0, p)))
ROWS = 30


def integers(of: Type) -> st.SearchStrategy[int | None]:
    most, one = 10 ** of[0] - 1, 10 ** of[1]
    edges = [0, 1, -1, most, -most, one, -one, one // 10, 1234567890123455 * one // 10]
    return (
        st.none() | st.sampled_from([n for n in edges if abs(n) <= most]) | st.integers(-most, most)
    )


@st.composite
def columns(draw: st.DrawFn) -> list[tuple[Type, list[int | None]]]:
    types = EDGES + draw(st.lists(TYPES, min_size=6, max_size=6))
    return [(of, draw(st.lists(integers(of), min_size=ROWS, max_size=ROWS))) for of in types]


@pytest.fixture
def warehouse(postgres: Dsns) -> Iterator[psycopg.Connection]:
    with connect(postgres.warehouse_loader) as connection:
        yield connection


@settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(columns())
def test_spark_and_postgresql_write_any_decimal_as_the_integer_of_its_last_place(
    spark: SparkSession,
    warehouse: psycopg.Connection,
    drawn: list[tuple[Type, list[int | None]]],
) -> None:
    declared = [
        Column(f"c{at}", f"decimal({of[0]},{of[1]})", required=False)
        for at, (of, _) in enumerate(drawn)
    ]
    values = [
        [None if n is None else Decimal(f"{n}E-{of[1]}") for n in numbers] for of, numbers in drawn
    ]
    table = pa.table(
        [pa.array(each, pa.decimal128(*of)) for each, (of, _) in zip(values, drawn, strict=True)],
        [each.name for each in declared],
    )
    spark.createDataFrame(table).createOrReplaceTempView("decimals")

    def asked(engine: Engine) -> str:
        found = [*(row_token(each, engine) for each in declared), row_hash(declared, engine)]
        return f"SELECT {', '.join(found)} FROM decimals"

    by_spark = sorted(map(tuple, spark.sql(asked("spark")).collect()))
    with warehouse.transaction(force_rollback=True):
        typed = ", ".join(f"{each.name} {each.type}" for each in declared)
        warehouse.execute(f"CREATE TEMP TABLE decimals ({typed})")
        warehouse.cursor().executemany(
            f"INSERT INTO decimals VALUES ({', '.join(['%s'] * len(declared))})",
            [*zip(*values, strict=True)],
        )
        by_postgres = sorted(warehouse.execute(asked("postgres")).fetchall())
    assert by_spark == by_postgres
    expected = zip(*(["~" if n is None else str(n) for n in of] for _, of in drawn), strict=True)
    assert [row[:-1] for row in by_spark] == sorted(expected)
