"""What a rule found: which asset, where, what Airflow will do about it, and the next step."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from dataclasses import dataclass, field
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
)

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")  # the worst first


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


# What a finding can be about.
Party = Emitter | Listener | Declaration | Outlet | Stray | Trigger


def finding(
    rule: str,
    level: Level,
    asset: AssetId | None,
    parties: Iterable[Party],
    *,
    problem: str,
    consequence: str,
    step: str,
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
        rule=rule,
        level=level,
        problem=problem,
        consequence=consequence,
        step=step,
        asset=None if asset is None else str(asset),
        dags=tuple(dict.fromkeys(dags)),
        tasks=tuple(dict.fromkeys(tasks)),
        places=tuple(dict.fromkeys(places)),
        subject=asset,
    )


def listed(names: Iterable[object]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *most, last = map(str, names)
    return f"{', '.join(most)} and {last}" if most else last


def verb(subjects: Sized, word: str) -> str:
    """``emits`` of one subject, ``emit`` of several."""
    return f"{word}s" if len(subjects) == 1 else word
