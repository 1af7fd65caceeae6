"""The step that removes old lists: nothing that is served, and killed anywhere it is taken up again."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from feira.core.lake import lake_files
from feira.core.settings import LakeSettings
from feira.recommendations import removal
from feira.recommendations.interactions import interactions
from feira.recommendations.serving import baked
from feira.recommendations.serving.store import StoreError
from feira.recommendations.versions import ListStore, Version
from feira_airflow.core.xcom import check
from feira_airflow.recommendations import tasks
from feira_spark.recommendations import removal as tables
from valkey_server import ValkeyServer, publish_lists, some_lists

BOUGHT = interactions([("1", "x", date(2010, 1, 1)), ("2", "x", date(2010, 1, 1))])
# Of which the newest alone is not old: see ``Tables.patched``.
DAYS = [date(2010, month, 1) for month in range(1, 11)]
NAMES = [f"{day}-001" for day in DAYS]
SERVED, OTHER, APPROVED, IN_FILE = NAMES[2], NAMES[3], NAMES[1], NAMES[4]
OLD = [NAMES[0], *NAMES[5:9]]
NONE: dict[str, Any] = {"count": 0, "first": None, "last": None}


class Tables:
    """What the two tables hold."""

    def __init__(self) -> None:
        self.rows, self.removed = set(NAMES), set[str]()
        self.listed = set(NAMES)
        self.stay = set[str]()
        self.expired = 0
        self.meanwhile: Callable[[], object] = lambda: None
        self.steps = 0
        self.killed_at = -1

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.killed_at:
            raise KeyboardInterrupt

    def patched(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def rows(_: Any, versions: Any) -> None:
            self.step()
            self.rows -= {each.version for each in versions}

        def mark(_: Any, versions: Any, now: datetime) -> None:
            self.step()
            self.removed |= {each.version for each in versions} & self.listed

        def features(_: Any, stay: Any, now: datetime) -> list[date]:
            self.stay = {each.version for each in stay}
            return [date(2009, 12, 31)]

        def expire(*_: Any) -> None:
            self.expired += 1

        def listed(_: Any) -> dict[str, bool]:
            self.meanwhile()
            return {name: name in self.removed for name in self.listed}

        monkeypatch.setattr(removal, "KEPT_DAYS", 1)
        monkeypatch.setattr(tables, "listed_versions", listed)
        monkeypatch.setattr(tables, "remove_rows", rows)
        monkeypatch.setattr(tables, "mark_removed", mark)
        monkeypatch.setattr(tables, "remove_features", features)
        monkeypatch.setattr(tables, "expire", expire)
        for name in ("mark", "remove_files"):
            monkeypatch.setattr(removal, name, self.stepping(getattr(removal, name)))

    def stepping(self, function: Any) -> Any:
        def wrapped(*arguments: Any) -> None:
            self.step()
            function(*arguments)

        return wrapped


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Tables:
    held = Tables()
    held.patched(monkeypatch)
    return held


@pytest.fixture(autouse=True)
def store(settings: LakeSettings, empty_valkey: ValkeyServer, named_spark: None) -> ListStore:
    """A lake with ten versions, of which two are in Valkey, one is approved of and one is in the file."""
    with empty_valkey.client() as client:
        for version in (SERVED, OTHER):
            publish_lists(client, version, some_lists(version, 1))
        client.set("reco:live", SERVED)
    store = ListStore(lake_files(settings), settings.root)
    for day in DAYS:
        store.make(store.claim(day, f"run of {day}", {}), BOUGHT)
        begun(store, f"{day}-001", datetime.now(UTC) - timedelta(days=100))
    store.files.pipe_file(
        store.folder("approvals/a.json"), json.dumps({"version": APPROVED}).encode()
    )
    baked.bake(store.files, store.lake, IN_FILE, {})
    return store


def begun(store: ListStore, version: str, when: datetime) -> None:
    file = f"{store.folder(version)}/version.json"
    text = json.loads(store.files.cat_file(file)) | {"created_at": when.isoformat()}
    store.files.pipe_file(file, json.dumps(text).encode())


def span(names: list[str]) -> dict[str, Any]:
    return {"count": len(names), "first": names[0], "last": names[-1]}


def with_lists(store: ListStore) -> list[str]:
    return [
        name for name in store.names() if store.files.exists(f"{store.folder(name)}/lists.parquet")
    ]


def test_old_versions_go_and_those_that_are_served_kept_approved_or_new_stay(
    store: ListStore, held: Tables
) -> None:
    begun(store, NAMES[6], datetime.now(UTC))
    stays = [SERVED, OTHER, APPROVED, IN_FILE, NAMES[6], NAMES[9]]
    assert tasks.prune() == {
        "removed": {"count": 4, "first": NAMES[0], "last": NAMES[8]},
        "features": {"count": 1, "first": "2009-12-31", "last": "2009-12-31"},
    }
    assert sorted(held.stay) == sorted(stays)
    assert with_lists(store) == sorted(stays) == sorted(held.rows)
    assert held.removed == {*OLD} - {NAMES[6]} and held.expired == 1
    assert tasks.prune()["removed"] == NONE and held.expired == 2


def test_however_much_is_removed_at_once_xcom_takes_the_result(
    held: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = [date(2000, 1, 1) + timedelta(days=n) for n in range(3_000)]
    monkeypatch.setattr(tables, "remove_features", lambda *_: days)
    begun = [Version(f"{each}-001", str(each), "run", f"{each}T00:00+00:00", {}) for each in days]
    monkeypatch.setattr(removal, "begun", lambda *_: begun)
    done = tasks.prune()
    check(done)
    # The newest day of versions stays.
    assert done == {
        "removed": {"count": 2_999, "first": "2000-01-01-001", "last": "2008-03-17-001"},
        "features": {"count": 3_000, "first": "2000-01-01", "last": "2008-03-18"},
    }


def test_a_version_whose_run_was_given_up_before_it_was_listed_is_removed_once(
    store: ListStore, held: Tables
) -> None:
    held.listed.remove(NAMES[0])
    assert tasks.prune()["removed"] == span(OLD)
    assert with_lists(store) == sorted(held.rows) and not held.rows & set(OLD)
    assert tasks.prune()["removed"] == NONE
    # Of one whose removal was killed amid its files, the rest goes too.
    store.files.pipe_file(f"{store.folder(NAMES[0])}/models/again.npz", b"1")
    assert tasks.prune()["removed"] == span(NAMES[:1])
    assert tasks.prune()["removed"] == NONE


def test_killed_at_any_step_nothing_half_removed_can_be_read_and_the_next_one_ends_it(
    store: ListStore, held: Tables
) -> None:
    for killed_at in range(1, 3 + 2 * len(OLD)):
        held.steps, held.killed_at = 0, killed_at
        with pytest.raises(KeyboardInterrupt):
            tasks.prune()
        for name in NAMES:
            if name not in with_lists(store) or name not in held.rows:
                assert store.removed(name) is not None
        assert not held.removed
    held.killed_at = -1
    assert tasks.prune()["removed"] == span(OLD)
    assert held.removed == set(OLD) and not held.removed & held.rows
    assert not held.removed & set(with_lists(store))


def test_what_is_approved_or_published_while_the_tables_are_read_stays(
    server: ValkeyServer, store: ListStore, held: Tables
) -> None:
    approved, published = NAMES[0], NAMES[8]

    def meanwhile() -> None:
        approval = json.dumps({"version": approved}).encode()
        store.files.pipe_file(store.folder("approvals/b.json"), approval)
        with server.client() as client:
            publish_lists(client, published, some_lists(published, 1))

    held.meanwhile = meanwhile
    assert tasks.prune()["removed"] == span(NAMES[5:8])
    assert {approved, published} <= held.stay & held.rows & set(with_lists(store))

    def emptied() -> None:
        with server.client() as client:
            client.flushall()

    held.meanwhile = emptied
    assert tasks.prune() == {"removed": NONE, "features": NONE}


@pytest.mark.parametrize("state", ["down", "emptied", "approval", "file"])
def test_where_it_is_not_known_what_is_served_or_approved_nothing_is_removed(
    server: ValkeyServer, store: ListStore, held: Tables, state: str
) -> None:
    if state == "down":
        server.kill()
        try:
            with pytest.raises(StoreError, match="does not answer"):
                tasks.prune()
        finally:
            server.__enter__()
    elif state == "emptied":
        with server.client() as client:
            client.flushall()
        assert tasks.prune() == {"removed": NONE, "features": NONE}
    elif state == "approval":
        store.files.pipe_file(store.folder("approvals/a.json"), b"{}")
        with pytest.raises(AirflowFailException, match=r"a\.json is no approval"):
            tasks.prune()
    else:
        store.files.pipe_file(baked.served_path(store.lake), b"{")
        with pytest.raises(ValueError):
            tasks.prune()
    assert (with_lists(store), held.steps) == (NAMES, 0)
