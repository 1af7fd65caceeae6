"""One call from a folder to its findings."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from feira_airflow.wiring.reading import read_folder
from feira_airflow.wiring.rendering import Report
from feira_airflow.wiring.rules import RULES, check


class NoSuchRule(Exception):
    """A rule was named that does not exist."""


def lint(folder: Path, disabled: Collection[str] = ()) -> Report:
    """What the rules find in a DAG folder, or in one DAG file.

    Raises NoSuchRule for a disabled rule that does not exist, FolderUnreadable where there is no
    DAG to look at.
    """
    known = [rule.id for rule in RULES]
    if unknown := sorted(set(disabled) - set(known)):
        raise NoSuchRule(
            f"There is no rule {', '.join(unknown)} that could be disabled. "
            f"The rules are {', '.join(known)}."
        )
    wiring = read_folder(folder)
    return Report(wiring, check(wiring, disabled), tuple(disabled))
