"""Rules about files, or DAGs of them, that could not be loaded or read; they always run."""

from __future__ import annotations

from collections.abc import Iterator

from feira_wiring.model import Duplicate, FailureKind, Place, Wiring
from feira_wiring.report import Finding, Level, Rule


def _of_files(
    kind: FailureKind,
    id: str,
    level: Level,
    summary: str,
    problem: str,
    consequence: str,
    step: str,
) -> Rule:
    def check(wiring: Wiring) -> Iterator[Finding]:
        for failure in wiring.failures:
            if failure.kind == kind:
                file = Place(failure.file)
                at = failure.place or file
                yield Finding(
                    rule=id,
                    level=level,
                    problem=f"{problem}: {failure.error}",
                    consequence=consequence,
                    step=step,
                    dags=() if failure.dag_id is None else (failure.dag_id,),
                    # The cause first; and the DAG file, where the cause is in what it imports.
                    places=(at,) if at.file == file.file else (at, file),
                )

    return Rule(id, level, summary, check)


def _duplicate_dag(wiring: Wiring) -> Iterator[Finding]:
    assets = {asset.name for asset in wiring.assets}
    for each in wiring.duplicates:
        problem, step = _doubled(each, asset=each.dag_id in assets)
        yield Finding(
            rule="duplicate-dag",
            level="error",
            problem=problem,
            consequence=(
                "Airflow keeps the one that it parsed last, so they replace each other; only "
                + (
                    "one of them is judged here."
                    if each.at.file == each.other.file
                    else f"the one in {each.other.file} is judged here."
                )
            ),
            step=step,
            dags=(each.dag_id,),
            places=tuple(dict.fromkeys((each.at, each.other))),
        )


def _doubled(one: Duplicate, *, asset: bool) -> tuple[str, str]:
    """What is wrong, and what to do; ``asset``: there is one of the DAG's name."""
    if one.at.file == one.other.file:
        return (
            f"{one.at.file} makes more than one DAG with the id {one.dag_id}.",
            "Give each of them a dag_id of its own.",
        )
    both = f"{one.dag_id} is a DAG in {one.at.file} and in {one.other.file}"
    if one.imported_from is None:
        return f"{both}.", "Give one of them another dag_id."
    importers = one.at.file if one.imported_from == one.other.file else "Both"
    verb = "imports" if importers == one.at.file else "import"
    return (
        f"{both}: {importers} {verb} {one.imported_from}, which makes it, and what a file imports "
        "is a DAG of that file too.",
        (f"Use Asset.ref(name={one.dag_id!r}) in place of the import, or put " if asset else "Put ")
        + "what several files need into a module that makes no DAG, neither with @asset nor otherwise.",
    )


_TEXT = "What its text shows of assets was read; where that leaves open what depends on it, a note says so."
# They cannot be ignored: what they report hides DAGs from every other rule.
FILE_RULES = (
    _of_files(
        "import",
        "import-error",
        "warning",
        "a file does not import",
        "This file does not import",
        f"Airflow shows an import error, and has none of its DAGs. {_TEXT}",
        "Fix the file, or run this where what it imports is installed and configured.",
    ),
    _of_files(
        "ended",
        "ends-process",
        "error",
        "a file ends the process on import",
        "This file ends the process that imports it",
        f"Airflow has none of its DAGs. {_TEXT}",
        'Keep what ends the process below `if __name__ == "__main__":`, or in a task.',
    ),
    _of_files(
        "hung",
        "import-hangs",
        "error",
        "a file does not import in time",
        "This file was not imported within the time limit",
        "Airflow gives up on a file after [core] dagbag_import_timeout, 30 s by default, and has none of its "
        f"DAGs. {_TEXT}",
        "Move the work that takes so long into a task; --file-timeout raises the limit here.",
    ),
    _of_files(
        "unread",
        "unread-dag",
        "warning",
        "a DAG cannot be read by the linter",
        "The linter cannot read this DAG",
        f"Airflow loads it, and no rule looks at it. {_TEXT}",
        "Look at what the exception names in the DAG's tasks, outlets and schedule; the other DAGs are linted.",
    ),
    Rule("duplicate-dag", "error", "two DAGs have one id", _duplicate_dag),
)
