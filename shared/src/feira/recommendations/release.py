"""A version's lists from the lake to those who read them, Valkey and the file for when that has nothing; and
what a person decides of that."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import IO

import valkey

from feira.recommendations import publish as valkey_lists
from feira.recommendations import verdicts
from feira.recommendations.publish import Published, VersionState, publish
from feira.recommendations.serving.baked import NotBakedError, bake, bake_again
from feira.recommendations.serving.lists_file import lists_of
from feira.recommendations.serving.store import StoreError
from feira.recommendations.verdicts import Approval
from feira.recommendations.versions import ListStore

log = logging.getLogger(__name__)

_TRIES = 10


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
        _follow(client, store, done.version)
    return done


def approve(
    client: valkey.Valkey, store: ListStore, version: str, who: str, why: str
) -> tuple[tuple[Approval, ...], Published | None]:
    """Approves of a version that the gate did not let through, and releases it; returns the approvals, and what
    ``release`` does.

    :raises NotJudgedError: where the gate has not judged it
    :raises VerdictError: where no approval helps it
    """
    found = verdicts.judged(store, version)
    return verdicts.approve(store, found, who, why), release(client, store, version)


def rollback(client: valkey.Valkey, store: ListStore, version: str) -> VersionState:
    """Serves another version, from Valkey and from the file.

    :raises PublishError: where Valkey does not have it whole
    :raises NotBakedError: where there is no file of it; then Valkey serves it, and the file stays
    :raises StoreError: where Valkey does not answer, or serves ever others; try again
    """
    done = valkey_lists.rollback(client, version)
    serve_file(client, store, done.version)
    return done


def serve_file(client: valkey.Valkey, store: ListStore, version: str) -> None:
    """Lets the API read the file of a version that Valkey serves; raises as ``rollback``."""
    bake_again(store.files, store.lake, version)
    _follow(client, store, version)


def _follow(client: valkey.Valkey, store: ListStore, written: str) -> None:
    """Has the API's file, in which the version was written, follow what Valkey serves. Who moves the pointer writes
    the file after it and then comes here: so whoever writes last, what is in it is served."""
    for _ in range(_TRIES):
        live = valkey_lists.served_version(client)
        if live is None or live == written:
            return
        try:
            bake_again(store.files, store.lake, live)
        except NotBakedError as error:
            # It was served a moment ago, and whoever has done that is about to write it.
            log.warning("%s is served, and the file is still of %s: %s", live, written, error)
            return
        written = live
    raise StoreError(
        f"Valkey served another version {_TRIES} times while the API's file was written; it is of {written}. Try "
        "again once nobody else publishes or rolls back."
    )
