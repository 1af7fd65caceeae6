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
        ("Ana Costa (prod) <a@x.test>", ['"Ana Costa (prod)" <a@x.test>']),
        ('"Costa, Ana" (prod) <a@x.test>', ['"Costa, Ana (prod)" <a@x.test>']),
        ("[Feira] Reports: day <a@x.test>", ['"[Feira] Reports: day" <a@x.test>']),
        ("a@x.test <a@x.test>; b@x.test", ['"a@x.test" <a@x.test>', "b@x.test"]),
        ("Feira\\Ops <a@x.test>", ['"Feira\\\\Ops" <a@x.test>']),
        ("a@x.test (Ana)", ["Ana <a@x.test>"]),
        ("=?utf-8?q?Concei=C3=A7=C3=A3o?= <a@x.test>", ["=?utf-8?b?Q29uY2Vpw6fDo28=?= <a@x.test>"]),
        ("a@b\u00fccher.test", ["a@xn--bcher-kva.test"]),
        ("root@localhost", ["root@localhost"]),
        ("root", ["root"]),
        ("airflow, a@x.test; Root <root>, Ana <b@x.test>", ["airflow", "a@x.test", "Root <root>", "Ana <b@x.test>"]),
        ("root; Ana <a@x.test>", ["root", "Ana <a@x.test>"]),
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
        ("a@x.test, no body", "'no body'"),
        ("Costa, Ana <ana@x.test>", "'Costa'"),
        ("Ana <>", "'Ana <>'"),
        ("Ana <a@x.test> Bo <b@x.test>", "'Ana <a@x.test> Bo <b@x.test>'"),
        ("Ana\nBcc: b@x.test <a@x.test>", r"'Ana\nBcc: b@x.test <a@x.test>'"),
        ('"Ana\r\nBcc: b@x.test" <a@x.test>', "'\"Ana\\r\\nBcc: b@x.test\" <a@x.test>'"),
        ("=?utf-8?q?a=0ABcc:_b?= <a@x.test>", "'=?utf-8?q?a=0ABcc:_b?= <a@x.test>'"),
        ("\ud800 <a@x.test>", r"'\ud800 <a@x.test>'"),
        ("a@[", "'a@['"),
        ("a@", "'a@'"),
        ("@x.test", "'@x.test'"),
        ('"Ana <a@x.test>', "'\"Ana <a@x.test>'"),
        (["a@x.test", None], "'None'"),
        (5, "'5'"),
        ({"nobody": 1}, "\"{'nobody': 1}\""),
    ],
)
def test_what_is_no_address_is_refused_by_what_it_is(given: Any, named: str) -> None:
    with pytest.raises(MailConnectionError) as refused:
        addresses(given, "Connection m, to_email in its extra")
    assert f"Connection m, to_email in its extra: {named} is no address" in str(refused.value)


BLANKS = "\u0085\u00a0\u1680\u2003\u2028\u2029\u202f\u205f\u3000"


@pytest.mark.parametrize("form", ["{}", "Ana <{}>", "b@x.test, {}"])
@pytest.mark.parametrize(
    "address",
    ["ana@x.test{}bo", "ana@x{}.test", "ana@{}x.test", "ana{}@x.test", "an{}a@x.test", "ro{}ot"],
)
def test_a_blank_of_whatever_script_within_an_address_makes_none_of_another(
    form: str, address: str
) -> None:
    for blank in BLANKS:
        given = form.format(address.format(blank))
        with pytest.raises(MailConnectionError, match="is no address"):
            addresses(given, "here")


@pytest.mark.parametrize(
    "given",
    [
        "ana@x.te st",
        "ana@x(y).test",
        "ana@=?utf-8?q?x=2Etest?=",
        "Ana <ana@x .test>",
        "ana@x.\ttest",
    ],
)
def test_a_domain_that_is_not_as_it_is_written_is_refused(given: str) -> None:
    with pytest.raises(MailConnectionError) as refused:
        addresses(given, "here")
    assert f"here: {given!r} is no address" in str(refused.value)


def test_blanks_of_whatever_script_around_an_address_are_none_of_it() -> None:
    given = [f"{blank}ana@x.test{blank},{blank}root{blank}" for blank in BLANKS]
    assert addresses(given, "here") == ["ana@x.test", "root"] * len(BLANKS)


@pytest.mark.parametrize("given", ["m\u00fcller@x.test", "Ana <a@stra\u00dfe.test>"])
def test_an_address_that_needs_smtputf8_is_refused_by_that_name(given: str) -> None:
    with pytest.raises(MailConnectionError) as refused:
        addresses(f"a@x.test, {given}", "here")
    message = str(refused.value)
    assert f"here: {given!r}" in message and "SMTPUTF8" in message and "no address" not in message


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


TO = '"Costa, Ana" <ana@x.test>; Conceição <c@x.test>, b@x.test <b@x.test>, [Feira] Bo (prod) <d@x.test>'
EVERYBODY = [
    *(("Costa, Ana", "ana@x.test"), ("Conceição", "c@x.test")),
    *(("b@x.test", "b@x.test"), ("[Feira] Bo (prod)", "d@x.test")),
]


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
    with pytest.raises(MailConnectionError, match=r"`to`: 'no body' is no address"):
        MailFailureNotifier(to=["a@x.test", "no body"]).notify(failed())
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
