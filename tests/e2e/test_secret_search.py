"""The search for secrets finds each one that is planted, whatever is around it, and says where."""

from __future__ import annotations

import base64
import gzip
import json
import string
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secret_search import Leak, SecretSearch, forms

SECRET = '5f1d0c/9a+b7=e43 "ü'
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=40)
AROUND = st.binary(max_size=20)
ENCODINGS = {
    "as it is": lambda before, raw, after: before + raw + after,
    "in base64": lambda before, raw, after: base64.b64encode(before + raw + after),
    "in base64 of a URL": lambda before, raw, after: base64.urlsafe_b64encode(before + raw + after),
    "in hexadecimal": lambda before, raw, after: (before + raw + after).hex().encode(),
    "in JSON": lambda _, raw, __: json.dumps([{"password": raw.decode()}]).encode(),
    "in JSON as UTF-8": lambda _, raw, __: json.dumps(raw.decode(), ensure_ascii=False).encode(),
    "quoted for a URL": lambda _, raw, __: (
        f"postgresql://u:{quote(raw.decode(), safe='')}@h".encode()
    ),
    "as a parameter": lambda _, raw, __: urlencode({"password": raw.decode()}).encode(),
}


@given(secret=TEXTS, before=AROUND, after=AROUND, encoding=st.sampled_from(sorted(ENCODINGS)))
def test_a_secret_is_found_in_every_form_whatever_is_around_it(
    secret: str, before: bytes, after: bytes, encoding: str
) -> None:
    search = SecretSearch({"db": secret})
    found = search.in_bytes("a.log", ENCODINGS[encoding](before, secret.encode(), after))
    assert "db" in {leak.name for leak in found}


@given(content=st.binary(max_size=400), secret=st.text(string.hexdigits, min_size=16, max_size=32))
def test_what_does_not_hold_a_secret_is_not_said_to(content: bytes, secret: str) -> None:
    assert SecretSearch({"db": secret}).in_bytes("a.log", content) == []


def test_a_leak_says_where_which_and_in_what_form_and_does_not_repeat_the_secret() -> None:
    search = SecretSearch({"db": SECRET, "key": "0123456789abcdef"})
    text = f"one\ntwo {SECRET}\nthree {base64.b64encode(b'user:0123456789abcdef').decode()}\n"
    found = search.in_bytes("logs/api.log", text.encode())
    assert found == [
        Leak("logs/api.log, line 2", "db", "as it is"),
        Leak("logs/api.log, line 3", "key", "in base64"),
    ]
    assert SECRET not in f"{found} {found[0]}"


def test_a_signed_token_is_a_secret_that_nobody_has_to_name() -> None:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    token = f"{part({'alg': 'HS512', 'typ': 'JWT'})}.{part({'sub': 'admin'})}.{'x' * 86}"
    (found,) = SecretSearch({}).in_bytes("a.log", f"Authorization: Bearer {token}".encode())
    assert (found.place, found.name) == ("a.log, line 1", "a signed token")
    assert SecretSearch({}).in_bytes("a.log", part({"page": 1, "of": 2}).encode()) == []


def test_what_is_packed_or_sent_by_mail_is_looked_into(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "1.ndjson.gz").write_bytes(gzip.compress(f"x\n{SECRET}".encode()))
    (tmp_path / "pages" / "cut.gz").write_bytes(gzip.compress(b"x" * 9999)[:30])
    mail = EmailMessage()
    mail["Subject"] = "A failed task"
    mail.set_content("nothing", cte="base64")
    # Its lines are of 57 bytes: the secret is in two.
    mail.add_attachment(f"{'long ' * 32}{SECRET}".encode(), maintype="text", subtype="csv")
    (tmp_path / "a.eml").write_bytes(mail.as_bytes())
    (tmp_path / "passwords.json").write_text(json.dumps({"admin": SECRET}))
    (tmp_path / "linked").symlink_to(tmp_path / "passwords.json")
    count, found = SecretSearch({"db": SECRET}).in_folder(tmp_path, but=["passwords.json"])
    assert count == 3
    assert {leak.place.partition(", line")[0] for leak in found} == {
        "pages/1.ndjson.gz, unpacked",
        "a.eml, part 3",
    }


def test_a_secret_that_would_be_found_by_chance_is_refused_without_being_quoted() -> None:
    with pytest.raises(ValueError, match="7 bytes") as refused:
        forms("hunter2")
    assert "hunter2" not in str(refused.value)
