"""How commands reach the versions of the lists: those that are published, and those of the lake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from feira_local.stack import access, health
from feira_local.stack.errors import StackError
from feira_local.stack.lifecycle import Stack
from feira_local.stack.own_connections import own_connections
from feira_local.stack.state import running_config

if TYPE_CHECKING:
    from valkey import Valkey

    from feira.recommendations.versions import ListStore


@contextmanager
def published_lists() -> Iterator[Valkey]:
    """A client of the running stack's Valkey, or of that of ``connections.yaml``."""
    from feira.recommendations.serving.store import StoreError, connect
    from feira_local.valkey.local import CONNECTION, valkey_options

    config = running_config()
    if CONNECTION not in own_connections(config.home):
        Stack.of(config).running_supervisor("valkey")
    client = connect(valkey_options(config))
    try:
        yield client
    except StoreError as error:
        raise StackError(
            f"{error} `feira status` shows how it is; `feira up` starts it."
        ) from error
    finally:
        client.close()


def list_store() -> ListStore:
    """The versions of the stack's lake, which is asked once."""
    from feira.core.lake import lake_files
    from feira.recommendations.versions import ListStore

    settings = access.lake_settings()
    return ListStore(lake_files(settings, health.PATIENCE_SECONDS), settings.root)


@contextmanager
def asked_list_store() -> Iterator[ListStore]:
    """The same; raises StackError where the lake does not answer."""
    from botocore.exceptions import BotoCoreError

    from feira.core.errors import first_line

    store = list_store()
    try:
        yield store
    except (BotoCoreError, OSError) as error:
        raise StackError(
            f"The lake at {store.lake} cannot be read ({first_line(error)}); `feira status` shows whether "
            "its store runs."
        ) from error
