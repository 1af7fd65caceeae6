"""What watching adds is judged by stacks that are watched against those that are not."""

from __future__ import annotations

from typing import Any

from aims import watching_aims


def stack(
    kind: str, cpu: float, mib: float, spark: float, pace: float | None = None
) -> dict[str, Any]:
    """A stack of three days, whose first was slow."""
    days = [{"spark": cpu / 2, "airflow-api": cpu / 2 + more} for more in (9.0, 0.0, 0.0)]
    found = {"kind": kind, "cpu": days, "mib": {"spark": spark, "airflow-api": mib}}
    return found | ({"paces": [pace] * 3} if pace else {})


def states(*stacks: dict[str, Any]) -> dict[str, tuple[str, str]]:
    found = watching_aims({"stacks": list(stacks)})
    return {("cpu" if "CPU" in aim.aim else "mib"): (aim.state, aim.measured) for aim in found}


def test_what_is_added_is_judged_without_spark_and_by_the_middle_day() -> None:
    judged = states(
        stack("without lineage", 1.0, 1, 1),
        stack("plain", 50.0, 2000, 1000),
        stack("plain", 60.0, 2000, 1200),
        stack("watched", 56.1, 2251, 900),
    )
    assert judged["mib"] == ("short", "+251 MiB without Spark, +51 with it")
    assert judged["cpu"][0] == "met"
    assert judged["cpu"][1].startswith("+2.0%") and "+20.0%" in judged["cpu"][1]


def test_cpu_is_at_one_pace_of_the_machine_where_that_was_measured() -> None:
    plain = stack("plain", 50.0, 2000, 1000, pace=1.0)
    assert states(plain, stack("watched", 75.0, 2000, 1000, pace=1.5))["cpu"][0] == "met"
    assert states(plain, stack("watched", 75.0, 2000, 1000, pace=1.0))["cpu"][0] == "short"


def test_without_stacks_of_both_kinds_nothing_is_judged() -> None:
    assert {aim.state for aim in watching_aims(None)} == {"not measured"}
    assert {state for state, _ in states(stack("plain", 1.0, 1, 1)).values()} == {"not measured"}
