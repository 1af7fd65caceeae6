"""The comparison finds every wrong, lost, extra and doubled row, and nothing in a right one."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle import difference, expected
from oracle_example import a_landing, a_line, many

KEY = ["order_id", "line_number"]


def a_fact(rows: int = 30) -> pd.DataFrame:
    guest = a_line(customer_id=None, description=None)
    return expected([a_landing(guest, *many(rows - 1))]).fact


def changed(fact: pd.DataFrame, row: int, column: str, value: object) -> pd.DataFrame:
    copy = fact.copy()
    copy[column] = copy[column].astype(object)
    copy.at[row, column] = value
    return copy


def test_the_same_rows_in_another_order_do_not_differ() -> None:
    fact = a_fact()
    shuffled = fact.sample(frac=1, random_state=1, ignore_index=False)
    assert difference(fact, shuffled[list(reversed(fact.columns))], KEY) == []


def test_a_cent_is_found() -> None:
    fact = a_fact()
    found = difference(fact, changed(fact, 3, "amount_usd", Decimal("23.7969")), KEY)
    assert found == [
        "1 cells differ (amount_usd 1)",
        "differs: amount_usd at order_id='bulk', line_number=3: "
        "expected Decimal('23.7869'), found Decimal('23.7969')",
    ]
    assert difference(fact, changed(fact, 3, "amount_usd", Decimal("23.786900001")), KEY)


def test_a_lost_row_is_found() -> None:
    fact = a_fact()
    assert difference(fact, fact.drop(index=4), KEY) == [
        "1 rows are missing",
        "missing: order_id='bulk', line_number=4",
    ]


def test_an_extra_row_is_found() -> None:
    fact = a_fact()
    extra = pd.concat([fact, fact.tail(1).assign(order_id="C1")])
    assert difference(fact, extra, KEY) == [
        "1 rows are extra",
        "extra: order_id='C1', line_number=29",
    ]


def test_a_duplicated_row_is_found_also_where_the_copy_is_wrong() -> None:
    fact = a_fact()
    headline = ["1 keys are duplicated", "duplicated: order_id='bulk', line_number=29 (2 times)"]
    assert difference(fact, pd.concat([fact, fact.tail(1)]), KEY) == headline
    wrong = difference(fact, pd.concat([fact, fact.tail(1).assign(status="failed")]), KEY)
    assert wrong[:2] == headline
    assert wrong[2] == "1 cells differ (status 1)"


def test_ten_of_each_are_shown_and_all_are_counted() -> None:
    fact = a_fact()
    assert [len(difference(fact, fact.head(n), KEY)) for n in (30, 21, 20, 0)] == [0, 10, 11, 11]
    assert difference(fact, fact.head(0), KEY)[0] == "30 rows are missing"
    found = difference(fact, fact.assign(status="failed", quantity=7), KEY)
    assert found[0] == "60 cells differ (quantity 30, status 30)"
    assert len(found) == 11


def test_every_column_is_looked_at_and_a_null_is_no_value() -> None:
    fact = a_fact()
    for column in set(fact.columns) - set(KEY):
        for row in (0, 29):
            other = "x" if pd.isna(fact[column][row]) else None
            found = difference(fact, changed(fact, row, column, other), KEY)
            assert found[0] == f"1 cells differ ({column} 1)"


def test_columns_that_are_lost_or_extra_are_named() -> None:
    fact = a_fact()
    assert difference(fact, fact.drop(columns="status").assign(loaded_at=1), KEY) == [
        "column status is missing",
        "column loaded_at is extra",
    ]
    assert difference(fact, fact.drop(columns="order_id"), KEY) == ["column order_id is missing"]


def test_a_key_that_does_not_identify_the_expected_rows_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\b1 expected .*order_id='bulk'"):
        difference(a_fact(), a_fact(), ["order_id"])


@pytest.mark.parametrize(
    "delivered",
    [
        pd.Series([1, None], dtype="Int64"),
        pd.Series([1, None], dtype="float64"),
        pd.Series([1, None], dtype=object),
        pd.Series([1, pd.NA], dtype=object),
        pd.Series([Decimal("1.00"), None], dtype=object),
        pd.Series([np.int32(1), np.nan], dtype=object),
    ],
)
def test_a_whole_number_is_the_same_in_every_type(delivered: pd.Series) -> None:
    wanted = pd.DataFrame({"k": [1, 2], "n": pd.Series([1, None], dtype="Int64")})
    assert difference(wanted, pd.DataFrame({"k": [1.0, 2.0], "n": delivered}), ["k"]) == []


@pytest.mark.parametrize("found", [2, 1.5, True, "1", None, 1.0000001])
def test_another_number_differs(found: object) -> None:
    assert difference(one(1), one(found), ["k"])


@pytest.mark.parametrize("found", [0.5, Decimal("0.50001"), None, "0.5", Decimal("NaN")])
def test_money_is_exact_and_never_a_float(found: object) -> None:
    assert difference(one(Decimal("0.5000")), one(found), ["k"])
    assert difference(one(Decimal("0.5000")), one(Decimal("0.5")), ["k"]) == []


def test_a_float_stands_for_a_whole_number_only_where_it_is_exact() -> None:
    assert difference(one(2**53), one(float(2**53)), ["k"]) == []
    assert difference(one(2**60), one(float(2**60)), ["k"])
    assert difference(one(Decimal(2)), one(2.0), ["k"])


NOON = dt.datetime(2010, 12, 1, 12, 0, 0, 5, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "found",
    [
        NOON,
        NOON.replace(tzinfo=None),
        NOON.astimezone(dt.timezone(dt.timedelta(hours=-5))),
        pd.Timestamp(NOON),
        pd.Timestamp(NOON).tz_convert("Europe/London"),
        np.datetime64("2010-12-01T12:00:00.000005"),
    ],
)
def test_a_time_is_the_same_in_every_type(found: object) -> None:
    wanted = one(0).assign(v=pd.Series([NOON]).astype("datetime64[us, UTC]"))
    assert difference(wanted, one(found), ["k"]) == []
    assert difference(wanted, one(0).assign(v=pd.Series([found])), ["k"]) == []
    assert difference(one(NOON + dt.timedelta(microseconds=1)), one(found), ["k"])
    assert difference(one(NOON.date()), one(found), ["k"])


def test_a_nanosecond_differs() -> None:
    assert difference(one(NOON), one(pd.Timestamp(NOON) + pd.Timedelta(1, "ns")), ["k"])


def test_a_day_may_be_its_midnight_but_no_other_time() -> None:
    day = one(dt.date(2010, 12, 1))
    assert difference(day, one(np.datetime64("2010-12-01")), ["k"]) == []
    assert difference(day, one(pd.Timestamp("2010-12-01")), ["k"]) == []
    assert difference(day, one(pd.Timestamp("2010-12-02")), ["k"])
    assert difference(day, one(pd.Timestamp("2010-12-01T01:00")), ["k"])
    assert difference(day, one("2010-12-01"), ["k"])
    assert difference(day, one(pd.NaT), ["k"])
    days = pd.DataFrame({"order_date": [dt.date(2010, 12, 1)], "v": [1]})
    assert difference(days, days.astype({"order_date": "datetime64[ns]"}), ["order_date"]) == []


def test_a_list_is_the_same_as_an_array_and_its_order_counts() -> None:
    wanted = one(["a", "b"])
    assert difference(wanted, one(np.array(["a", "b"], dtype=object)), ["k"]) == []
    assert difference(wanted, one(("a", "b")), ["k"]) == []
    assert difference(wanted, one(["b", "a"]), ["k"])
    assert difference(wanted, one(["a"]), ["k"])
    assert difference(wanted, one(None), ["k"])


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_any_decimal_differs_from_its_neighbour_and_not_from_itself(values: list[Decimal]) -> None:
    wanted = pd.DataFrame({"k": range(len(values)), "v": values})
    assert difference(wanted, wanted.copy(), ["k"]) == []
    nudged = wanted.assign(v=[value.next_plus() for value in values])
    counted = sum(a != b for a, b in zip(values, nudged["v"], strict=True))
    found = difference(wanted, nudged, ["k"])
    assert found[:1] == ([f"{counted} cells differ (v {counted})"] if counted else [])


def one(value: object) -> pd.DataFrame:
    """A row with the key 1 and this value."""
    return pd.DataFrame({"k": [1], "v": pd.Series([value], dtype=object)})
