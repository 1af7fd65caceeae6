"""Where Valkey is: an address passes the same checks as a connection, and none of its secrets is quoted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from valkey import Connection, SSLConnection

from feira.core.settings import SettingsError
from feira.recommendations.serving.store import URL, connect, options_from_env


def refusal(stated: str) -> str:
    with pytest.raises(SettingsError, match=f"^{URL}") as refused:
        options_from_env({URL: stated})
    assert refused.value.__cause__ is None
    return str(refused.value)


@pytest.mark.parametrize(
    ("scheme", "kind"),
    [
        *(("VALKEYS", SSLConnection), ("ValkeyS", SSLConnection), ("REDISS", SSLConnection)),
        *(("valkeys", SSLConnection), ("rediss", SSLConnection)),
        *(("VALKEY", Connection), ("redis", Connection)),
    ],
)
def test_the_scheme_says_whether_the_password_is_encrypted_in_whatever_case(
    scheme: str, kind: type
) -> None:
    client = connect(options_from_env({URL: f"{scheme}://feeder:hunter2@cache.test:7001"}))
    assert client.connection_pool.connection_class is kind
    assert type(client.connection_pool.make_connection()) is kind


@pytest.mark.parametrize(
    ("address", "options"),
    [
        ("valkey://cache.test?ssl=False", {"ssl": False}),
        ("valkey://cache.test?ssl=yes", {"ssl": True}),
        ("valkey://cache.test?db=4", {"db": 4}),
        ("valkey://cache.test/15", {"db": 15}),
        ("valkey://cache.test/", {}),
        (
            "rediss://cache.test/2?ssl_ca_certs=%2Fetc%2Fca%402.pem&ssl_check_hostname=1",
            {"db": 2, "ssl": True, "ssl_ca_certs": "/etc/ca@2.pem", "ssl_check_hostname": True},
        ),
        ("valkeys://cache.test?ssl_cert_reqs=none", {"ssl": True, "ssl_cert_reqs": "none"}),
    ],
)
def test_the_query_of_an_address_is_the_extra_of_a_connection(
    address: str, options: dict[str, Any]
) -> None:
    found = options_from_env({URL: address})
    assert found == {"host": "cache.test", "port": 6379} | options
    connect(found).connection_pool.make_connection()


def test_what_is_percent_encoded_is_decoded_once() -> None:
    found = options_from_env({URL: "valkey://a%2Fb:%23%3F%2540%20@[2001:db8::7]:7001"})
    assert found == {
        "host": "2001:db8::7", "port": 7001, "username": "a/b", "password": "#?%40 ",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rest", "named"),
    [
        ("?colour=secret", "colour in its query"),
        ("?retry=5", "retry in its query"),
        ("?retry_on_timeout=true", "retry_on_timeout in its query"),
        ("?host=secret", "host in its query"),
        ("?password=secret", "password in its query"),
        ("?decode_responses=true", "decode_responses in its query"),
        ("?socket_timeout=secret", "socket_timeout in its query"),
        ("?ssl=perhaps", "ssl in its query is 'perhaps'"),
        ("?ssl=true&ssl_check_hostname=perhaps", "ssl_check_hostname in its query is 'perhaps'"),
        ("/secret", "db must be a whole number"),
        ("/-1", "db must be a whole number"),
        ("/1/2", "db must be a whole number"),
        ("/1?db=1", "has db more than once"),
        ("?ssl=true&ssl=false", "has ssl more than once"),
        (":0", "port must be a whole number"),
    ],
)
def test_an_option_that_would_be_dropped_or_fail_later_is_named(rest: str, named: str) -> None:
    said = refusal(f"valkey://u:hunter2@cache.test{rest}")
    assert named in said and "secret" not in said and "hunter2" not in said


def test_an_encrypted_address_cannot_say_that_it_is_not() -> None:
    assert "has ssl more than once" in refusal("valkeys://cache.test?ssl=false")


@pytest.mark.parametrize(
    "address",
    [
        *("valkey://u:6#secret@h", "valkey://u:6?secret@h", "valkey://u:6/secret@h"),
        *("valkey://u:6?db=secret@h", "valkey://u:secret#6@h", "valkey://u:secret]@h"),
        *(" valkey://:secret@h", "valkey://:secret@h ", "valkey://:sec\nret@h", "valkey://a b"),
        *("valkey://:secret@h:66000", "valkey://:secret@", "unix:///secret", "secret"),
    ],
)
def test_what_is_no_address_is_not_quoted(address: str) -> None:
    said = refusal(address)
    assert "is no address" in said and "percent-encoded" in said and "secret" not in said


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({"ssl": True, "ssl_cert_reqs": "secret"}, ": ssl_cert_reqs must be one of none, opt"),
        ({"ssl": True, "ssl_cert_reqs": "NONE"}, ": ssl_cert_reqs must be"),
        ({"ssl": True, "ssl_cert_reqs": 2}, ": ssl_cert_reqs must be"),
        ({"ssl": True, "ssl_cert_reqs": ["none"]}, ": ssl_cert_reqs must be"),
        ({"ssl": True, "ssl_ca_certs": 2}, ": ssl_ca_certs must be a text"),
        ({"ssl": True, "ssl_certfile": ["secret"]}, ": ssl_certfile must be a text"),
        ({"ssl": True, "ssl_keyfile": "/secret.pem"}, " has ssl_keyfile and no ssl_certfile"),
        (
            {"ssl": True, "ssl_cert_reqs": "none", "ssl_check_hostname": "true"},
            ": ssl_check_hostname is true",
        ),
        ({"ssl_ca_certs": "/secret.pem"}, " has ssl_ca_certs and does not say"),
        (
            {"ssl": "", "ssl_check_hostname": True, "ssl_cert_reqs": "required"},
            " has ssl_cert_reqs, ssl_check_hostname and does not say",
        ),
    ],
)
def test_tls_that_would_fail_or_be_left_out_at_the_first_connection_is_refused_before(
    extra: dict[str, Any], named: str
) -> None:
    said = refusal(json.dumps({"conn_type": "redis", "host": "h", "extra": extra}))
    assert said.startswith(f"{URL}{named}") and "secret" not in said


def test_what_airflows_form_says_of_a_connection_without_tls_is_taken() -> None:
    extra = {"db": 0, "ssl": False, "ssl_cert_reqs": "required", "ssl_ca_certs": ""}
    stated = json.dumps({"conn_type": "redis", "host": "h", "extra": extra})
    assert options_from_env({URL: stated}) == {
        "host": "h", "db": 0, "ssl": False, "ssl_cert_reqs": "required",
    }  # fmt: skip
