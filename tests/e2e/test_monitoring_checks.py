"""The check of all queries notices each of what it is for."""

from __future__ import annotations

import pytest

from monitoring_checks import CONDITIONS, monitoring_problems
from promql import Named, queries, rules, selectors

DATA = {"feira_held_days": 1, "feira_dag_paused": 6, 'up{job="exporter"}': 1}
ASKED = [
    Named("overview: Days held", "feira_held_days", ""),
    Named("overview: Alerts", "ALERTS", ""),
    Named("DagIsPaused", "feira_dag_paused == 1", ""),
]
LISTED = {"overview: Alerts": "one must fire", "ALERTS": "one must fire"}


def problems(
    data: dict[str, int], asked: list[Named] = ASKED, listed: dict[str, str] = LISTED
) -> list[str]:
    return monitoring_problems(lambda query: data.get(query, 0), asked, {"DagIsPaused"}, listed)


def test_a_healthy_day_has_none() -> None:
    assert problems(DATA) == []


@pytest.mark.parametrize(
    ("data", "listed", "found"),
    [
        (
            {"feira_held_days": 0},
            {},
            ["Days held returns nothing", "feira_held_days has no series"],
        ),
        ({"feira_dag_paused": 0}, {}, ["feira_dag_paused has no series"]),
        ({"feira_dag_paused == 1": 2}, {}, ["DagIsPaused fires on 2 series"]),
        ({"ALERTS": 1}, {}, ["overview: Alerts returns data", "ALERTS returns data"]),
        ({}, {"overview: gone": "why"}, ["overview: gone is listed", "is no query"]),
    ],
)
def test_what_is_wrong_is_named(
    data: dict[str, int], listed: dict[str, str], found: list[str]
) -> None:
    told = "\n".join(problems(DATA | data, listed=LISTED | listed))
    assert told and all(each in told for each in found)


def test_what_needs_a_condition_is_a_query_or_a_series_that_one_reads() -> None:
    every = queries()
    known = {each.where for each in every} | {
        found for each in every for found in selectors(each.promql)
    }
    assert CONDITIONS.keys() <= known
    assert not CONDITIONS.keys() & {rule["alert"] for rule in rules("alert")}
    assert len({each.where for each in every}) == len(every)


def test_a_selector_is_read_without_its_time() -> None:
    query = 'delta(up{job="exporter"}[26h]) > 0 and feira_held_days offset 26h >= 0'
    assert selectors(query) == {'up{job="exporter"}', "feira_held_days"}
