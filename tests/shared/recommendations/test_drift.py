"""The population stability index, by hand and by what must hold of any counts."""

from __future__ import annotations

import io
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feira.recommendations.drift import LEAST_SHARE, by_key, in_equal_bins, psi, shown, word

COUNTS = st.lists(st.integers(0, 10**6), min_size=1, max_size=12).filter(any)
PAIRS = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=12
).filter(lambda pairs: all(any(side) for side in zip(*pairs, strict=True)))
SHOWN = st.dictionaries(st.integers(0, 50), st.integers(1, 1000), min_size=1, max_size=40)


def test_the_index_is_that_of_the_formula() -> None:
    assert psi([50, 50], [80, 20]) == pytest.approx(0.3 * math.log(1.6) - 0.3 * math.log(0.4))
    # An empty bin has the least share, so that the index is a number.
    empty = (1 - LEAST_SHARE) * math.log(1 / LEAST_SHARE)
    assert psi([1, 0], [0, 1]) == pytest.approx(2 * empty)
    assert psi([1, 2], [0, 0]) is None and psi([], []) is None
    with pytest.raises(ValueError, match=r"2 bins .* 1"):
        psi([1, 2], [3])


@given(PAIRS, st.integers(1, 100))
def test_it_is_of_shares_alike_from_both_sides_and_never_below_0(
    pairs: list[tuple[int, int]], times: int
) -> None:
    expected, actual = (list(side) for side in zip(*pairs, strict=True))
    found = psi(expected, actual)
    assert found is not None and found >= 0
    assert found == pytest.approx(psi(actual, expected))
    assert found == pytest.approx(psi([times * it for it in expected], actual), abs=1e-9)
    assert psi(expected, [times * it for it in expected]) == pytest.approx(0, abs=1e-9)


@given(PAIRS)
def test_bins_that_are_joined_never_raise_it(pairs: list[tuple[int, int]]) -> None:
    # Shares below the least are raised to it, and there the law of the formula does not hold.
    pairs = [(each + 1000, other + 1000) for each, other in pairs]
    expected, actual = (list(side) for side in zip(*pairs, strict=True))
    joined = psi([sum(expected[:2]), *expected[2:]], [sum(actual[:2]), *actual[2:]])
    whole = psi(expected, actual)
    assert joined is not None and whole is not None and joined <= whole + 1e-9


@settings(max_examples=25)
@given(SHOWN, SHOWN)
def test_items_that_are_shown_as_before_have_not_moved(
    before: dict[int, int], after: dict[int, int]
) -> None:
    assert in_equal_bins(before, before) == by_key(before, before) == 0
    for found in (in_equal_bins(before, after), by_key(before, after)):
        assert found is not None and found >= 0


def test_items_are_binned_by_how_often_they_were_shown() -> None:
    before = {f"i{n:02d}": 10 for n in range(20)}
    # Two items a bin: what moves within one is no drift, what moves between two is.
    assert in_equal_bins(before, before | {"i00": 20, "i01": 0}) == pytest.approx(0)
    moved = in_equal_bins(before, before | {"i00": 20, "i02": 0})
    assert moved == pytest.approx(0.05 * math.log(1.5) - 0.05 * math.log(0.5))
    # Items that were never shown before are with the least shown.
    new = in_equal_bins({"a": 50, "b": 50}, {"a": 50, "c": 50})
    assert new == pytest.approx(2 * (0.5 - LEAST_SHARE) * math.log(0.5 / LEAST_SHARE))
    assert in_equal_bins({}, {"a": 1}) is None


def test_categories_under_one_in_a_hundred_are_one_bin() -> None:
    before = {"BAG": 1000, "BOX": 1000, "CUP": 5, "JAR": 5}
    assert by_key(before, {"BAG": 1000, "BOX": 1000, "TIN": 10}) == pytest.approx(0)
    assert by_key(before, {"BAG": 1000, "TIN": 1010}) != pytest.approx(0, abs=1)
    assert by_key({}, {"a": 1}) is None


def test_what_is_shown_is_the_first_ten_of_the_lists_of_users() -> None:
    rows = [(user, place, f"i{place}") for user in ("a", "b") for place in range(1, 13)]
    rows += [("", place, "i1") for place in range(1, 13)]
    columns = dict(zip(("user_id", "position", "item"), zip(*rows, strict=True), strict=True))
    file = io.BytesIO()
    pq.write_table(pa.table({name: list(of) for name, of in columns.items()}), file)
    assert shown(file) == {f"i{place}": 2 for place in range(1, 11)}


def test_an_index_has_a_word() -> None:
    values = [None, 0.0, 0.0999, 0.1, 0.2499, 0.25]
    words = ["unknown", "stable", "stable", "some_drift", "some_drift", "much_drift"]
    assert [word(value) for value in values] == words
