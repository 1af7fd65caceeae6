"""How a version's lists are stored in Valkey: its keys and bytes, as who writes and who reads them agree.

=================================  ====================================================================
``reco:live``                      the version that is served
``reco:versions``                  a set: every version that has keys
``reco:kept``                      the version that was served when the server last was asked to have all on its disk
``reco:<version>:meta``            :class:`Meta` as JSON; a version without it is incomplete
``reco:<version>:items``           a JSON list of items; an item's number is its place in it
``reco:<version>:user:<user>``     both lists of a user, as :func:`listed` reads them
``reco:<version>:with:<item>``     the numbers of what goes with an item, best first, uint32; then of each the
                                   similarity, little-endian float32. Only where anything does
``reco:<version>:segments``        a JSON list of segments; a segment's number is its place in it
``reco:<version>:segment:<number>``  the numbers of the segment's items, as of a list
``reco:<version>:claim``           who writes the version; it expires
=================================  ====================================================================

The user ``''`` has the lists for whoever has none of its own. In the place of lists a user that has none may
have the number of its segment: three bytes, which no lists are.

A user's lists are one value, a key for each of which would cost a fifth more:

1. Three bytes: how many items are in the list *again*, how many in *new*, and how many further items are
   reasons; 255 in the place of the last says that there are none and no reasons are stored.
2. The numbers of the items of *again*, of the further items and of the items of *new*, best first, each in as
   many bits as the greatest number of the version takes, the least bit first; then bits of 0 to a whole byte.
3. The reasons of *new*, one each in as many bits as the greatest that there can be takes, and bits of 0 to a
   whole byte: 0 to 2 are those of ``WITHOUT_ITEM``, and 3 + n is *goes with* the n-th item of 2. What a user
   had is why most of what is new to it is offered, and is there already.

The reason of all in *again* is that it was bought before, and of *new* where none are stored that it is popular.
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
KEPT: Final = "reco:kept"
EVERYONE: Final = ""

BOUGHT_BEFORE: Final = "bought_before"
GOES_WITH: Final = "goes_with"
POPULAR: Final = "popular"
POPULAR_IN_CATEGORY: Final = "popular_in_category"
# The reason of a list's items where none is stored beside it.
OWN_REASON: Final = {"again": BOUGHT_BEFORE, "new": POPULAR}
SLOTS: Final = tuple(OWN_REASON)
WITHOUT_ITEM: Final = (POPULAR, BOUGHT_BEFORE, POPULAR_IN_CATEGORY)
# The slot whose list a segment has, and how many bytes the number of a segment takes.
OF_SEGMENTS: Final = "new"
SEGMENT_WIDTH: Final = 3
# Which layout this is. A version of another one is none to who reads, and is written anew by who publishes it.
LAYOUT: Final = 2
HEAD: Final = 3
LONGEST_LIST: Final = 250
# Characters, as in the contract of user events: what is answered comes back as its impressions. The table that
# lists are from has no longer ones either.
LONGEST_USER: Final = 64
LONGEST_ITEM: Final = 64
NO_REASONS: Final = 255

# An item's number, its reason, and the number of what that is of.
Listed = tuple[int, str, int | None]

_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")


class VersionNameError(PermanentError, ValueError):
    """A text that is no version of lists."""


class Meta(BaseModel):
    """What a complete version holds.

    :param lists: how many lists, those of segments among them
    :param keys: how many keys with a user's or a segment's lists or number, and with what goes with an item
    :param items: how many items are numbered
    :param checksum: SHA-256 of the items' value and then, as they are written, of every such key and its value
    :param segments: how many segments are numbered
    :param segment_users: how many users have the number of one in the place of lists
    :param layout: of its keys and bytes; those of before ``LAYOUT`` do not state it
    """

    version: str
    published_at: str
    lists: int
    keys: int
    items: int
    checksum: str
    segments: int = 0
    segment_users: int = 0
    layout: int = 1


def complete(text: bytes | None) -> Meta | None:
    """A version's meta; None where it is incomplete, damaged, or in another layout than ``LAYOUT``."""
    try:
        found = Meta.model_validate_json(text or b"")
    except ValueError:
        return None
    return found if found.layout == LAYOUT else None


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


def user_key(version: str, user: str) -> str:
    return f"reco:{version}:user:{user}"


def with_key(version: str, item: str) -> str:
    return f"reco:{version}:with:{item}"


def segments_key(version: str) -> str:
    return f"reco:{version}:segments"


def segment_key(version: str, number: int) -> str:
    return f"reco:{version}:segment:{number}"


def item_bits(items: int) -> int:
    """How many bits the number of an item has in the lists of a version with so many."""
    return max(1, (items - 1).bit_length())


def listed(value: bytes, slot: str, items: int, first: int) -> list[Listed]:
    """The first of a user's list in a slot, which may be empty.

    :param items: how many the version has
    :raises ValueError: where the value is not whole
    """
    if len(value) < HEAD:
        raise ValueError(f"{len(value)} bytes are no lists")
    again, new, beside = value[:HEAD]
    has_reasons = beside != NO_REASONS
    beside *= has_reasons
    width = item_bits(items)
    reasons_at = HEAD + _bytes(width * (again + beside + new))
    reason_width = (len(WITHOUT_ITEM) - 1 + again + beside).bit_length() if has_reasons else 0
    if len(value) != reasons_at + _bytes(reason_width * new):
        raise ValueError(f"{len(value)} bytes are no lists of {again} and {new} items")
    count = min(first, again if slot == "again" else new)
    if slot == "again":
        return [(it, BOUGHT_BEFORE, None) for it in _numbers(value, HEAD, width, 0, count)]
    offered = _numbers(value, HEAD, width, again + beside, count)
    if not has_reasons:
        return [(it, POPULAR, None) for it in offered]
    reasons = _numbers(value, reasons_at, reason_width, 0, count)
    known = int.from_bytes(value[HEAD:reasons_at], "little")
    mask, alone = (1 << width) - 1, len(WITHOUT_ITEM)
    if max(reasons, default=0) >= alone + again + beside:
        raise ValueError("a reason is of no item")
    return [
        (item, GOES_WITH, known >> width * (reason - alone) & mask)
        if reason >= alone
        else (item, WITHOUT_ITEM[reason], None)
        for item, reason in zip(offered, reasons, strict=True)
    ]


def _numbers(value: bytes, at: int, width: int, start: int, count: int) -> list[int]:
    """So many numbers of a width in bits, from the ``start``-th of those that begin at a byte."""
    skipped, inside = divmod(start * width, 8)
    end = at + skipped + _bytes(inside + width * count)
    bits = int.from_bytes(value[at + skipped : end], "little") >> inside
    mask = (1 << width) - 1
    return [bits >> place & mask for place in range(0, width * count, width)]


def _bytes(bits: int) -> int:
    return (bits + 7) // 8


def unpacked(value: bytes, first: int) -> Sequence[int]:
    """The first numbers of the value of a segment."""
    count = min(len(value) // 4, first)
    return struct.unpack_from(f"<{count}I", value)


def unpacked_with(value: bytes) -> list[tuple[int, float]]:
    """The numbers of what goes with an item, each with its similarity.

    :raises ValueError: where the value is not whole, or a similarity is not above 0
    """
    count, left = divmod(len(value), 8)
    both = () if left else struct.unpack(f"<{count}I{count}f", value)
    if left or not all(similarity > 0 for similarity in both[count:]):
        raise ValueError(f"{len(value)} bytes are no numbers with their similarities")
    return list(zip(both[:count], both[count:], strict=True))
