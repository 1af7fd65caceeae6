"""What is computed from the raw figures; the console's table and the page use the same."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

# What DuckDB and Polars do too: validate and transform are their one program.
ENGINE_STEPS = ("validate", "transform")
# Spark alone, and with Comet: the engines whose turn is a day's whole chain.
CHAINS = ("spark", "comet")
STEPS = ("validate", "transform", "publish", "load_warehouse", "reconcile")
# Of a day on the running stack, for the terminal and the page alike.
STACK_HEADINGS = (
    "day",
    "chain s",
    "Spark's tasks s",
    "not Spark's s",
    "of it marts s",
    "event → task s",
)


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, least and greatest."""
    return median(values), min(values), max(values)


def chain_run(measured: dict[str, Any], engine: str) -> dict[str, Any]:
    """The steps of the chain in one round, by Spark alone or with Comet."""
    found: dict[str, Any] = measured if engine == "spark" else measured[engine]
    return found


def _engine_runs(measured: dict[str, Any], engine: str) -> list[dict[str, Any]]:
    """What an engine's validate, transform and dedupe were measured as in one round."""
    if engine in CHAINS:
        return [chain_run(measured, engine)[step] for step in ENGINE_STEPS]
    return [measured[engine]]


def engine_seconds(measured: dict[str, Any], engine: str) -> float:
    """An engine's seconds in one round for validate, transform and dedupe."""
    return float(sum(run["seconds"] for run in _engine_runs(measured, engine)))


def engine_cpu(measured: dict[str, Any], engine: str) -> float:
    """An engine's CPU seconds in one round for the same; of Spark its server's."""
    group = "jvm" if engine in CHAINS else "python"
    return float(sum(run["cpu_seconds"][group] for run in _engine_runs(measured, engine)))


def engine_peak(measured: dict[str, Any], engine: str) -> float:
    """An engine's peak memory in one round in MiB: its processes together, servers and clients."""
    groups = ("jvm", "python") if engine in CHAINS else ("python",)
    return float(
        max(
            sum(run["memory_mib"][group] for group in groups)
            for run in _engine_runs(measured, engine)
        )
    )


def load_rate(measured: dict[str, Any]) -> float:
    """Rows/s of the warehouse's part of a load in one round: Spark's staging is not of it."""
    load = measured["load_warehouse"]
    return float(load["rows"] / (load["seconds"] - load["staging_seconds"]))


def ratio(figures: dict[str, Any]) -> tuple[float, float, float] | None:
    """Spark's seconds over DuckDB's, round by round: median, least, greatest; None without both."""
    rounds = [each for each in figures["rounds"] if "validate" in each and "duckdb" in each]
    if not rounds:
        return None
    return spread([engine_seconds(r, "spark") / engine_seconds(r, "duckdb") for r in rounds])


def step_runs(figures: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Each step's figures, one of each round; landing was done once."""
    runs = {"land": [figures["land"]]}
    for step in STEPS:
        runs[step] = [each[step] for each in figures["rounds"] if step in each]
    return {step: found for step, found in runs.items() if found}


def peaks(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Each group's greatest memory over some runs, in MiB."""
    found: dict[str, float] = {}
    for run in runs:
        for group, peak in run["memory_mib"].items():
            found[group] = max(peak, found.get(group, 0.0))
    return found


def growth(days: list[dict[str, Any]], of: Sequence[str]) -> dict[str, dict[int, float]]:
    """CPU seconds of each step by the day that stands for those measured before it: medians of the sum of
    ``of``, which are ``client_cpu`` and ``server_cpu``."""
    found: dict[str, dict[int, list[float]]] = {}
    for day in days:
        for step, used in day["steps"].items():
            at = found.setdefault(step, {}).setdefault(day["at"], [])
            at.append(sum(used[name] for name in of))
    return {
        step: {at: median(values) for at, values in by_day.items()}
        for step, by_day in found.items()
    }


def small_medians(days: list[dict[str, Any]], planned_for: str, of: str) -> dict[str, float]:
    """Of the days that were planned so, ``few`` or ``many``, the median of ``of`` by step."""
    chosen = [day["steps"] for day in days if day["planned_for"] == planned_for]
    return {step: median(steps[step][of] for steps in chosen) for step in chosen[0]}


# From the queue to the marts: each task waits for the one before it.
PATH = (
    "wait_for_api",
    "land",
    "validate",
    "transform",
    "publish",
    "load_warehouse",
    "reconcile",
    "emit",
    "build_marts",
)


def along_path(day: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Of each task of a day's chain on the stack, the seconds from the end of the one before, or from the queue,
    to its start, and its own; together they are the whole."""
    tasks, ended = {each["task"]: each for each in day["tasks"]}, 0.0
    found = {}
    for name in PATH:
        started, seconds = tasks[name]["started_seconds"], tasks[name]["seconds"]
        found[name] = (started - ended, seconds)
        ended = started + seconds
    return found


# Services whose CPU is shown apart; a task's processes are the scheduler's children.
CHAIN_CPU = {
    "scheduler and tasks": "airflow-scheduler",
    "Spark": "spark",
    "PostgreSQL": "postgres",
}


def chain_of(day: dict[str, Any]) -> dict[str, list[float]]:
    """Of each task of ``along_path``, and of all ``together``: both its seconds, and the CPU seconds from the end
    of the task before to its own, of each of ``CHAIN_CPU`` and of all services."""
    found = {}
    for task, seconds in along_path(day).items():
        cpu = day["cpu"][task]
        found[task] = [
            *seconds,
            *(cpu.get(service, 0.0) for service in CHAIN_CPU.values()),
            sum(cpu.values()),
        ]
    found["together"] = [sum(each) for each in zip(*found.values(), strict=True)]
    return found


CPU = ("client_cpu", "server_cpu")


def memory_outside_spark(figures: dict[str, Any]) -> dict[str, float]:
    """Peak MiB of what is not Spark's server, by step and group: ``load_warehouse python`` and so on."""
    return {
        f"{step} {group}": peak
        for step, runs in step_runs(figures).items()
        for group, peak in peaks(runs).items()
        if group != "jvm"
        and not (group == "postgres" and step not in ("load_warehouse", "reconcile"))
    }


def cpu_at_one_pace(stack: dict[str, Any]) -> list[float]:
    """CPU seconds of each day of a stack, in units of the machine's pace beside it; as they are where that was
    not measured."""
    paces = stack.get("paces") or [1.0] * len(stack["cpu"])
    return [float(sum(day.values()) / pace) for day, pace in zip(stack["cpu"], paces, strict=True)]
