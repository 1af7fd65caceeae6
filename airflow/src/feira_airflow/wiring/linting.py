"""One call from a folder to its findings."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from feira_airflow.wiring.reading import read_folder
from feira_airflow.wiring.rendering import Report
from feira_airflow.wiring.rules import check, chosen


def lint(
    folder: Path,
    ignore: Collection[str] = (),
    *,
    select: Collection[str] = (),
    enable: Collection[str] = (),
) -> Report:
    """What the rules find in a DAG folder, or in one DAG file.

    Raises NoSuchRule for a rule that does not exist, FolderUnreadable where there is no DAG to look
    at.
    """
    rules = chosen(select, ignore, enable)
    wiring = read_folder(folder)
    return Report(wiring, check(wiring, rules), tuple(ignore))
