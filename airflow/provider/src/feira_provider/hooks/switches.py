"""A connection's extra as it is meant, before a provider's hook reads it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from feira.core.settings import SettingsError, boolean_of


def with_switches(connection: Any, names: Iterable[str]) -> Any:
    """The connection, without the blank fields of its extra, and with these as booleans.

    A provider's hook asks Python whether a value is true, which any text is: ``"false"`` too, and one that is given as
    a URL has nothing but texts.

    :raises SettingsError: where one of them is no boolean
    """
    stated = connection.extra_dejson
    if not isinstance(stated, dict):
        raise SettingsError(f"Connection {connection.conn_id}: its extra must be a JSON object.")
    extra = {name: value for name, value in stated.items() if value not in (None, "")}
    for name in extra.keys() & set(names):
        what = f"Connection {connection.conn_id}: {name} in its extra"
        extra[name] = boolean_of(extra[name], what, blank=False)
    if extra != stated:
        connection.extra = json.dumps(extra)
    return connection
