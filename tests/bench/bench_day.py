"""`make bench`: one generated day through the chain, and through DuckDB and Polars beside Spark.

The day is landed once from the shop simulator over HTTP. Then the engines take turns, each in a
process of its own with two threads, and after every round their results must be the same, row for
row. Spark's turn goes on through publish, load and reconcile. All raw figures go to
``.bench/day-LINES.json``; ``figures_page.py`` makes the page of them.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from day_chain import HERE, REPOSITORY, DayChain, run_json
from figures import ENGINE_STEPS, engine_seconds, load_rate, spread
from memory import MemorySampler, load_average
from same_result import Result, require_same

DAY = date(2010, 12, 8)  # a week after the first, so that older orders move on it as on any other
ENGINES = ("spark", "duckdb", "polars")
HOME = REPOSITORY / ".bench"
console = Console(width=110)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    from importlib.metadata import version

    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    packages = ("pyspark", "duckdb", "polars", "pyarrow", "psycopg", "pyiceberg")
    return {
        "cores": psutil.cpu_count(),
        "cpu": cpu,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {name: version(name) for name in packages},
    }


def one_round(
    chain: DayChain, engines: list[str], sampler: MemorySampler
) -> dict[str, dict[str, Any]]:
    """Each engine's turn; raises DifferenceError where they do not agree."""
    found: dict[str, dict[str, Any]] = {}
    results: list[Result] = []
    for engine in engines:
        console.print(f"  {engine} …", end="")
        if engine == "spark":
            steps = chain.run()
            found |= steps
            results.append(Result.of_lake(steps["validate"], steps["transform"]))
            seconds = sum(steps[step]["seconds"] for step in ENGINE_STEPS)
        else:
            out = chain.home / engine
            shutil.rmtree(out, ignore_errors=True)
            command = [f"{engine}_extract.py", str(chain.landing), str(out)]
            found[engine] = run_json(command, sampler, "python")
            results.append(Result.of_folder(engine, found[engine], out))
            seconds = found[engine]["seconds"]
        console.print(f" {seconds:.1f} s (load average {load_average():.1f})")
    agreed = require_same(results)
    console.print(
        f"  the same result: {agreed['rows']:,} lines, {agreed['valid']:,} valid, "
        f"{agreed['extract rows']:,} rows of extract, {agreed['quarantine rows']:,} in quarantine",
        style="green",
    )
    return found | {"agreed": agreed}


def print_table(figures: dict[str, Any]) -> None:
    """Each step: seconds (median, least and most), rows/s, peak memory."""
    rounds = figures["rounds"]
    table = Table(title=f"A day of {figures['lines']:,} lines, {len(rounds)} rounds")
    for heading in ("step", "seconds", "min–max", "rows/s", "peak MiB"):
        table.add_column(heading, justify="left" if heading == "step" else "right")
    measured = {"land": [figures["land"]]}
    for step in ("validate", "transform", "publish", "load_warehouse", "reconcile"):
        measured[step] = [each[step] for each in rounds if step in each]
    for engine in ("duckdb", "polars"):
        measured[engine] = [each[engine] for each in rounds if engine in each]
    for step, runs in measured.items():
        if runs:
            median, least, most = spread([run["seconds"] for run in runs])
            peaks: dict[str, float] = {}
            for run in runs:
                for group, peak in run["memory_mib"].items():
                    peaks[group] = max(peak, peaks.get(group, 0))
            table.add_row(
                step,
                f"{median:.1f}",
                f"{least:.1f}–{most:.1f}",
                f"{runs[0]['rows'] / median:,.0f}",
                ", ".join(f"{group} {peak:,.0f}" for group, peak in sorted(peaks.items())),
            )
    console.print(table)
    if "validate" in rounds[0]:
        rate = spread([load_rate(each) for each in rounds])[0]
        console.print(f"warehouse load with its checks, less Spark's staging: {rate:,.0f} rows/s")
    if "validate" in rounds[0] and "duckdb" in rounds[0]:
        ratio = spread([engine_seconds(r, "spark") / engine_seconds(r, "duckdb") for r in rounds])
        console.print(f"Spark / DuckDB: {ratio[0]:.2f} ({ratio[1]:.2f}–{ratio[2]:.2f})")


def main() -> int:
    """Measures, prints and writes the figures; 1 where the engines differ."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--lines", type=int, default=1_000_000, help="lines of the day")
    arguments.add_argument("--rounds", type=int, default=3, help="turns of each engine")
    arguments.add_argument(
        "--engines", default=",".join(ENGINES), help=f"of {', '.join(ENGINES)}, comma-separated"
    )
    arguments.add_argument("--again", action="store_true", help="take the landing that is there")
    asked = arguments.parse_args()
    engines = asked.engines.split(",")
    if unknown := set(engines) - set(ENGINES):
        arguments.error(f"no engine {', '.join(sorted(unknown))}; there are {', '.join(ENGINES)}")
    home = HOME / f"lines-{asked.lines}"
    if not asked.again:
        shutil.rmtree(home, ignore_errors=True)
    sampler = MemorySampler()
    try:
        with DayChain(home, asked.lines, DAY, sampler) as chain:
            console.print(f"Landing a day of {asked.lines:,} lines …")
            figures: dict[str, Any] = {
                "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": machine(),
                "asked_lines": asked.lines,
                "land": chain.land(),
                "rounds": [],
            }
            figures["lines"] = figures["land"]["rows"]
            for number in range(1, asked.rounds + 1):
                console.print(f"Round {number} of {asked.rounds}")
                figures["rounds"].append(one_round(chain, engines, sampler))
    finally:
        sampler.close()
    target = HOME / f"day-{asked.lines}.json"
    if asked.again and target.is_file():
        # The landing was not made anew: its figures are those of when it was.
        figures["land"] = json.loads(target.read_text())["land"]
    target.write_text(json.dumps(figures, indent=1))
    print_table(figures)
    console.print(f"All figures: {target.relative_to(REPOSITORY)}")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    sys.exit(main())
