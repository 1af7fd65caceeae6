"""Spark alone and Spark with Comet are measured apart, by the server's CPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from figures import STEPS, engine_cpu, engine_peak, engine_seconds
from figures_page import Figures


def chain(cpu: float, seconds: float, mib: float) -> dict[str, Any]:
    """Each step takes as much."""
    return {
        step: {
            "seconds": seconds,
            "cpu_seconds": {"jvm": cpu, "python": 1.0},
            "memory_mib": {"jvm": mib, "python": 100.0},
            "load_average": 2.0,
        }
        for step in STEPS
    }


ROUND: dict[str, Any] = {
    **chain(cpu=10.0, seconds=6.0, mib=1000.0),
    "comet": chain(cpu=8.0, seconds=5.0, mib=1500.0),
    "duckdb": {
        "seconds": 4.0,
        "cpu_seconds": {"jvm": 0.0, "python": 5.0},
        "memory_mib": {"python": 900.0},
    },
    "agreed": {
        "rows": 3,
        "valid": 2,
        "extract rows": 2,
        "extract hash": "1/2",
        "quarantine rows": 1,
        "quarantine hash": "3/4",
        "broken": {"sku_missing": 1},
    },
}


def test_an_engines_figures_are_its_own() -> None:
    engines = ("spark", "comet", "duckdb")
    assert [engine_seconds(ROUND, it) for it in engines] == [12.0, 10.0, 4.0]
    assert [engine_cpu(ROUND, it) for it in engines] == [20.0, 16.0, 5.0]
    assert [engine_peak(ROUND, it) for it in engines] == [1100.0, 1600.0, 900.0]


def test_the_page_has_each_step_both_ways_and_both_beside_duckdb(tmp_path: Path) -> None:
    day = {
        "asked_lines": 10**6,
        "lines": 1_000_301,
        "measured_at": "2026-11-28T05:00:00+00:00",
        "machine": {"cores": 2, "cpu": "a processor"},
        "rounds": [ROUND],
    }
    (tmp_path / "comet-1000000.json").write_text(json.dumps(day))
    figures = Figures(tmp_path)
    assert not figures.days
    page = figures.comet()
    row = "| 10.0 | 8.0 | 0.80 | 6.0 | 5.0 | 1,000 | 1,500 |"
    for step in STEPS:
        assert f"| 1,000,301 lines, {step} {row}" in page
    assert "| 1,000,301 lines, together | 50.0 | 40.0 | 0.80 |" in page
    assert "3.0 times its seconds and 4.0 times its CPU by Spark alone, 2.5 and 3.2 with" in page
    assert "2 rows of extract (hash `2`), 1 in quarantine (hash `4`)" in page
