"""Valkey's clients, made from one set of options, and its failures as errors that say what to do.

The client is imported where it is used: every command of a laptop's stack reads this module.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from feira.core.connections import connection_fields, valkey_options_of
from feira.core.errors import PermanentError, first_line
from feira.core.settings import SettingsError

if TYPE_CHECKING:
    from valkey import Valkey

Options = Mapping[str, Any]
"""What ``valkey.Valkey`` is made with: host, port, password, and so on. It belongs in no log."""

URL = "FEIRA_VALKEY_URL"
KAFKA = "FEIRA_KAFKA"
SECONDS = 30
# Of an address, and whether it is TLS's.
_SCHEMES = {"valkey": False, "redis": False, "valkeys": True, "rediss": True}


class StoreError(ConnectionError):
    """Valkey did not answer; another try may find it up."""


class StoreRefusalError(PermanentError, RuntimeError):
    """Valkey answered that it will not; the message names it and its reason."""


def options_from_env(env: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The options that ``FEIRA_VALKEY_URL`` states: as ``valkeys://user:password@host:6379/0``, whose query may have
    what the extra of a connection may, or as the JSON of a connection of Airflow's, which is what a secrets back end
    keeps.

    :raises SettingsError: without quoting it: it may hold a password
    """
    stated = env.get(URL, "")
    if (fields := connection_fields(stated, URL)) is not None:
        return valkey_options_of(fields, URL)
    return valkey_options_of(_fields_of_address(stated), URL, where="its query")


def _fields_of_address(url: str) -> dict[str, Any]:
    """An address as a connection's fields. Valkey's client drops a database that is no number and what it does not
    know, and makes TLS of ``ssl=false``."""
    refusal = SettingsError(
        f"{URL} is not set, or is no address: it must be valkey://host:6379, or valkeys:// for TLS. Where its "
        "password has / ? # % or another special character, that must be percent-encoded."
    )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # It quotes what it takes for the port.
        raise refusal from None
    # A password that is not encoded ends the host's part, and what is behind the @ is elsewhere.
    cut = "@" in parts.path + parts.query or parts.fragment
    if url.split() != [url] or parts.scheme not in _SCHEMES or not parts.hostname or cut:
        raise refusal
    options = parse_qsl(parts.query, keep_blank_values=True)
    if _SCHEMES[parts.scheme]:
        options.append(("ssl", "true"))
    if database := unquote(parts.path.strip("/")):
        options.append(("db", database))
    names = [name for name, _ in options]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsError(
            f"{URL} has {', '.join(twice)} more than once; valkeys:// is ssl, and what follows the host is db."
        )
    return {
        "host": unquote(parts.hostname),
        "port": 6379 if port is None else port,
        "login": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "extra": dict(options),
    }


def connect(options: Options) -> Valkey:
    """A client that tries nothing twice: what is written twice must be decided by who writes."""
    from valkey import Valkey

    client = Valkey(
        **{"socket_timeout": SECONDS, "socket_connect_timeout": 5, **options},
        retry=None,
        retry_on_timeout=False,
    )
    # A connection takes it, a client does not.
    client.connection_pool.connection_kwargs["command_packer"] = _Serializer()
    return client


@dataclass(frozen=True)
class Framed:
    """A whole command as Valkey reads it, in the place of its arguments."""

    text: memoryview


class _Serializer:
    """Commands as Valkey reads them. libvalkey's own takes a millisecond for a thousand keys and values."""

    def __init__(self) -> None:
        from valkey.connection import LibvalkeyRespSerializer

        self._others = LibvalkeyRespSerializer()

    def pack(self, *arguments: Any) -> list[bytes | memoryview]:
        if isinstance(arguments[-1], Framed):
            return [arguments[-1].text]
        return list(self._others.pack(*arguments))


@contextmanager
def named_failures(client: Valkey) -> Iterator[None]:
    """Raises StoreError where Valkey does not answer, StoreRefusalError where it refuses."""
    from valkey.exceptions import AuthenticationError, OutOfMemoryError, ResponseError, ValkeyError

    known = client.connection_pool.connection_kwargs
    where = f"Valkey at {known.get('host', 'localhost')}:{known.get('port', 6379)}"
    try:
        yield
    except OutOfMemoryError as error:
        raise StoreRefusalError(
            f"{where} has no room: it holds as much as its maxmemory. Nothing that is served was "
            "changed. Raise maxmemory, or publish fewer lists."
        ) from error
    except (AuthenticationError, ResponseError) as error:
        # Of a pipeline it quotes the command before, which is a thousand lists.
        reason = first_line(str(error).rpartition("caused error: ")[2])
        raise StoreRefusalError(
            f"{where} refuses: {reason}. Check its password and its configuration."
        ) from error
    except ValkeyError as error:
        raise StoreError(f"{where} does not answer: {first_line(error)}.") from error
