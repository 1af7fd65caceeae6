"""The check of an event: one of the partition among the newest, or a message that says what to do."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, Asset
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.context import InletEventsAccessors

from feira_provider.operators.asset_event_check import AssetEventCheckOperator, MissingEventError

ORDERS = Asset("orders")
NOON = dt.datetime(2010, 12, 2, 12, tzinfo=dt.UTC)


class Events(list[Any]):
    """An asset's events as a task finds them, newest first when asked so."""

    def ascending(self, ascending: bool) -> Events:
        return Events(sorted(self, key=lambda event: event.timestamp, reverse=not ascending))

    def limit(self, limit: int) -> Events:
        return Events(self[:limit])


def event(partition: str | None, hours: int) -> SimpleNamespace:
    return SimpleNamespace(partition_key=partition, timestamp=NOON + dt.timedelta(hours=hours))


def check(**options: Any) -> AssetEventCheckOperator:
    return AssetEventCheckOperator(task_id="check", asset=ORDERS, **options)


def looked(*events: SimpleNamespace, **options: Any) -> str:
    looking = check(partition="2010-12-01", next_step="Clear emit.", **options)
    assert looking.inlets == [ORDERS]
    context: Any = {"inlet_events": {ORDERS: Events(events)}}
    return looking.execute(context)


def test_the_newest_event_of_the_partition_is_found_among_others() -> None:
    found = looked(event("2010-12-01", 3), event("2010-12-02", 4), event("2010-12-01", 1))
    assert found == "2010-12-02T15:00:00+00:00"


@pytest.mark.parametrize("inlets", [[], [Asset("rates")]])
def test_a_mapped_check_without_its_inlet_fails_for_good_and_says_what_to_state(
    inlets: list[Asset],
) -> None:
    with pytest.raises(
        AirflowFailException, match=r"^check: orders is no inlet .* inlets=\[asset\].* partial\.$"
    ) as failure:
        mapped(inlets)
    assert isinstance(failure.value.__cause__, KeyError)


def test_a_mapped_check_with_its_inlet_looks_for_its_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = {ORDERS: Events([event("2010-12-01", 0)])}
    monkeypatch.setattr(InletEventsAccessors, "__getitem__", lambda _, asset: found[asset])
    assert mapped([ORDERS]) == NOON.isoformat()


def mapped(inlets: list[Asset]) -> str:
    """What a mapped task's check returns: its context was made of the inlets that it has before it is unmapped."""
    with DAG("checks", schedule=None):
        task = AssetEventCheckOperator.partial(task_id="check", asset=ORDERS, inlets=inlets).expand(
            partition=["2010-12-01"]
        )
    context: Any = {"inlet_events": InletEventsAccessors(list(task.inlets))}
    found: str = task.unmap({"partition": "2010-12-01"}).execute(context)
    return found


@pytest.mark.parametrize("others", [(), (event("2010-12-02", 0),), (event(None, 0),)])
def test_no_event_of_the_partition_is_a_failure_that_names_it(
    others: tuple[SimpleNamespace, ...],
) -> None:
    with pytest.raises(
        MissingEventError, match=r"^orders\[2010-12-01\] .*no event .*1,000 .*Clear emit\.$"
    ):
        looked(*others)


@pytest.mark.parametrize("key", ["", "None", None])
def test_a_run_without_a_key_is_an_error_whatever_events_there_are(key: Any) -> None:
    looking = check(partition=key)
    context: Any = {"inlet_events": {ORDERS: Events([event(None, 0), event("", 0)])}}
    with pytest.raises(MissingEventError, match="no partition key"):
        looking.execute(context)


def test_a_key_that_native_rendering_has_made_a_number_is_the_same_key() -> None:
    context: Any = {"inlet_events": {ORDERS: Events([event("20101201", 0)])}}
    assert check(partition=20101201).execute(context) == NOON.isoformat()


def test_inlets_of_a_users_own_stay_beside_the_asset() -> None:
    rates = Asset("rates")
    assert check(inlets=[rates]).inlets == [rates, ORDERS]
    assert check(inlets=[ORDERS]).inlets == [ORDERS]


@pytest.mark.parametrize("partition", ["", "None"])
def test_a_run_without_a_key_is_an_error_that_says_so(partition: str) -> None:
    context: Any = {"inlet_events": {ORDERS: Events()}}
    with pytest.raises(MissingEventError, match=r"^check: .*partition key.*orders"):
        check(partition=partition).execute(context)


def test_only_the_newest_are_looked_at() -> None:
    events = (event("2010-12-01", 0), event("2010-12-02", 1), event("2010-12-03", 2))
    looked(*events, newest=3)
    with pytest.raises(MissingEventError):
        looked(*events, newest=2)
