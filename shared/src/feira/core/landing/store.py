"""Where landings are in the lake, which exist, and which is a day's current one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from feira.core.errors import PermanentError, Remedy
from feira.core.landing.manifest import Manifest, ManifestError, Validation
from feira.core.landing.put_once import put_once
from feira.core.partition_keys import day_named

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_VERSION = re.compile(r"v(\d{4,})")
_M = TypeVar("_M", Manifest, Validation)


class LandingError(RuntimeError):
    """A landing could not be made or read; the message names day, version and cause."""


class DamagedLandingError(PermanentError, LandingError):
    """A file of a landing is gone, changed or unreadable; only another landing helps."""


def _of_another(found: Manifest | Validation, uri: str) -> DamagedLandingError:
    return DamagedLandingError(
        f"{uri} is of another landing, {found.dataset} {found.extract_day} version {found.version}: "
        "it was copied or moved. Restore it, or remove it."
    )


@dataclass(frozen=True)
class LandingStore:
    """The landings of one dataset below ``<lake>/landing/<dataset>/<day>/v<NNNN>/``."""

    files: AbstractFileSystem
    lake: str
    dataset: str

    def folder(self, day: date, version: int) -> str:
        """The URI of one landing."""
        return f"{self.lake}/landing/{self.dataset}/{day.isoformat()}/v{version:04d}"

    def manifest_uri(self, day: date, version: int) -> str:
        """The URI of its manifest."""
        return f"{self.folder(day, version)}/manifest.json"

    def validation_uri(self, day: date, version: int) -> str:
        """The URI of its validation."""
        return f"{self.folder(day, version)}/validation.json"

    def days(self) -> list[date]:
        """Days that have any file, complete or not, oldest first."""
        names = self._names(f"{self.lake}/landing/{self.dataset}")
        return sorted(day for name in names if (day := day_named(name)) is not None)

    def versions(self, day: date) -> list[int]:
        """Versions that have any file, complete or not, oldest first."""
        names = self._names(f"{self.lake}/landing/{self.dataset}/{day.isoformat()}")
        return sorted(int(match[1]) for name in names if (match := _VERSION.fullmatch(name)))

    def _names(self, folder: str) -> list[str]:
        self.files.invalidate_cache()
        try:
            return [path.rsplit("/", 1)[-1] for path in self.files.ls(folder, detail=False)]
        except FileNotFoundError:
            return []

    def manifest(self, day: date, version: int) -> Manifest | None:
        """The manifest of a landing; None while the landing is not complete."""
        return self._own(_manifest, self.manifest_uri(day, version), day, version)

    def validation(self, day: date, version: int) -> Validation | None:
        """The validation of a landing; None while it was not validated."""
        return self._own(_validation, self.validation_uri(day, version), day, version)

    def complete(self, day: date) -> list[Manifest]:
        """The day's complete landings, oldest first."""
        found = [self.manifest(day, version) for version in self.versions(day)]
        return [manifest for manifest in found if manifest is not None]

    def current(self, day: date) -> tuple[Manifest, Validation] | None:
        """The day's current landing: the newest that passed the gate; None where none did."""
        for manifest in reversed(self.complete(day)):
            validation = self.validation(day, manifest.version)
            if validation is not None and validation.passed:
                return manifest, validation
        return None

    def reusable(self, day: date, *, requested_by: str, refetch: bool) -> Manifest | None:
        """The landing that a run takes instead of asking the source again.

        A run's own landing first, so that its retry makes no second one; with ``refetch`` nothing
        else. Otherwise the current landing; one that was not validated yet, when it is newer; and
        where all were refused, the newest, whose refusal the run then repeats.
        """
        complete = self.complete(day)
        for manifest in reversed(complete):
            if manifest.requested_by == requested_by:
                return manifest
        if refetch or not complete:
            return None
        for manifest in reversed(complete):
            validation = self.validation(day, manifest.version)
            if validation is None or validation.passed:
                return manifest
        return complete[-1]

    def put_manifest(self, manifest: Manifest) -> str:
        """Completes a landing; raises LandingError when another writer has completed it already."""
        uri = self.manifest_uri(manifest.extract_day, manifest.version)
        if not put_once(self.files, uri, manifest.to_json(uri)):
            raise LandingError(
                f"{self.dataset} {manifest.extract_day}: landing version {manifest.version} was "
                "completed by another run at the same time; retry makes the next version."
            )
        return uri

    def put_validation(self, validation: Validation) -> str:
        """Writes what validation found, in the place of what it found before."""
        uri = self.validation_uri(validation.extract_day, validation.version)
        self.files.pipe_file(uri, validation.model_dump_json(indent=2).encode())
        return uri

    def read_manifest(self, uri: str) -> Manifest:
        """The manifest at a URI; raises DamagedLandingError where there is none."""
        manifest = self._parsed(_manifest, uri)
        if manifest is None:
            raise DamagedLandingError(f"There is no landing manifest at {uri}. Land the day again.")
        if self.manifest_uri(manifest.extract_day, manifest.version) != uri:
            raise _of_another(manifest, uri)
        return manifest

    def require_intact(self, manifest: Manifest) -> None:
        """Raises DamagedLandingError for a file that is gone, or is not the one that was landed."""
        folder = self.folder(manifest.extract_day, manifest.version)
        for file in (*manifest.files, *manifest.companions.values()):
            content = self._read(f"{folder}/{file.name}")
            found = hashlib.sha256(content).hexdigest() if content is not None else "no file"
            if found != file.sha256:
                raise DamagedLandingError(
                    f"{self.dataset} {manifest.extract_day}: {folder}/{file.name} is not what was "
                    f"landed (SHA-256 {str(file.sha256)[:12]}… in the manifest, {found[:12]} now)."
                ).fixed_by(Remedy.REFETCH, (self.dataset, str(manifest.extract_day)))

    def _own(
        self, parse: Callable[[bytes, str], _M], uri: str, day: date, version: int
    ) -> _M | None:
        found = self._parsed(parse, uri)
        if found is None or (found.dataset, found.extract_day, found.version) == (
            self.dataset,
            day,
            version,
        ):
            return found
        raise _of_another(found, uri)

    def _parsed(self, parse: Callable[[bytes, str], _M], uri: str) -> _M | None:
        text = self._read(uri)
        if text is None:
            return None
        try:
            return parse(text, uri)
        except ManifestError as error:
            cause: Exception = error
            why = str(error).removesuffix(".")
        except ValidationError as error:
            cause = error
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            why = f"{f'{where}: ' if where else ''}{first['msg']}"
        raise DamagedLandingError(
            f"{uri} ({len(text)} bytes) cannot be read: {why}. Restore it, or remove it: a landing "
            "without a manifest does not exist, and one without a validation is validated again."
        ) from cause

    def _read(self, uri: str) -> bytes | None:
        try:
            content: bytes = self.files.cat_file(uri)
        except FileNotFoundError:
            return None
        return content


def _manifest(body: bytes, uri: str) -> Manifest:
    return Manifest.read(body, uri)


def _validation(body: bytes, uri: str) -> Validation:
    return Validation.model_validate_json(body)
