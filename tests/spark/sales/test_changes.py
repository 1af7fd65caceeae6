"""What a day's extract changes in the fact."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from pyspark.sql.pandas.types import from_arrow_schema

from feira.sales.published import PUBLISHED
from feira_spark.core.publish import changes

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

FIRST = date(2010, 12, 1)
SCHEMA = pa.schema(
    [
        ("order_id", pa.string()),
        ("line_number", pa.int32()),
        ("quantity", pa.int32()),
        ("updated_at", pa.timestamp("us", tz="UTC")),
        ("extract_day", pa.date32()),
    ]
)
Row = tuple[str, int, int, datetime, date]


def row(order: str, quantity: int, day: int, hour: int = 8) -> Row:
    extract = FIRST + timedelta(days=day)
    return (
        order,
        1,
        quantity,
        datetime.combine(extract, datetime.min.time(), UTC).replace(hour=hour),
        extract,
    )


def frame(spark: SparkSession, rows: list[Row]) -> DataFrame:
    """Rows as a frame; by Arrow, since plain rows would start a Python worker each time."""
    if not rows:
        return spark.createDataFrame([], from_arrow_schema(SCHEMA))
    columns = [list(column) for column in zip(*rows, strict=True)]
    return spark.createDataFrame(
        pa.Table.from_arrays(
            [pa.array(values, of.type) for values, of in zip(columns, SCHEMA, strict=True)],
            schema=SCHEMA,
        )
    )


def found(
    spark: SparkSession, fact: list[Row], lines: list[Row], day: int
) -> dict[str, tuple[str, int]]:
    """Order → (action, quantity) of the changes that a day makes."""
    changed = changes(
        frame(spark, fact),
        frame(spark, lines),
        PUBLISHED,
        FIRST + timedelta(days=day),
    )
    return {r["order_id"]: (r["action"], r["quantity"]) for r in changed.collect()}


def test_a_late_update_never_overwrites_a_newer_one(spark: SparkSession) -> None:
    newer, older = row("a", 5, day=1), row("a", 3, day=0)
    assert found(spark, [newer], [newer, older], day=0) == {}


def test_a_newer_version_replaces_the_older_one(spark: SparkSession) -> None:
    older, newer = row("a", 3, day=0), row("a", 5, day=1)
    assert found(spark, [older], [older, newer], day=1) == {"a": ("update", 5)}


def test_a_withdrawn_line_falls_back_to_another_days_version(spark: SparkSession) -> None:
    older, withdrawn = row("a", 3, day=0), row("a", 5, day=1)
    assert found(spark, [withdrawn], [older], day=1) == {"a": ("update", 3)}


def test_a_withdrawn_line_that_no_day_holds_leaves(spark: SparkSession) -> None:
    assert found(spark, [row("a", 3, day=0)], [], day=0) == {"a": ("delete", 3)}


def test_a_row_that_is_right_already_does_not_change(spark: SparkSession) -> None:
    held = row("a", 3, day=0)
    assert found(spark, [held], [held], day=0) == {}


def test_other_days_lines_are_left_alone(spark: SparkSession) -> None:
    assert found(spark, [row("a", 3, day=0)], [row("b", 1, day=1)], day=1) == {"b": ("insert", 1)}


# Many orders at once: none depends on another, and each call of Spark costs more than all of them.
versions = st.dictionaries(
    st.tuples(st.sampled_from("abcdefghijklmnopqrstuvwx"), st.integers(0, 2)),
    st.integers(1, 3),
    min_size=24,
    max_size=48,
)


@given(before=versions, after=versions, order=st.permutations([0, 1, 2]))
@settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_days_in_any_order_give_the_function_of_the_extracts(
    spark: SparkSession,
    before: dict[tuple[str, int], int],
    after: dict[tuple[str, int], int],
    order: list[int],
) -> None:
    """Extracts `before` are published, then each day is replaced by `after` in some order."""
    extracts = {day: _extract(before, day) for day in range(3)}
    fact: dict[str, Row] = {}
    for day in (0, 1, 2):
        fact = _publish(spark, fact, _lines(extracts, up_to=day), day)
    for day in order:
        extracts[day] = _extract(after, day)
        fact = _publish(spark, fact, _lines(extracts, up_to=2), day)
    newest: dict[str, Any] = {}
    for version in sorted(_lines(extracts, up_to=2), key=lambda r: r[3]):
        newest[version[0]] = version
    assert fact == newest


def _extract(quantities: dict[tuple[str, int], int], day: int) -> list[Row]:
    return [row(name, amount, day) for (name, of), amount in quantities.items() if of == day]


def _lines(extracts: dict[int, list[Row]], up_to: int) -> list[Row]:
    return [line for day, lines in extracts.items() if day <= up_to for line in lines]


def _publish(
    spark: SparkSession, fact: dict[str, Row], lines: list[Row], day: int
) -> dict[str, Row]:
    result = dict(fact)
    changed = changes(
        frame(spark, list(fact.values())),
        frame(spark, lines),
        PUBLISHED,
        FIRST + timedelta(days=day),
    )
    for change in changed.collect():
        if change["action"] == "delete":
            del result[change["order_id"]]
        else:
            of_day = (change["extract_day"] - FIRST).days
            result[change["order_id"]] = row(change["order_id"], change["quantity"], of_day)
    return result
