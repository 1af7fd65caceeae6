"""What a run of the linter gives: plain values, so that they can leave the process that loaded the DAGs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from feira_wiring.finding import Finding, Level
from feira_wiring.model import Wiring


@dataclass(frozen=True)
class RuleInfo:
    """A rule for people who list them; ``ran`` is whether it was asked to look."""

    id: str
    level: Level
    summary: str
    ran: bool


@dataclass(frozen=True)
class Suppressed:
    """A finding that is not reported, and why: its comment, its asset's mark, a pattern, the baseline."""

    finding: Finding
    by: str
    in_source: bool = False


@dataclass(frozen=True)
class Report:
    """What was looked at, and what was found.

    ``wiring`` is there only in the process that loaded the DAG files. ``stale`` is what the baseline
    has and is no longer found.
    """

    folders: tuple[str, ...]
    dags: int
    assets: int
    findings: Sequence[Finding]
    rules: tuple[RuleInfo, ...]
    ignored: tuple[str, ...] = ()
    suppressed: tuple[Suppressed, ...] = ()
    graph: str = ""
    stale: tuple[str, ...] = ()
    wiring: Wiring | None = field(default=None, compare=False, repr=False)


class FolderUnreadable(Exception):
    """There is no DAG to look at."""


def must_exist(folders: Sequence[Path]) -> None:
    """Raises FolderUnreadable for a folder that is not there."""
    for folder in folders:
        if not folder.exists():
            raise FolderUnreadable(
                f"{folder} does not exist. Name the folder that holds the DAG files."
            )


class NoSuchRule(Exception):
    """A rule was named that does not exist."""
