"""Connections of Airflow's by their fields: for programs without Airflow, which are given one as JSON.

That is what a secrets back end keeps, so that a deployment has each password once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from feira.core.errors import first_line
from feira.core.settings import SettingsError, boolean_of

# Of a connection's extra what Valkey's client is given.
_VALKEY_EXTRA = {
    "db",
    "ssl",
    "ssl_cert_reqs",
    "ssl_ca_certs",
    "ssl_keyfile",
    "ssl_certfile",
    "ssl_check_hostname",
}
_VALKEY_SWITCHES = {"ssl", "ssl_check_hostname"}
_VALKEY_FILES = ("ssl_ca_certs", "ssl_keyfile", "ssl_certfile")
_VERIFICATIONS = ("none", "optional", "required")


def connection_fields(text: str, what: str) -> dict[str, Any] | None:
    """The fields of a connection of Airflow's that is stated as JSON, as a secrets back end keeps it; None for what is
    no JSON object. Its ``extra`` is a mapping, where it has one.

    :raises SettingsError: naming ``what`` and not quoting it, where it begins as an object and is none
    """
    if not text.lstrip().startswith("{"):
        return None
    try:
        fields: dict[str, Any] = json.loads(text)
        if isinstance(extra := fields.get("extra"), str):
            fields["extra"] = json.loads(extra or "{}")
    except ValueError:
        raise SettingsError(f"{what} begins as a JSON object and is none.") from None
    if not isinstance(fields.get("extra") or {}, dict):
        raise SettingsError(f"The extra in {what} must be a JSON object.")
    return fields


def dsn_of(stated: str, what: str) -> str:
    """libpq's connection string: as it is stated, or of the JSON of a ``postgres`` connection of Airflow's, which is
    what a secrets back end keeps, with every libpq option of its extra.

    :raises SettingsError: naming ``what`` and not quoting it
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    if (fields := connection_fields(stated, what)) is None:
        try:
            conninfo_to_dict(stated)
        except psycopg.ProgrammingError:
            # libpq's reason quotes the text, which may hold a password.
            raise SettingsError(
                f"{what} is neither a connection string of libpq nor the JSON of a connection. What stands in a URL "
                "must be percent-encoded there."
            ) from None
        return stated
    options = {
        "host": fields.get("host"),
        "port": fields.get("port"),
        "user": fields.get("login"),
        "password": fields.get("password"),
        "dbname": fields.get("schema"),
        **(fields.get("extra") or {}),
    }
    try:
        return make_conninfo(**{name: it for name, it in options.items() if it not in (None, "")})
    except psycopg.ProgrammingError as error:
        raise SettingsError(f"{what} cannot be used: {first_line(error)}.") from None


def _whole_number(value: Any, what: str, least: int, most: int) -> int:
    text = str(value)
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and least <= int(text) <= most):
        raise SettingsError(f"{what} must be a whole number from {least} to {most:,}.")
    return int(text)


def valkey_options_of(
    fields: Mapping[str, Any], what: str, *, where: str = "its extra"
) -> dict[str, Any]:
    """Host, port, login, and of the extra ``db`` and ``ssl…`` of a connection of the Redis provider's type.

    :param where: what ``extra`` is called in messages
    :raises SettingsError: where it names no host, its extra has what is not passed on, or a field is of another type:
        the port no number, ``ssl`` no boolean; ``what`` and the field are named, and no value but a switch's is
    """
    extra = fields.get("extra") or {}
    if not fields.get("host"):
        raise SettingsError(f"{what} names no host; set one.")
    if unknown := sorted(set(extra) - _VALKEY_EXTRA):
        raise SettingsError(
            f"{what} has {', '.join(unknown)} in {where}, which is not passed on to Valkey; known are "
            f"{', '.join(sorted(_VALKEY_EXTRA))}."
        )
    stated = {
        "host": fields["host"],
        "port": fields.get("port"),
        "username": fields.get("login"),
        "password": fields.get("password"),
        **extra,
    }
    options = {name: value for name, value in stated.items() if value not in (None, "")}
    for name in ("host", "username", "password", *_VALKEY_FILES):
        if not isinstance(options.get(name, ""), str):
            raise SettingsError(
                f"{what}: {'login' if name == 'username' else name} must be a text."
            )
    for name, least, most in (("port", 1, 65_535), ("db", 0, 2**31 - 1)):
        if name in options:
            options[name] = _whole_number(options[name], f"{what}: {name}", least, most)
    for name in _VALKEY_SWITCHES & options.keys():
        options[name] = boolean_of(options[name], f"{what}: {name} in {where}", blank=False)
    _require_usable_tls(options, what)
    return options


def _require_usable_tls(options: Mapping[str, Any], what: str) -> None:
    """Valkey's client finds out at its first connection, and leaves every other ``ssl_…`` unread without ``ssl``."""
    verification = options.get("ssl_cert_reqs", "required")
    if verification not in _VERIFICATIONS:
        raise SettingsError(f"{what}: ssl_cert_reqs must be one of {', '.join(_VERIFICATIONS)}.")
    if verification == "none" and options.get("ssl_check_hostname"):
        raise SettingsError(
            f"{what}: ssl_check_hostname is true, which ssl_cert_reqs may not be none for; set it to required."
        )
    if "ssl_keyfile" in options and "ssl_certfile" not in options:
        raise SettingsError(f"{what} has ssl_keyfile and no ssl_certfile; set that too.")
    stated = sorted(name for name in options if name.startswith("ssl_"))
    if stated and "ssl" not in options:
        raise SettingsError(
            f"{what} has {', '.join(stated)} and does not say whether TLS is used; set ssl to true, or to false."
        )
