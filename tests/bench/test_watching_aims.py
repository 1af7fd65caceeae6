"""What watching adds is judged by stacks that are watched against those that are not, and by minutes of one stack."""

from __future__ import annotations

from typing import Any

from aims import watching_aims


def stack(
    kind: str,
    mib: float,
    spark: float,
    off: list[float] | None = None,
    on: list[float] | None = None,
) -> dict[str, Any]:
    """A stack whose middle day takes half a minute and 50 s of CPU."""
    days = [{"spark": 30.0, "airflow-api": each} for each in (40.0, 20.0, 15.0)]
    found = {"kind": kind, "cpu": days, "mib": {"spark": spark, "airflow-api": mib}}
    return found | {"seconds": [60.0, 30.0, 20.0], "minutes": {"off": off, "on": on} if off else {}}


def states(*stacks: dict[str, Any]) -> dict[str, tuple[str, str]]:
    found = watching_aims({"stacks": list(stacks)})
    return {("cpu" if "CPU" in aim.aim else "mib"): (aim.state, aim.measured) for aim in found}


def test_memory_is_judged_without_spark() -> None:
    judged = states(
        stack("without lineage", 1, 1),
        stack("plain", 2000, 1000),
        stack("plain", 2000, 1200),
        stack("watched", 2251, 900),
    )
    assert judged["mib"] == ("short", "+251 MiB without Spark, +51 with it")
    assert states(stack("plain", 2000, 1), stack("watched", 2250, 900))["mib"][0] == "met"


def test_a_days_cpu_is_that_of_its_minutes_by_the_middle_pair_of_all_stacks() -> None:
    def judged(more: float) -> tuple[str, str]:
        """Two stacks whose minutes differ by much, and within a pair by 0, ``more`` and 100."""
        return states(
            stack("plain", 1, 1),
            stack("watched", 1, 1, [20.0, 40.0], [20.0, 40.0 + more]),
            stack("watched", 1, 1, [90.0], [190.0]),
        )["cpu"]

    assert judged(2.9) == (
        "met",
        "+2.9%: +2.90 CPU s a minute (+1.45 to +51.45, half of 3 pairs), of which a day has 0.5 and 50.0 CPU s",
    )
    assert judged(3.1)[0] == "short"


def test_without_stacks_of_both_kinds_or_minutes_nothing_is_judged() -> None:
    assert {aim.state for aim in watching_aims(None)} == {"not measured"}
    assert {state for state, _ in states(stack("plain", 1, 1)).values()} == {"not measured"}
    assert states(stack("plain", 1, 1), stack("watched", 1, 1))["cpu"][0] == "not measured"
