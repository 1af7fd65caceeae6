"""What happens to messages on their way: some come late, twice, in another order, or spoiled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from feira_local.web.settings import Disorder
from feira_local.web.wire import Messages

MINUTES = 10 * 60_000
DAY = 86_400_000
# Header, a length of one byte, the identifier: the time is next, in eight bytes for centuries around now.
_TIME = slice(42, 50)


def _redated(value: bytes) -> bytes:
    """The same event a day later."""
    digits, shifted = value[_TIME], 0
    for at, byte in enumerate(digits):
        shifted |= (byte & 0x7F) << 7 * at
    shifted += 2 * DAY * 1000
    again = bytes((shifted >> 7 * at & 0x7F) | (0x80 if at < 7 else 0) for at in range(8))
    return value[: _TIME.start] + again + value[_TIME.stop :]


SPOILED: dict[str, Callable[[bytes], bytes | None]] = {
    "cut": lambda value: value[: len(value) // 2],
    "longer": lambda value: value + b"\x00",
    "another magic byte": lambda value: b"\x01" + value[1:],
    "another schema": lambda value: value[:1] + b"\x00\x00\x00\x63" + value[5:],
    "json": lambda value: b'{"event_id": "' + value[6:42] + b'", "event_type": "vi',
    "null": lambda _: None,
    "empty": lambda _: b"",
    # 36 characters are said to be 8 EiB, or none at all and -5.
    "endless text": lambda value: (
        value[:5] + b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01" + value[6:]
    ),
    "negative length": lambda value: value[:5] + b"\x09" + value[6:],
    "of another day": lambda value: (
        value[: _TIME.start] + b"\x80" * 7 + b"\x01" + value[_TIME.stop :]
    ),
}
KINDS = tuple(SPOILED)


def disordered(
    found: Messages, disorder: Disorder, generator: np.random.Generator
) -> tuple[Messages, Counter[str]]:
    """The messages as they are sent, and how many of them are of which kind.

    In the order of their sending, which is that of their times but for those that come later, again or
    both. What is spoiled is not sent otherwise.
    """
    count = len(found.values)
    spoiled = np.flatnonzero(generator.random(count) < disorder.malformed)
    kinds = generator.integers(len(KINDS), size=len(spoiled))
    values: list[bytes | None] = list(found.values)
    for at, kind in zip(spoiled.tolist(), kinds.tolist(), strict=True):
        values[at] = SPOILED[KINDS[kind]](found.values[at])
    again = np.flatnonzero(generator.random(count) < disorder.duplicate)
    behind = generator.random(count) < disorder.out_of_order
    delay = np.where(behind, MINUTES * generator.random(count), 0)
    which = np.concatenate([np.arange(count), again])
    repeated = found.timestamps[again] + MINUTES * generator.random(len(again))
    order = which[np.argsort(np.concatenate([found.timestamps + delay, repeated]), kind="stable")]
    taken = order.tolist()
    counts = Counter({"duplicate": len(again), "out_of_order": int(behind.sum())})
    counts.update(f"malformed: {KINDS[kind]}" for kind in kinds.tolist())
    sent = Messages(
        keys=[found.keys[at] for at in taken],
        values=[values[at] for at in taken],
        timestamps=found.timestamps[order],
    )
    return sent, counts


def redated(found: Messages, count: int) -> Messages:
    """Some of the messages, evenly apart, as they are sent again a day later."""
    taken = list(range(0, len(found.values), max(1, len(found.values) // max(count, 1))))[:count]
    return Messages(
        keys=[found.keys[at] for at in taken],
        values=[_redated(found.values[at] or b"") for at in taken],
        timestamps=found.timestamps[taken] + DAY,
    )
