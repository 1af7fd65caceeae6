"""A put that is stored once: the one way by which writers of the lake agree who was first."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

# S3 refuses a conditional put by 412 where the key is taken, and by 409 (ConditionalRequestConflict)
# where another put or delete of it is under way. S3Proxy's 412 has no <Condition>, by which s3fs would
# know it, so the status tells.
_REFUSED = frozenset({409, 412})
_TRIES = 3


def put_once(files: AbstractFileSystem, uri: str, body: bytes) -> bool:
    """Stores ``body`` where nothing is; True when it is there now, False when something else is.

    An answer can be lost after the put was stored, and a client then tries again and is refused: so
    what is there is read before a failure counts, and the own content is a success. ``body`` must
    therefore be another for each writer that may not share it. Raises what the store raised.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            _create(files, uri, body)
        except Exception as error:
            try:
                held: bytes | None = files.cat_file(uri)
            except FileNotFoundError:
                held = None
            except Exception:
                raise error from None  # the store does not answer: the first error is the cause
            if held == body:
                return True
            if not _refused(error):
                raise
            if held is not None:
                return False
            # Refused, and nothing is there: the other put failed, or is not finished.
            if attempt == _TRIES:
                raise
        else:
            return True
    raise AssertionError("unreachable")


def _create(files: AbstractFileSystem, uri: str, body: bytes) -> None:
    # Here, since who only reads a landing store needs none of its 7 MiB.
    from fsspec.implementations.local import LocalFileSystem

    if not isinstance(files, LocalFileSystem):
        files.pipe_file(uri, body, mode="create")
        return
    # fsspec looks for the file first and then writes: another writer may come between. A hard link is
    # refused where its name is taken, and shows the file whole or not at all.
    path = Path(files._strip_protocol(uri))
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        written.write_bytes(body)
        os.link(written, path)
    finally:
        written.unlink(missing_ok=True)


def _refused(error: Exception) -> bool:
    return isinstance(error, FileExistsError) or http_status(error) in _REFUSED


def http_status(error: Exception) -> int | None:
    """The status of S3's answer, of an error that s3fs made of it; None where there was no answer."""
    response = getattr(error.__cause__, "response", None) or {}
    status: int | None = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status
