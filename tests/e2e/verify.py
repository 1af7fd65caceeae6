"""`make verify`: takes the running stack through a matrix of states and compares every table."""

from __future__ import annotations

import argparse
import subprocess
import sys
from functools import partial
from pathlib import Path

from rich.table import Table

from leaks import NO_SECRET, CommandLines, no_secret_shows
from matrix import FEIRA, Matrix, Outcome, console, fresh_stack
from recommendation_states import run_recommendations
from verify_states import run_first_day, run_sales


def print_table(outcomes: list[Outcome]) -> None:
    """State, rows compared, equal or not, seconds."""
    table = Table(title="make verify: each state against the independent computation")
    for heading in ("state", "rows compared", "equal", "seconds"):
        table.add_column(heading, justify="left" if heading in ("state", "equal") else "right")
    for outcome in outcomes:
        equal = "[red]no[/]" if outcome.problems else "[green]yes[/]"
        if outcome.skipped:
            equal = f"[yellow]skipped: {outcome.skipped}[/]"
        table.add_row(outcome.state, f"{outcome.rows:,}", equal, f"{outcome.seconds:.0f}")
    console.print(table)
    failed = sum(bool(outcome.problems) for outcome in outcomes)
    skipped = sum(bool(outcome.skipped) for outcome in outcomes)
    passed = len(outcomes) - failed - skipped
    console.print(f"{passed} passed, {failed} failed, {skipped} skipped", highlight=False)


def main() -> int:
    """Starts a fresh stack, takes it through the matrix, prints the table; 1 if anything differs."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--data", type=Path, help="replay these Online Retail days instead")
    arguments.add_argument(
        "--only", default="", help="states whose name matches, after the first day"
    )
    arguments.add_argument(
        "--every-change",
        action="store_true",
        help="only the states that every change must pass: about half the time",
    )
    asked = arguments.parse_args()
    commands = CommandLines()
    # It is watched: with monitoring every part of it has figures.
    with (
        commands.watched(),
        fresh_stack(".feira-verify", lines=2000, data=asked.data, monitoring=True),
    ):
        matrix = Matrix(asked.only and f"^a day$|{asked.only}", every_change=asked.every_change)
        run_first_day(matrix)
        # First, since of their first version the gate must not have enough to tell, so that a person approves of it.
        run_recommendations(matrix)
        run_sales(matrix)
        matrix.state(NO_SECRET, partial(no_secret_shows, commands), every_change=True)
        code = subprocess.run([FEIRA, "verify"], check=False).returncode
    outcomes = matrix.outcomes
    print_table(outcomes)
    return code or int(not outcomes or any(outcome.problems for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
