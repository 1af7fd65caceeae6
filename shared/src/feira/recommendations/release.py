"""A version's lists from the lake to those who read them, Valkey and the file for when that has nothing; and
what a person decides of that."""

from __future__ import annotations

import logging
from contextlib import ExitStack, suppress
from typing import IO

import pyarrow.compute as pc
import pyarrow.parquet as pq
import valkey

from feira.core.errors import first_line
from feira.recommendations import publish as valkey_lists
from feira.recommendations import verdicts
from feira.recommendations.publish import Published, VersionState, publish
from feira.recommendations.serving.baked import (
    Baked,
    NotBakedError,
    bake,
    bake_again,
    served_in_file,
    version_path,
)
from feira.recommendations.serving.layout import age
from feira.recommendations.serving.lists_file import lists_of
from feira.recommendations.serving.store import StoreError
from feira.recommendations.verdicts import Approval
from feira.recommendations.versions import ListStore, VersionError

log = logging.getLogger(__name__)

_TRIES = 10


def served(client: valkey.Valkey, store: ListStore) -> str | None:
    """The version that is served: by Valkey, and where that serves none, as one that was emptied, the version of the
    file that the API answers from then; None where there is neither.

    :raises StoreError: where Valkey does not answer
    :raises ValueError: where the file cannot be read
    """
    live = valkey_lists.served_version(client)
    return live or next(iter(served_in_file(store.files, store.lake)), None)


def release(client: valkey.Valkey, store: ListStore, version: str) -> Published | None:
    """Publishes a version that is finished, and serves it unless a newer one is served; None where it has
    no lists, and what is served stays.

    :raises VersionError: where it is not finished, or changed
    :raises ListsError, PublishError, ClaimLostError, ReadBackError, StoreError: as ``publish``
    """
    _, finished = store.read(version)
    if not finished.rows:
        return None
    try:
        live = served(client, store)
    except ValueError as error:
        # It is written anew with what is published.
        log.warning("served.json cannot be read: %s", first_line(error))
        live = None
    if live is not None and age(live) > age(version):
        log.info("%s is not published: %s is served, which is newer", version, live)
        return Published(version, live)
    # Before it can be served: who is killed later leaves a version that can be rolled back to.
    keep_file(store, version)
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
        valkey_lists.keep_on_disk(client, version)
        bake(store.files, store.lake, done.version, done.everyone)
        _follow(client, store, done.version)
    return done


def approve(
    client: valkey.Valkey, store: ListStore, version: str, who: str, why: str
) -> tuple[tuple[Approval, ...], Published | None]:
    """Approves of a version that the gate did not let through, and releases it; returns the approvals, and what
    ``release`` does.

    :raises NotJudgedError: where the gate has not judged it
    :raises VersionError: where it is not finished, or removed; nothing is approved of then
    :raises VerdictError: where no approval helps it, or the verdict is of another method than its lists
    """
    found = verdicts.judged(store, version)
    # An approval is of a method, and lets later versions through: none for a version that cannot be published.
    _, finished = store.read(version)
    verdicts.require_method(found, finished)
    return verdicts.approve(store, found, who, why), release(client, store, version)


def rollback(client: valkey.Valkey, store: ListStore, version: str) -> VersionState:
    """Serves another version, from Valkey and from the file.

    :raises PublishError: where Valkey does not have it whole
    :raises NotBakedError: where there is neither a file nor the lists of it; what is served stays then
    :raises StoreError: where Valkey does not answer, or serves ever others; try again
    """
    valkey_lists.rollback_to(client, version)
    # Before the pointer moves: a version without a file would leave that of the withdrawn one.
    keep_file(store, version)
    done = valkey_lists.rollback(client, version)
    valkey_lists.keep_on_disk(client, version)
    serve_file(client, store, version)
    return done


def serve_file(client: valkey.Valkey, store: ListStore, version: str) -> None:
    """Lets the API read the file of a version that Valkey serves; raises as ``rollback``."""
    keep_file(store, version)
    bake_again(store.files, store.lake, version)
    _follow(client, store, version)


def keep_file(store: ListStore, version: str) -> None:
    """Makes the file of a version from its lists, where it is not there: ``everyone`` has the rows of no user and no
    segment, by slot.

    :raises NotBakedError: where it is not there, and the lists are not either
    """
    path = version_path(store.lake, version)
    # One that was cut off is none.
    with suppress(FileNotFoundError, ValueError):
        Baked.model_validate_json(store.files.cat_file(path))
        return
    try:
        _, finished = store.read(version)
    except VersionError as error:
        raise NotBakedError(f"{path} is not there, and cannot be made anew: {error}") from error
    nobody = (pc.field("user_id") == "") & pc.field("segment").is_null()
    with store.files.open(finished.parquet, "rb") as file:
        rows = pq.read_table(file, columns=["slot", "position", "item"], filters=nobody)
    everyone: dict[str, list[str]] = {}
    for row in rows.sort_by("position").to_pylist():
        everyone.setdefault(row["slot"], []).append(row["item"])
    content = Baked(version=version, everyone=everyone)
    store.files.pipe_file(path, content.model_dump_json().encode())


def _follow(client: valkey.Valkey, store: ListStore, written: str) -> None:
    """Has the API's file, in which the version was written, follow what Valkey serves. Who moves the pointer writes
    the file after it and then comes here: so whoever writes last, what is in it is served."""
    for _ in range(_TRIES):
        live = valkey_lists.served_version(client)
        if live is None or live == written:
            return
        try:
            keep_file(store, live)
            bake_again(store.files, store.lake, live)
        except NotBakedError as error:
            # Somebody has published it who has no lists in this lake.
            log.warning("%s is served, and the file is still of %s: %s", live, written, error)
            return
        written = live
    raise StoreError(
        f"Valkey served another version {_TRIES} times while the API's file was written; it is of {written}. Try "
        "again once nobody else publishes or rolls back."
    )
