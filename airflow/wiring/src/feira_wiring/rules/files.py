"""Rules about files and DAGs that could not be loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from feira_wiring.finding import Finding, Level
from feira_wiring.model import FailureKind, Place, Wiring


def _rule(
    kind: FailureKind, rule: str, level: Level, problem: str, consequence: str, step: str
) -> Callable[[Wiring], Iterator[Finding]]:
    def check(wiring: Wiring) -> Iterator[Finding]:
        for failure in wiring.failures:
            if failure.kind == kind:
                file = Place(failure.file)
                at = failure.place or file
                yield Finding(
                    rule=rule,
                    level=level,
                    problem=problem.format(error=failure.error),
                    consequence=consequence,
                    step=step,
                    # The cause first; and the DAG file, where the cause is in what it imports.
                    places=(at,) if at.file == file.file else (at, file),
                )

    return check


_UNREAD = "What its text shows of assets was read; where that leaves open what depends on it, a note says so."

import_error = _rule(
    "import",
    "import-error",
    "warning",
    "This file does not import: {error}",
    f"Airflow shows an import error, and has none of its DAGs. {_UNREAD}",
    "Fix the file, or run this where what it imports is installed and configured.",
)
ends_process = _rule(
    "ended",
    "ends-process",
    "error",
    "This file ends the process that imports it: {error}",
    f"Airflow has none of its DAGs. {_UNREAD}",
    'Keep what ends the process below `if __name__ == "__main__":`, or in a task.',
)
import_hangs = _rule(
    "hung",
    "import-hangs",
    "error",
    "This file was not imported within the time limit: {error}",
    "Airflow gives up on a file after [core] dagbag_import_timeout, 30 s by default, and has none of its "
    f"DAGs. {_UNREAD}",
    "Move the work that takes so long into a task; --file-timeout raises the limit here.",
)
duplicate_dag = _rule(
    "duplicate",
    "duplicate-dag",
    "error",
    "Two files have a DAG of the same id: {error}",
    "Airflow keeps the one that it parsed last, so they replace each other; only the first is judged here.",
    "Give one of them another dag_id.",
)
