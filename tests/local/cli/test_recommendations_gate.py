"""`feira recommendations gate` and `approve`: what they print, what they publish, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from feira.core.settings import LakeSettings
from feira.recommendations import verdicts
from feira.recommendations.gate import NOT_ENOUGH, PASSED, REFUSED, GateFigure, Judgement
from feira.recommendations.interactions import interactions
from feira.recommendations.versions import ListStore
from feira_local.cli import list_versions
from feira_local.stack import access
from feira_local.stack.lifecycle import Stack
from feira_spark.recommendations import gate
from recommendations_command import run
from valkey_server import ValkeyServer

DAY = date(2010, 12, 2)
FIRST, SECOND = "2010-12-02-001", "2010-12-02-002"
FIGURE = GateFigure("ndcg_to_popular", "all", 2.5, 2.1, 2.9, "value", 2.0, 300, PASSED)
ESTIMATE = GateFigure("ctr_snips", "new", 0.0625, 0.05, 0.07, "value", 0.0, 90, "estimated")
FOUND = Judgement(date(2010, 12, 1), 2, NOT_ENOUGH, (FIGURE,), (ESTIMATE,))


@pytest.fixture(autouse=True)
def store(server: ValkeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ListStore:
    """A stack whose lake has two versions, of which none is published."""
    lake = LakeSettings(root=f"file://{tmp_path}", catalog="hadoop")
    monkeypatch.setattr(list_versions, "running_config", lambda: server.config)
    monkeypatch.setattr(access, "lake_settings", lambda: lake)
    monkeypatch.setattr(Stack, "running_supervisor", lambda *_: None)
    with server.client() as client:
        client.flushall()
    store = list_versions.list_store()
    for run_id in ("run 1", "run 2"):
        bought = interactions([("1", "x", DAY), ("2", "y", DAY)])
        store.make(store.claim(DAY, run_id, {"sources": {}, "features": {}}), bought)
    return store


def judged(store: ListStore, version: str, verdict: str, figure: str = FIGURE.figure) -> None:
    own = replace(FIGURE, figure=figure, verdict=verdict)
    found = replace(FOUND, verdict=verdict, figures=(own,))
    method = store.read(version)[1].candidates
    drift = (replace(FIGURE, figure="psi_items", slot="lists", verdict="stable"),)
    of = verdicts.Verdict.of(
        found, version=version, as_of=str(DAY), method=method, live="2010-12-01-001", drift=drift
    )
    verdicts.record(store, of)


def states() -> dict[str, tuple[bool, str | None, str | None]]:
    found = json.loads(run("versions", "--json")[1])
    return {it["version"]: (it["served"], it["gate"], it["approved_by"]) for it in found}


def test_a_version_that_waits_is_shown_and_is_served_once_it_is_approved(
    store: ListStore, server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ana")
    judged(store, FIRST, NOT_ENOUGH)
    judged(store, SECOND, REFUSED)
    assert states() == {FIRST: (False, NOT_ENOUGH, None), SECOND: (False, REFUSED, None)}
    lines = [line.split() for line in run("versions")[1].splitlines()]
    assert lines[1:3] == [
        [SECOND, "not", "published", "refused"],
        [FIRST, "not", "published", "waiting"],
    ]
    assert lines[3][:4] == ["No", "version", "is", "served:"]
    code, output, error = run("approve", FIRST, "--why", "looked through by hand")
    assert (code, output, error) == (0, f"{FIRST} is approved and served from now on.\n", "")
    assert states() == {FIRST: (True, NOT_ENOUGH, "ana"), SECOND: (False, REFUSED, None)}
    assert "approved by ana" in run("versions")[1]
    with server.client() as client:
        assert client.get("reco:live") == FIRST.encode()
    # Once more, and by another: the first reason stays.
    monkeypatch.setenv("LOGNAME", "rui")
    code, output, _ = run("approve", FIRST, "--why", "I too", "--json")
    found = json.loads(output)
    (approval,) = found["approvals"]
    assert (code, found["served"], approval["who"]) == (0, FIRST, "ana")
    assert approval["why"] == "looked through by hand"


def test_a_version_of_another_kind_is_approved_though_it_is_refused(
    store: ListStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ana")
    judged(store, FIRST, REFUSED, "novelty_to_live")
    assert states()[FIRST] == (False, REFUSED, None)
    assert run("approve", FIRST, "--why", "it offers what people buy")[0] == 0
    assert states()[FIRST] == (True, REFUSED, "ana")
    assert "approved by ana" in run("versions")[1]
    judged(store, SECOND, REFUSED, "novelty_to_live")
    output = run("approve", SECOND, "--why", "me too")[1]
    assert f"for {FIRST}, though novelty_to_live of all is refused" in output
    assert states()[SECOND] == (True, REFUSED, "ana")


def test_what_does_not_wait_is_not_approved(store: ListStore, server: ValkeyServer) -> None:
    judged(store, FIRST, PASSED)
    judged(store, SECOND, REFUSED)
    for version, part in [
        (FIRST, f"{FIRST} is passed"),
        (SECOND, f"{SECOND} is refused: ndcg_to_popular of all is 2.500"),
        ("2010-12-02-003", "has not judged 2010-12-02-003"),
        ("../2010-12-02-001", "is no version of lists"),
    ]:
        code, output, error = run("approve", version, "--why", "now")
        assert (code, output) == (1, "") and part in error and "\n" not in error
    assert run("approve", FIRST)[0] == 2
    with server.client() as client:
        assert client.dbsize() == 0


def test_an_approval_while_valkey_is_down_is_kept_and_publishes_later(
    store: ListStore, server: ValkeyServer
) -> None:
    judged(store, FIRST, NOT_ENOUGH)
    server.kill()
    try:
        code, output, error = run("approve", FIRST, "--why", "now")
        assert (code, output) == (1, "") and "does not answer" in error
    finally:
        server.__enter__()
    assert run("approve", FIRST, "--why", "now")[0] == 0
    assert states()[FIRST][0]


def test_versions_are_shown_where_the_verdicts_cannot_be_read(store: ListStore) -> None:
    judged(store, FIRST, PASSED)
    Path(store.folder(FIRST).removeprefix("file://"), "gate.json").write_text("{}")
    code, output, error = run("versions")
    assert (code, error) == (0, "") and f"{FIRST}/gate.json is no verdict" in output
    assert json.loads(run("versions", "--json")[1]) == []


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({}, []),
        ({"verdict": PASSED}, ["the verdict was not_enough_to_tell and is passed"]),
        ({"figures": (replace(FIGURE, verdict=NOT_ENOUGH, value=2.4),)}, ["recorded"]),
        ({"figures": ()}, ["not among them"]),
        ({"figures": (replace(FIGURE, verdict=NOT_ENOUGH, low=None),)}, ["recorded"]),
        ({"estimates": (replace(ESTIMATE, value=0.07),)}, ["ctr_snips of new: recorded"]),
        ({"estimates": ()}, ["not among them"]),
        ({"drift": 3.5}, ["psi_items: recorded"]),
    ],
)
def test_a_version_is_judged_again_and_compared_with_what_was_recorded(
    store: ListStore, monkeypatch: pytest.MonkeyPatch, change: Any, differs: list[str]
) -> None:
    judged(store, FIRST, NOT_ENOUGH)
    asked = []
    moved: float | None = change.get("drift", FIGURE.value)

    def drifted(spark: str, of: ListStore, mine: Any, live: str) -> Any:
        assert (spark, mine[0].version, live) == ("spark", FIRST, "2010-12-01-001")
        found = replace(FIGURE, figure="psi_items", slot="lists", verdict="stable", value=moved)
        return found, replace(found, figure="psi_other", value=7.0)

    @contextmanager
    def opened() -> Iterator[str]:
        yield "spark"

    def replayed(
        spark: str, settings: Any, version: Any, made: Any, *live: Any, versions: Any, days: int
    ) -> Judgement:
        # A verdict from before users were held against those of the version that is served.
        assert versions is None
        assert days == 2
        asked.append((spark, version.version, made.candidates["again"]["name"], *live))
        same = replace(FOUND, figures=(replace(FIGURE, verdict=NOT_ENOUGH),))
        return replace(same, **{name: it for name, it in change.items() if name != "drift"})

    monkeypatch.setattr(access, "spark_session", opened)
    monkeypatch.setattr(gate, "replayed", replayed)
    monkeypatch.setattr(gate, "drifted", drifted)
    code, output, error = run("gate", FIRST)
    assert (code, error) == (int(bool(differs)), "")
    assert asked == [("spark", FIRST, "TIFU-KNN", "2010-12-01-001", None)]
    assert "2010-12-01 to 2010-12-02, 2 days" in output and "2010-12-01-001" in output
    assert "psi_items" in output
    if "estimates" not in change:
        assert ["ctr_snips", "new", "0.062", "0.050–0.070", "–", "90", "estimated"] in (
            line.split() for line in output.splitlines()
        )
    assert ("The same as was recorded." in output) == (not differs)
    assert all(each in output for each in differs)
    found = json.loads(run("gate", FIRST, "--json")[1])
    assert bool(found["differs"]) == bool(differs) and found["live"] == "2010-12-01-001"
    # What is gone is named, and says nothing of what was.
    moved = None
    code, output, _ = run("gate", FIRST)
    assert (code == 1) == (bool(differs) and "drift" not in change)
    assert "Not computed again: psi_items." in output
    moved = FIGURE.value
    # A verdict from before there were estimates has none to compare with.
    file = Path(store.folder(FIRST).removeprefix("file://"), "gate.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"estimates": []}))
    assert (run("gate", FIRST)[0] == 1) == (
        bool(differs) and not {"estimates", "drift"} & change.keys()
    )


def test_what_is_beside_lists_that_are_gone_is_as_it_was_recorded(
    store: ListStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A figure of lists that were removed since cannot be had, and says nothing against the verdict; of lists that
    are there it does."""

    @contextmanager
    def opened() -> Iterator[str]:
        yield "spark"

    def replayed(*_: Any, versions: Any, days: int) -> Judgement:
        assert versions is not None
        return replace(FOUND, figures=(users, unknown))

    novelty = replace(FIGURE, figure="novelty_to_live", slot="new")
    unknown = replace(novelty, value=None, low=None, high=None, users=0, verdict=NOT_ENOUGH)
    users = replace(unknown, figure="users_to_live", value=1.0)
    monkeypatch.setattr(access, "spark_session", opened)
    monkeypatch.setattr(gate, "replayed", replayed)
    monkeypatch.setattr(gate, "drifted", lambda *_: ())
    of = verdicts.Verdict.of(
        replace(FOUND, figures=(users, novelty)),
        version=FIRST,
        as_of=str(DAY),
        method=store.read(FIRST)[1].candidates,
        live=SECOND,
    )
    verdicts.record(store, of)
    code, output, _ = run("gate", FIRST)
    assert code == 1 and "novelty_to_live of new: recorded" in output
    Path(store.read(SECOND)[1].parquet.removeprefix("file://")).unlink()
    code, output, _ = run("gate", FIRST)
    assert code == 0 and "Not computed again: novelty_to_live of new." in output
    found = json.loads(run("gate", FIRST, "--json")[1])
    assert found["not_computed"] == ["novelty_to_live of new"] and found["differs"] == []


def test_any_file_is_judged_as_of_a_day(tmp_path: Path) -> None:
    rows = [f"u{n % 9},i{n % 7},{DAY - timedelta(days=n // 9 % 6)}" for n in range(60)]
    later = [f"u{n % 9},i1,{DAY + timedelta(days=1)}" for n in range(9)]
    tables = []
    for name, lines in (("now.csv", rows), ("later.csv", [*rows, *later])):
        path = tmp_path / name
        path.write_text("\n".join(["user,item,time", *lines]))
        code, output, error = run("gate", "--file", str(path), "--as-of", str(DAY), "--json")
        assert (code, error) == (0, "")
        found = json.loads(output)
        assert (found["cut"], found["days"], found["verdict"]) == ("2010-11-30", 3, NOT_ENOUGH)
        assert found["method"]["again"]["name"] == "TIFU-KNN"
        tables.append(found["figures"])
    assert tables[0] == tables[1] and max(it["users"] for it in tables[0]) == 9
    code, output, _ = run("gate", "--file", str(path), "--as-of", str(DAY))
    assert code == 0 and "Verdict: not_enough_to_tell" in output and "coverage" in output


@pytest.mark.parametrize(
    "day", ["0001-01-01", "2010-11-30", "2010-12-01", "2010-12-04", "9999-12-31"]
)
def test_a_file_is_judged_as_of_one_of_its_days_alone(tmp_path: Path, day: str) -> None:
    path = tmp_path / "sales.csv"
    path.write_text("user,item,time\na,x,2010-12-01\na,y,2010-12-02\nb,x,2010-12-03\n")
    code, output, error = run("gate", "--file", str(path), "--as-of", day)
    assert (code, output) == (1, "")
    assert f"--as-of {day} is no day" in error and "from 2010-12-02 to 2010-12-03" in error


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([FIRST, "--file", "x.csv", "--as-of", "2010-12-01"], "Name a version, or --file"),
        (["--file", "x.csv"], "Name a version, or --file"),
        ([FIRST, "--as-of", "2010-12-01"], "Name a version, or --file"),
        (["--file", "missing.csv", "--as-of", "2010-12-01"], "missing.csv does not exist"),
        (["--file", "missing.csv", "--as-of", "soon"], "soon"),
        ([FIRST], f"has not judged {FIRST}"),
        (["2010-12-02"], "is no version of lists"),
    ],
)
def test_what_cannot_be_judged_is_one_sentence(arguments: list[str], part: str) -> None:
    code, output, error = run("gate", *arguments)
    assert (code, output) == (1, "") and part in error and "not foreseen" not in error
