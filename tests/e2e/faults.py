"""`make faults`: breaks the running stack in every way the failure table names, and shows what came of it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from rich.table import Table

from fault_states import run_faults
from leaks import NO_SECRET, CommandLines, no_secret_shows
from matrix import Matrix, Outcome, console, fresh_stack


def print_table(outcomes: list[Outcome]) -> None:
    """The fault, what a person saw, what the state was after, and whether all tables were equal."""
    table = Table(title="make faults: what breaks, what is seen, what is left", show_lines=True)
    for heading in ("fault", "what the user saw", "after", "equal", "seconds"):
        table.add_column(heading, justify="right" if heading == "seconds" else "left")
    for outcome in outcomes:
        equal = "[red]no[/]" if outcome.problems else "[green]yes[/]"
        table.add_row(
            outcome.state, outcome.saw, f"{outcome.rows:,} rows", equal, f"{outcome.seconds:.0f}"
        )
    console.print(table)
    failed = sum(bool(outcome.problems) for outcome in outcomes)
    console.print(f"{len(outcomes) - failed} passed, {failed} failed", highlight=False)


def main() -> int:
    """Starts a fresh stack, breaks it, prints the table; 1 if anything was not as it must be."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument(
        "--only", default="", help="faults whose name matches, as in --only 'spark|mail'"
    )
    asked = arguments.parse_args()
    os.environ["FEIRA_EXTRA_DAGS"] = str(Path(__file__).parent / "drills")
    # A day of two pages, so that one can be repeated.
    commands = CommandLines()
    with commands.watched(), fresh_stack(".feira-faults", lines=8000):
        # What comes later builds on the first day.
        matrix = Matrix(f"^none:|{asked.only}" if asked.only else "")
        run_faults(matrix)
        matrix.state(NO_SECRET, lambda: no_secret_shows(commands))
        print_table(matrix.outcomes)
        return int(any(outcome.problems for outcome in matrix.outcomes))


if __name__ == "__main__":
    sys.exit(main())
