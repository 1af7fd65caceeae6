"""A version that is served, as it is in Valkey, and what it offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import orjson
from valkey.asyncio import Valkey

from feira.recommendations.serving import layout

OWN: Final = "own"
BASKET: Final = "basket"
SEGMENT: Final = "segment"
POPULAR: Final = "popular"
FILE: Final = "file"
NONE: Final = "none"


class Offer(NamedTuple):
    """An item, and why it is offered; ``reason_item`` is what it goes with."""

    item: str
    reason: str
    reason_item: str | None = None


@dataclass(frozen=True)
class Answer:
    """What is offered, best first: of which version, and from where; of a segment, which that is."""

    version: str | None
    source: str
    offers: list[Offer]
    segment: str | None = None


@dataclass(frozen=True)
class Served:
    """The version that is read: its items, the lists for everyone, and the segments with theirs."""

    version: str
    items: list[str]
    everyone: dict[str, list[str]]
    segments: list[tuple[str, bytes]]

    def answer(self, slot: str, value: bytes, n: int, excluded: frozenset[str]) -> Answer | None:
        """From what is in the place of a user's lists; None where that is a segment, which has none in the slot.
        A user with lists has an empty one where there is nothing for it: what all others are offered it had.

        :raises IndexError, ValueError: where the value is damaged
        """
        first = n + len(excluded)
        if len(value) != layout.SEGMENT_WIDTH:
            return Answer(self.version, OWN, without(self.offers(slot, value, first), excluded, n))
        if slot != layout.OF_SEGMENTS:
            return None
        segment, numbers = self.segments[int.from_bytes(value, "little")]
        items = [self.items[number] for number in layout.unpacked(numbers, first)]
        offers = [Offer(item, layout.POPULAR_IN_CATEGORY) for item in items]
        return Answer(self.version, SEGMENT, without(offers, excluded, n), segment)

    def offers(self, slot: str, value: bytes, first: int) -> list[Offer]:
        """The first of a list, which may be empty; raises IndexError, ValueError where it is damaged."""
        items = self.items
        return [
            Offer(items[number], reason, None if of is None else items[of])
            for number, reason, of in layout.listed(value, slot, len(items), first)
        ]

    def offers_with(self, basket: Sequence[str], values: Sequence[bytes | None]) -> list[Offer]:
        """What goes with the items, by the sum of the similarities; the reason is the item that adds most.

        :raises IndexError, ValueError: where a value is damaged
        """
        total: dict[int, float] = {}
        most: dict[int, tuple[float, str]] = {}
        for item, value in zip(basket, values, strict=True):
            for number, similarity in layout.unpacked_with(value or b""):
                total[number] = total.get(number, 0.0) + similarity
                if similarity > most.get(number, (0.0, ""))[0]:
                    most[number] = similarity, item
        order = sorted(most, key=lambda number: (-total[number], number))
        return [Offer(self.items[number], layout.GOES_WITH, most[number][1]) for number in order]


@dataclass(frozen=True)
class Stored:
    """The values of a version as they are in Valkey: ``meta`` as it was read, and the lists of ``segments``."""

    version: str
    meta: bytes
    items: bytes
    everyone: bytes | None
    segments: bytes
    lists: list[bytes | None]


async def stored_in(client: Valkey, version: str) -> Stored | None:
    """A version's values; None where it is not complete, in another layout, or no version."""
    try:
        layout.require_version(version)
    except layout.VersionNameError:
        return None
    text, items, everyone = await client.mget(
        [
            layout.meta_key(version),
            layout.items_key(version),
            layout.user_key(version, layout.EVERYONE),
        ]
    )
    if (meta := layout.complete(text)) is None:
        return None
    if not meta.segments:
        return Stored(version, text, items or b"", everyone, b"[]", [])
    keys = [layout.segment_key(version, number) for number in range(meta.segments)]
    names, *lists = await client.mget([layout.segments_key(version), *keys])
    return Stored(version, text, items or b"", everyone, names or b"", lists)


def served_of(stored: Stored) -> Served | None:
    """The version of these values; None where they are not whole."""
    meta = layout.complete(stored.meta)
    try:
        items, names = orjson.loads(stored.items), orjson.loads(stored.segments)
        if meta is None or not isinstance(items, list) or len(items) != meta.items:
            return None
        if not isinstance(names, list) or None in stored.lists:
            return None
        lists = [each for each in stored.lists if each is not None]
        bare = Served(stored.version, items, {}, list(zip(names, lists, strict=True)))
        everyone = {
            slot: [each.item for each in offers]
            for slot in layout.SLOTS
            if stored.everyone is not None
            and (offers := bare.offers(slot, stored.everyone, layout.LONGEST_LIST))
        }
    except (IndexError, ValueError):
        return None
    return replace(bare, everyone=everyone)


def without(offers: list[Offer], excluded: frozenset[str], n: int) -> list[Offer]:
    if excluded:
        offers = [each for each in offers if each.item not in excluded]
    return offers[:n]
