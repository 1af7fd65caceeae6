"""What COPY puts into a table is what the batches held, in either format and of every type."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal

import hypothesis.strategies as st
import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from feira.core.warehouse.copy_rows import HAS_PGPQ, copy_rows

FORMATS = [
    pytest.param(
        True,
        id="binary",
        marks=pytest.mark.skipif(
            not HAS_PGPQ,
            reason="pgpq has no wheel for this machine; there rows go as CSV",
        ),
    ),
    pytest.param(False, id="csv"),
]
SCHEMA = pa.schema(
    {
        "text_": pa.string(),
        "int_": pa.int32(),
        "bigint_": pa.int64(),
        "boolean_": pa.bool_(),
        "date_": pa.date32(),
        "time_": pa.timestamp("us", "UTC"),
        "price": pa.decimal128(18, 4),
        "rate": pa.decimal128(18, 8),
        "wide": pa.decimal128(38, 0),
    }
)
TABLE = (
    "CREATE TEMP TABLE copied (text_ text, int_ integer, bigint_ bigint, boolean_ boolean, "
    "date_ date, time_ timestamptz, price numeric(18,4), rate numeric(18,8), wide numeric(38,0))"
)


def decimals(digits: int, places: int) -> st.SearchStrategy[Decimal]:
    most = 10**digits - 1
    exact = st.integers(-most, most) | st.sampled_from([0, 1, -1, 9999, 10000, -10001, most, -most])
    # Through a text: arithmetic would round at 28 digits.
    return exact.map(lambda whole: Decimal(f"{whole}E-{places}"))


ROWS = st.lists(
    st.tuples(
        # PostgreSQL's text cannot hold U+0000, UTF-8 no half of a surrogate pair.
        st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
        | st.sampled_from(["", '"', ",", "\\N", "\\.", "a\r\nb", "NULL", "ß€😀"])
        | st.none(),
        st.integers(-(2**31), 2**31 - 1) | st.none(),
        st.integers(-(2**63), 2**63 - 1) | st.none(),
        st.booleans() | st.none(),
        st.dates() | st.none(),
        st.datetimes(timezones=st.just(dt.UTC)) | st.none(),
        decimals(18, 4) | st.none(),
        decimals(18, 8) | st.none(),
        decimals(38, 0) | st.none(),
    ),
    max_size=8,
)


def batches(rows: list[tuple[object, ...]], size: int) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(rows), size):
        columns = zip(*rows[start : start + size], strict=True)
        yield pa.RecordBatch.from_arrays(
            [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)],
            schema=SCHEMA,
        )


@pytest.mark.parametrize("binary", FORMATS)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(rows=ROWS, size=st.integers(1, 4))
def test_every_value_arrives(
    connection: psycopg.Connection, binary: bool, rows: list[tuple[object, ...]], size: int
) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute(TABLE)
        copied = copy_rows(connection, "copied", SCHEMA.names, batches(rows, size), binary=binary)
        assert copied == len(rows)
        found = connection.execute("SELECT * FROM copied").fetchall()
        assert found == rows
        # Equal decimals may differ in their places.
        assert [list(map(str, row)) for row in found] == [list(map(str, row)) for row in rows]


@pytest.mark.parametrize("binary", FORMATS)
def test_columns_go_by_name_and_others_stay_out(
    connection: psycopg.Connection, binary: bool
) -> None:
    connection.execute("CREATE TEMP TABLE pair (second text, first text)")
    batch = pa.RecordBatch.from_pydict({"first": ["1"], "other": [7], "second": ["2"]})
    assert copy_rows(connection, "pair", ["first", "second"], [batch], binary=binary) == 1
    assert connection.execute("SELECT first, second FROM pair").fetchall() == [("1", "2")]


@pytest.mark.parametrize("binary", FORMATS)
def test_a_value_that_does_not_fit_is_refused_and_nothing_of_it_stays(
    connection: psycopg.Connection, binary: bool
) -> None:
    connection.execute("CREATE TEMP TABLE small (price numeric(6,4))")
    wide = [Decimal("99.9999"), Decimal("100.0000")]
    batch = pa.RecordBatch.from_arrays([pa.array(wide, pa.decimal128(18, 4))], names=["price"])
    with pytest.raises(psycopg.errors.NumericValueOutOfRange):
        copy_rows(connection, "small", ["price"], [batch], binary=binary)
    assert connection.execute("SELECT count(*) FROM small").fetchone() == (0,)


def test_binary_casts_no_type(connection: psycopg.Connection) -> None:
    if not HAS_PGPQ:
        pytest.skip("pgpq has no wheel for this machine; there rows go as CSV")
    connection.execute("CREATE TEMP TABLE whole (number bigint)")
    batch = pa.RecordBatch.from_arrays([pa.array([1], pa.int32())], names=["number"])
    with pytest.raises(psycopg.Error, match="column number"):
        copy_rows(connection, "whole", ["number"], [batch], binary=True)
