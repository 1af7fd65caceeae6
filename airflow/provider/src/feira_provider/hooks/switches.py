"""A connection's extra as it is meant, before a provider's hook reads it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from json import JSONDecodeError
from typing import Any

from feira.core.settings import SettingsError, boolean_of


def extra_of(connection: Any) -> dict[str, Any]:
    """The connection's extra; Airflow takes one that is no JSON for none, and with it ``ssl``, say, is gone.

    :raises SettingsError: where it is no JSON object; it quotes nothing of it
    """
    try:
        stated = json.loads(connection.extra or "{}")
    except ValueError as error:
        at = f" ({error.msg}, column {error.colno})" if isinstance(error, JSONDecodeError) else ""
        raise SettingsError(
            f"Connection {connection.conn_id}: its extra is no JSON{at}; correct it there."
        ) from None
    if not isinstance(stated, dict):
        raise SettingsError(f"Connection {connection.conn_id}: its extra must be a JSON object.")
    # It hides what is secret in logs.
    found: dict[str, Any] = connection.extra_dejson
    return found


def with_switches(connection: Any, names: Iterable[str]) -> Any:
    """The connection, without the blank fields of its extra, and with these as booleans.

    A provider's hook asks Python whether a value is true, which any text is: ``"false"`` too, and one that is given as
    a URL has nothing but texts.

    :raises SettingsError: where one of them is no boolean, or the extra no JSON object
    """
    stated = extra_of(connection)
    extra = {name: value for name, value in stated.items() if value not in (None, "")}
    for name in extra.keys() & set(names):
        what = f"Connection {connection.conn_id}: {name} in its extra"
        extra[name] = boolean_of(extra[name], what, blank=False)
    if extra != stated:
        connection.extra = json.dumps(extra)
    return connection
