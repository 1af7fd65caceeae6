"""Which versions of the lists are removed, and what is left of one that is."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from feira.core.lake import lake_files
from feira.core.settings import LakeSettings
from feira.recommendations import removal
from feira.recommendations.interactions import interactions
from feira.recommendations.versions import ListStore, VersionError

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
BOUGHT = interactions([("1", "x", date(2010, 1, 1)), ("2", "x", date(2010, 1, 1))])


@pytest.fixture
def store(tmp_path: Path) -> ListStore:
    lake = LakeSettings(root=f"file://{tmp_path}", catalog="hadoop")
    return ListStore(lake_files(lake), lake.root)


def begun(store: ListStore, day: date, ago: timedelta = timedelta(days=400)) -> str:
    """A version of the day, begun so long ago."""
    version = store.claim(day, f"run {len(store.names())}", {})
    file = f"{store.folder(version.version)}/version.json"
    held: dict[str, Any] = json.loads(store.files.cat_file(file))
    held["created_at"] = (NOW - ago).isoformat()
    store.files.pipe_file(file, json.dumps(held).encode())
    return version.version


def removable(store: ListStore, kept: Any = (), removed: Any = ()) -> list[str]:
    listed = {name: name in removed for name in store.names()}
    return [each.version for each in removal.removable(removal.begun(store, listed), kept, NOW)]


def test_versions_of_the_newest_28_days_stay_and_those_that_are_kept(store: ListStore) -> None:
    days = [date(2010, 12, 1) - timedelta(days=n) for n in range(32)]
    names = [begun(store, day) for day in days]
    assert removable(store) == sorted(names[28:])
    assert removable(store, kept={names[29], "2010-01-01-001"}) == [names[31], names[30], names[28]]
    assert removable(store, removed={names[31], names[30]}) == [names[29], names[28]]


def test_of_an_old_day_that_was_run_again_the_lists_stay_for_a_week(store: ListStore) -> None:
    newer = [begun(store, date(2010, 12, 1) - timedelta(days=n)) for n in range(28)]
    week = timedelta(days=7)
    before = begun(store, date(2010, 1, 1), week + timedelta(seconds=1))
    begun(store, date(2010, 1, 1), week)
    begun(store, date(2010, 1, 1), timedelta(0))
    assert removable(store) == [before]
    assert removable(store, kept=newer) == [before]


def test_a_day_of_the_future_makes_no_other_old(store: ListStore) -> None:
    days = [NOW.date() - timedelta(days=n) for n in range(29)]
    names = [begun(store, day) for day in (*days, date(2099, 1, 1))]
    assert removable(store) == [names[28]]


def test_a_stray_run_of_a_later_day_removes_one_day_and_not_all_the_others(
    store: ListStore,
) -> None:
    days = [date(2010, 12, 1) - timedelta(days=n) for n in range(28)]
    stray = NOW.date() - timedelta(days=1)
    names = [begun(store, day) for day in days]
    assert removable(store) == []
    begun(store, stray)
    assert removable(store) == [names[27]]
    assert removal.old_days({*days, stray}, [], NOW) == {days[27]}


def test_of_days_a_week_apart_28_stay_and_of_a_day_all_its_versions(store: ListStore) -> None:
    days = [date(2010, 12, 1) - timedelta(weeks=n) for n in range(30)]
    names = [begun(store, day) for day in days for _ in range(2)]
    assert removable(store) == sorted(names[56:])
    assert removal.old_days(days, [], NOW) == {*days[28:]}


def test_features_of_the_newest_28_days_stay_and_those_of_a_version_that_stays(
    store: ListStore,
) -> None:
    days = {date(2010, 12, 1) - timedelta(days=n) for n in range(32)}
    old = {date(2010, 11, 3) - timedelta(days=n) for n in range(4)}
    assert removal.old_days(days, [], NOW) == old
    # A day of the future makes none old.
    assert removal.old_days(days | {date(2099, 1, 1)}, [], NOW) == old
    begun(store, date(2010, 11, 1))
    (stays,) = removal.begun(store, {})
    assert removal.old_days(days, [stays], NOW) == old - {date(2010, 11, 1)}
    assert removal.old_days([], [stays], NOW) == set()


def test_a_lake_without_lists_and_folders_that_are_no_version_have_nothing_to_remove(
    store: ListStore,
) -> None:
    assert (store.names(), removable(store)) == ([], [])
    begun(store, date(2010, 12, 1))
    for name in ("approvals", "2009-01-01-1", "x2009-01-01-001", "2009-01-01-001"):
        store.files.pipe_file(f"{store.folder(name)}/everyone.json", b"{}")
    # The last one has the name of a version, and nobody has begun it.
    assert removable(store) == []


def test_what_is_left_of_a_version_is_where_it_came_from(store: ListStore) -> None:
    version = store.claim(date(2010, 1, 1), "run 1", {})
    made = store.make(version, BOUGHT)
    folder = store.folder(version.version)
    for name, content in {
        "gate.json": b"{}",
        "models/again.npz": b"1",
        "models/m.json": b"{}",
    }.items():
        store.files.pipe_file(f"{folder}/{name}", content)
    store.files.pipe_file(f"{folder}/card.md", b"# card")
    removal.mark(store, version.version, NOW)
    removal.mark(store, version.version, NOW + timedelta(days=1))
    assert store.removed(version.version) == "2026-01-31T12:00:00+00:00"
    # It is killed before its files go: it is no version already.
    assert store.finished(version.version) == made
    with pytest.raises(VersionError, match=r"2010-01-01-001 were removed on 2026-01-31"):
        store.read(version.version)
    for _ in range(2):
        removal.remove_files(store, version.version)
        left = {path.rpartition("/recommendations/")[2] for path in store.files.find(folder)}
        known = ("version", "finished", "removed", "gate")
        assert left == {
            f"2010-01-01-001/{name}" for name in (*(f"{it}.json" for it in known), "card.md")
        }
    with pytest.raises(VersionError, match=r"removed on 2026-01-31"):
        store.read(version.version)
    # The run that made it is cleared: it makes a version of its own anew.
    assert store.claim(date(2010, 1, 1), "run 1", {}).version == "2010-01-01-002"
