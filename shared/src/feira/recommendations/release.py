"""A version's lists from the lake to those who read them: Valkey, and the file for when that has nothing."""

from __future__ import annotations

from contextlib import ExitStack
from typing import IO

import valkey

from feira.recommendations.publish import Published, publish
from feira.recommendations.serving.baked import bake
from feira.recommendations.serving.lists_file import lists_of
from feira.recommendations.versions import ListStore


def release(client: valkey.Valkey, store: ListStore, version: str) -> Published | None:
    """Publishes a version that is finished, and serves it unless a newer one is served; None where it has
    no lists, and what is served stays.

    :raises VersionError: where it is not finished, or changed
    :raises ListsError, PublishError, ClaimLostError, ReadBackError, StoreError: as ``publish``
    """
    _, finished = store.read(version)
    if not finished.rows:
        return None
    with ExitStack() as opened:

        def file(path: str) -> IO[bytes]:
            return opened.enter_context(store.files.open(path, "rb"))

        found = lists_of(
            file(finished.parquet),
            file(finished.goes_with) if finished.goes_with else None,
            file(finished.segments) if finished.segments else None,
        )
        done = publish(
            client,
            version,
            found.rows,
            found.items,
            found.goes_with,
            found.segments,
            found.segment_users,
        )
    if done.served == done.version:
        bake(store.files, store.lake, done.version, done.everyone)
    return done
