"""A broken DAG run produces the message, on a real mail server and a real webhook."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.log import mask_secret
from dag_runs import run_dag
from slack_sdk.models.blocks import MarkdownTextObject

from feira_provider.notifiers.failure import (
    MailFailureNotifier,
    SlackFailureNotifier,
    failure_notice,
)
from feira_provider.notifiers.notice import Notice, mail_html, one_line, slack_body
from inbox_server import Inbox


def context(**known: Any) -> Any:
    """What Airflow hands to a failure callback."""
    ti = SimpleNamespace(
        dag_id="sales_etl",
        task_id="validate",
        run_id="manual__2010-12-01T00:00:00+00:00",
        try_number=4,
        map_index=-1,
        log_url="http://localhost:8080/dags/sales_etl/runs/manual/tasks/validate?try_number=4",
    )
    run = SimpleNamespace(partition_key="2010-12-01", logical_date=None)
    return {"ti": ti, "dag_run": run, "exception": ValueError("two\n  lines"), **known}


BROKEN_DAG = """
from datetime import datetime
from airflow.sdk import dag, task
from feira_airflow.core.defaults import default_args

@dag(schedule=None, start_date=datetime(2020, 1, 1), default_args=default_args("test") | {"retries": 0})
def broken_pipeline():
    @task
    def explode():
        raise ValueError("sales 2010-12-01: 5.9 % invalid\\n <b>sku_blank</b> & more")
    explode()

broken_pipeline()
"""


def test_a_broken_run_is_told_by_mail_and_slack(
    inbox: Inbox, metadata: None, tmp_path: Path
) -> None:
    from airflow.dag_processing.dagbag import DagBag

    (tmp_path / "broken.py").write_text(BROKEN_DAG)
    bag = DagBag(dag_folder=str(tmp_path))
    assert not bag.import_errors, bag.import_errors
    run = run_dag(bag.dags["broken_pipeline"], None)
    assert (run.state, run.tasks) == ("failed", {"explode": ("failed", 1)})
    (mail,) = inbox.mails()
    (message,) = inbox.slack()
    assert mail["Subject"].startswith("broken_pipeline.explode failed for ")
    assert message["blocks"][0]["text"]["text"] == mail["Subject"]
    assert message["blocks"][0]["block_id"] in mail["Message-ID"]
    error = "ValueError: sales 2010-12-01: 5.9 % invalid &lt;b&gt;sku_blank&lt;/b&gt; &amp; more"
    assert message["blocks"][1]["text"]["text"] == f"```{error}```"
    body = mail.get_body(("html",))
    assert body is not None
    html = body.get_content()
    assert error in html
    for text in (html, json.dumps(message)):
        assert "/dags/broken_pipeline/runs/" in text
        assert "/tasks/explode?try_number=1" in text
    assert "/dags/broken_pipeline|Runbook of broken_pipeline>" in json.dumps(message)


def test_a_message_names_dag_task_day_error_log_and_runbook(inbox: Inbox) -> None:
    SlackFailureNotifier()(context())
    MailFailureNotifier()(context())
    (message,), (mail,) = inbox.slack(), inbox.mails()
    assert mail["Subject"] == "sales_etl.validate failed for 2010-12-01"
    assert message["text"] == "sales_etl.validate failed for 2010-12-01: ValueError: two lines"
    links = message["blocks"][2]["text"]["text"]
    assert "validate?try_number=4|Log of try 4>" in links
    assert "/dags/sales_etl|Runbook of sales_etl>" in links
    assert mail["To"] == "sales@example.com, data@example.com"


def test_the_same_try_has_the_same_identifier_and_the_next_another() -> None:
    again = context()
    again["ti"].try_number = 5
    ids = [failure_notice(each).notice_id for each in (context(), context(), again)]
    assert ids[0] == ids[1] != ids[2]


def test_recipients_and_connections_are_templates(inbox: Inbox) -> None:
    notifier = MailFailureNotifier(
        to="{{ ti.task_id }}@example.com", smtp_conn_id="smtp_{{ 'default' }}"
    )
    notifier(context())
    (mail,) = inbox.mails()
    assert mail["To"] == "validate@example.com"


def test_nobody_to_write_to_is_an_error_that_names_the_connection(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail = json.loads(inbox.connections()["AIRFLOW_CONN_SMTP_DEFAULT"])
    del mail["extra"]["to_email"]
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(mail))
    with pytest.raises(ValueError, match="smtp_default has no to_email"):
        MailFailureNotifier()(context())


def test_an_error_is_one_masked_line() -> None:
    mask_secret("hunter-two-secret")
    line = one_line(RuntimeError("dsn postgres://u:hunter-two-secret@h\n\tfailed" + " x" * 900))
    assert line.startswith("RuntimeError: dsn postgres://u:***@h failed x")
    assert "\n" not in line
    assert len(line) == 600
    assert line.endswith("…")
    assert one_line("text from the scheduler") == "text from the scheduler"
    assert one_line(KeyError()) == "KeyError"


@pytest.mark.parametrize(
    ("run", "partition"),
    [
        (SimpleNamespace(partition_key="2010-12-01", logical_date=None), "2010-12-01"),
        (
            SimpleNamespace(
                partition_key=None, logical_date=dt.datetime(2011, 1, 2, tzinfo=dt.UTC)
            ),
            "2011-01-02",
        ),
        (
            SimpleNamespace(partition_key=None, logical_date=None),
            "manual__2010-12-01T00:00:00+00:00",
        ),
        (None, "manual__2010-12-01T00:00:00+00:00"),
    ],
)
def test_a_run_without_a_partition_is_named_by_what_it_has(run: Any, partition: str) -> None:
    assert dict(failure_notice(context(dag_run=run)).facts)["Day"] == partition


@pytest.mark.parametrize(
    ("partition", "day"),
    [
        ("2010-11-30", "2010-11-30"),
        ("{{ params.day }}", "2010-12-01"),
        (None, "2010-12-01"),
        ("None", "2010-12-01"),
        ("", "2010-12-01"),
    ],
)
def test_a_task_that_watches_another_day_names_that_day(partition: str | None, day: str) -> None:
    """The run's own is 2010-12-01; what was not rendered, as where a task was killed, names nothing."""
    watching = context(task=SimpleNamespace(partition=partition))
    assert failure_notice(watching).title.endswith(f"failed for {day}")


def test_a_scheduler_that_knows_less_still_gets_its_message_out() -> None:
    """A killed task's callback comes from the scheduler, without exception and log link."""
    ti = SimpleNamespace(dag_id="d", task_id="t", run_id="r", try_number=1)
    notice = failure_notice({"ti": ti})  # type: ignore[typeddict-item]
    assert notice.links[0][1].endswith("/dags/d/runs/r/tasks/t")
    assert "killed" in notice.error


def test_an_error_is_never_markup() -> None:
    hostile = failure_notice(context(exception=ValueError("<!channel> ```x <script>a</script>")))
    assert "<script>" not in mail_html(hostile)
    text = slack_body(hostile)["blocks"][1]["text"]["text"]
    assert text.count("```") == 2
    assert "<!channel>" not in json.dumps(slack_body(hostile))


def test_slack_formats_and_links_nothing_of_a_notice() -> None:
    hostile = "DCGS_0072_B https://evil.example/x @channel `a` *b* _c_ ~d~"
    notice = Notice(
        notice_id="1",
        title=hostile,
        facts=(),
        error=hostile,
        links=((f"Log of {hostile} of sales_etl", "https://airflow.example/a|b_c_"),),
        context=hostile,
    )
    title, error, links, context = slack_body(notice)["blocks"]
    assert (title["text"]["type"], title["text"]["text"]) == ("plain_text", hostile)
    assert context["elements"] == [{"type": "plain_text", "text": hostile}]
    for text in (error["text"], links["text"]):
        assert MarkdownTextObject(text=text["text"], verbatim=True).to_dict() == text
    assert error["text"]["text"] == f"```{hostile.replace('`', chr(39))}```"
    assert links["text"]["text"] == (
        "<https://airflow.example/a%7Cb_c_|Log of DCGS_0072_B https://evil.example/x @channel "
        "'a' \u2217b\u2217 \uff3fc\uff3f \u223cd\u223c of sales_etl>"
    )


def test_a_value_with_a_line_break_forges_no_line_and_no_header() -> None:
    hostile = "2010-12-01\r\nBcc: all@example.com\n\nRevenue: 1,000,000.00 USD\u2028\u202e\x1b[31m"
    notice = failure_notice(context(task=SimpleNamespace(partition=hostile)))
    shown = [notice.title, notice.context, *(text for fact in notice.facts for text in fact)]
    assert any("Bcc: all@example.com Revenue" in text for text in shown)
    assert not any(char in text for text in shown for char in "\r\n\u2028\u202e\x1b")


def test_every_text_has_a_bounded_length_however_long_the_error_is() -> None:
    for text in ("&" * 3_000_000, "x" * 3_000_000, "<`>" * 1_000_000):
        notice = failure_notice(context(exception=text, task=SimpleNamespace(partition=text)))
        body = slack_body(notice)
        sections = [block["text"]["text"] for block in body["blocks"] if "text" in block]
        assert max(map(len, sections)) <= 3000 and len(sections[0]) <= 150
        assert len(body["text"]) < 5000 and len(mail_html(notice)) < 12_000


def test_the_modules_work_without_the_rest_of_the_repository() -> None:
    code = (
        "import sys\n"
        "for name in ('feira', 'feira_spark', 'feira_local'):\n"
        "    sys.modules[name] = None\n"
        "from feira_provider.notifiers import deadline, failure\n"
        "failure.SlackFailureNotifier(), failure.MailFailureNotifier(to='a@example.com')\n"
        "deadline.run_deadlines(deadline.timedelta(hours=2))\n"
        "print(sorted({'slack_sdk', 'aiosmtplib', 'pandas'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
