"""A partition key has one spelling, which is read back as it was written; no other text is a key."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feira.core.partition_keys import DAY, KeyFormat, PartitionKeyError, day_of

FIVE_MINUTES = KeyFormat(
    "period of five minutes", "%Y-%m-%dT%H:%M", "2010-12-01T08:25", timedelta(minutes=5)
)


@given(st.dates())
def test_a_day_is_read_back_as_it_was_written(day: date) -> None:
    key = DAY.key(datetime.combine(day, datetime.min.time(), UTC))
    assert key == day.isoformat() and day_of(key) == day


@given(st.datetimes(), st.integers(-720, 720))
def test_a_key_is_of_utc_whatever_the_moments_zone(naive: datetime, minutes: int) -> None:
    begin = naive.minute // 5 * 5
    moment = naive.replace(minute=begin, second=0, microsecond=0, tzinfo=UTC)
    try:
        elsewhere = moment.astimezone(timezone(timedelta(minutes=minutes)))
    except OverflowError:
        return
    assert FIVE_MINUTES.key(elsewhere) == FIVE_MINUTES.key(moment)
    assert FIVE_MINUTES.parse(FIVE_MINUTES.key(elsewhere)) == moment
    within = naive.replace(tzinfo=UTC)
    assert FIVE_MINUTES.key(within) == FIVE_MINUTES.key(moment)


def test_a_time_at_which_no_period_begins_is_no_key() -> None:
    assert FIVE_MINUTES.parse("2010-12-01T08:25") == datetime(2010, 12, 1, 8, 25, tzinfo=UTC)
    with pytest.raises(PartitionKeyError, match=r"'2010-12-01T08:26' .*five minutes"):
        FIVE_MINUTES.parse("2010-12-01T08:26")


@given(st.text(max_size=12))
def test_a_text_is_a_day_only_as_a_day_writes_itself(text: str) -> None:
    try:
        found = day_of(text)
    except PartitionKeyError:
        return
    assert found.isoformat() == text


@pytest.mark.parametrize(
    "text",
    [
        "2010-12-1",
        "2010-12-01 ",
        "20101201",
        "2010-02-30",
        "２０１０-12-01",
        "10-12-01",
        "2010-12-01\n",
    ],
)
def test_another_spelling_of_a_day_is_refused(text: str) -> None:
    with pytest.raises(PartitionKeyError, match=r"not a day; .*2010-12-01"):
        day_of(text)


def test_a_long_text_is_cut_in_the_message() -> None:
    with pytest.raises(PartitionKeyError) as caught:
        day_of("x" * 5000)
    assert len(str(caught.value)) < 120
