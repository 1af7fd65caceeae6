"""Who a mail goes to, however the connection or the notifier lists it."""

from __future__ import annotations

import json
from email.message import EmailMessage
from types import SimpleNamespace
from typing import Any

import pytest

from feira_provider.hooks.mail import MailConnectionError, MailHook, addresses
from feira_provider.notifiers.failure import MailFailureNotifier
from inbox_server import Inbox


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("a@x.test; b@x.test", ["a@x.test", "b@x.test"]),
        (" a@x.test,b@x.test ;; ", ["a@x.test", "b@x.test"]),
        ("a@x.test,\n b@x.test", ["a@x.test", "b@x.test"]),
        ('"Costa, Ana; Lda" <ana@x.test>, b@x.test', ['"Costa, Ana; Lda" <ana@x.test>', "b@x.test"]),
        (["a@x.test;b@x.test", "Ana <c@x.test>"], ["a@x.test", "b@x.test", "Ana <c@x.test>"]),
        ("Ana B. Costa <a@x.test>", ['"Ana B. Costa" <a@x.test>']),
        ("Conceição <a@x.test>", ["=?utf-8?b?Q29uY2Vpw6fDo28=?= <a@x.test>"]),
        ("root@localhost", ["root@localhost"]),
        (None, []),
        ("", []),
        ([], []),
    ],
)  # fmt: skip
def test_commas_and_semicolons_outside_quotes_part_addresses(given: Any, found: list[str]) -> None:
    assert addresses(given, "here") == found


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("a@x.test b@x.test", "'a@x.test b@x.test'"),
        ("a@x.test\nb@x.test", r"'a@x.test\nb@x.test'"),
        ("a@x.test, nobody", "'nobody'"),
        ("Costa, Ana <ana@x.test>", "'Costa'"),
        ("a@", "'a@'"),
        ("@x.test", "'@x.test'"),
        ("a@x.test <b@x.test>", "'a@x.test <b@x.test>'"),
        ('"Ana <a@x.test>', "'\"Ana <a@x.test>'"),
        (["a@x.test", None], "'None'"),
        (5, "'5'"),
    ],
)
def test_what_is_no_address_is_refused_by_what_it_is(given: Any, named: str) -> None:
    with pytest.raises(MailConnectionError) as refused:
        addresses(given, "Connection m, to_email in its extra")
    assert f"Connection m, to_email in its extra: {named} is no address" in str(refused.value)


def mail_connection(inbox: Inbox, monkeypatch: pytest.MonkeyPatch, **extra: Any) -> None:
    fields = json.loads(inbox.connections()["AIRFLOW_CONN_SMTP_DEFAULT"])
    fields["extra"] |= extra
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(fields))


def failed() -> Any:
    ti = SimpleNamespace(dag_id="d", task_id="t", run_id="r", try_number=1)
    return {"ti": ti, "exception": ValueError("broken")}


def report() -> None:
    with MailHook("smtp_default") as hook:
        message = EmailMessage()
        message["From"], message["To"] = hook.sender, ", ".join(hook.recipients)
        hook.send_message(message)


TO = '"Costa, Ana" <ana@x.test>; Conceição <c@x.test>, b@x.test'
EVERYBODY = [("Costa, Ana", "ana@x.test"), ("Conceição", "c@x.test"), ("", "b@x.test")]


def test_a_notice_and_a_report_go_to_the_same_people(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail_connection(inbox, monkeypatch, to_email=TO, from_email="Conceição <f@x.test>")
    MailFailureNotifier().notify(failed())
    report()
    mail_connection(inbox, monkeypatch, to_email="other@x.test")
    MailFailureNotifier(to=TO).notify(failed())
    mails: list[Any] = list(inbox.mails())
    found = [
        [(each.display_name, each.addr_spec) for each in mail["To"].addresses] for mail in mails
    ]
    assert found == [EVERYBODY] * 3
    assert [mail["From"].addresses[0].display_name for mail in mails[:2]] == ["Conceição"] * 2


def test_a_notice_to_what_is_no_address_is_not_sent_to_the_others(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MailConnectionError, match=r"`to`: 'nobody' is no address"):
        MailFailureNotifier(to=["a@x.test", "nobody"]).notify(failed())
    assert inbox.mails() == []


@pytest.mark.parametrize(
    ("stated", "disabled"),
    [("false", False), ("", False), (None, False), ("true", True), (True, True)],
)
def test_a_text_disables_tls_only_where_it_says_so(
    monkeypatch: pytest.MonkeyPatch, stated: Any, disabled: bool
) -> None:
    fields = {"conn_type": "smtp", "extra": {"disable_tls": stated, "disable_ssl": stated}}
    monkeypatch.setenv("AIRFLOW_CONN_M", json.dumps(fields))
    hook = MailHook("m")
    hook.smtp_connection = hook.get_connection("m")
    assert (hook.smtp_starttls, hook.use_ssl) == (not disabled, not disabled)
