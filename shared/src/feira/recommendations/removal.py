"""Which versions of the lists are removed from the lake, and which days' features; and the removal of files.

A version that is being removed says so in its folder first, and is no version for anybody from then on; so a
removal that is killed is taken up by the next one. What is known of it stays: where it came from, what the gate
said, its card.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta

from feira.core.landing.put_once import put_once
from feira.recommendations.versions import ListStore, Version

# Of the days that have any, not of the calendar: a shop may run its days weekly, or one day far from the others.
KEPT_DAYS = 28
# By the clock: of old days that are run again the lists stay for so long after they were begun, since their
# run, or a person, may be at work on them.
MADE_DAYS = 7
_STAYS = (".json", ".md")


def begun(store: ListStore, listed: Mapping[str, bool]) -> list[Version]:
    """The versions of the lake, the oldest first, without those that are removed already.

    :param listed: of each version that has a row of ``list_versions``, whether that says it is removed; one whose
        run was given up earlier has none, and is removed where its folder says so and nothing large is in it
    """
    found = (
        store.version(name)
        for name in store.names()
        if not (listed[name] if name in listed else _is_removed(store, name))
    )
    return [each for each in found if each is not None]


def _is_removed(store: ListStore, version: str) -> bool:
    return store.removed(version) is not None and not _large(store, version)


def removable(known: Collection[Version], kept: Collection[str], now: datetime) -> list[Version]:
    """Those of the versions that are neither kept, nor of the newest ``KEPT_DAYS`` days of versions, nor begun lately.

    :param kept: those that stay, whatever their age
    """
    old, before = _old((each.day for each in known), now), now - timedelta(days=MADE_DAYS)
    return [
        each
        for each in known
        if each.version not in kept
        and each.day in old
        and datetime.fromisoformat(each.created_at) < before
    ]


def old_days(days: Collection[date], stay: Collection[Version], now: datetime) -> set[date]:
    """Those of the days that are not recent, and of which no version is that stays."""
    return _old(days, now) - {each.day for each in stay}


def _old(days: Iterable[date], now: datetime) -> set[date]:
    """All but the newest ``KEPT_DAYS`` of the days up to today, and those of the future, which make none old."""
    today = now.astimezone(UTC).date()
    return set(sorted(each for each in {*days} if each <= today)[:-KEPT_DAYS])


def mark(store: ListStore, version: str, now: datetime) -> None:
    """Says that the version is removed; nothing makes, publishes or judges it from then on."""
    at = now.astimezone(UTC).isoformat(timespec="seconds")
    content = json.dumps({"version": version, "removed_at": at}).encode() + b"\n"
    put_once(store.files, store.removed_path(version), content)


def remove_files(store: ListStore, version: str) -> None:
    """Removes the version's lists, models and all else that is large."""
    for path in _large(store, version):
        try:
            store.files.rm_file(path)
        except FileNotFoundError:
            # By another that was at it too.
            continue


def _large(store: ListStore, version: str) -> list[str]:
    return [
        path
        for path in store.files.find(store.folder(version))
        if "/" in path.rpartition(f"/{version}/")[2] or not path.endswith(_STAYS)
    ]
