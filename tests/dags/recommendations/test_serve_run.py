"""What a person decides in Airflow: who it was is recorded, and the next answer is of the version."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from itertools import cycle
from typing import Any

import pyarrow as pa
import pytest
from dag_runs import Run, run_dag

from feira.core.lake import lake_files
from feira.core.settings import LakeSettings
from feira.recommendations import release as releases
from feira.recommendations import removal, verdicts
from feira.recommendations.gate import NOT_ENOUGH, REFUSED, GateFigure, Judgement
from feira.recommendations.interactions import interactions
from feira.recommendations.release import release, rollback
from feira.recommendations.segments import Segments
from feira.recommendations.serving import baked
from feira.recommendations.serving.store import StoreError
from feira.recommendations.versions import ListStore, VersionError
from inbox_server import Inbox
from valkey_server import ValkeyServer

DAY = date(2010, 12, 2)
FIRST, SECOND = "2010-12-02-001", "2010-12-02-002"


@pytest.fixture(autouse=True)
def store(
    settings: LakeSettings, empty_valkey: ValkeyServer, metadata: None, inbox: Inbox
) -> ListStore:
    """A lake with two versions, of which none is published."""
    store = ListStore(lake_files(settings), settings.root)
    for run_id in ("run 1", "run 2"):
        bought = interactions([("1", "x", DAY), ("2", "y", DAY)])
        store.make(store.claim(DAY, run_id, {}), bought)
    return store


def judged(store: ListStore, verdict: str) -> None:
    figure = GateFigure("coverage", "new", 0.1, None, None, "value", 0.2, 900, verdict)
    of = Judgement(DAY, 1, verdict, (figure,))
    method = store.read(FIRST)[1].candidates
    verdicts.record(store, verdicts.Verdict.of(of, version=FIRST, as_of=str(DAY), method=method))


def decide(dags: dict[str, Any], **params: str) -> Run:
    return run_dag(dags["recommendations_serve"], None, **params)


def served(server: ValkeyServer, store: ListStore) -> tuple[str | None, set[str]]:
    """What Valkey serves, and the file."""
    with server.client() as client:
        live = client.get("reco:live")
    return live and live.decode(), baked.served_in_file(store.files, store.lake)


def test_an_approval_is_recorded_in_the_name_of_who_triggered_it_and_publishes_the_version(
    dags: dict[str, Any], store: ListStore, server: ValkeyServer
) -> None:
    judged(store, NOT_ENOUGH)
    run = decide(dags, action="approve", version=FIRST, why="looked through by hand")
    assert (run.state, run.events) == ("success", {})
    assert served(server, store) == (FIRST, {FIRST})
    found = verdicts.recorded(store, FIRST)
    assert found is not None
    (given,) = verdicts.approvals(store, found)
    assert (given.who, given.why) == ("dag_test", "looked through by hand")


@pytest.mark.parametrize(
    ("verdict", "why", "part"),
    [
        (REFUSED, "all the same", f"{FIRST} is refused: coverage of new"),
        (NOT_ENOUGH, "", "The reason has 0 characters"),
        (None, "unseen", f"has not judged {FIRST}"),
    ],
)
def test_what_cannot_be_approved_fails_once_and_people_read_why(
    dags: dict[str, Any],
    store: ListStore,
    server: ValkeyServer,
    inbox: Inbox,
    verdict: str | None,
    why: str,
    part: str,
) -> None:
    if verdict:
        judged(store, verdict)
    run = decide(dags, action="approve", version=FIRST, why=why)
    assert run.state == "failed" and run.tasks["serve"][1] == 1
    assert part in inbox.slack()[0]["text"]
    assert served(server, store) == (None, set())


def test_an_approval_of_a_version_that_cannot_be_published_is_not_recorded(
    store: ListStore, server: ValkeyServer
) -> None:
    """It would be of the method, and let later versions through."""
    judged(store, NOT_ENOUGH)
    path = f"{store.folder(FIRST)}/gate.json"
    right = store.files.cat_file(path)
    other = json.loads(right) | {"method": {"new": {"name": "another"}}}
    store.files.pipe_file(path, json.dumps(other).encode())
    with server.client() as client:
        with pytest.raises(verdicts.VerdictError, match="another method"):
            releases.approve(client, store, FIRST, "ana", "looks fine")
        store.files.pipe_file(path, right)
        removal.mark(store, FIRST, datetime.now(UTC))
        removal.remove_files(store, FIRST)
        with pytest.raises(VersionError, match=f"{FIRST} were removed"):
            releases.approve(client, store, FIRST, "ana", "looks fine")
    assert verdicts.approved_versions(store) == set()
    assert served(server, store) == (None, set())


def test_a_rollback_serves_the_version_that_is_named_however_often_it_is_made(
    dags: dict[str, Any], store: ListStore, server: ValkeyServer
) -> None:
    with server.client() as client:
        for version in (FIRST, SECOND):
            release(client, store, version)
    assert served(server, store) == (SECOND, {SECOND})
    for _ in range(2):
        assert decide(dags, action="rollback", version=FIRST, why="").state == "success"
        assert served(server, store) == (FIRST, {FIRST})
        with server.client() as client:
            assert client.getdel("reco:kept") == FIRST.encode()
    run = decide(dags, action="rollback", version="2010-12-02-003", why="")
    assert run.state == "failed" and run.tasks["serve"][1] == 1
    assert served(server, store) == (FIRST, {FIRST})


def test_whoever_writes_the_file_last_it_is_of_what_valkey_serves(
    server: ValkeyServer, store: ListStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else moves the pointer, and has written the file, before this one writes it."""
    with server.client() as client, server.client() as other:
        release(client, store, FIRST)

        def before(name: str, act: Callable[[], object]) -> None:
            real, others = getattr(releases, name), [act]

            def called(*arguments: Any) -> Any:
                while others:
                    others.pop()()
                return real(*arguments)

            monkeypatch.setattr(releases, name, called)

        before("bake", lambda: rollback(other, store, FIRST))
        assert release(client, store, SECOND) is not None
        assert served(server, store) == (FIRST, {FIRST})

        before("bake_again", lambda: release(other, store, SECOND))
        rollback(client, store, FIRST)
        assert served(server, store) == (SECOND, {SECOND})

        # A pointer that never rests is no success.
        turns = cycle([FIRST, SECOND])
        monkeypatch.setattr(releases.valkey_lists, "served_version", lambda _: next(turns))
        with pytest.raises(StoreError, match=r"10 times .* again"):
            rollback(client, store, SECOND)


def file_of(store: ListStore, version: str) -> bytes:
    content: bytes = store.files.cat_file(baked.version_path(store.lake, version))
    return content


def test_a_version_whose_publisher_was_killed_once_the_pointer_had_moved_can_be_rolled_back_to(
    server: ValkeyServer, store: ListStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer one was published before its retry, which then wrote nothing: there was never a file of it."""

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with server.client() as client:
        with monkeypatch.context() as patched:
            patched.setattr(releases, "bake", killed)
            with pytest.raises(KeyboardInterrupt):
                release(client, store, FIRST)
        assert served(server, store) == (FIRST, set())
        for version in (SECOND, FIRST):
            assert release(client, store, version) is not None
        assert served(server, store) == (SECOND, {SECOND})
        rollback(client, store, FIRST)
        assert served(server, store) == (FIRST, {FIRST})


def test_a_version_that_is_complete_after_a_newer_one_is_served_has_its_file(
    server: ValkeyServer, store: ListStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.client() as client, server.client() as other:
        real, others = releases.valkey_lists._serve_unless_newer, [SECOND]

        def newer(*arguments: Any) -> str:
            while others:
                release(other, store, others.pop())
            return real(*arguments)

        monkeypatch.setattr(releases.valkey_lists, "_serve_unless_newer", newer)
        done = release(client, store, FIRST)
        assert done is not None and done.served == SECOND
        assert file_of(store, FIRST)
        rollback(client, store, FIRST)
    assert served(server, store) == (FIRST, {FIRST})


def test_before_a_rollback_moves_the_pointer_a_file_that_is_missing_is_made_from_the_lists(
    server: ValkeyServer, store: ListStore
) -> None:
    known = Segments(
        pa.table({"user_id": ["looks"], "segment": ["BAG"]}),
        pa.table({"sku": ["x", "z"], "category": ["BAG", "BAG"]}),
    )
    sold = [("1", "x"), ("1", "y"), ("2", "x"), ("2", "z"), ("3", "x"), ("3", "y")]
    bought = interactions([(user, item, DAY) for user, item in sold])
    third = store.claim(DAY, "run 3", {})
    store.make(third, bought, known)
    with server.client() as client:
        release(client, store, third.version)
        at_publish = file_of(store, third.version)
        assert json.loads(at_publish)["everyone"] == {"new": ["x", "y", "z"]}
        store.files.rm_file(baked.version_path(store.lake, third.version))
        assert rollback(client, store, third.version).version == third.version
        assert file_of(store, third.version) == at_publish

        # One that was cut off is made anew too.
        store.files.pipe_file(baked.version_path(store.lake, third.version), at_publish[:-9])
        assert rollback(client, store, third.version).version == third.version
        assert file_of(store, third.version) == at_publish

        # With neither file nor lists nothing is moved.
        newer = store.claim(DAY, "run 4", {})
        store.make(newer, bought)
        release(client, store, newer.version)
        store.files.rm_file(baked.version_path(store.lake, third.version))
        removal.remove_files(store, third.version)
        with pytest.raises(baked.NotBakedError, match=rf"{third.version}/everyone\.json"):
            rollback(client, store, third.version)
    assert served(server, store) == (newer.version, {newer.version})


def test_after_valkey_was_emptied_an_older_days_lists_do_not_replace_those_of_the_file(
    server: ValkeyServer, store: ListStore
) -> None:
    older = store.claim(date(2010, 11, 1), "backfill", {})
    store.make(older, interactions([("1", "x", older.day)]))
    with server.client() as client:
        release(client, store, SECOND)
        client.flushall()
        assert releases.served(client, store) == SECOND
        for version in (older.version, FIRST):
            done = release(client, store, version)
            assert done is not None and (done.served, done.lists) == (SECOND, 0)
        assert client.dbsize() == 0 and served(server, store) == (None, {SECOND})
        # The same one again, or a newer one, is served; also where the file is damaged, which is written anew.
        store.files.pipe_file(baked.served_path(store.lake), b'{"version": "2010-12-0')
        done = release(client, store, SECOND)
        assert done is not None and done.served == SECOND
    assert served(server, store) == (SECOND, {SECOND})


@pytest.mark.parametrize(
    "asked",
    [
        {"action": "approve", "version": "../x", "why": "x"},
        {"action": "remove", "version": FIRST, "why": "x"},
        {"action": "approve", "why": "x"},
    ],
)
def test_a_run_without_a_version_or_with_another_action_is_not_begun(
    dags: dict[str, Any], asked: dict[str, str]
) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError):
        decide(dags, **asked)
