"""The file that is baked at publish: what the API answers with where Valkey has nothing for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel

from feira.core.errors import PermanentError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


class Baked(BaseModel):
    """The lists for everyone: of each slot the items, best first."""

    version: str
    everyone: dict[str, list[str]]


class NotBakedError(PermanentError, FileNotFoundError):
    """There is no file of that version."""


def served_path(root: str) -> str:
    """Where the API reads it, in the lake of that root."""
    return f"{root}/recommendations/served.json"


def version_path(root: str, version: str) -> str:
    """Where that of one version stays."""
    return f"{root}/recommendations/{version}/everyone.json"


def served_in_file(files: AbstractFileSystem, root: str) -> set[str]:
    """The version of the file that the API reads, if there is one; raises ValueError where it cannot be read."""
    try:
        return {Baked.model_validate_json(files.cat_file(served_path(root))).version}
    except FileNotFoundError:
        return set()


def bake(
    files: AbstractFileSystem, root: str, version: str, everyone: Mapping[str, Sequence[str]]
) -> str:
    """Writes the file of a version that is served, and what the API reads; returns where the latter is."""
    content = Baked(version=version, everyone={slot: list(it) for slot, it in everyone.items()})
    for path in (version_path(root, version), served_path(root)):
        files.pipe_file(path, content.model_dump_json().encode())
    return served_path(root)


def bake_again(files: AbstractFileSystem, root: str, version: str) -> None:
    """Lets the API read the file of an earlier version; raises NotBakedError where it has none."""
    try:
        content = files.cat_file(version_path(root, version))
    except FileNotFoundError as error:
        raise NotBakedError(f"{version_path(root, version)} is not there.") from error
    files.pipe_file(served_path(root), content)
