"""What is computed from the raw figures; the console's table and the page use the same."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

# What DuckDB and Polars do too: validate and transform are their one program.
ENGINE_STEPS = ("validate", "transform")


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, least and greatest."""
    return median(values), min(values), max(values)


def engine_seconds(measured: dict[str, Any], engine: str) -> float:
    """An engine's seconds in one round for validate, transform and dedupe."""
    steps = ENGINE_STEPS if engine == "spark" else (engine,)
    return float(sum(measured[step]["seconds"] for step in steps))


def load_rate(measured: dict[str, Any]) -> float:
    """Rows/s of the warehouse's part of a load in one round: Spark's staging is not of it."""
    load = measured["load_warehouse"]
    return float(load["rows"] / (load["seconds"] - load["staging_seconds"]))
