"""What a connection's extra says of its HTTP session, in the types that requests takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import requests
from requests.auth import HTTPBasicAuth
from requests.models import DEFAULT_REDIRECT_LIMIT

from feira.core.settings import boolean_of, verify_of


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
    verify: Any = verify_of(session.verify)
    session.verify = True if verify is None else verify
    session.trust_env = boolean_of(session.trust_env, "the extra field trust_env", blank=True)
    session.max_redirects = _count(session.max_redirects)
    session.proxies = session.proxies or {}
    if not isinstance(session.proxies, Mapping):
        raise ValueError(
            'the extra field proxies must be an object, as {"https": "http://proxy.example.com:3128"}.'
        )


def _utf8(text: Any) -> bytes:
    return text if isinstance(text, bytes) else str(text or "").encode()


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
