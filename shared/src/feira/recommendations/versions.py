"""Versions of the lists as files of the lake: whose each is, and what it holds once it is finished.

Below ``<lake>/recommendations/<version>/``: ``version.json`` (the run that has it, put once), ``models/`` and
``card.md``, ``lists.parquet``, beside it ``goes_with.parquet``, ``purchases.parquet``, ``segments.parquet`` and
``names.parquet``, and last ``finished.json``. Killed anywhere, the same run takes the same version again and goes on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from feira.core.errors import PermanentError
from feira.core.landing.put_once import put_once
from feira.recommendations import goes_with, purchases, segments
from feira.recommendations.card import card
from feira.recommendations.interactions import Interactions
from feira.recommendations.lists import ROWS, chosen, history_of, rows_of
from feira.recommendations.segments import NO_SEGMENTS, Segments
from feira.recommendations.training import trained

NAMES = pa.schema([("sku", pa.string()), ("name", pa.string())])
_MOST_A_DAY = 999
_NAME = re.compile(r"\d{4}-\d{2}-\d{2}-\d{3}")
_ROW_GROUP = 1_000_000
_CARD = "card.md"


class VersionError(PermanentError, RuntimeError):
    """A version of the lists cannot be had; the message names it and why."""


@dataclass(frozen=True)
class Version:
    """A version, which sorts as text by day and then by when it was begun.

    :param sources: what the lists are made from, by name: snapshots of tables
    """

    version: str
    as_of: str
    run_id: str
    created_at: str
    sources: Mapping[str, Any]

    @property
    def day(self) -> date:
        return date.fromisoformat(self.as_of)


@dataclass(frozen=True)
class Finished:
    """A version whose lists are in ``parquet`` (a URI), of so many ``bytes``.

    :param lists: those that hold an item; that of unknown users is one of them, and one a segment
    :param users: those that have a list, the unknown ones not counted
    :param candidates: of each slot the candidate with its parameters
    :param model_hash: as ``Models.hash``; of no interactions None
    :param beside: the other files of the version's folder by name, with their bytes
    """

    version: str
    parquet: str
    bytes: int
    interactions: int
    users: int
    items: int
    lists: int
    rows: int
    candidates: Mapping[str, Any]
    model_hash: str | None
    beside: Mapping[str, int] = field(default_factory=dict)

    @property
    def goes_with(self) -> str | None:
        """The file of what goes with what; None of a version that has none."""
        return self._beside("goes_with.parquet")

    @property
    def segments(self) -> str | None:
        """The file of the segments of users without a list; None of a version that has none."""
        return self._beside("segments.parquet")

    def _beside(self, name: str) -> str | None:
        return f"{self.parquet.rpartition('/')[0]}/{name}" if name in self.beside else None


@dataclass(frozen=True)
class ListStore:
    """The versions of a lake."""

    files: AbstractFileSystem
    lake: str

    def folder(self, version: str) -> str:
        return f"{self.lake}/recommendations/{version}"

    def card(self, version: str) -> str:
        """The version's model card, as Markdown.

        :raises VersionError: where it has none
        """
        path = self._file(version, _CARD)
        try:
            return str(self.files.cat_file(path).decode())
        except FileNotFoundError:
            raise VersionError(
                f"Lists {version}: there is no {path}. No such version was made here, or before there were "
                "model cards."
            ) from None

    def names(self) -> list[str]:
        """Every version that was begun, the oldest first; those that are removed are among them."""
        try:
            listed = self.files.ls(self.folder("").rstrip("/"), detail=False)
        except FileNotFoundError:
            return []
        names = (path.rstrip("/").rpartition("/")[2] for path in listed)
        return sorted(name for name in names if _NAME.fullmatch(name))

    def removed(self, version: str) -> str | None:
        """When its lists were removed, as ``removal`` does; None where they were not."""
        try:
            held = json.loads(self.files.cat_file(self.removed_path(version)))
        except FileNotFoundError:
            return None
        return str(held["removed_at"])

    def removed_path(self, version: str) -> str:
        return self._file(version, "removed.json")

    def version(self, version: str) -> Version | None:
        """A version that was begun; None where it was not."""
        try:
            held = self.files.cat_file(self._file(version, "version.json"))
        except FileNotFoundError:
            return None
        return Version(**json.loads(held))

    def claim(self, day: date, run_id: str, sources: Mapping[str, Any]) -> Version:
        """The version that this run makes of these sources: the one that it has, else the day's next.

        :raises VersionError: where the day has no further one
        """
        for number in range(1, _MOST_A_DAY + 1):
            version = f"{day.isoformat()}-{number:03d}"
            now = datetime.now(UTC).isoformat(timespec="microseconds")
            own = Version(version, day.isoformat(), run_id, now, dict(sources))
            if put_once(self.files, self._file(version, "version.json"), _json(own)):
                return own
            found = self.version(version)
            if found is None or self.removed(version) is not None:
                continue
            if (found.run_id, found.sources) == (own.run_id, own.sources):
                return found
        raise VersionError(
            f"recommendations {day}: the day has its {_MOST_A_DAY} versions of lists, and no more can be "
            f"made; remove some below {self.lake}/recommendations."
        )

    def read(self, version: str) -> tuple[Version, Finished]:
        """A version that is finished.

        :raises VersionError: where it is not, its lists are not as they were written, or they were removed
        """
        if removed := self.removed(version):
            raise VersionError(
                f"Lists {version} were removed on {removed[:10]}, since they were old and neither published nor "
                "approved of; make the day's lists again."
            )
        begun, finished = self.version(version), self.finished(version)
        if begun is None or finished is None:
            raise VersionError(
                f"Lists {version}: {self.folder(version)} has not every file of the size that "
                "finished.json names. One was removed or changed; make the lists again."
            )
        return begun, finished

    def finished(self, version: str) -> Finished | None:
        """What the version holds; None while it is not finished, or where its file is not as it was."""
        try:
            found = Finished(
                **json.loads(self.files.cat_file(self._file(version, "finished.json")))
            )
            sizes = {found.parquet: found.bytes} | {
                self._file(version, name): size for name, size in found.beside.items()
            }
            whole = all(self.files.size(path) == size for path, size in sizes.items())
        except FileNotFoundError:
            return None
        return found if whole else None

    def users(self, version: str) -> int | None:
        """How many users have a list of a version, or had before its lists were removed; None of one that is not
        finished."""
        try:
            held = json.loads(self.files.cat_file(self._file(version, "finished.json")))
        except FileNotFoundError:
            return None
        return int(held["users"])

    def make(
        self,
        version: Version,
        all_of: Interactions,
        known: Segments = NO_SEGMENTS,
        names: Iterable[pa.RecordBatch] = (),
    ) -> Finished:
        """Makes the lists as of the version's day, and finishes it; in the file its rows are in the order of
        slot, user, segment and position.

        :param names: of products, as ``NAMES``
        """
        parquet = self._file(version.version, "lists.parquet")
        history = history_of(all_of, version.day)
        learned = (
            trained(self.files, self._file(version.version, "models"), history)
            if len(history.days)
            else None
        )
        described = card(version.version, version.sources, history, learned)
        self.files.pipe_file(self._file(version.version, _CARD), described.encode())
        lists = rows = 0
        with self.files.open(parquet, "wb") as file, pq.ParquetWriter(file, ROWS) as writer:
            if learned is not None:
                batches: list[pa.RecordBatch] = []
                for batch in rows_of(learned.models, history, known.categories):
                    batches.append(batch)
                    rows += len(batch)
                    lists += pc.sum(pc.equal(batch["position"], 1)).as_py() or 0
                    if sum(map(len, batches)) >= _ROW_GROUP:
                        writer.write_table(pa.Table.from_batches(batches))
                        batches.clear()
                writer.write_table(pa.Table.from_batches(batches, ROWS))
        others = {
            "goes_with.parquet": (goes_with.ROWS, goes_with.rows(history)),
            "purchases.parquet": (purchases.ROWS, purchases.rows(history)),
            "segments.parquet": (segments.ROWS, segments.rows(known, history)),
            "names.parquet": (NAMES, (batch.select(NAMES.names).cast(NAMES) for batch in names)),
        }
        beside = {
            name: self._write_rows(self._file(version.version, name), *of_file)
            for name, of_file in others.items()
        }
        finished = Finished(
            version=version.version,
            parquet=parquet,
            bytes=self.files.size(parquet),
            interactions=len(history.days),
            users=len(history.user_ids),
            items=len(history.item_ids),
            lists=lists,
            rows=rows,
            candidates=(learned.method if learned else chosen(history)).described(),
            model_hash=learned.models.hash() if learned else None,
            beside=beside,
        )
        self.files.pipe_file(self._file(version.version, "finished.json"), _json(finished))
        return finished

    def _write_rows(self, path: str, schema: pa.Schema, rows: Iterable[pa.RecordBatch]) -> int:
        """Writes a file, of each batch a row group; returns its bytes."""
        with self.files.open(path, "wb") as file, pq.ParquetWriter(file, schema) as writer:
            for batch in rows:
                writer.write_batch(batch)
        return int(self.files.size(path))

    def _file(self, version: str, name: str) -> str:
        return f"{self.folder(version)}/{name}"


def _json(value: Version | Finished) -> bytes:
    return json.dumps(asdict(value), indent=2, sort_keys=True).encode() + b"\n"
