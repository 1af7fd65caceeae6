"""A manifest: the list of files that make a dataset complete, in the form that Redshift writes and reads.

The form is that of ``UNLOAD … MANIFEST VERBOSE`` and of ``COPY … MANIFEST``, with a SHA-256 beside
the sizes. A landing's manifest has the landing's own facts, and its companions, beside that list::

    {"entries": [{"url": "s3://lake/orders/page-00001.ndjson.gz", "mandatory": true,
                  "meta": {"content_length": 812, "record_count": 40, "sha256": "9f86…"}}],
     "meta": {"content_length": 812, "record_count": 40},
     "author": {"name": "feira", "version": "2"},
     "landing": {"dataset": "orders", "extract_day": "2010-12-01", …,
                 "companions": {"rates": {"url": …, "meta": …}}}}

Others are read too: version 1 of a landing's (``pages`` and ``rates``), and manifests of another make,
which list objects with ``url``, or ``name`` beside the manifest, ``bytes``, ``lines`` or ``rows``, and
``sha256``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Self, TypeVar

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from feira.core.repeated_keys import repeated_key

_T = TypeVar("_T")
_AUTHOR = {"name": "feira", "version": "2"}
_ENTRIES = ("entries",)
_SIZE, _ROWS = ("content_length", "bytes"), ("record_count", "rows", "lines")


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

    @property
    def name(self) -> str:
        """The last part of its URL."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class FileManifest:
    """The files of a dataset, in order.

    ``companions`` are documents that were landed beside them; ``landing`` are the facts of a landing,
    None where the manifest is of no landing.
    """

    url: str
    files: tuple[ListedFile, ...]
    companions: Mapping[str, ListedFile] = field(default_factory=dict)
    landing: Mapping[str, Any] | None = None

    @property
    def listed(self) -> tuple[ListedFile, ...]:
        """All that must be there: the files and their companions."""
        return (*self.files, *self.companions.values())

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
        document: dict[str, Any] = {
            "entries": [_entry(file) for file in self.files],
            "meta": _stated(content_length=self.size, record_count=self.rows),
            "author": _AUTHOR,
        }
        if self.landing is not None:
            companions = {name: _entry(file) for name, file in self.companions.items()}
            document["landing"] = {**self.landing, "companions": companions}
        return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def _day(value: Any) -> Any:
    return date.fromisoformat(value) if isinstance(value, str) else value


class Manifest(BaseModel):
    """A complete landing. It is written last, so a landing that has one is whole."""

    model_config = ConfigDict(frozen=True, strict=True)

    dataset: str
    extract_day: Annotated[date, BeforeValidator(_day)]
    version: int
    contract_version: str
    fields: list[str]
    total: int
    requested_by: str
    """The run that landed it: its retries reuse the landing instead of making another."""
    files: tuple[ListedFile, ...]
    """Its pages, in the source's order."""
    companions: dict[str, ListedFile]

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        for file in self.files:
            if file.rows is None or file.sha256 is None:
                raise ValueError(f"{file.name} has no count or no SHA-256")
        if self.lines != self.total:
            raise ValueError(f"its files hold {self.lines} lines, its total is {self.total}")
        return self

    @property
    def lines(self) -> int:
        """Lines in all pages."""
        return sum(file.rows or 0 for file in self.files)

    @classmethod
    def read(cls, body: bytes, url: str) -> Self:
        """The landing that a manifest states.

        :raises ManifestError: where it is none that can be read
        :raises ValidationError: where a fact of the landing is missing or of another type
        """
        found = read_manifest(body, url)
        if found.landing is None:
            raise ManifestError(f"{url} is the manifest of no landing.")
        return cls(**{**found.landing, "files": found.files, "companions": found.companions})

    def to_json(self, url: str) -> bytes:
        """The manifest as it is stored at ``url``."""
        facts = self.model_dump(mode="json", exclude={"files", "companions"})
        return FileManifest(url, self.files, self.companions, facts).to_json()


class Validation(BaseModel):
    """What validation found in a landing, and whether the landing passed the gate."""

    model_config = ConfigDict(frozen=True, strict=True)

    dataset: str
    extract_day: date
    version: int
    contract_version: str
    total: int
    valid: int
    broken: dict[str, int]
    """Rows that break each rule; a row may break several."""
    max_invalid_percent: Annotated[float, Field(ge=0, le=100)]
    passed: bool
    staged: str | None = None
    """The table that holds the rows as they were judged; None where it had a name that another try may take."""

    @model_validator(mode="after")
    def _is_so(self) -> Self:
        if not 0 <= self.valid <= self.total:
            raise ValueError(f"{self.valid} of {self.total} lines cannot be valid")
        if self.passed != passes_gate(self.total, self.quarantined, self.max_invalid_percent):
            raise ValueError(f"passed is {self.passed}, and it has {self.summary()}")
        return self

    @property
    def quarantined(self) -> int:
        """Rows that break at least one rule."""
        return self.total - self.valid

    def summary(self) -> str:
        """``5.9 % of 3,108 lines invalid (limit 5 %): unknown_currency 120, sku_blank 63``."""
        percent = 100 * self.quarantined / self.total if self.total else 0.0
        rules = sorted(self.broken.items(), key=lambda item: (-item[1], item[0]))
        names = ", ".join(f"{name} {count:,}" for name, count in rules)
        text = (
            f"{percent:.2f} % of {self.total:,} lines invalid "
            f"(limit {self.max_invalid_percent:g} %)"
        )
        return f"{text}: {names}" if names else text


def passes_gate(total: int, invalid: int, max_invalid_percent: float) -> bool:
    """Whether at most ``max_invalid_percent`` of the lines are invalid; an empty landing passes."""
    # By the limit as it is written: 0.57 % of 10,000 are 57, and a little less as a double has it.
    return invalid * 100 <= Decimal(str(max_invalid_percent)) * total


def read_manifest(body: bytes, url: str, files_at: Iterable[str] = _ENTRIES) -> FileManifest:
    """The manifest that stands in ``body``.

    :param body: the JSON document
    :param url: where it was read from; names without a scheme are beside it
    :param files_at: the fields of a manifest of another make that list files, or hold one
    :raises ManifestError: where it is no JSON, a field is missing, an entry is not usable, or its
        version is newer than this release
    """
    try:
        orjson.loads(body)  # as strict as JSON is; the other looks at the keys
        document = json.loads(body, object_pairs_hook=lambda pairs: _distinct(pairs, url))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ManifestError(f"{url} is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise ManifestError(f"{url} holds a {type(document).__name__}; a manifest is an object.")
    files_at = tuple(files_at)
    landing: dict[str, Any] | None = None
    beside: dict[str, Any] = {}
    if files_at == _ENTRIES:
        document, landing, beside = _of_feira(document, url)
    files = tuple(_file(entry, url) for entry in _entries(document, url, files_at))
    companions = {name: _file(entry, url) for name, entry in beside.items()}
    manifest = FileManifest(url, files, companions, landing)
    seen: set[str] = set()
    for file in manifest.listed:
        if file.url in seen:
            raise ManifestError(f"{url} lists {file.url} twice.")
        seen.add(file.url)
    if files_at == _ENTRIES:
        # What the whole states must be what its parts state: else a file was left off the list.
        meta = _meta(document, url, "the whole")
        for names, total in ((_ROWS, manifest.rows), (_SIZE, manifest.size)):
            stated = _count([meta], url, "the whole", names)
            if stated is not None and stated != total:
                of_parts = "none" if total is None else total
                raise ManifestError(
                    f"{url} states a {names[0]} of {stated} for the whole, and {of_parts} over its entries."
                )
    return manifest


def _of_feira(
    document: dict[str, Any], url: str
) -> tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any]]:
    """The document with its ``entries``, the facts of a landing where it is of one, and companions."""
    if "entries" not in document and {"extract_day", "pages", "rates"} <= document.keys():
        facts = {name: value for name, value in document.items() if name not in ("pages", "rates")}
        return {"entries": document["pages"]}, facts, {"rates": document["rates"]}
    author = document.get("author")
    if not isinstance(author, dict) or author.get("name") != _AUTHOR["name"]:
        return document, None, {}
    if author.get("version") != _AUTHOR["version"]:
        raise ManifestError(
            f"{url} is a manifest of version {author.get('version')!r}; this release reads "
            f"{_AUTHOR['version']} and older. Read it with the release that wrote it."
        )
    landing = document.get("landing")
    if landing is None:
        return document, None, {}
    if not isinstance(landing, dict) or not isinstance(landing.get("companions"), dict):
        raise ManifestError(f"{url} has no usable 'landing'; it is an object with companions.")
    facts = {name: value for name, value in landing.items() if name != "companions"}
    return document, facts, landing["companions"]


def _entries(document: Mapping[str, Any], url: str, files_at: Iterable[str]) -> Iterable[object]:
    for name in files_at:
        if name not in document:
            raise ManifestError(
                f"{url} has no field {name!r}; it has {', '.join(sorted(document)) or 'none'}."
            )
        listed = document[name]
        yield from listed if isinstance(listed, list) else [listed]


def _file(entry: object, manifest_url: str) -> ListedFile:
    if not isinstance(entry, dict):
        raise ManifestError(f"{manifest_url}: entry {entry!r} is not an object.")
    place = entry.get("url") or entry.get("name")
    if not isinstance(place, str) or not place:
        raise ManifestError(f"{manifest_url}: an entry has neither url nor name.")
    url = place if "://" in place else f"{manifest_url.rpartition('/')[0]}/{place}"
    scheme = f"{manifest_url.partition('://')[0]}://"
    if not url.startswith(scheme):
        raise ManifestError(
            f"{manifest_url}: {url} is not on {'S3' if scheme == 's3://' else scheme}."
        )
    if {".", ".."} & set(url.split("/")):
        raise ManifestError(
            f"{manifest_url}: {place!r} leaves its folder; a name has no . or .. part."
        )
    if re.match("s3:///|s3://[^/]*$", url) or url.endswith("/"):
        raise ManifestError(f"{manifest_url}: {place!r} names no file; it is a folder or a bucket.")
    parts = (entry, _meta(entry, manifest_url, url))
    digests = [part["sha256"] for part in parts if part.get("sha256") is not None]
    for digest in digests:
        if not isinstance(digest, str) or not re.fullmatch("[0-9a-fA-F]{64}", digest):
            raise ManifestError(
                f"{manifest_url}: {url} has sha256 {digest!r}; it is 64 hex digits."
            )
    return ListedFile(
        url=url,
        size=_count(parts, manifest_url, url, _SIZE),
        rows=_count(parts, manifest_url, url, _ROWS),
        sha256=_one([digest.lower() for digest in digests], manifest_url, url, "sha256"),
    )


def _meta(part: Mapping[str, Any], manifest_url: str, what: str) -> Mapping[str, Any]:
    meta = part.get("meta")
    if meta is not None and not isinstance(meta, dict):
        raise ManifestError(f"{manifest_url}: {what} has a meta that is no object.")
    return meta or {}


def _entry(file: ListedFile) -> dict[str, Any]:
    meta = _stated(content_length=file.size, record_count=file.rows, sha256=file.sha256)
    return {"url": file.url, "mandatory": True, "meta": meta}


def _count(
    parts: Iterable[Mapping[str, Any]], manifest_url: str, url: str, names: Iterable[str]
) -> int | None:
    found: list[int] = []
    for part in parts:
        for name in names:
            value = part.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ManifestError(
                    f"{manifest_url}: {url} has {name} {value!r}; it must be a whole number from 0."
                )
            found.append(value)
    return _one(found, manifest_url, url, " and ".join(names))


def _one(found: Iterable[_T], manifest_url: str, url: str, what: str) -> _T | None:
    """The fact that all places state alike; None where none does."""
    stated = {*found}
    if len(stated) > 1:
        listed = ", ".join(sorted(map(str, stated)))
        raise ManifestError(f"{manifest_url}: {url} states {what} more than once: {listed}.")
    return stated.pop() if stated else None


def _distinct(pairs: list[tuple[str, Any]], url: str) -> dict[str, Any]:
    if (again := repeated_key(pairs)) is not None:
        raise ManifestError(f"{url} has {again!r} more than once: a duplicate key.")
    return dict(pairs)


def _sum(values: Iterable[int | None]) -> int | None:
    total = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def _stated(**facts: int | str | None) -> dict[str, int | str]:
    return {name: value for name, value in facts.items() if value is not None}
