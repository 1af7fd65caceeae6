"""`feira recommendations versions` and `rollback` on a real server: what is served, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem

from feira.core.settings import LakeSettings
from feira.recommendations import removal, verdicts
from feira.recommendations.gate import NOT_ENOUGH, REFUSED, GateFigure
from feira.recommendations.serving import baked
from feira.recommendations.verdicts import Verdict
from feira_local.cli import list_versions
from feira_local.stack import access
from feira_local.stack.lifecycle import Stack
from recommendations_command import run
from valkey_server import ValkeyServer, publish_lists, some_lists

VERSION = "2010-12-02-001"
NAMES = ["2010-12-01-1", "2010-12-02-1", "2010-12-03-1"]


@pytest.fixture(autouse=True)
def stack(server: ValkeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LakeSettings:
    """A stack that runs, with three versions; its lake is a folder."""
    lake = LakeSettings(root=f"file://{tmp_path}", catalog="hadoop")
    monkeypatch.setattr(list_versions, "running_config", lambda: server.config)
    monkeypatch.setattr(access, "lake_settings", lambda: lake)
    monkeypatch.setattr(Stack, "running_supervisor", lambda *_: None)
    with server.client() as client:
        client.flushall()
        for name in NAMES:
            done = publish_lists(client, name, some_lists(name))
            baked.bake(LocalFileSystem(auto_mkdir=True), lake.root, name, done.everyone)
    return lake


def served() -> list[str]:
    found = json.loads(run("versions", "--json")[1])
    return [each["version"] for each in found if each["served"]]


def test_versions_are_listed_with_the_one_that_is_served(server: ValkeyServer) -> None:
    with server.client() as client:
        client.delete(f"reco:{NAMES[0]}:meta")
    code, output, error = run("versions")
    assert (code, error) == (0, "")
    lines = [line.split() for line in output.splitlines()]
    assert [line[:2] for line in lines[1:]] == [
        [NAMES[2], "served"],
        [NAMES[1], lines[2][1]],
        [NAMES[0], "incomplete"],
    ]
    # They are older than the gate.
    assert [line[-1] for line in lines[1:]] == ["–"] * 3
    assert lines[1][3] == "9" and served() == [NAMES[2]]
    found = json.loads(run("versions", "--json")[1])
    assert [(each["complete"], each["lists"]) for each in found] == [
        *((True, 9), (True, 9), (False, None))
    ]


def test_a_rollback_serves_the_version_before_with_its_file(
    stack: LakeSettings, server: ValkeyServer
) -> None:
    assert run("rollback") == (0, f"{NAMES[1]} is served from now on.\n", "")
    assert served() == [NAMES[1]]
    with server.client() as client:
        assert client.get("reco:kept") == NAMES[1].encode()
    file = Path(baked.served_path(stack.root).removeprefix("file://"))
    assert json.loads(file.read_text())["version"] == NAMES[1]
    code, output, _ = run("rollback", NAMES[2], "--json")
    assert (code, json.loads(output)) == (0, {"served": NAMES[2], "file_error": None})
    assert served() == [NAMES[2]]


def test_a_rollback_whose_file_is_gone_is_done_and_says_so(stack: LakeSettings) -> None:
    Path(baked.version_path(stack.root, NAMES[1]).removeprefix("file://")).unlink()
    code, output, _ = run("rollback")
    assert code == 0 and f"{NAMES[1]} is served" in output and f"{NAMES[1]}/everyone.json" in output
    assert served() == [NAMES[1]]


def test_what_cannot_be_served_is_one_sentence(server: ValkeyServer) -> None:
    for arguments, message in [
        (["2010-12-09-1"], "2010-12-09-1 is not in Valkey, so it is not served."),
        (["a:b"], "'a:b' is no version of lists"),
    ]:
        code, output, error = run("rollback", *arguments)
        assert (code, output) == (1, "") and message in error and "not foreseen" not in error
    run("rollback", NAMES[0])
    code, output, error = run("rollback", "--json")
    assert (code, output) == (1, "")
    assert f"There is nothing to roll back to: {NAMES[0]} is served" in error
    with server.client() as client:
        client.flushall()
    assert "no version is served" in run("rollback")[2]
    assert run("versions") == (0, "No version of the lists is in Valkey.\n", "")
    assert json.loads(run("versions", "--json")[1]) == []


def test_a_version_that_was_removed_cannot_be_served_and_says_since_when(
    stack: LakeSettings,
) -> None:
    store = list_versions.list_store()
    removal.mark(store, "2010-11-01-001", datetime(2010, 12, 9, 23, tzinfo=UTC))
    code, output, error = run("rollback", "2010-11-01-001")
    assert (code, output, served()) == (1, "", [NAMES[2]])
    assert "2010-11-01-001 was removed from the lake on 2010-12-09" in error
    assert NAMES[1] in error


def test_a_valkey_that_is_down_is_named_with_the_next_step(server: ValkeyServer) -> None:
    server.kill()
    try:
        for command in ("versions", "rollback"):
            code, output, error = run(command)
            assert (code, output) == (1, "")
            assert f"Valkey at 127.0.0.1:{server.options['port']} does not answer" in error
            assert "`feira status`" in error and "\n" not in error
    finally:
        server.__enter__()


def test_below_the_model_card_is_what_the_gate_found(stack: LakeSettings) -> None:
    store = list_versions.list_store()
    figures = (
        GateFigure("ndcg_to_live", "new", 0.612, 0.5, 0.7, "low", 0.97, 1314, REFUSED),
        GateFigure("ndcg_to_popular", "all", None, None, None, "value", 2.0, 0, NOT_ENOUGH),
    )
    drift = (GateFigure("psi_orders", "features", 0.3, None, None, "value", 0.25, 9, "much_drift"),)
    method = {"again": {"name": "own frequency"}}
    verdict = Verdict(
        VERSION, VERSION[:10], "2010-11-19", 14, REFUSED, method, NAMES[0], method, figures, drift
    )
    verdicts.record(store, verdict)
    (Path(store.folder(VERSION).removeprefix("file://")) / "card.md").write_text("# Lists\n")
    code, output, error = run("versions", "--card", VERSION)
    assert (code, error) == (0, "") and output.startswith("# Lists\n")
    for line in (
        f"refused: on 14 days from 2010-11-19, beside {NAMES[0]}.",
        "| ndcg_to_live | new | 0.612 | 0.500 to 0.700 | 0.97 (low end) | 1,314 | refused |",
        "| ndcg_to_popular | all | – | – | 2.00 | 0 | not_enough_to_tell |",
        "| psi_orders | features | 0.300 | – | 0.25 | 9 | much_drift |",
    ):
        assert line in output.splitlines()
    held = json.loads(run("versions", "--card", VERSION, "--json")[1])["gate"]
    assert held["figures"][0]["value"] == 0.612 and held["verdict"] == REFUSED


def test_the_model_card_of_a_version_is_printed_as_it_is(stack: LakeSettings) -> None:
    folder = Path(stack.root.removeprefix("file://")) / "recommendations" / VERSION
    text = "# Lists [bold]x[/]\n\n| a | b |\n```json\n{}\n```\n"
    folder.mkdir()
    (folder / "card.md").write_text(text)
    assert run("versions", "--card", VERSION) == (0, text, "")
    code, output, _ = run("versions", "--card", VERSION, "--json")
    assert (code, json.loads(output)) == (0, {"version": VERSION, "card": text, "gate": None})
    for name, message in [
        ("2010-12-03-001", f"there is no {stack.root}/recommendations/2010-12-03-001/card.md"),
        ("../" + VERSION, "is no version of lists"),
    ]:
        code, output, error = run("versions", "--card", name)
        assert (code, output) == (1, "") and message in error and "not foreseen" not in error
