"""The inbox takes what the hooks send, keeps it across restarts, and shows it without running any of it."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from email.message import EmailMessage
from html.parser import HTMLParser
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import Job, Run, RunEvent
from openlineage.client.transport.http import HttpConfig, HttpTransport

from feira.summary.mail import mail
from feira.summary.slack import slack_message
from feira_local.inbox.store import EventLog, MessageStore
from inbox_server import Inbox, running_inbox
from reported_days import D2, report
from temporary_postgres import free_port

PNG = bytes.fromhex("89504e470d0a1a0a") + b"picture"
TIMEOUT = 30
DATASET = {"namespace": "s3://lake", "name": "tables/sales/fact"}
EVENT: dict[str, Any] = {
    "eventType": "COMPLETE",
    "eventTime": "2010-12-01T00:00:00Z",
    "producer": "p",
    "run": {"runId": "01890a5d-ac96-774b-bcce-b302099a8057"},
    "job": {"namespace": "feira", "name": "sales_etl"},
}


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with running_inbox(tmp_path / "inbox") as running:
        yield running


def send(port: int, message: EmailMessage) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=TIMEOUT) as client:
        client.send_message(message)


def note(subject: str, html: str = "<p>hello</p>") -> EmailMessage:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, "a@example.com", "b@example.com"
    message.set_content(html, subtype="html")
    return message


def get(inbox: Inbox, path: str = "/") -> requests.Response:
    return requests.get(inbox.url + path, timeout=TIMEOUT)


def post(inbox: Inbox, body: Any, **headers: str) -> requests.Response:
    return requests.post(f"{inbox.url}/slack/T0/B0/x", json=body, headers=headers, timeout=TIMEOUT)


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def names(self) -> set[str]:
        return {name for name, _ in self.tags}


def test_an_empty_inbox_says_so(inbox: Inbox) -> None:
    assert "Nothing has arrived yet" in get(inbox).text


def test_the_page_shows_both_channels_newest_first(inbox: Inbox) -> None:
    send(inbox.smtp_port, note("first"))
    assert post(inbox, {"text": "second"}).text == "ok"
    send(inbox.smtp_port, note("third"))
    text = Tags(get(inbox).text).text
    assert text.index("third") < text.index("second") < text.index("first")
    assert "second" not in get(inbox, "/?channel=mail").text
    assert "third" not in get(inbox, "/?channel=slack").text
    assert get(inbox, "/health").json() == {"status": "ok", "mail": 2, "slack": 1}


def test_older_messages_are_on_the_next_page(inbox: Inbox) -> None:
    for number in range(23):
        post(inbox, {"text": f"message-{number:02}"})
    first = Tags(get(inbox).text)
    (older,) = [known["href"] for name, known in first.tags if known.get("class") == "older"]
    assert "message-22" in first.text and "message-02" not in first.text
    second = Tags(get(inbox, str(older)).text)
    assert "message-02" in second.text and "message-03" not in second.text


def test_attachments_are_shown_as_alertmanager_sends_them(inbox: Inbox) -> None:
    attached = {"title": "[firing] DayIsLate", "text": "sales.fact: <b>late</b>", "fallback": "f"}
    assert post(inbox, {"channel": "#alerts", "attachments": [attached]}).text == "ok"
    page = Tags(get(inbox, "/?channel=slack").text)
    assert page.text.count("[firing] DayIsLate") == 2  # in the list's title and in the message
    assert "sales.fact: <b>late</b>" in page.text


def test_a_report_is_shown_with_its_chart_and_its_csv_to_download(inbox: Inbox) -> None:
    sent = mail(report(), b"a,b\n", PNG, sender="a@example.com", recipients=["b@example.com"])
    send(inbox.smtp_port, sent)
    post(inbox, slack_message(report(D2)))
    page = Tags(get(inbox).text)
    assert "Sales of 2010-12-01: 1,234.57 USD, 3 orders" in page.text
    assert "Sales of 2010-12-02: 1,234.57 USD, 3 orders" in page.text
    (frame,) = [known for name, known in page.tags if name == "iframe"]
    body = get(inbox, str(frame["src"])).text
    assert "data:image/png;base64,iVBORw0KGgp" in body
    assert "cid:" not in body
    parts = {
        text: get(inbox, str(known["href"])).content
        for text, known in (
            (str(known["href"]).rsplit("/", 1)[-1], known)
            for name, known in page.tags
            if name == "a" and "/part/" in str(known.get("href"))
        )
    }
    assert parts == {"0": PNG, "1": b"a,b\n"}


def test_what_came_from_outside_is_never_a_page_of_ours(inbox: Inbox) -> None:
    hostile = '<script>alert(1)</script><img src=x onerror="alert(1)">'
    attached = note(hostile, f"<head></head>{hostile}")
    attached.add_attachment(hostile.encode(), "text", "html", filename='../"x".html')
    send(inbox.smtp_port, attached)
    post(inbox, {"text": hostile})
    post(
        inbox,
        {
            "text": "x",
            "blocks": [
                {"type": "header", "text": {"type": "plain_text", "text": hostile}},
                {
                    "type": "section",
                    "text": {
                        "type": "mrkdwn",
                        "text": f"*{hostile}* ```{hostile}``` <javascript:alert(1)|x> "
                        "<https://example.com/?a=1&b=2|a link>",
                    },
                },
            ],
        },
    )
    answer = get(inbox)
    page = Tags(answer.text)
    assert not {"script", "img"} & page.names()
    links = {str(known["href"]) for name, known in page.tags if name == "a"}
    assert "https://example.com/?a=1&b=2" in links
    assert not [link for link in links if not link.startswith(("/", "https://example.com"))]
    assert not [known for _, known in page.tags if any(name.startswith("on") for name in known)]
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src" not in policy

    (frame,) = [known for name, known in page.tags if name == "iframe"]
    assert "allow-scripts" not in str(frame["sandbox"])
    assert "allow-same-origin" not in str(frame["sandbox"])
    body = get(inbox, str(frame["src"]))
    assert body.headers["Content-Security-Policy"].startswith("sandbox allow-popups ")
    assert "default-src 'none'" in body.headers["Content-Security-Policy"]

    (part,) = [link for link in links if link.endswith("/part/0")]
    downloaded = get(inbox, part)
    assert downloaded.headers["Content-Disposition"].startswith("attachment;")
    assert downloaded.headers["Content-Type"] == "application/octet-stream"
    assert downloaded.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/mail/20101201T000000.000000Z-00000000/body",
        "/mail/..%2f..%2fsecrets.env/source",
        "/mail/x/part/0",
    ],
)
def test_there_is_nothing_but_messages(inbox: Inbox, path: str) -> None:
    assert get(inbox, path).status_code == 404


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ([1], "invalid_payload"),
        ({"text": "half a \udd25"}, "invalid_payload"),
        ({"text": "x", "unread": {"a": ["\ud83d"]}}, "invalid_payload"),
        ({"text": ["x"]}, "invalid_payload"),
        ({"attachments": [{"title": {"a": 1}}]}, "invalid_attachments"),
        ({"blocks": [{"type": "divider", "block_id": [1]}]}, "invalid_blocks"),
        ({}, "no_text"),
        ({"attachments": []}, "no_text"),
        ({"attachments": ["x"]}, "invalid_attachments"),
        ({"blocks": [{"type": "section"}]}, "invalid_blocks"),
        ({"blocks": [{"type": "video"}]}, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
        (
            {"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]},
            "invalid_blocks",
        ),
        (
            {"blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]},
            "invalid_blocks",
        ),
    ],
)
def test_what_slack_refuses_is_refused_in_its_words(inbox: Inbox, body: Any, answer: str) -> None:
    refused = post(inbox, body)
    assert (refused.status_code, refused.text) == (400, answer)
    assert inbox.slack() == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"text": "x"',
        b'{"text": "\xed\xa0\xbd"}',
        b'{"text": NaN}',
        b'{"text": "x", "unread": ' + b"[" * 90_000 + b"]" * 90_000 + b"}",
    ],
)
def test_bytes_that_are_no_json_are_refused_and_the_page_stays(inbox: Inbox, body: bytes) -> None:
    for path, answer in (("/slack/x", "invalid_payload"), ("/api/v1/lineage", "no JSON")):
        refused = requests.post(
            inbox.url + path,
            data=body,
            headers={"Content-Type": "application/json"},
            timeout=TIMEOUT,
        )
        assert (refused.status_code, refused.text.startswith(answer)) == (400, True)
    assert inbox.slack() == []
    assert get(inbox).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
@pytest.mark.parametrize("path", ["/slack/x", "/api/v1/lineage"])
def test_a_page_from_elsewhere_can_neither_post_nor_read(
    inbox: Inbox, tmp_path: Path, path: str, kind: str | None
) -> None:
    unasked = requests.post(
        inbox.url + path,
        data=b'{"text": "x", "eventTime": "2010-12-01T00:00:00Z", "producer": "p"}',
        headers={"Content-Type": kind} if kind else {},
        timeout=TIMEOUT,
    )
    assert unasked.status_code == 415
    assert not (tmp_path / "inbox" / "lineage.ndjson").exists()
    rebound = requests.get(inbox.url, headers={"Host": "evil.example.com"}, timeout=TIMEOUT)
    assert rebound.status_code == 400
    assert inbox.slack() == []


def test_a_mail_that_cannot_be_read_takes_no_other_off_the_page(inbox: Inbox) -> None:
    inbox.store.add("mail", b"Content-Type: text/html; charset=no-such-charset\n\n\xff\xfe")
    inbox.store.add("mail", b"\x00\xff")
    send(inbox.smtp_port, note("readable"))
    answer = get(inbox)
    assert answer.status_code == 200
    assert "readable" in answer.text


def test_a_mail_whose_bytes_are_half_a_surrogate_pair_is_shown_and_downloaded(
    inbox: Inbox,
) -> None:
    kept = inbox.store.add(
        "mail",
        b"Subject: =?utf-8?b?7aCA?=\nContent-Type: multipart/mixed; boundary=x\n\n"
        b"--x\nContent-Type: text/html; charset=raw_unicode_escape\n\nbody \\ud83d\n"
        b"--x\nContent-Disposition: attachment; filename*=utf-8''%ED%A0%80.csv\n\na,b\n--x--\n",
    )
    assert get(inbox).status_code == 200
    assert "body ?" in get(inbox, f"/mail/{kept}/body").text
    assert get(inbox, f"/mail/{kept}/part/0").content == b"a,b"


@pytest.mark.parametrize(
    "content",
    [b"", b'{"text": "cut sho', b"[]", b'{"text": "\\udc00"}', b'{"blocks":' + b"[" * 90_000],
)
def test_a_kept_slack_message_that_cannot_be_read_takes_no_other_off_the_page(
    inbox: Inbox, content: bytes
) -> None:
    inbox.store.add("slack", content)
    post(inbox, {"text": "readable"})
    answer = get(inbox)
    assert answer.status_code == 200
    assert "readable" in answer.text
    assert "(unreadable message)" in answer.text


def test_a_message_that_cannot_be_kept_is_not_acknowledged(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(MessageStore, "add", full)
    with pytest.raises(smtplib.SMTPDataError, match="451"):
        send(inbox.smtp_port, note("lost"))


def test_a_half_written_message_is_none(tmp_path: Path) -> None:
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    store = MessageStore(tmp_path, now=lambda: now)
    kept = store.add("mail", b"whole")
    (tmp_path / "mail" / "20270101T000000.000000Z-00000000.new").write_bytes(b"ha")
    assert [(m.message_id, m.content, m.at) for m in MessageStore(tmp_path).newest(9)] == [
        (kept, b"whole", now)
    ]
    assert tmp_path.stat().st_mode & 0o777 == 0o700


FULL = """
import resource, sys
from pathlib import Path
from feira_local.inbox.store import EventLog, MessageStore
folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))
for keep in (EventLog(folder / "lineage.ndjson").append, lambda it: MessageStore(folder).add("mail", it)):
    try:
        keep(b"too long for this disk")
    except OSError as error:
        print(error.errno is not None)
"""


def test_a_full_disk_leaves_no_half_of_an_event_or_message(tmp_path: Path) -> None:
    EventLog(tmp_path / "lineage.ndjson").append(b"first")
    ended = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == ["True", "True"]
    EventLog(tmp_path / "lineage.ndjson").append(b"second")
    assert (tmp_path / "lineage.ndjson").read_bytes() == b"first\nsecond\n"
    assert list((tmp_path / "mail").iterdir()) == []


def started(folder: Path, port: int, smtp: int) -> subprocess.Popen[bytes]:
    """The service as the stack starts it; it answers when this returns."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "feira_local.inbox"),
            *("--port", str(port), "--smtp-port", str(smtp), "--store", str(folder)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while True:
        try:
            requests.get(f"http://127.0.0.1:{port}/health", timeout=TIMEOUT).raise_for_status()
            return process
        except requests.ConnectionError:
            assert process.poll() is None and time.monotonic() < deadline
            os.sched_yield()


def test_the_service_keeps_everything_through_a_kill_listens_on_loopback_and_is_small(
    tmp_path: Path,
) -> None:
    port, smtp = free_port(), free_port()
    process = started(tmp_path / "inbox", port, smtp)
    try:
        send(smtp, note("before the kill"))
        requests.post(
            f"http://127.0.0.1:{port}/slack/x", json={"text": "slack too"}, timeout=TIMEOUT
        )
        process.kill()
        process.wait(TIMEOUT)
        process = started(tmp_path / "inbox", port, smtp)
        page = requests.get(f"http://127.0.0.1:{port}/", timeout=TIMEOUT).text
        assert "before the kill" in page and "slack too" in page
        itself = psutil.Process(process.pid)
        bound = {each.laddr.ip for each in itself.net_connections("tcp") if each.status == "LISTEN"}
        assert bound == {"127.0.0.1"}
        assert itself.memory_full_info().uss < 60 * 2**20
        # A task's events are sent once each, by one connection, and may be any time apart.
        with closing(HTTPConnection("127.0.0.1", port)) as client:
            for idle in (0, 6):
                time.sleep(idle)
                client.request("GET", "/health")
                assert client.getresponse().read()
                client.auto_open = 0
        process.send_signal(signal.SIGTERM)
        process.wait(TIMEOUT)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(TIMEOUT)


def test_lineage_is_kept_a_line_each_and_what_is_none_is_refused(
    inbox: Inbox, tmp_path: Path
) -> None:
    url = f"{inbox.url}/api/v1/lineage"
    first = EVENT | {"note": "a\nb"}
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    events = [first, {}, [], first | {"note": deep}, "{"]
    sent = [
        requests.post(
            url,
            data="{" if each == "{" else json.dumps(each),
            headers={"Content-Type": "Application/JSON; charset=utf-8"},
            timeout=TIMEOUT,
        )
        for each in events
    ]
    assert [answer.status_code for answer in sent] == [201, 422, 422, 422, 400]
    (line,) = (tmp_path / "inbox" / "lineage.ndjson").read_text().splitlines()
    assert json.loads(line) == first


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"run": None}, "run: Input should be a valid dictionary"),
        ({"run": {}}, "run.runId is missing"),
        ({"run": {"runId": 1}}, "run.runId: Input should be a valid string"),
        ({"job": {"name": "j"}}, "job.namespace is missing"),
        ({"job": {"namespace": "n", "name": None}}, "job.name: Input should be a valid string"),
        ({"producer": None}, "producer: Input should be a valid string"),
        ({"eventType": ["START"]}, "eventType: Input should be a valid string"),
        ({"inputs": {}}, "inputs: Input should be a valid list"),
        ({"inputs": [DATASET, {"name": "b"}]}, "inputs.1.namespace is missing"),
        ({"outputs": ["b"]}, "outputs.0: Input should be a valid dictionary"),
        (
            {"outputs": [DATASET | {"facets": {"columnLineage": {"fields": {"x": {}}}}}]},
            "outputs.0.facets.columnLineage.fields.x.inputFields is missing",
        ),
        (
            {"outputs": [DATASET | {"facets": {"columnLineage": {"fields": {"x": {"inputFields": [DATASET]}}}}}]},
            "outputs.0.facets.columnLineage.fields.x.inputFields.0.field is missing",
        ),
        ({"job": None, "run": {"runId": "r"}}, "job: Input should be a valid dictionary"),
    ],
)  # fmt: skip
def test_an_event_that_nobody_could_read_is_refused_with_its_field(
    inbox: Inbox, tmp_path: Path, changes: dict[str, Any], wrong: str
) -> None:
    url = f"{inbox.url}/api/v1/lineage"
    refused = requests.post(url, json=EVENT | changes, timeout=TIMEOUT)
    assert (refused.status_code, refused.text) == (422, f"no event: {wrong}")
    assert not (tmp_path / "inbox" / "lineage.ndjson").exists()


def test_each_kind_of_event_of_the_spec_is_taken(inbox: Inbox, tmp_path: Path) -> None:
    said = {"eventTime": EVENT["eventTime"], "producer": "p"}
    kinds = [
        said | {"job": EVENT["job"], "inputs": [DATASET], "outputs": None},
        said | {"dataset": DATASET},
        EVENT | {"outputs": [DATASET | {"facets": {"columnLineage": {"_deleted": True}}}]},
    ]
    for event in kinds:
        taken = requests.post(f"{inbox.url}/api/v1/lineage", json=event, timeout=TIMEOUT)
        assert taken.status_code == 201
    lines = (tmp_path / "inbox" / "lineage.ndjson").read_text().splitlines()
    assert [json.loads(line) for line in lines] == kinds
    none = requests.post(f"{inbox.url}/api/v1/lineage", json=said, timeout=TIMEOUT)
    assert (none.status_code, none.text) == (422, "no event: it has none of run, job, dataset")


def test_lineage_is_taken_from_openlineages_client(inbox: Inbox, tmp_path: Path) -> None:
    client = OpenLineageClient(transport=HttpTransport(HttpConfig(url=inbox.url)))
    run, job = Run("01890a5d-ac96-774b-bcce-b302099a8057"), Job("feira", "sales_etl")
    client.emit(RunEvent(eventTime="2010-12-01T00:00:00Z", run=run, job=job, producer="p"))
    (line,) = (tmp_path / "inbox" / "lineage.ndjson").read_text().splitlines()
    assert json.loads(line)["job"]["name"] == "sales_etl"
