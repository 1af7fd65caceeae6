"""The step that judges: what it hands on, what fails at once, and that a verdict is not given twice."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.context import set_current_context

from feira.core.lake import lake_files
from feira.core.settings import LakeSettings
from feira.recommendations import verdicts
from feira.recommendations.gate import NOT_ENOUGH, PASSED, REFUSED, GateFigure, Judgement
from feira.recommendations.interactions import interactions
from feira.recommendations.serving import baked
from feira.recommendations.serving.store import StoreError
from feira.recommendations.versions import ListStore
from feira_airflow.core.xcom import check
from feira_airflow.recommendations import tasks
from feira_airflow.recommendations.notices import gate_notifiers
from feira_provider.notifiers.notice import MailNoticeNotifier, SlackNoticeNotifier
from feira_spark.recommendations import gate
from valkey_server import ValkeyServer, publish_lists, some_lists

DAY = date(2010, 12, 2)
VERSION, LIVE = "2010-12-02-001", "2010-12-01-001"
SUMS = pa.table({"slot": ["new"], "bucket": [7], "impressions": [3]})


@pytest.fixture
def store(settings: LakeSettings, empty_valkey: ValkeyServer, named_spark: None) -> ListStore:
    store = ListStore(lake_files(settings), settings.root)
    store.make(store.claim(DAY, "r", {}), interactions([("1", "x", DAY)]))
    with store.files.open(f"{store.lake}/impressions.parquet", "wb") as file:
        pq.write_table(SUMS, file)
    return store


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the gate finds; ``seen`` is which version was served whenever it was asked."""
    found = SimpleNamespace(verdict=PASSED, figure="coverage", seen=[])

    def judged(
        spark: str, settings: Any, store: Any, version: Any, made: Any, live: Any, sums: pa.Table
    ) -> Any:
        assert sums == SUMS
        found.seen.append(live)
        of_slot = ("new", 0.11, None, None, "value", 0.2, 884, found.verdict)
        figure = GateFigure(found.figure, *of_slot)
        drift = replace(figure, figure="psi_orders", verdict="much_drift")
        estimates = tuple(
            replace(figure, figure=name, slot="all", value=None, limit=0.0, verdict="no_support")
            for name in ("ctr_shown", "ctr_snips", "ctr_dr")
        )
        of = Judgement(date(2010, 12, 1), 2, found.verdict, (figure,), estimates)
        return verdicts.Verdict.of(
            of,
            version=version.version,
            as_of=version.as_of,
            method=made.candidates,
            live=live,
            drift=(drift,),
        )

    monkeypatch.setattr(gate, "judged", judged)
    return found


def run() -> Any:
    context: Any = {"dag_run": SimpleNamespace(run_id="r", partition_key=str(DAY)), "run_id": "r"}
    with set_current_context(context):
        returned = tasks.gate(
            {"version": VERSION}, {"sums": f"{tasks.lake_settings('').root}/impressions.parquet"}
        )
    check(returned)
    return returned


def test_what_passes_is_published_and_is_judged_once_beside_what_was_served(
    store: ListStore, judge: Any, server: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    with server.client() as client:
        publish_lists(client, LIVE, some_lists(LIVE))
    done = run()
    assert (done["version"], done["verdict"], done["publish"]) == (VERSION, PASSED, True)
    assert (
        done["notice"] == f"Drifted from {LIVE}: psi_orders of new is 0.110 (884 users), limit 0.2."
    )
    judge.verdict = REFUSED
    assert run() == done
    assert judge.seen == [LIVE]
    warned = [it.getMessage() for it in caplog.records if it.levelname == "WARNING"]
    assert warned == [done["notice"]] * 2


def test_where_valkey_was_emptied_it_is_judged_beside_the_version_of_the_file(
    store: ListStore, judge: Any
) -> None:
    baked.bake(store.files, store.lake, LIVE, {"new": ["x"]})
    run()
    assert judge.seen == [LIVE]


def test_what_is_refused_fails_at_once_with_figure_value_limit_and_the_next_step(
    store: ListStore, judge: Any
) -> None:
    judge.verdict = REFUSED
    for _ in range(2):
        with pytest.raises(AirflowFailException) as error:
            run()
        for part in (VERSION, "coverage of new is 0.110", "limit 0.2", f"gate {VERSION}`"):
            assert part in str(error.value)
        assert "approve" not in str(error.value)
    assert judge.seen == [None]
    held = verdicts.recorded(store, VERSION)
    assert held is not None and held.verdict == REFUSED


def test_what_is_refused_for_its_kind_alone_is_published_once_it_is_approved(
    store: ListStore, judge: Any
) -> None:
    judge.verdict, judge.figure = REFUSED, "novelty_to_live"
    with pytest.raises(AirflowFailException, match=f"approve {VERSION} --why"):
        run()
    held = verdicts.recorded(store, VERSION)
    assert held is not None
    verdicts.approve(store, held, "ana", "of another kind")
    done = run()
    assert (done["verdict"], done["publish"]) == (verdicts.APPROVED, True)


@pytest.mark.parametrize("verdict", [PASSED, NOT_ENOUGH])
def test_a_verdict_on_another_method_than_that_of_the_lists_lets_nothing_through(
    store: ListStore, judge: Any, verdict: str
) -> None:
    """As where a file of the lake was changed: the method that passed is not the one that would be published."""
    judge.verdict = verdict
    run()
    path = f"{store.folder(VERSION)}/gate.json"
    held = json.loads(store.files.cat_file(path))
    held["method"] = {**held["method"], "new": {"name": "another"}}
    store.files.pipe_file(path, json.dumps(held).encode())
    with pytest.raises(AirflowFailException, match=f"{VERSION} is of another method"):
        run()


def test_what_waits_is_not_published_until_its_method_is_approved(
    store: ListStore, judge: Any, caplog: pytest.LogCaptureFixture
) -> None:
    judge.verdict = NOT_ENOUGH
    done = run()
    assert (done["verdict"], done["publish"]) == (NOT_ENOUGH, False)
    for part in (
        f"approve {VERSION} --why",
        "No version is served",
        "coverage of new is 0.110",
        "not estimated: no_support",
    ):
        assert part in done["notice"] and part in caplog.text
    held = verdicts.recorded(store, VERSION)
    assert held is not None
    verdicts.approve(store, held, "ana", "a young shop")
    done = run()
    assert (done["verdict"], done["publish"]) == (verdicts.APPROVED, True)


def test_a_valkey_that_is_down_is_no_empty_one(
    store: ListStore, judge: Any, server: ValkeyServer
) -> None:
    server.kill()
    try:
        with pytest.raises(StoreError, match="does not answer"):
            run()
    finally:
        server.__enter__()
    assert judge.seen == [] and verdicts.recorded(store, VERSION) is None
    assert run()["publish"]


def sent(returned: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The notices that the two channels send of what the task returned."""
    found: list[Any] = []

    def send(self: Any, context: Any) -> None:
        found.append(self.notice(context))

    for channel in (SlackNoticeNotifier, MailNoticeNotifier):
        monkeypatch.setattr(channel, "notify", send)
    asked = SimpleNamespace(dag_id="recommendations", run_id="asset__1", xcom_pull=lambda: returned)
    for notifier in gate_notifiers():
        notifier.notify({"ti": asked})
    return found


def test_people_are_notified_of_what_waits_and_of_drift_and_of_nothing_else(
    store: ListStore, judge: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge.verdict = NOT_ENOUGH
    waits = sent(run(), monkeypatch)
    assert [it.title for it in waits] == [f"recommendations: {VERSION} waits for an approval"] * 2
    assert f"approve {VERSION} --why" in waits[0].error and waits[0] == waits[1]
    assert any("/runs/asset__1" in url for _, url in waits[0].links)
    passed = {"version": VERSION, "verdict": PASSED, "publish": True, "notice": ""}
    drifted = sent(passed | {"notice": "psi_orders of features is 0.3"}, monkeypatch)
    assert [it.title for it in drifted] == [f"recommendations: {VERSION} has drifted"] * 2
    assert drifted[0].notice_id != waits[0].notice_id
    assert sent(passed, monkeypatch) == sent(None, monkeypatch) == []
