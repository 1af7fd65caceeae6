"""A manifest: the list of files that make a dataset complete, in the form that Redshift writes and reads.

The form is that of ``UNLOAD … MANIFEST VERBOSE`` and of ``COPY … MANIFEST``, with a SHA-256 beside
the sizes::

    {"entries": [{"url": "s3://lake/orders/part-0.parquet", "mandatory": true,
                  "meta": {"content_length": 812, "record_count": 40, "sha256": "9f86…"}}],
     "meta": {"content_length": 812, "record_count": 40}}

Manifests of other make are read too: lists of objects with ``url``, or ``name`` beside the manifest,
``bytes``, ``lines`` or ``rows``, and ``sha256``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson


class ManifestError(ValueError):
    """A manifest cannot be read; the message names it, the entry and what is wrong."""


@dataclass(frozen=True)
class ListedFile:
    """A file that a manifest lists. None stands for what the manifest does not state."""

    url: str
    size: int | None = None
    """Bytes of the file as it is stored."""
    rows: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class FileManifest:
    """The files of a dataset, in order."""

    url: str
    files: tuple[ListedFile, ...]

    @property
    def rows(self) -> int | None:
        """Rows in all files; None where one of them states no count."""
        return _sum(file.rows for file in self.files)

    @property
    def size(self) -> int | None:
        """Bytes of all files; None where one of them states no size."""
        return _sum(file.size for file in self.files)

    def to_json(self) -> bytes:
        """The manifest as it is stored; the same files give the same bytes."""
        document = {
            "entries": [
                {
                    "url": file.url,
                    "mandatory": True,
                    "meta": _stated(
                        content_length=file.size, record_count=file.rows, sha256=file.sha256
                    ),
                }
                for file in self.files
            ],
            "meta": _stated(content_length=self.size, record_count=self.rows),
        }
        return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def read_manifest(body: bytes, url: str, files_at: Iterable[str] = ("entries",)) -> FileManifest:
    """The manifest that stands in ``body``.

    :param body: the JSON document
    :param url: where it was read from; names without ``s3://`` are beside it
    :param files_at: the document's fields that list files, or hold one
    :raises ManifestError: where it is no JSON, a field is missing, or an entry is not usable
    """
    try:
        document = orjson.loads(body)
    except ValueError as error:
        raise ManifestError(f"{url} is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise ManifestError(f"{url} holds a {type(document).__name__}; a manifest is an object.")
    files_at = tuple(files_at)
    files: list[ListedFile] = []
    for field in files_at:
        if field not in document:
            raise ManifestError(
                f"{url} has no field {field!r}; it has {', '.join(sorted(document)) or 'none'}."
            )
        listed = document[field]
        for entry in listed if isinstance(listed, list) else [listed]:
            files.append(_file(entry, url))
    seen: set[str] = set()
    for file in files:
        if file.url in seen:
            raise ManifestError(f"{url} lists {file.url} twice.")
        seen.add(file.url)
    manifest = FileManifest(url, tuple(files))
    if files_at == ("entries",) and isinstance(document.get("meta"), dict):
        # What the whole states must be what its parts state: else a file was left off the list.
        for name, total in (("record_count", manifest.rows), ("content_length", manifest.size)):
            stated = _count(document["meta"], url, "the whole", name)
            if None not in (stated, total) and stated != total:
                raise ManifestError(
                    f"{url} states a {name} of {stated} for the whole, and {total} over its entries."
                )
    return manifest


def _file(entry: object, manifest_url: str) -> ListedFile:
    if not isinstance(entry, dict):
        raise ManifestError(f"{manifest_url}: entry {entry!r} is not an object.")
    place = entry.get("url") or entry.get("name")
    if not isinstance(place, str) or not place:
        raise ManifestError(f"{manifest_url}: an entry has neither url nor name.")
    url = place if "://" in place else f"{manifest_url.rpartition('/')[0]}/{place}"
    if not url.startswith("s3://"):
        raise ManifestError(f"{manifest_url}: {url} is not on S3.")
    if {".", ".."} & set(url.split("/")):
        raise ManifestError(
            f"{manifest_url}: {place!r} leaves its folder; a name has no . or .. part."
        )
    meta = entry.get("meta")
    facts = {**entry, **meta} if isinstance(meta, dict) else entry
    digest = facts.get("sha256")
    if digest is not None and not isinstance(digest, str):
        raise ManifestError(f"{manifest_url}: {url} has sha256 {digest!r}; it must be a text.")
    if digest and not re.fullmatch("[0-9a-fA-F]{64}", digest):
        raise ManifestError(f"{manifest_url}: {url} has sha256 {digest!r}; it is 64 hex digits.")
    return ListedFile(
        url=url,
        size=_count(facts, manifest_url, url, "content_length", "bytes"),
        rows=_count(facts, manifest_url, url, "record_count", "rows", "lines"),
        sha256=digest.lower() if digest else None,
    )


def _count(facts: Mapping[str, Any], manifest_url: str, url: str, *names: str) -> int | None:
    for name in names:
        value = facts.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ManifestError(
                f"{manifest_url}: {url} has {name} {value!r}; it must be a whole number from 0."
            )
        return value
    return None


def _sum(values: Iterable[int | None]) -> int | None:
    total = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def _stated(**facts: int | str | None) -> dict[str, int | str]:
    return {name: value for name, value in facts.items() if value is not None}
