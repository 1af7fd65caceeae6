"""Events as messages, many at once: each field a matrix of bytes, a row an event, of which some count.

The same bytes as ``feira.user_events.codec`` writes one by one with the schema of these fields, at a fraction of
the cost.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from feira.user_events.codec import header
from feira_local.shop.catalogue import Numbers, make_catalogue
from feira_local.shop.taste import Draws, Taste
from feira_local.web.sessions import ARMS, SLOTS, Events, Sessions, Texts
from feira_local.web.settings import WebSettings

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
# A field's bytes, and which of them are written.
Field = tuple[Bytes, Flags]

# The schema that has these fields; a contract with further ones has a newer schema, and still reads this one.
SCHEMA_ID = 1
ID_LENGTH = 36
_HEX = np.frombuffer(bytes(range(256)).hex().encode(), np.uint8).reshape(256, 2)
_DASHES = (8, 13, 18, 23)


@dataclass(frozen=True)
class Messages:
    """A message each: key, value, timestamp in milliseconds since 1970."""

    keys: list[bytes]
    values: list[Any]
    """Bytes; None only in what was spoiled."""
    timestamps: Numbers


def messages(
    settings: WebSettings, day: dt.date, number: int, who: Sessions, events: Events
) -> Messages:
    """The messages of a block's events, in the events' order."""
    generator = np.random.Generator(
        np.random.PCG64([settings.taste.seed, day.toordinal(), number, 13])
    )
    ids = uuids(generator, len(events))
    midnight = int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()) * 1_000_000
    time = midnight + events.time
    listed = events.position > 0
    clicked = events.impression >= 0
    fields = (
        _header(len(events)),
        _id(ids),
        _varint(time),
        _text(who.user_id, events.session),
        _text(who.session_id, events.session),
        _varint(events.kind),
        _text(skus(settings.taste), events.item),
        *_optional(events.quantity > 0, _varint(events.quantity)),
        *_optional(listed, _text(np.array(SLOTS, bytes), who.slot[events.session])),
        *_optional(listed, _text(np.array([version(day)], bytes), np.zeros_like(events.kind))),
        *_optional(listed, _text(np.array(ARMS, bytes), who.arm[events.session])),
        *_optional(listed, _varint(events.position)),
        *_optional(listed, _double(events.probability)),
        *_optional(clicked, _id(ids[events.impression])),
    )
    return Messages(
        keys=who.user_id[events.session].tolist(),
        values=list(_rows(fields)),
        timestamps=time // 1000,
    )


def skus(taste: Taste) -> Texts:
    """Stock codes by product: the simulated shop's."""
    goods = make_catalogue(taste.seed)
    return goods.skus[: goods.product_count].astype(bytes)


def version(day: dt.date) -> str:
    """The version of the lists that the day shows."""
    return f"web-{day}"


def uuids(generator: np.random.Generator, count: int) -> Bytes:
    """Random UUIDs of version 4 as text, a row each."""
    drawn = generator.integers(0, 256, (count, 16), dtype=np.uint8)
    drawn[:, 6] = drawn[:, 6] & 0x0F | 0x40
    drawn[:, 8] = drawn[:, 8] & 0x3F | 0x80
    texts = np.full((count, ID_LENGTH), ord("-"), dtype=np.uint8)
    places = [at for at in range(ID_LENGTH) if at not in _DASHES]
    texts[:, places] = _HEX[drawn].reshape(count, 32)
    return texts


def _rows(fields: tuple[Field, ...]) -> Iterator[bytes]:
    written = np.concatenate([flags for _, flags in fields], axis=1)
    text = np.concatenate([field for field, _ in fields], axis=1)[written].tobytes()
    start = 0
    for end in np.cumsum(written.sum(axis=1)).tolist():
        yield text[start:end]
        start = end


def _header(count: int) -> Field:
    begins = np.frombuffer(header(SCHEMA_ID), np.uint8)
    return _fixed(np.broadcast_to(begins, (count, len(begins))))


def _fixed(field: Bytes) -> Field:
    return field, np.ones(field.shape, dtype=bool)


def _varint(values: Numbers) -> Field:
    """Avro's integers: the sign last, seven bits a byte, the lowest first."""
    left = (values << 1 ^ values >> 63).astype(np.uint64)
    parts, flags = [], [np.ones(len(left), dtype=bool)]
    while True:
        rest = left >> np.uint64(7)
        parts.append((left & np.uint64(0x7F)).astype(np.uint8) | (rest > 0).astype(np.uint8) << 7)
        if not rest.any():
            return np.stack(parts, 1), np.stack(flags, 1)
        flags.append(rest > 0)
        left = rest


def _text(texts: Texts, which: Numbers) -> Field:
    """Texts of ASCII, each with its length before it."""
    chars = texts.view(np.uint8).reshape(len(texts), -1)
    lengths, digits = _varint(np.char.str_len(texts))
    written = np.arange(chars.shape[1]) < np.char.str_len(texts)[:, None]
    field = np.concatenate([lengths, chars], axis=1)
    return field[which], np.concatenate([digits, written], axis=1)[which]


def _id(ids: Bytes) -> Field:
    return _fixed(np.insert(ids, 0, ID_LENGTH * 2, axis=1))


def _double(values: Draws) -> Field:
    return _fixed(values.astype("<f8").view(np.uint8).reshape(len(values), 8))


def _optional(there: Flags, field: Field) -> tuple[Field, Field]:
    """The branch of a union with null, then the field where there is one."""
    branch = _varint(there.astype(np.int64))
    return branch, (field[0], field[1] & there[:, None])
