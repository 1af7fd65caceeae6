"""The next items of an iterator, read while the one before them is worked on."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import TypeVar

_Item = TypeVar("_Item")


def ahead(items: Iterable[_Item], held: int = 1) -> Iterator[_Item]:
    """Yields the same items and raises the same error in the same place, read in threads while the caller has the
    one before; so many are held beside that at most.

    The first is read in the caller's thread: what a source looks up when it begins, such as a connection, may
    belong to that. A caller that ends early waits for nothing: what is being read then is read to its end, as
    by a thread that keeps no process alive, and dropped once so many are held. No thread waits for the caller.
    """
    source = iter(items)
    found: deque[Future[tuple[_Item] | None]] = deque()
    changed, reading = threading.Condition(), False

    def read() -> None:
        nonlocal reading
        while True:
            coming = _read(source)
            with changed:
                found.append(coming)
                reading = len(found) < held and not _is_last(coming)
                changed.notify()
                if not reading:
                    return

    coming = _read(source)
    while (item := coming.result()) is not None:
        with changed:
            if not reading and not any(map(_is_last, found)):
                reading = True
                # The context holds whose log a message is for.
                threading.Thread(
                    target=contextvars.copy_context().run, args=(read,), name="ahead", daemon=True
                ).start()
        yield item[0]
        with changed:
            changed.wait_for(lambda: found)
            coming = found.popleft()


def _is_last(coming: Future[tuple[_Item] | None]) -> bool:
    return coming.exception() is not None or coming.result() is None


def _read(source: Iterator[_Item]) -> Future[tuple[_Item] | None]:
    """The next item, alone in a tuple; None at the end."""
    into: Future[tuple[_Item] | None] = Future()
    try:
        into.set_result((next(source),))
    except StopIteration:
        into.set_result(None)
    except BaseException as error:
        into.set_exception(error)
    return into
