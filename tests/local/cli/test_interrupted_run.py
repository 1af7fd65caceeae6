"""A run that was left with Ctrl-C goes on, and the next command joins it."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from feira_local.cli import demo, main
from feira_local.cli import runs as commands
from feira_local.stack import processes
from feira_local.stack.airflow_api import AirflowApi, AssetGraph, DagRun
from feira_local.stack.chains import Chain, join
from feira_local.stack.config import StackConfig
from feira_local.stack.errors import StackError

DAY = date(2010, 12, 1)
WANTED = commands.Wanted("sales", "sales_etl", refetch=False, stays=True)


class Airflow(AirflowApi):
    """Knows runs without a server."""

    def __init__(self, *known: tuple[DagRun, dict[str, Any]]) -> None:
        super().__init__("http://airflow", str)
        self.known = known

    def unfinished(self, dag_id: str) -> list[tuple[DagRun, dict[str, Any]]]:
        return [each for each in self.known if each[0].dag_id == dag_id]

    def asset_graph(self) -> AssetGraph:
        return AssetGraph({})

    def waiting(self) -> dict[str, list[str]]:
        return {}

    def trigger(self, dag_id: str, partition_key: str | None, conf: dict[str, Any]) -> DagRun:
        return DagRun(dag_id, "new", "queued", partition_key)


@pytest.mark.parametrize(
    ("key", "was_refetch", "refetch", "taken"),
    [
        ("2010-12-01", False, False, "old"),
        ("2010-12-01", True, False, "old"),
        ("2010-12-01", True, True, "old"),
        ("2010-12-01", False, True, "new"),
        ("2010-12-02", False, False, "new"),
    ],
)
def test_an_unfinished_run_of_the_day_is_joined(
    key: str, was_refetch: bool, refetch: bool, taken: str
) -> None:
    api = Airflow((DagRun("sales_etl", "old", "queued", key), {"refetch": was_refetch}))
    assert join(api, "sales_etl", DAY, refetch=refetch).producer.run_id == taken


def test_ctrl_c_names_what_goes_on_and_what_was_not_begun(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: AirflowApi, __: list[Chain]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "refresh_all", interrupted)
    days = commands.parse_range("2010-12-01..2010-12-05")
    with pytest.raises(KeyboardInterrupt):
        commands._watched(Airflow(), days, WANTED, as_json=True)
    said = capsys.readouterr().err
    assert "2010-12-01: the run goes on" in said
    assert "http://airflow/dags/sales_etl/runs/new" in said
    assert "feira backfill sales 2010-12-04..2010-12-05" in said


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("stays", [True, False])
def test_an_error_between_names_what_goes_on_too_and_stays_the_error(
    as_json: bool, stays: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    looks = iter(("2010-12-01", "2010-12-02"))

    def refreshed(_: AirflowApi, open_: list[Chain]) -> None:
        ended = next(looks, None)
        if ended is None:
            raise StackError("Airflow does not answer.")
        for chain in open_:
            if str(chain.day) == ended:
                run = chain.producer
                chain.runs[0] = DagRun(run.dag_id, run.run_id, "failed", run.partition_key)

    monkeypatch.setattr(commands, "refresh_all", refreshed)
    days = commands.parse_range("2010-12-01..2010-12-09")
    with pytest.raises(StackError, match=r"^Airflow does not answer\.$"):
        commands._watched(Airflow(), days, replace(WANTED, stays=stays), as_json=as_json)
    shown = capsys.readouterr()
    goes_on = [line.partition(":")[0] for line in shown.err.splitlines() if "goes on" in line]
    assert goes_on == (["2010-12-03", "2010-12-04", "2010-12-05"] if stays else [])
    assert ("feira backfill sales 2010-12-06..2010-12-09" in shown.err) is stays
    assert shown.out == ""


def test_a_day_whose_start_is_interrupted_is_named_as_not_begun(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(Airflow):
        def trigger(self, dag_id: str, partition_key: str | None, conf: dict[str, Any]) -> DagRun:
            if partition_key == "2010-12-02":
                raise KeyboardInterrupt
            return super().trigger(dag_id, partition_key, conf)

    days = commands.parse_range("2010-12-01..2010-12-03")
    with pytest.raises(KeyboardInterrupt):
        commands._watched(Interrupted(), days, replace(WANTED, refetch=True), as_json=True)
    said = capsys.readouterr().err
    assert "2010-12-01: the run goes on" in said
    assert "`feira backfill sales 2010-12-02..2010-12-03 --refetch`" in said


def test_a_demo_that_is_ended_by_sigterm_takes_its_stack_down(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stopped: list[StackConfig] = []
    monkeypatch.setattr(sys, "argv", ["feira", "demo", "--data", str(tmp_path)])
    started: list[StackConfig] = []

    def start(config: StackConfig) -> None:
        started.append(config)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(demo.stack_commands, "start", start)
    monkeypatch.setattr(demo.lifecycle, "down", stopped.append)
    # Here they are the tests' servers.
    monkeypatch.setattr(processes, "end", lambda *_, **__: None)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as left:
            main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [config.shop.data for config in started] == [tmp_path]
    assert (left.value.code, stopped) == (130, [StackConfig.from_env()])
    assert "Stopping the stack" in capsys.readouterr().out
