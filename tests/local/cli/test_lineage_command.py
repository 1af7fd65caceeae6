"""`feira lineage` reads the stack's events back: datasets, or where a dataset's columns begin."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from feira_local.cli import app
from feira_local.cli import lineage as command
from feira_local.stack.errors import StackError


def event(job: str, source: str, target: str, state: str = "COMPLETE") -> dict[str, Any]:
    made = {"namespace": "n", "name": target}
    of = {"namespace": "n", "name": source}
    fields = {"amount": {"inputFields": [of | {"field": "price"}, of | {"field": "quantity"}]}}
    return {
        "eventType": state,
        "run": {"runId": job},
        "job": {"namespace": "feira", "name": job},
        "inputs": [of],
        "outputs": [made | {"facets": {"columnLineage": {"fields": fields}}}],
    }


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes events where the stack keeps them; returns the file."""
    file = tmp_path / "lineage.ndjson"
    monkeypatch.setattr(command, "running_config", lambda: None)
    monkeypatch.setattr(command, "events_file", lambda config: file)

    def write(*events: dict[str, Any]) -> Path:
        file.write_text("".join(json.dumps(each) + "\n" for each in events))
        return file

    return write


def rows(*words: str) -> Any:
    ended = CliRunner().invoke(app, ["lineage", *words, "--json"])
    if ended.exception is not None:
        raise ended.exception
    return json.loads(ended.stdout)


def test_datasets_come_with_what_they_were_made_from_but_for_runs_that_failed(
    sent: Callable[..., Path],
) -> None:
    sent(event("load", "lake", "fact"), event("broken", "elsewhere", "fact", state="FAIL"))
    assert rows() == [{"dataset": "n/fact", "from": ["n/lake"], "jobs": ["load"]}]


def test_a_column_is_followed_to_where_it_begins(sent: Callable[..., Path]) -> None:
    first, second = event("land", "api", "lake"), event("load", "lake", "fact")
    prices = first["outputs"][0]["facets"]["columnLineage"]["fields"]
    prices["price"] = {"inputFields": [{"namespace": "n", "name": "api", "field": "text"}]}
    sent(first, second)
    assert rows("fact") == [
        {"column": "n/fact.amount", "begins in": ["n/api.text", "n/lake.quantity"]}
    ]


def test_a_dataset_is_found_by_its_name_as_it_is_listed(sent: Callable[..., Path]) -> None:
    loaded = event("load", "lake", "warehouse.sales.fact")
    loaded["outputs"][0]["namespace"] = "postgres://127.0.0.1:15432"
    sent(loaded, event("copy", "lake", "sales.fact"))
    (listed,) = [row["dataset"] for row in rows() if row["dataset"].startswith("postgres")]
    assert listed == "postgres://127.0.0.1:15432/warehouse.sales.fact"
    for name in (listed, listed.replace("/w", ".w"), "15432/warehouse.sales.fact", "e.sales.fact"):
        assert [row["column"] for row in rows(name)] == [f"{listed}.amount"]
    assert [row["column"] for row in rows("sales.fact")] == [
        f"{listed}.amount",
        "n/sales.fact.amount",
    ]
    for name in ("nowhere", "", f"x{listed}"):
        with pytest.raises(StackError, match=f"that ends in '{name}'"):
            rows(name)


def test_without_events_a_sentence_says_so(sent: Callable[..., Path]) -> None:
    with pytest.raises(StackError, match=r"lineage.ndjson is missing.*FEIRA_LINEAGE=off"):
        rows()
    sent()
    assert rows() == []
    shown = CliRunner().invoke(app, ["lineage"], catch_exceptions=False)
    assert shown.stdout == "No event names a dataset that was written.\n"


def test_what_is_said_of_a_job_without_a_run_is_taken(sent: Callable[..., Path]) -> None:
    told = event("load", "lake", "fact")
    del told["run"], told["eventType"]
    sent(told, {"dataset": {"namespace": "n", "name": "alone"}}, event("other", "lake", "marts"))
    assert [(row["dataset"], row["jobs"]) for row in rows()] == [
        ("n/fact", ["load"]),
        ("n/marts", ["other"]),
    ]


def test_lines_that_are_no_events_are_left_out_and_named_once(
    sent: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    half = event("half", "lake", "fact")
    half["outputs"][0]["facets"]["columnLineage"]["fields"]["amount"] = {}
    file = sent(half, event("load", "lake", "fact"), {"eventTime": "now"})
    with file.open("ab") as lines:
        lines.write(b"{]\n\xff\n" + b"[" * 100_000 + b'\n{"run": {"runId": "being written"')
    found = list(command.events())
    assert [each["run"]["runId"] for each in found] == ["load"]
    said = " ".join(capsys.readouterr().err.split())
    assert said == (
        f"{file}: 5 of its lines cannot be read as events and were left out. The first is line 1: "
        "outputs.0.facets.columnLineage.fields.amount.inputFields is missing."
    )


def test_a_line_that_has_no_end_yet_is_no_fault(
    sent: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file = sent(event("load", "lake", "fact"))
    with file.open("a") as lines:
        lines.write('{"cut')
    assert len(list(command.events())) == 1
    assert capsys.readouterr().err == ""
