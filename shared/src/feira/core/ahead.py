"""The next item of an iterator, read while the one before it is worked on."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import TypeVar

_Item = TypeVar("_Item")


def ahead(items: Iterable[_Item]) -> Iterator[_Item]:
    """Yields the same items and raises the same error in the same place, each read in a thread while the caller
    has the one before it; two are held at most.

    The first is read in the caller's thread: what a source looks up when it begins, such as a connection, may
    belong to that. A caller that ends early waits for nothing: what is being read then is read to its end, as
    by a thread that keeps no process alive, and dropped.
    """
    source = iter(items)
    coming = _read(source)
    while (item := coming.result()) is not None:
        coming = Future()
        # The context holds whose log a message is for.
        threading.Thread(
            target=contextvars.copy_context().run,
            args=(_read, source, coming),
            name="ahead",
            daemon=True,
        ).start()
        yield item[0]


def _read(
    source: Iterator[_Item], into: Future[tuple[_Item] | None] | None = None
) -> Future[tuple[_Item] | None]:
    """The next item, alone in a tuple; None at the end."""
    into = into or Future()
    try:
        into.set_result((next(source),))
    except StopIteration:
        into.set_result(None)
    except BaseException as error:
        into.set_exception(error)
    return into
