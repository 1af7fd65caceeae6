"""How a version's lists are stored in Valkey: its keys and bytes, as who writes and who reads them agree.

=================================  ====================================================================
``reco:live``                      the version that is served
``reco:versions``                  a set: every version that has keys
``reco:<version>:meta``            :class:`Meta` as JSON; a version without it is incomplete
``reco:<version>:items``           a JSON list of items; an item's number is its place in it
``reco:<version>:<slot>:<user>``   the numbers of the user's items, best first: little-endian uint32
``reco:<version>:why:<slot>:<user>``  of each of them the number of its reason's item, or one of the last
                                   two numbers for a reason without one; uint16 where that holds every
                                   number, else uint32. Only where an item's reason is not the slot's own
``reco:<version>:with:<item>``     the numbers of what goes with an item, best first, uint32; then of each the
                                   similarity, little-endian float32. Only where anything does
``reco:<version>:segments``        a JSON list of segments; a segment's number is its place in it
``reco:<version>:segment:<number>``  the numbers of the segment's items, as of a list
``reco:<version>:claim``           who writes the version; it expires
=================================  ====================================================================

The user ``''`` has the list for whoever has none of its own. In the place of a list in the slot *new* a user
that has none may have the number of its segment: three bytes, where a list is a multiple of four.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel

from feira.core.errors import PermanentError

LIVE: Final = "reco:live"
VERSIONS: Final = "reco:versions"
EVERYONE: Final = ""

BOUGHT_BEFORE: Final = "bought_before"
GOES_WITH: Final = "goes_with"
POPULAR: Final = "popular"
POPULAR_IN_CATEGORY: Final = "popular_in_category"
# The reason of a list's items where none is stored beside it.
OWN_REASON: Final = {"again": BOUGHT_BEFORE, "new": POPULAR}
SLOTS: Final = tuple(OWN_REASON)
# Counted back from the greatest number of their width.
WITHOUT_ITEM: Final = {POPULAR_IN_CATEGORY: 2, BOUGHT_BEFORE: 1, POPULAR: 0}
# Whose list is in the place of a user's own, and how many bytes the number of a segment takes.
OF_SEGMENTS: Final = "new"
SEGMENT_WIDTH: Final = 3

_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")


class VersionNameError(PermanentError, ValueError):
    """A text that is no version of lists."""


class Meta(BaseModel):
    """What a complete version holds.

    :param lists: how many lists, those of segments among them
    :param keys: how many keys with a list, its reasons, a segment, or what goes with an item
    :param items: how many items are numbered
    :param checksum: SHA-256 of the items' value and then, as they are written, of every such key and its value
    :param segments: how many segments are numbered
    :param segment_users: how many users have the number of one in the place of a list
    """

    version: str
    published_at: str
    lists: int
    keys: int
    items: int
    checksum: str
    segments: int = 0
    segment_users: int = 0


def require_version(version: str) -> str:
    """The version; raises VersionNameError where keys cannot be made of it."""
    if not _VERSION.fullmatch(version):
        raise VersionNameError(
            f"{version[:80]!r} is no version of lists; it is 1 to 64 letters, digits, dots, dashes and "
            "underscores, as 2010-12-01-001."
        )
    return version


def age(version: str) -> tuple[tuple[int, int, str], ...]:
    """By which versions sort, the oldest first: 2010-12-01-9 before 2010-12-01-10."""
    parts = [part for part in re.split(r"([0-9]+)", version) if part]
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)


def meta_key(version: str) -> str:
    return f"reco:{version}:meta"


def items_key(version: str) -> str:
    return f"reco:{version}:items"


def claim_key(version: str) -> str:
    return f"reco:{version}:claim"


def list_key(version: str, slot: str, user: str) -> str:
    return f"reco:{version}:{slot}:{user}"


def why_key(version: str, slot: str, user: str) -> str:
    return f"reco:{version}:why:{slot}:{user}"


def with_key(version: str, item: str) -> str:
    return f"reco:{version}:with:{item}"


def segments_key(version: str) -> str:
    return f"reco:{version}:segments"


def segment_key(version: str, number: int) -> str:
    return f"reco:{version}:segment:{number}"


def why_width(items: int) -> int:
    """How many bytes a number has in the reasons of a version with so many items."""
    return 2 if items <= 2**16 - len(WITHOUT_ITEM) else 4


def unpacked(value: bytes, first: int, width: int = 4) -> Sequence[int]:
    """The first numbers of a value."""
    count = min(len(value) // width, first)
    return struct.unpack_from(f"<{count}{'H' if width == 2 else 'I'}", value)


def unpacked_with(value: bytes) -> list[tuple[int, float]]:
    """The numbers of what goes with an item, each with its similarity.

    :raises ValueError: where the value is not whole, or a similarity is not above 0
    """
    count, left = divmod(len(value), 8)
    both = () if left else struct.unpack(f"<{count}I{count}f", value)
    if left or not all(similarity > 0 for similarity in both[count:]):
        raise ValueError(f"{len(value)} bytes are no numbers with their similarities")
    return list(zip(both[:count], both[count:], strict=True))
