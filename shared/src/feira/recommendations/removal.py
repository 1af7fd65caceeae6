"""Which versions of the lists are removed from the lake, and the removal of their files.

A version that is being removed says so in its folder first, and is no version for anybody from then on; so a
removal that is killed is taken up by the next one. What is known of it stays: where it came from, what the gate
said, its card.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from feira.core.landing.put_once import put_once
from feira.recommendations.versions import ListStore, Version

# The newest day of lists is the last of them.
KEPT_DAYS = 28
# By the clock: of old days that are run again the lists stay for so long after they were begun, since their
# run, or a person, may be at work on them.
MADE_DAYS = 7
_STAYS = (".json", ".md")


def removable(
    store: ListStore, kept: Collection[str], removed: Collection[str], now: datetime
) -> list[Version]:
    """The versions of the lake that are neither kept nor recent, the oldest first.

    :param kept: those that stay, whatever their age
    :param removed: those that are removed already, and are not looked at
    """
    begun = [store.version(name) for name in store.names() if name not in removed]
    known = [each for each in begun if each is not None]
    # A day of the future, whoever has run it, makes none of the others old.
    today = now.astimezone(UTC).date()
    newest = max((each.day for each in known if each.day <= today), default=today)
    last, before = newest - timedelta(days=KEPT_DAYS), now - timedelta(days=MADE_DAYS)
    return [
        each
        for each in known
        if each.version not in kept
        and each.day <= last
        and datetime.fromisoformat(each.created_at) < before
    ]


def mark(store: ListStore, version: str, now: datetime) -> None:
    """Says that the version is removed; nothing makes, publishes or judges it from then on."""
    at = now.astimezone(UTC).isoformat(timespec="seconds")
    content = json.dumps({"version": version, "removed_at": at}).encode() + b"\n"
    put_once(store.files, store.removed_path(version), content)


def remove_files(store: ListStore, version: str) -> None:
    """Removes the version's lists, models and all else that is large."""
    folder = store.folder(version)
    for path in store.files.find(folder):
        if "/" in path.rpartition(f"/{version}/")[2] or not path.endswith(_STAYS):
            try:
                store.files.rm_file(path)
            except FileNotFoundError:
                # By another that was at it too.
                continue
