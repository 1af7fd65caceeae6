"""What a connection's extra says of its HTTP session, in the types that requests takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import requests
from requests.auth import AuthBase, HTTPBasicAuth
from requests.models import DEFAULT_REDIRECT_LIMIT

from feira.core.settings import boolean_of, verify_of


class BearerAuth(AuthBase):
    """A token (RFC 6750). As a session's ``auth`` it goes before a ``.netrc``; to another host requests takes along
    none."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Adds the header."""
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def settle(session: requests.Session, no_headers: Iterable[str]) -> None:
    """Sets right what HttpHook has put into a session as it stood in the extra.

    A connection that is given as a URL has only texts, and one by a form has blank fields. A login without a
    password has an empty one, and both are sent as UTF-8.

    :param no_headers: fields that are none, though the hook has taken them for headers
    :raises ValueError: naming the field, and not its value, which may be a secret
    """
    if isinstance(session.auth, HTTPBasicAuth):
        auth = session.auth
        auth.username, auth.password = _utf8(auth.username), _utf8(auth.password)
    for name in no_headers:
        session.headers.pop(name, None)
    for name, value in list(session.headers.items()):
        if value is None:
            del session.headers[name]
        else:
            session.headers[name] = _header(name, value)
    if isinstance(session.auth, BearerAuth):
        if "Authorization" in session.headers:
            session.auth = None
        else:
            _require_token(session.auth.token)
    verify: Any = verify_of(session.verify)
    session.verify = True if verify is None else verify
    session.cert = _certificate(session.cert)
    session.trust_env = boolean_of(session.trust_env, "the extra field trust_env", blank=True)
    session.max_redirects = _count(session.max_redirects)
    session.proxies = session.proxies or {}
    if not isinstance(session.proxies, Mapping):
        raise ValueError(
            'the extra field proxies must be an object, as {"https": "http://proxy.example.com:3128"}.'
        )


def settle_options(options: dict[str, Any]) -> None:
    """The same for the switches that HttpHook keeps for ``run``; raises ValueError naming the field."""
    for name in ("allow_redirects", "check_response"):
        options[name] = boolean_of(options.get(name), f"the extra field {name}", blank=True)


def _utf8(text: Any) -> bytes:
    return text if isinstance(text, bytes) else str(text or "").encode()


def _require_token(token: str) -> None:
    if not (token.isascii() and token.isprintable() and token == token.strip()):
        raise ValueError(
            "its password is sent as a token, since there is no login, and has a character outside ASCII, a line "
            "break, or a space at an end."
        )


def _header(name: str, value: Any) -> str | bytes:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError(
            f"the extra field {name} is sent as a header and is of type {type(value).__name__}; "
            "a header is a text or a number."
        )
    if not all(ord(character) < 256 for character in value):
        raise ValueError(
            f"the extra field {name} is sent as a header and has a character outside Latin-1."
        )
    return value


def _certificate(value: Any) -> str | tuple[str, str] | None:
    """A client's certificate as requests takes it; JSON has no tuples."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and len(value) == 2:
        certificate, key = value
        if all(isinstance(each, str) and each for each in value):
            return certificate, key
    raise ValueError(
        "the extra field cert must be the path of a file with certificate and key, or a list of two paths, "
        'as ["/etc/client.pem", "/etc/client.key"].'
    )


def _count(value: Any) -> int:
    if value == "":
        return DEFAULT_REDIRECT_LIMIT
    try:
        count = int(str(value))
    except ValueError:
        count = -1
    if count < 0:
        raise ValueError(
            f"the extra field max_redirects is {value!r}; it must be a whole number from 0."
        )
    return count
