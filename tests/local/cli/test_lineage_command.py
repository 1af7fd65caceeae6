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
    assert rows("fact") == [{"column": "fact.amount", "begins in": ["api.text", "lake.quantity"]}]


def test_what_cannot_be_read_is_named(sent: Callable[..., Path]) -> None:
    with pytest.raises(StackError, match=r"lineage.ndjson is missing.*FEIRA_LINEAGE=off"):
        rows()
    file = sent(event("load", "lake", "fact"))
    with pytest.raises(StackError, match="that ends in 'nowhere'"):
        rows("nowhere")
    file.write_text(file.read_text() + '{"cut')
    with pytest.raises(StackError, match=r"lineage.ndjson, line 2 is no event"):
        rows()
