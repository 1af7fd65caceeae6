"""The rights of the deployment's user of Valkey, on the laptop's Valkey: enough for the lists, and no more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import valkey

from feira.recommendations.publish import rollback, versions
from feira.recommendations.serving.store import connect
from terraform_tree import fill_secrets
from valkey_server import ValkeyServer, publish_lists, published, some_lists


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with ValkeyServer(tmp_path_factory.mktemp("valkey") / "home") as server:
        yield server


@pytest.fixture
def user(server: ValkeyServer) -> Iterator[valkey.Valkey]:
    rights = fill_secrets().VALKEY_RIGHTS.split()
    with server.client() as administrator:
        administrator.execute_command("ACL", "SETUSER", "recommendations", *rights, ">a-password")
    own = {"username": "recommendations", "password": "a-password"}
    with connect(server.options | own) as client:
        yield client


def test_lists_are_published_read_rolled_back_and_removed(user: valkey.Valkey) -> None:
    for day in range(1, 7):
        done = publish_lists(user, f"2010-12-0{day}-1", some_lists(f"d{day}"))
    assert done.removed
    kept = [each.version for each in versions(user)]
    assert "2010-12-06-1" in kept and "2010-12-01-1" not in kept
    assert published(user, "2010-12-06-1") == some_lists("d6")
    rollback(user, "2010-12-05-1")
    assert user.get("reco:live") == b"2010-12-05-1"


@pytest.mark.parametrize(
    "command", ["FLUSHALL", "KEYS *", "CONFIG GET *", "ACL LIST", "GET another"]
)
def test_the_rest_is_refused(user: valkey.Valkey, command: str) -> None:
    with pytest.raises(valkey.exceptions.NoPermissionError):
        user.execute_command(*command.split())
