"""What a rule is and finds, and the report on a run: plain values, so that they can leave the process that
loaded the DAG files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from feira_wiring.model import (
    AssetId,
    Declaration,
    Emitter,
    Listener,
    Outlet,
    Place,
    Stray,
    Trigger,
    Wiring,
)

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")  # the worst first
Missing = Literal["emitter", "any emitter", "listener"]
# What a finding can be about.
Party = Emitter | Listener | Declaration | Outlet | Stray | Trigger


@dataclass(frozen=True)
class Finding:
    """One fault. ``consequence`` is what happens in Airflow, ``step`` what to do.

    An ``error`` is a run that is never made, or never stops being made; a ``warning`` is one that
    is made at another time, or less often, than the DAG files suggest; a ``note`` is what cannot be
    judged from the files. ``subject`` is the asset itself, where ``asset`` is its name for people.
    ``unstable``: another parse names the asset otherwise.
    """

    rule: str
    level: Level
    problem: str
    consequence: str
    step: str
    asset: str | None = None
    dags: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    places: tuple[Place, ...] = field(default=())
    subject: AssetId | None = None
    unstable: bool = False


@dataclass(frozen=True)
class Rule:
    """``summary`` is one line for people who list the rules.

    ``level`` is that of its findings where they do not say otherwise. ``on``: it runs unless it is
    ignored; one that is off runs where it is asked for. ``missing``: what the rule reports the lack
    of. A file that did not import may hold one, and then nobody can tell.
    """

    id: str
    level: Level
    summary: str
    check: Callable[[Wiring], Iterator[Finding]]
    on: bool = True
    missing: Missing | None = None

    def finding(
        self,
        asset: AssetId | None,
        parties: Iterable[Party],
        *,
        problem: str,
        consequence: str,
        step: str,
        level: Level | None = None,
    ) -> Finding:
        """A finding about these parties; their DAGs, tasks and places are taken from them."""
        parties = tuple(parties)
        dags = (each.dag_id for each in parties if each.dag_id is not None)
        tasks = (
            f"{each.dag_id}.{each.part}"
            for each in parties
            if isinstance(each, Emitter | Outlet | Stray | Trigger) and each.dag_id is not None
        )
        places = (each.place for each in parties if each.place is not None)
        return Finding(
            rule=self.id,
            level=level or self.level,
            problem=problem,
            consequence=consequence,
            step=step,
            asset=None if asset is None else str(asset),
            dags=tuple(dict.fromkeys(dags)),
            tasks=tuple(dict.fromkeys(tasks)),
            places=tuple(dict.fromkeys(places)),
            subject=asset,
        )


def rule(
    level: Level, summary: str, *, on: bool = True, missing: Missing | None = None
) -> Callable[[Callable[[Wiring], Iterator[Finding]]], Rule]:
    """Makes a function the rule that has its name, with hyphens."""
    return lambda check: Rule(check.__name__.replace("_", "-"), level, summary, check, on, missing)


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


def listed(names: Iterable[object]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *most, last = map(str, names)
    return f"{', '.join(most)} and {last}" if most else last


def verb(subjects: Sized, word: str) -> str:
    """``emits`` of one subject, ``emit`` of several."""
    return f"{word}s" if len(subjects) == 1 else word
