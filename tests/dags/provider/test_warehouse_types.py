"""What a load puts into a warehouse column reads back equal, or is refused with column and value."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from io import BytesIO
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import AirflowFailException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from s3_bucket import Bucket

from feira.core.warehouse.column_types import Target, UnfitError
from feira_local.stack.postgres import Dsns
from feira_provider.hooks.warehouse import (
    LoadError,
    Merge,
    WarehouseHook,
    WarehouseRefusedError,
)

Load = Callable[[str, pa.Array], list[Any]]
LoadAll = Callable[[list[tuple[str, pa.Array]]], list[list[Any]]]


@pytest.fixture
def load(load_all: LoadAll) -> Load:
    """Loads an array into a column of a type; returns what is read back."""
    return lambda type_, values: load_all([(type_, values)])[0]


@pytest.fixture
def load_all(
    empty_warehouse: Dsns, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LoadAll]:
    """Loads arrays into the columns of one table, each of its type; returns what is read back of each."""
    dsn = empty_warehouse.warehouse_loader
    monkeypatch.setenv(
        "AIRFLOW_CONN_WAREHOUSE_DEFAULT", dsn.replace("postgresql://", "postgres://")
    )
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("SET TimeZone = 'UTC'")

        def run(columns: list[tuple[str, pa.Array]]) -> list[list[Any]]:
            types = {f"v{n or ''}": type_ for n, (type_, _) in enumerate(columns)}
            declared = ", ".join(["n integer PRIMARY KEY", *map(" ".join, types.items())])
            connection.execute("DROP TABLE IF EXISTS sales.typed")
            connection.execute(f"CREATE TABLE sales.typed ({declared})")
            sink = BytesIO()
            arrays = [pa.array(range(len(columns[0][1])), pa.int32()), *(a for _, a in columns)]
            pq.write_table(pa.table(arrays, names=["n", *types]), sink)
            entries = [{"url": bucket.put("v.parquet", sink.getvalue())}]
            uri = bucket.put("manifest.json", json.dumps({"entries": entries}).encode())
            try:
                WarehouseHook().load(Merge("sales.typed", ("n",), ("n", *types)), uri)
            except LoadError:
                count = connection.execute("SELECT count(*) FROM sales.typed").fetchall()
                assert count == [(0,)], "a refused load changes nothing"
                raise
            # As text a real shows fewer digits than it has.
            read = (f"{v}::double precision" if t == "real" else v for v, t in types.items())
            query = f"SELECT {', '.join(read)} FROM sales.typed ORDER BY n"
            return [list(values) for values in zip(*connection.execute(query), strict=True)]

        yield run


D = Decimal
NARROWED = [
    ("numeric(12,2)", pa.array([D("1.23"), D("1.2399")], pa.decimal128(18, 4)), "1.2399"),
    ("numeric(4,2)", pa.array([D("99.99"), D("100.00")], pa.decimal128(18, 2)), "100.00"),
    ("numeric(4,2)", pa.array([1, 100], pa.int64()), "100"),
    ("numeric(12,2)", pa.array([1.25, 1.2399]), "1.2399"),
    ("numeric(12,2)", pa.array([1.25, math.nan]), "nan"),
    ("numeric", pa.array([1.25, math.inf]), "inf"),
    ("numeric(12)", pa.array([D("1.5")], pa.decimal128(3, 1)), "1.5"),
    ("numeric(12,2)", pa.array(["1.2399"]), "a column of type string"),
    ("integer", pa.array([1, 2**31], pa.int64()), str(2**31)),
    ("smallint", pa.array([1, -(2**15) - 1], pa.int32()), str(-(2**15) - 1)),
    ("bigint", pa.array([1, 2**63], pa.uint64()), str(2**63)),
    ("integer", pa.array([1.0, 1.5]), "1.5"),
    ("integer", pa.array([1.0, math.nan]), "nan"),
    ("integer", pa.array([D("1.0"), D("1.5")], pa.decimal128(3, 1)), "1.5"),
    ("integer", pa.array([True]), "a column of type bool"),
    ("boolean", pa.array([1], pa.int8()), "a column of type int8"),
    ("text", pa.array([1], pa.int8()), "a column of type int8"),
    ("text", pa.array([b"x"]), "a column of type binary"),
    ("real", pa.array([0.5, 0.1]), "0.1"),
    ("real", pa.array([1, 2**24 + 1]), str(2**24 + 1)),
    ("double precision", pa.array([1, 2**53 + 1]), str(2**53 + 1)),
    ("double precision", pa.array([D("0.1")], pa.decimal128(3, 1)), "a column of type decimal"),
    ("varchar(3)", pa.array(["abc", "abcd"]), "abcd"),
    ("varchar(3)", pa.array(["abc", "ab  "]), "ab  "),
    ("char(3)", pa.array(["abc", "ab"]), "ab"),
    ("text", pa.array(["a", "b\x00c"]), r"b\x00c"),
    ("timestamp", pa.array([1000, 1001], pa.timestamp("ns")), "1970-01-01 00:00:00.000001001"),
    ("timestamp(3)", pa.array([1000, 1001], pa.timestamp("us")), "1970-01-01 00:00:00.001001"),
    ("timestamptz(0)", pa.array([1], pa.timestamp("us", "UTC")), "1970-01-01 00:00:00.000001"),
    ("timestamp", pa.array([1], pa.timestamp("us", "UTC")), "a column of type timestamp"),
    ("timestamptz", pa.array([1], pa.timestamp("us")), "a column of type timestamp"),
    ("timestamp", pa.array([2**62], pa.timestamp("us")), ""),
    ("timestamptz", pa.array([253402300800000], pa.timestamp("ms", "UTC")), ""),
    ("date", pa.array([2932897], pa.date32()), ""),
    ("date", pa.array([0], pa.timestamp("us")), "a column of type timestamp"),
    ("date", pa.array(["2010-12-01"]), "a column of type string"),
    ("time", pa.array([1001], pa.time64("ns")), "00:00:00.000001001"),
    ("timetz", pa.array([1], pa.time64("us")), "a column of type time64"),
    ("interval", pa.array(["1 day 25:00"]), "a column of type string"),
]


@pytest.mark.parametrize(
    ("type_", "values", "found"), NARROWED, ids=[f"{t}-{v.type}-{f[:12]!a}" for t, v, f in NARROWED]
)
def test_what_a_column_would_round_cut_or_shift_is_refused(
    load: Load, type_: str, values: pa.Array, found: str
) -> None:
    with pytest.raises(LoadError) as error:
        load(type_, values)
    message = str(error.value)
    assert isinstance(error.value, AirflowFailException), "no retry can fix it"
    assert f"has {found}" in message and " in v, which its type " in message
    assert "v.parquet" in message and message.startswith("sales.typed: ")


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        *(
            (each, pa.array(["1"]))
            for each in (
                *("smallint", "integer", "bigint", "real", "double precision", "numeric(3,2)"),
                *("boolean", "date", "timestamp without time zone", "time without time zone"),
                *("interval", "bit(1)", "bit varying(3)", "bytea", "money"),
            )
        ),
        ("timestamp(3) without time zone", pa.array([1100], pa.timestamp("us"))),
        ("timestamp(5) with time zone", pa.array([11], pa.timestamp("us", "UTC"))),
        ("timestamp(0) without time zone", pa.array([100_000], pa.timestamp("us"))),
        ("time(1) without time zone", pa.array([110_000], pa.time64("us"))),
        ("numeric(39,2)", pa.array([1.234])),
        ("numeric(39,2)", pa.array([D("1.234")], pa.decimal128(4, 3))),
        ("numeric(38,37)", pa.array([10], pa.int8())),
    ],
)
def test_a_type_alone_says_what_it_does_not_hold(type_: str, values: pa.Array) -> None:
    with pytest.raises(UnfitError):
        Target("v", type_).convert(values)


@pytest.mark.parametrize(
    ("type_", "values", "held"),
    [
        ("timestamp(3) without time zone", pa.array([2000], pa.timestamp("us")), None),
        ("timestamp(5) with time zone", pa.array([10], pa.timestamp("us", "UTC")), None),
        ("timestamp(6) without time zone", pa.array([1], pa.timestamp("us")), None),
        ("time(1) without time zone", pa.array([100_000], pa.time64("us")), None),
        ("numeric(39,2)", pa.array([1.25]), [D("1.25")]),
        ("numeric(39,2)", pa.array([7], pa.int64()), [D(7)]),
        ("numeric(38,0)", pa.array([1e37]), [D(10**37)]),
        ("numeric(39,2)", pa.array([D("1.25")], pa.decimal128(4, 2)), [D("1.25")]),
    ],
)
def test_a_type_alone_says_what_it_holds(
    type_: str, values: pa.Array, held: list[Any] | None
) -> None:
    assert Target("v", type_).convert(values).to_pylist() == (held or values.to_pylist())


HELD = [
    ("numeric(12,2)", pa.array([D("1.2000"), None], pa.decimal128(18, 4)), [D("1.20"), None]),
    ("numeric(12,2)", pa.array([1.25, -0.0, 1e9]), [D("1.25"), D(0), D(10**9)]),
    ("numeric", pa.array([1e-7, 1e300]), [D("1e-7"), D("1e300")]),
    ("numeric(20,0)", pa.array([2**64 - 1], pa.uint64()), [D(2**64 - 1)]),
    ("bigint", pa.array([2**63 - 1], pa.uint64()), [2**63 - 1]),
    ("integer", pa.array([1.0, -3.0]), [1, -3]),
    ("integer", pa.array([D("7.0")], pa.decimal128(3, 1)), [7]),
    ("double precision", pa.array([0.1], pa.float32()), [float(pa.scalar(0.1, "float32").as_py())]),
    ("double precision", pa.array([math.inf, -0.0]), [math.inf, -0.0]),
    ("real", pa.array([0.5]), [0.5]),
    ("varchar(3)", pa.array(["éèê", "", None]), ["éèê", "", None]),
    ("char(2)", pa.array(["ab"]), ["ab"]),
    ("text", pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
    ("text", pa.nulls(2), [None, None]),
    ("timestamp", pa.array([1000], pa.timestamp("ns")), [datetime(1970, 1, 1, 0, 0, 0, 1)]),
    ("timestamp(3)", pa.array([5], pa.timestamp("ms")), [datetime(1970, 1, 1, 0, 0, 0, 5000)]),
    (
        "timestamptz",
        pa.array([0], pa.timestamp("s", "Asia/Tokyo")),
        [datetime(1970, 1, 1, tzinfo=UTC)],
    ),
    ("timestamp", pa.array([datetime(1582, 10, 10), datetime(1, 1, 1)]), None),
    ("date", pa.array([date(1582, 10, 10), date.min, date.max]), None),
    ("time", pa.array([time(23, 59, 59, 999999)]), None),
    ("boolean", pa.array([True, False, None]), None),
]


@pytest.mark.parametrize(
    ("type_", "values", "wanted"),
    HELD,
    ids=[f"{t}-{v.type}-{n}" for n, (t, v, _) in enumerate(HELD)],
)
def test_what_a_column_holds_reads_back_as_it_was(
    load: Load, type_: str, values: pa.Array, wanted: list[Any] | None
) -> None:
    found = load(type_, values)
    assert found == (values.to_pylist() if wanted is None else wanted)
    assert [math.copysign(1, each) for each in found if isinstance(each, float)] == [
        math.copysign(1, each) for each in values.to_pylist() if isinstance(found[0], float)
    ]


COLUMNS = st.sampled_from(
    [
        *("smallint", "integer", "bigint", "numeric(6,2)", "numeric(30,9)", "numeric", "real"),
        *("double precision", "text", "character varying(3)", "character(2)", "date", "boolean"),
        *(f"timestamp{digits} without time zone" for digits in ("", "(3)")),
        *("timestamp with time zone", "time without time zone"),
    ]
)
MOMENTS = st.datetimes()
VALUES = st.one_of(
    st.tuples(st.just(pa.int64()), st.integers(-(2**63), 2**63 - 1) | st.integers(-9, 9)),
    st.tuples(st.just(pa.uint64()), st.integers(0, 2**64 - 1)),
    st.tuples(st.just(pa.float64()), st.floats() | st.integers(-9, 9).map(float)),
    st.tuples(st.just(pa.float32()), st.floats(width=32)),
    st.tuples(st.just(pa.decimal128(20, 4)), st.decimals(-(10**15), 10**15, places=4)),
    st.tuples(st.just(pa.decimal128(6, 1)), st.decimals(-9, 9, places=1)),
    st.tuples(st.just(pa.string()), st.text(st.characters(exclude_categories=["Cs"]), max_size=4)),
    st.tuples(st.just(pa.timestamp("us")), MOMENTS),
    st.tuples(
        st.just(pa.timestamp("ns")), st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1))
    ),
    st.tuples(st.just(pa.timestamp("us", "UTC")), MOMENTS.map(lambda t: t.replace(tzinfo=UTC))),
    st.tuples(st.just(pa.date32()), st.dates()),
    st.tuples(st.just(pa.bool_()), st.booleans()),
    st.tuples(st.just(pa.time64("us")), st.times()),
)


# Many values a load: of 150 loads of one each, most of the time was the loads'.
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.tuples(COLUMNS, VALUES), min_size=15, max_size=15))
def test_a_value_reads_back_equal_or_is_refused(
    load_all: LoadAll, drawn: list[tuple[str, tuple[pa.DataType, Any]]]
) -> None:
    fit, unfit = [], []
    for type_, (kind, value) in drawn:
        array = pa.array([None, value], kind)
        try:
            Target("v", type_).convert(array)
            fit.append((type_, array))
        except UnfitError:
            unfit.append((type_, array))
    # One that does not fit refuses the rows of all.
    if unfit:
        with pytest.raises(WarehouseRefusedError):
            load_all([*fit, unfit[0]])
    for (_, array), (nothing, found) in zip(fit, load_all(fit) if fit else [], strict=True):
        (_, wanted) = array.to_pylist()
        assert nothing is None
        if isinstance(wanted, float) and isinstance(found, Decimal):
            assert float(found) == wanted
        elif isinstance(wanted, float) and math.isnan(wanted):
            assert math.isnan(found)
        else:
            assert found == wanted and isinstance(found, bool) is isinstance(wanted, bool)


@pytest.mark.parametrize(
    ("type_", "kind", "copied"),
    [
        ("numeric(12,2)", pa.decimal128(12, 2), True),
        ("numeric(12,2)", pa.decimal128(11, 2), True),
        ("numeric(12,2)", pa.decimal128(13, 2), False),
        ("numeric(12,0)", pa.decimal128(12, 0), True),
        ("smallint", pa.int8(), True),
        ("smallint", pa.int16(), True),
        ("integer", pa.int32(), True),
        ("bigint", pa.int64(), True),
        ("real", pa.float32(), True),
        ("double precision", pa.float64(), True),
        ("boolean", pa.bool_(), True),
        # Whether they fit, each value says.
        ("timestamp without time zone", pa.timestamp("us"), False),
        ("timestamp without time zone", pa.timestamp("ns"), False),
        ("timestamp with time zone", pa.timestamp("us", "UTC"), False),
        ("character varying(3)", pa.string(), False),
        ("character varying(3)", pa.dictionary(pa.int8(), pa.string()), False),
        ("character(3)", pa.large_string(), False),
        ("date", pa.date32(), False),
    ],
)
def test_only_what_a_type_may_not_hold_is_looked_at_for_redshift(
    type_: str, kind: pa.DataType, copied: bool
) -> None:
    assert Target("v", type_, counts_bytes=True).require_copied(kind) is copied


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        ("numeric(12,2)", pa.decimal128(12, 1)),
        ("numeric(12,2)", pa.decimal128(12, 4)),
        ("numeric(12,2)", pa.int64()),
        ("numeric(12,2)", pa.float64()),
        ("integer", pa.int64()),
        ("integer", pa.int16()),
        ("integer", pa.uint32()),
        ("bigint", pa.int32()),
        ("bigint", pa.null()),
        ("real", pa.float64()),
        ("double precision", pa.float32()),
        ("boolean", pa.int8()),
        ("date", pa.string()),
        ("date", pa.timestamp("us")),
        ("timestamp without time zone", pa.date32()),
        ("character varying(3)", pa.int32()),
        ("character varying(3)", pa.null()),
        ("time without time zone", pa.time64("us")),
        ("super", pa.string()),
    ],
)
def test_a_type_that_redshifts_copy_does_not_take_is_refused(type_: str, kind: pa.DataType) -> None:
    with pytest.raises(UnfitError) as error:
        Target("v", type_, counts_bytes=True).require_copied(kind)
    assert error.value.found == f"a column of type {kind}" and error.value.column == "v"
    assert type_ in str(error.value) and "COPY" in error.value.cause


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32()])
def test_not_a_number_is_one_in_every_float_and_no_integer(kind: pa.DataType) -> None:
    given = pa.array([math.nan, 1.5], kind)
    first, second = Target("v", "real").convert(given).to_pylist()
    assert math.isnan(first) and second == 1.5
    with pytest.raises(UnfitError) as error:
        Target("v", "integer").convert(given)
    assert error.value.found == "nan"


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        (pa.array([True]), "another kind of value"),
        (pa.array([[1]]), "lists, structs and bytes"),
        (pa.array([b"1"]), "lists, structs and bytes"),
    ],
)
def test_a_type_that_cannot_be_staged_says_why(values: pa.Array, cause: str) -> None:
    with pytest.raises(UnfitError, match=cause):
        Target("v", "integer").convert(values)


def test_the_first_value_that_does_not_fit_is_the_one_that_is_named() -> None:
    values = pa.array([*range(1000), 2**40, 5, 2**41], pa.int64())
    with pytest.raises(UnfitError) as error:
        Target("v", "integer").convert(values)
    assert error.value.found == str(2**40)
