"""`make bench`: one generated day through the chain, and through DuckDB and Polars beside Spark; on request also
through the chain with Comet, as `make bench-comet` asks.

The day is landed once from the shop simulator over HTTP. Then the engines take turns, each in a
process of its own with two threads, and after every round their results must be the same, row for
row. Spark's turn goes on through publish, load and reconcile. All raw figures go to
``.bench/day-LINES.json``, or with Comet to ``comet-LINES.json``; ``figures_page.py`` makes the page of them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from datetime import UTC, date, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from day_chain import HERE, REPOSITORY, DayChain, run_json
from feira_local.stack.processes import raise_at_sigterm
from figures import engine_cpu, engine_seconds, load_rate, peaks, ratio, spread, step_runs
from machine import machine
from memory import MemorySampler, load_average
from same_result import Result, require_same

DAY = date(2010, 12, 8)  # a week after the first, so that older orders move on it as on any other
ENGINES = ("spark", "duckdb", "polars")
COMET = "comet"
HOME = REPOSITORY / ".bench"
console = Console(width=110)


def one_round(
    chains: dict[str, DayChain], engines: list[str], sampler: MemorySampler
) -> dict[str, dict[str, Any]]:
    """Each engine's turn; raises DifferenceError where they do not agree."""
    chain = chains["spark"]
    found: dict[str, dict[str, Any]] = {}
    results: list[Result] = []
    for engine in engines:
        console.print(f"  {engine} …", end="")
        if engine in chains:
            steps = chains[engine].run()
            found |= steps if engine == "spark" else {engine: steps}
            results.append(Result.of_lake(engine, steps["validate"], steps["transform"]))
        else:
            out = chain.home / engine
            shutil.rmtree(out, ignore_errors=True)
            command = [f"{engine}_extract.py", str(chain.landing), str(out)]
            found[engine] = run_json(command, sampler, "python")
            results.append(Result.of_folder(engine, found[engine], out))
        console.print(
            f" {engine_seconds(found, engine):.1f} s, {engine_cpu(found, engine):.1f} of CPU "
            f"(load average {load_average():.1f})"
        )
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
    runs_of = step_runs(figures)
    for engine in ("duckdb", "polars"):
        runs_of[engine] = [each[engine] for each in rounds if engine in each]
    for step, runs in runs_of.items():
        if runs:
            median, least, most = spread([run["seconds"] for run in runs])
            memory = ", ".join(
                f"{group} {peak:,.0f}" for group, peak in sorted(peaks(runs).items())
            )
            rate = f"{runs[0]['rows'] / median:,.0f}"
            table.add_row(step, f"{median:.1f}", f"{least:.1f}–{most:.1f}", rate, memory)
    console.print(table)
    if "load_warehouse" in rounds[0]:
        rate = f"{spread([load_rate(each) for each in rounds])[0]:,.0f}"
        console.print(f"warehouse load with its checks, less Spark's staging: {rate} rows/s")
    if found := ratio(figures):
        console.print(f"Spark / DuckDB: {found[0]:.2f} ({found[1]:.2f}–{found[2]:.2f})")


def main() -> int:
    """Measures, prints and writes the figures; 1 where the engines differ."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--lines", type=int, default=1_000_000, help="lines of the day")
    arguments.add_argument("--rounds", type=int, default=3, help="turns of each engine")
    arguments.add_argument(
        "--engines",
        default=",".join(ENGINES),
        help=f"of {', '.join((*ENGINES, COMET))}, comma-separated",
    )
    arguments.add_argument("--again", action="store_true", help="take the landing that is there")
    asked = arguments.parse_args()
    engines = asked.engines.split(",")
    if unknown := set(engines) - {*ENGINES, COMET}:
        arguments.error(
            f"no engine {', '.join(sorted(unknown))}; there are {', '.join((*ENGINES, COMET))}"
        )
    home = HOME / f"lines-{asked.lines}"
    if not asked.again:
        shutil.rmtree(home, ignore_errors=True)
    target = HOME / f"{COMET if COMET in engines else 'day'}-{asked.lines}.json"
    # Who ends the benchmark ends its servers with it.
    raise_at_sigterm()
    sampler = MemorySampler()
    try:
        with (
            DayChain(home, asked.lines, DAY, sampler) as chain,
            DayChain(home / COMET, asked.lines, DAY, sampler, comet=True) as with_comet,
        ):
            with_comet.share_landing(chain)
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
                chains = {"spark": chain, COMET: with_comet}
                figures["rounds"].append(one_round(chains, engines, sampler))
                target.write_text(json.dumps(figures, indent=1))
    finally:
        sampler.close()
    print_table(figures)
    console.print(f"All figures: {target.relative_to(REPOSITORY)}")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    sys.exit(main())
