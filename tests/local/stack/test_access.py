"""What a command that opens the stack's parts says where one does not answer."""

from __future__ import annotations

import socket
from contextlib import suppress
from datetime import date

import pytest

from feira.core.settings import LakeSettings
from feira_local.stack import access, health
from feira_local.stack.errors import StackError


def test_a_store_that_takes_connections_and_never_answers_is_asked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Long enough that a second try would be seen, and a twenty-fifth would be minutes.
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 1.0)
    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        settings = LakeSettings(
            root="s3://lake", endpoint=endpoint, access_key="a", secret_key="b", region="us-east-1"
        )
        monkeypatch.setattr(access, "lake_settings", lambda: settings)
        with (
            pytest.raises(StackError, match=rf"{endpoint} .*`feira status`"),
            access.landings("sales") as store,
        ):
            store.current(date(2010, 12, 1))
        server.settimeout(0)
        with suppress(BlockingIOError):
            while True:
                connections.append(server.accept()[0])
    assert len(connections) == 1
