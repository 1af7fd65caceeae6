"""The report's tasks as Airflow runs them, on a real warehouse, S3, mail server and webhook."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.context import set_current_context

from feira.summary.ledger import DeliveryError, deliver, due
from feira.summary.model import DayReport
from feira_airflow.summary import tasks
from feira_provider.hooks.mail import MailConnectionError
from inbox_server import Inbox
from reported_days import D1, D2, Shop, line
from temporary_postgres import free_port

FACT = [line("A", D1, "100.1250", sku="S1"), line("B", D1, "-5", status="cancelled")]
LATE = [*FACT, line("C", D1, "7", seen=D2), line("D", D2, "1")]


def run(task: Callable[[], dict[str, Any]], day: dt.date = D1) -> dict[str, Any]:
    """A task of the day's run."""
    dag_run: Any = SimpleNamespace(run_id=f"manual__{day}", partition_key=str(day))
    with set_current_context({"dag_run": dag_run}):  # type: ignore[typeddict-item]
        return task()


def summary(day: dt.date = D1) -> None:
    for task in (tasks.report, tasks.notify_mail, tasks.notify_slack):
        run(task, day)


def test_a_day_is_told_once_by_mail_and_once_by_slack(shop: Shop, inbox: Inbox) -> None:
    shop.run(D1, FACT)
    returned = run(tasks.report)
    assert returned["prepared"] == 1
    assert returned["report"].endswith("/report.json")
    assert run(tasks.notify_mail) == run(tasks.notify_slack) == {"sent": 1}
    (mail,) = inbox.mails()
    (message,) = inbox.slack()
    assert mail["Subject"] == message["text"] == "Sales of 2010-12-01: 100.12 USD, 1 order"
    assert mail["To"] == "sales@example.com, data@example.com"
    assert mail["Date"] is not None
    assert message["blocks"][0]["block_id"] in mail["Message-ID"]
    assert [part.get_filename() for part in mail.iter_attachments()] == ["sales-2010-12-01-v1.csv"]

    summary()
    assert (len(inbox.mails()), len(inbox.slack())) == (1, 1)


def test_the_mail_of_a_day_shows_the_newest_chart_of_recommendations(
    shop: Shop, inbox: Inbox
) -> None:
    shop.run(D1, FACT)
    day = D1 - dt.timedelta(days=1)
    shop.files.files.pipe_file(
        f"{shop.files.lake}/reports/recommendations/{day}/chart.png", b"clicks"
    )
    summary()
    (mail,) = inbox.mails()
    pictures = [it for it in mail.walk() if it.get_content_type() == "image/png"]
    assert [it.get_filename() for it in pictures] == ["chart.png", "recommendations.png"]
    assert pictures[1].get_content() == b"clicks"


def test_a_late_update_sends_a_correction_of_the_earlier_day(shop: Shop, inbox: Inbox) -> None:
    shop.run(D1, FACT)
    summary(D1)
    shop.run(D2, LATE, valid=2)
    summary(D2)
    expected = [
        "Sales of 2010-12-01: 100.12 USD, 1 order",
        "Correction 1 of sales of 2010-12-01: 107.12 USD, 2 orders",
        "Sales of 2010-12-02: 1.00 USD, 1 order",
    ]
    assert [mail["Subject"] for mail in inbox.mails()] == expected
    assert [message["text"] for message in inbox.slack()] == expected


def closed_port(monkeypatch: pytest.MonkeyPatch, inbox: Inbox) -> None:
    mail = json.loads(inbox.connections()["AIRFLOW_CONN_SMTP_DEFAULT"])
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(mail | {"port": free_port()}))


def test_a_channel_that_is_down_holds_up_neither_the_other_nor_what_comes_later(
    shop: Shop, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.run(D1, FACT)
    run(tasks.report)
    with monkeypatch.context() as down:
        closed_port(down, inbox)
        with pytest.raises(DeliveryError, match="ConnectionRefusedError"):
            run(tasks.notify_mail)
        assert run(tasks.notify_slack) == {"sent": 1}
    shop.run(D2, [*FACT, line("D", D2, "1")])
    run(tasks.report, D2)
    # The next run, or the retry: whichever comes first sends both, and the other finds nothing due.
    assert run(tasks.notify_mail, D2) == {"sent": 2}
    assert run(tasks.notify_mail, D1) == {"sent": 0}
    assert [mail["Subject"][:19] for mail in inbox.mails()] == [
        "Sales of 2010-12-01",
        "Sales of 2010-12-02",
    ]


def test_where_nothing_is_due_a_mail_server_that_is_down_is_no_failure(
    shop: Shop, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.run(D1, FACT)
    run(tasks.report)
    assert run(tasks.notify_mail) == {"sent": 1}
    closed_port(monkeypatch, inbox)
    assert run(tasks.notify_mail) == {"sent": 0}


def test_a_report_that_is_gone_from_the_lake_holds_up_no_other(shop: Shop, inbox: Inbox) -> None:
    shop.run(D1, FACT)
    run(tasks.report)
    shop.run(D2, [*FACT, line("D", D2, "1")])
    run(tasks.report, D2)
    first, _ = due(shop.connection, "slack")
    shop.landings.files.rm(first.report_uri)
    with pytest.raises(DeliveryError, match=r"1 of 2 .*2010-12-01 version 1.*stay due"):
        run(tasks.notify_slack)
    assert [message["text"][:19] for message in inbox.slack()] == ["Sales of 2010-12-02"]
    assert due(shop.connection, "slack") == [first]


@pytest.mark.slow
def test_reports_that_a_channel_never_takes_hold_up_no_others(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    fact = list(FACT)
    for number in range(12):
        day = D1 + dt.timedelta(days=number)
        fact.append(line(f"N{number}", day, "1"))
        shop.run(day, fact)
        run(tasks.report, day)
    waiting = due(shop.connection, "slack")
    gone, refused, rest = waiting[:4], {each.day for each in waiting[4:9]}, waiting[9:]
    assert rest
    for each in gone:
        shop.landings.files.rm(each.report_uri)

    def send(report: DayReport) -> None:
        if report.day in refused:
            raise RuntimeError("invalid_blocks")

    with pytest.raises(
        DeliveryError, match=rf"9 of {len(waiting)} reports were not sent; "
    ) as left:
        deliver(shop.connection, shop.files, "slack", send)
    assert all(str(day) in str(left.value) for day in refused)
    assert due(shop.connection, "slack") == waiting[:9]


def test_a_kill_between_sending_and_noting_sends_twice_under_one_identifier(
    shop: Shop, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:

    from feira.summary import ledger

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    shop.run(D1, FACT)
    run(tasks.report)
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "mark_delivered", killed)
        for task in (tasks.notify_mail, tasks.notify_slack):
            with pytest.raises(KeyboardInterrupt):
                run(task)
    for _ in range(2):
        run(tasks.notify_mail)
        run(tasks.notify_slack)
    identifiers = [mail["Message-ID"] for mail in inbox.mails()]
    blocks = [message["blocks"][0]["block_id"] for message in inbox.slack()]
    assert (len(identifiers), len(set(identifiers))) == (2, 1)
    assert (len(blocks), len(set(blocks))) == (2, 1)


def test_a_channel_that_refuses_everything_is_given_up_soon(
    shop: Shop, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    fact = list(FACT)
    for number in range(5):
        day = D1 + dt.timedelta(days=number)
        fact.append(line(f"N{number}", day, "1"))
        shop.run(day, fact)
        run(tasks.report, day)
    slack = json.loads(inbox.connections()["AIRFLOW_CONN_SLACK_DEFAULT"])
    slack["host"] = f"{inbox.url}/nowhere"
    monkeypatch.setenv("AIRFLOW_CONN_SLACK_DEFAULT", json.dumps(slack))
    waiting = len(due(shop.connection, "slack"))
    with pytest.raises(
        DeliveryError, match=f"4 of {waiting} reports .*, and {waiting - 4} were not tried"
    ) as failure:
        run(tasks.notify_slack)
    assert "very-secret-token" not in str(failure.value)


def test_a_mail_connection_without_recipients_is_named(
    shop: Shop, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.run(D1, FACT)
    run(tasks.report)
    mail = json.loads(inbox.connections()["AIRFLOW_CONN_SMTP_DEFAULT"])
    del mail["extra"]["to_email"]
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(mail))
    with pytest.raises(DeliveryError, match=r"smtp_default .*to_email") as failure:
        run(tasks.notify_mail)
    assert isinstance(failure.value.__cause__, MailConnectionError)


def test_a_day_that_was_never_loaded_is_not_tried_again(shop: Shop) -> None:
    shop.run(D1, FACT)
    with pytest.raises(AirflowFailException, match=r"sales 2010-12-02: sales\.load_ledger has no"):
        run(tasks.report, D2)


def test_a_load_needs_nothing_of_the_reports_ledger(shop: Shop) -> None:
    shop.run(D1, FACT)
    summary()
    shop.connection.execute("ALTER TABLE sales.report_ledger DROP COLUMN figures")
    shop.run(D2, FACT)
    with pytest.raises(Exception, match="report_ledger"):
        run(tasks.report, D2)
    assert isinstance(shop.connection, psycopg.Connection)
