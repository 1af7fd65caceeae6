"""Publishing: a version's lists into Valkey, whole or not at all; and which version is served.

Readers follow one pointer, and it is moved last, to a version that was read back and is complete: so they
see the old lists or the new ones, whole, wherever a publisher is killed. A publisher claims its version.
Who publishes the same version at the same time takes the claim over, and the first fails with its next
command: nothing is written by one that has lost its claim.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain

import orjson
import pyarrow as pa
import valkey
from valkey.exceptions import WatchError

from feira.core.ahead import ahead
from feira.core.errors import PermanentError, first_line
from feira.recommendations.serving import layout
from feira.recommendations.serving.claims import BATCH, REMOVING, Claim, ClaimLostError
from feira.recommendations.serving.layout import Meta, age, claim_key, items_key, meta_key
from feira.recommendations.serving.packing import ListsError, Packed, Packer
from feira.recommendations.serving.store import Framed, named_failures

log = logging.getLogger(__name__)

KEPT = 3
# How long a server may take until its disk has what it was given.
_KEEP_MILLISECONDS = 10_000
# Packed lists, of a thousand users each: where the texts of many rows are looked up, Valkey would wait.
_HELD = 4
Rows = Callable[[str], Iterable[pa.RecordBatch]]


class ReadBackError(RuntimeError):
    """Valkey does not hold what was written a moment before."""


class PublishError(PermanentError, RuntimeError):
    """A version that cannot be published as it is given, or cannot be served."""


@dataclass(frozen=True)
class Published:
    """What came of it.

    :param served: the version that is served now; a newer one stays
    :param lists: how many there are in the version, and how many keys with them
    :param everyone: of each slot the items of the list for whoever has none
    :param removed: the versions that were removed, since newer ones are there
    """

    version: str
    served: str
    lists: int = 0
    keys: int = 0
    checksum: str = ""
    everyone: dict[str, list[str]] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class VersionState:
    """A version that has keys: ``meta`` is None where it is incomplete or in another layout than
    ``layout.LAYOUT``, which nobody reads."""

    version: str
    live: bool
    meta: Meta | None


def publish(
    client: valkey.Valkey,
    version: str,
    lists: Rows,
    items: Sequence[str],
    goes_with: Iterable[pa.RecordBatch] = (),
    segments: Sequence[str] = (),
    segment_users: Iterable[pa.RecordBatch] = (),
    *,
    now: datetime | None = None,
) -> Published:
    """Publishes the lists under their version and serves them, unless a newer version is served.

    A version that is complete is never written again: the same lists are only served, others are refused.

    :param client: of ``serving.store.connect``
    :param version: a text of ``layout.require_version``; which of two is newer, ``layout.age`` says
    :param lists: is called with each slot, and returns rows of ``packing.COLUMNS`` of it in order of user, segment
        and position; both are read once, side by side
    :param items: the version's items; an item's number is its place
    :param goes_with: rows of item, goes_with, similarity; read once
    :param segments: the version's segments, each of which has a list
    :param segment_users: rows of user_id and segment, in the order of users, of users without a list; read once
    :raises ListsError, PublishError: where these lists cannot be published
    :raises ClaimLostError, ReadBackError, StoreError: where another try may do
    """
    layout.require_version(version)
    with named_failures(client):
        served = live_version(client)
        if served is not None and age(served) > age(version):
            log.info("%s is not published: %s is served, which is newer", version, served)
            return Published(version, served)
        content = _Content(version, items, segments)
        packed = content.packed(lists, goes_with, segment_users)
        known = layout.complete(client.get(meta_key(version)))
        if known is None:
            _write(client, content, packed, now or datetime.now(UTC))
        else:
            for _ in packed:
                pass
            if content.meta(known.published_at) != known:
                raise PublishError(
                    f"{version} is published with other lists (checksum {known.checksum[:12]} of "
                    f"{known.keys:,} keys, given {content.checksum[:12]} of {content.keys:,}). A version is "
                    "never changed; give these lists a version of their own."
                )
        served = _serve_unless_newer(client, version)
        removed = _remove_old(client)
    return Published(
        version,
        served,
        content.lists,
        content.keys,
        content.checksum,
        content.everyone,
        removed,
    )


def rollback(client: valkey.Valkey, version: str | None = None) -> VersionState:
    """Serves another version: that of ``rollback_to``.

    :raises PublishError: as ``rollback_to``
    :raises StoreError: where Valkey does not answer
    """
    version = rollback_to(client, version)
    with named_failures(client), client.pipeline() as pipe:
        # A publisher may be about to remove it.
        pipe.watch(meta_key(version))
        meta = layout.complete(pipe.get(meta_key(version)))
        pipe.multi()
        pipe.set(layout.LIVE, version)
        try:
            if meta is not None:
                pipe.execute()
        except WatchError:
            meta = None
        if meta is None:
            raise PublishError(f"{version} is being removed: newer versions were published.")
    return VersionState(version, True, meta)


def keep_on_disk(client: valkey.Valkey, version: str) -> bool:
    """Waits until the server's disk has what was published, where it keeps a log; returns whether it is so.

    What a server answers may not be in its log for two seconds where its disk is busy: killed then, it comes back
    with an earlier version, and nobody publishes the lost one again. Where it is not known to be kept, a warning
    says so: it is served all the same. The wait is WAITAOF's, of Valkey 7.2.

    :raises StoreError: where Valkey does not answer
    """
    with named_failures(client), client.pipeline(transaction=False) as pipe:
        # WAITAOF waits for what was written through its own connection.
        pipe.set(layout.KEPT, version)
        pipe.execute_command("WAITAOF", 1, 0, _KEEP_MILLISECONDS)
        answers = pipe.execute(raise_on_error=False)
    refused = next((first_line(each) for each in answers if isinstance(each, Exception)), None)
    if refused is None and answers[1][0]:
        return True
    log.warning(
        "%s is served, and may be lost should Valkey be killed now: %s",
        *(version, refused or f"its disk did not have it within {_KEEP_MILLISECONDS / 1000:g} s"),
    )
    return False


def rollback_to(client: valkey.Valkey, version: str | None = None) -> str:
    """The version that a rollback serves: the given one, else the newest complete one before that which is served.

    :raises PublishError: where there is no such version, or it is incomplete
    :raises StoreError: where Valkey does not answer
    """
    if version is not None:
        layout.require_version(version)
    known = versions(client)
    if version is None:
        live = next((each for each in known if each.live), None)
        older = [
            each for each in known if each.meta and live and age(each.version) < age(live.version)
        ]
        if not older:
            served = f"{live.version} is served" if live else "no version is served"
            raise PublishError(
                f"There is nothing to roll back to: {served}, and no complete version is older. "
                f"{_listed(known)}"
            )
        return older[0].version
    found = next((each for each in known if each.version == version), None)
    if found is None or found.meta is None:
        raise PublishError(
            f"{version} is {'incomplete' if found else 'not in Valkey'}, so it is not served. "
            f"{_listed(known)}"
        )
    return version


def versions(client: valkey.Valkey) -> list[VersionState]:
    """Every version that has keys, the newest first."""
    with named_failures(client):
        live = live_version(client)
        names = sorted(
            (name.decode() for name in client.smembers(layout.VERSIONS)), key=age, reverse=True
        )
        metas = client.mget([meta_key(name) for name in names]) if names else []
    return [
        VersionState(name, name == live, layout.complete(text))
        for name, text in zip(names, metas, strict=True)
    ]


def served_version(client: valkey.Valkey) -> str | None:
    """The version that is served; None where none is. Raises StoreError where Valkey does not answer."""
    with named_failures(client):
        return live_version(client)


def live_version(client: valkey.Valkey) -> str | None:
    """The version that is served; None where none is."""
    found = client.get(layout.LIVE)
    return None if found is None else found.decode()


class _Content:
    """What a version holds, counted and hashed as it passes."""

    def __init__(self, version: str, items: Sequence[str], segments: Sequence[str] = ()) -> None:
        self.version = version
        self.items = orjson.dumps(list(items))
        self.lists = self.keys = self.segment_users = 0
        self.everyone: dict[str, list[str]] = {}
        self._items = len(items)
        self._segments = segments
        self._packer = Packer(version, items, segments)
        self._hash = hashlib.sha256(self.items)

    def packed(
        self,
        lists: Rows,
        goes_with: Iterable[pa.RecordBatch] = (),
        segment_users: Iterable[pa.RecordBatch] = (),
    ) -> Iterator[Packed]:
        packer = self._packer
        for packed in chain(
            self._names(),
            packer.pack_users(segment_users),
            packer.pack(lists),
            packer.pack_with(goes_with),
        ):
            self.lists += packed.lists
            self.segment_users += packed.segment_users
            self.keys += len(packed.ends) // 2
            self.everyone |= packed.everyone
            self._hash.update(packed.text)
            yield packed
        if not self.lists:
            raise ListsError(f"{self.version} holds no list, and is not served.")

    def _names(self) -> Iterable[Packed]:
        if self._segments:
            names = orjson.dumps(list(self._segments))
            yield Packed.of([layout.segments_key(self.version).encode(), names])

    @property
    def checksum(self) -> str:
        return self._hash.hexdigest()

    def meta(self, published_at: str) -> Meta:
        return Meta(
            version=self.version,
            published_at=published_at,
            lists=self.lists,
            keys=self.keys,
            items=self._items,
            checksum=self.checksum,
            segments=len(self._segments),
            segment_users=self.segment_users,
            layout=layout.LAYOUT,
        )


def _write(
    client: valkey.Valkey, content: _Content, lists: Iterator[Packed], now: datetime
) -> None:
    """Writes a version that is not complete, reads it back, and says that it is complete."""
    version = content.version
    items = Packed.of([items_key(version).encode(), content.items])
    with Claim(client, version) as claim:
        if not claim.is_first:
            # What a killed attempt has left may be of other lists.
            claim.unlink_all()
        for batch in chain(_batches([items]), ahead(_batches(lists), _HELD)):
            _write_batch(claim, batch)
        meta = content.meta(now.isoformat(timespec="seconds"))
        complete = ("SET", meta_key(version), meta.model_dump_json())
        claim.transaction(complete, ("DEL", claim_key(version)))


@dataclass(frozen=True)
class _Batch:
    """Commands that write and read some keys, and what they read then."""

    writes: Framed
    reads: Framed
    values: list[bytes]


def _batches(lists: Iterable[Packed]) -> Iterator[_Batch]:
    # Numba is imported by who packs lists.
    from feira.recommendations.serving.values import framed

    for packed in lists:
        for start in range(0, len(packed.ends), 2 * BATCH):
            ends = packed.ends[start : start + 2 * BATCH]
            begin = packed.ends[start - 1] if start else 0
            text, ends = packed.text[begin : ends[-1]], ends - begin
            places = ends.tolist()
            yield _Batch(
                Framed(framed(b"MSET", text, ends)),
                Framed(framed(b"MGET", text, ends, 2)),
                [text[at:end] for at, end in zip(places[::2], places[1::2], strict=True)],
            )


def _write_batch(claim: Claim, batch: _Batch) -> None:
    held = claim.transaction(("MSET", batch.writes), ("MGET", batch.reads))[-1]
    if held != batch.values:
        wrong = sum(value != written for value, written in zip(held, batch.values, strict=True))
        raise ReadBackError(
            f"{claim.version}: Valkey holds other values than were written at {wrong:,} of "
            f"{len(held):,} keys. The version is not served."
        )


def _serve_unless_newer(client: valkey.Valkey, version: str) -> str:
    """Moves the pointer, unless it is at a newer version; returns where it is then."""
    while True:
        with client.pipeline() as pipe:
            pipe.watch(layout.LIVE, meta_key(version))
            served = pipe.get(layout.LIVE)
            if served is not None and age(served.decode()) >= age(version):
                return str(served.decode())
            if pipe.get(meta_key(version)) is None:
                raise ClaimLostError(f"{version} was removed before it was served.")
            pipe.multi()
            pipe.set(layout.LIVE, version)
            try:
                pipe.execute()
            except WatchError:
                continue
            return version


def _remove_old(client: valkey.Valkey) -> list[str]:
    """Removes all but the served version and the newest complete ones, and what killed publishers left."""
    known = versions(client)
    kept = [each.version for each in known if each.live]
    kept += [each.version for each in known if each.meta and not each.live][: KEPT - len(kept)]
    removed = []
    for each in known:
        if each.version in kept or not _retire(client, each.version):
            continue
        try:
            _remove(client, each.version)
        except ClaimLostError:
            # Whoever has taken it over removes it, or publishes it anew.
            continue
        removed.append(each.version)
    return removed


def _remove(client: valkey.Valkey, version: str) -> None:
    with Claim(client, version, REMOVING) as claim:
        claim.unlink_all()
        claim.transaction(("SREM", layout.VERSIONS, version), ("DEL", claim_key(version)))


def _retire(client: valkey.Valkey, version: str) -> bool:
    """Makes a version incomplete, so that its keys can be removed; False where it is served or written."""
    with client.pipeline() as pipe:
        pipe.watch(layout.LIVE, claim_key(version))
        served, claim = pipe.get(layout.LIVE), pipe.get(claim_key(version))
        if served is not None and served.decode() == version:
            return False
        if claim is not None and not claim.startswith(REMOVING):
            return False
        pipe.multi()
        pipe.delete(meta_key(version))
        try:
            pipe.execute()
        except WatchError:
            return False
    return True


def _listed(known: list[VersionState]) -> str:
    there = [
        each.version + ("" if each.meta else " (incomplete)") + (" (served)" if each.live else "")
        for each in known
    ]
    return f"In Valkey there is {', '.join(there)}." if there else "In Valkey there is none."
