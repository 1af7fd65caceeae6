"""Models as files: arrays as npz without pickle, LightGBM's as its text, each with its SHA-256 in ``models.json``.

``models.json`` is written last: without it the models are not finished.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import IO, Any

import numpy as np
from fsspec import AbstractFileSystem
from scipy import sparse

from feira.core.errors import PermanentError
from feira.recommendations.candidates.als import Factors
from feira.recommendations.candidates.counts import OfPairs, SameForAll
from feira.recommendations.candidates.item_item import ByItems
from feira.recommendations.candidates.reranked import ByRanker, Offers
from feira.recommendations.candidates.spark_als import ByFactors
from feira.recommendations.candidates.tifu_knn import Habits

_KINDS = {
    kind.__name__: kind
    for kind in (SameForAll, OfPairs, ByItems, Habits, Factors, ByFactors, Offers, ByRanker)
}
_NAMED = "models.json"
_CHUNK = 1 << 20
_CSR = ("indptr", "indices", "data")


class ModelFileError(PermanentError):
    """A file of the models is not as it was written; the message names it, what it should be and what it is."""


def leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """What a model holds, in the order of its fields: the arrays and the text, each by a name. Of a sparse
    matrix the offsets of its rows, its columns and its values."""
    if is_dataclass(value):
        for field in fields(value):
            yield from leaves(getattr(value, field.name), f"{name}.{field.name}")
    elif isinstance(value, tuple):
        for place, each in enumerate(value):
            yield from leaves(each, f"{name}.{place}")
    elif sparse.issparse(value):
        for part in _CSR:
            yield f"{name}.{part}", getattr(value, part)
    else:
        yield name, value if isinstance(value, str) else np.asarray(value)


def write(
    files: AbstractFileSystem, folder: str, models: Mapping[str, Any], about: Mapping[str, Any]
) -> None:
    """Writes models by name, and ``about`` beside them."""
    written = {}
    for name, model in models.items():
        held = dict(leaves(model, name))
        arrays = {each: value for each, value in held.items() if not isinstance(value, str)}
        with files.open(f"{folder}/{name}.npz", "wb") as file:
            counted = _Counted(file)
            np.savez(counted, allow_pickle=False, **arrays)
        written[f"{name}.npz"] = counted.figures()
        for each, text in held.items():
            if isinstance(text, str):
                with files.open(f"{folder}/{each}.txt", "wb") as file:
                    counted = _Counted(file)
                    counted.write(text.encode())
                written[f"{each}.txt"] = counted.figures()
    named = {
        "about": about,
        "files": written,
        "models": {name: _shape(model) for name, model in models.items()},
    }
    files.pipe_file(f"{folder}/{_NAMED}", json.dumps(named, indent=2, sort_keys=True).encode())


def read(files: AbstractFileSystem, folder: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The models by name and what is written about them; None where they are not finished.

    :raises ModelFileError: where a file is not there, or not as it was written
    """
    try:
        body = files.cat_file(f"{folder}/{_NAMED}")
    except FileNotFoundError:
        return None
    try:
        named = json.loads(body)
        expected = {name: dict(each) for name, each in named["files"].items()}
        shapes, about = dict(named["models"]), dict(named["about"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(f"{folder}/{_NAMED} is not what was written: {error!r}.") from error
    held: dict[str, Any] = {}
    for name, figures in expected.items():
        with tempfile.TemporaryFile() as copy:
            found = _copied(files, f"{folder}/{name}", copy)
            if found != figures:
                raise ModelFileError(
                    f"{folder}/{name}: {_NAMED} names {figures}, found {found or 'no such file'}."
                )
            copy.seek(0)
            try:
                held |= _loaded(name, copy)
            except (ValueError, zipfile.BadZipFile) as error:
                raise ModelFileError(f"{folder}/{name} holds no model: {error}") from error
    try:
        return {name: _built(shape, name, held) for name, shape in shapes.items()}, about
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{folder}/{_NAMED} names what is not there: {error!r}.") from error


def _loaded(name: str, file: IO[bytes]) -> dict[str, Any]:
    if not name.endswith(".npz"):
        return {name.removesuffix(".txt"): file.read().decode()}
    with np.load(file, allow_pickle=False) as arrays:
        return {each: arrays[each] for each in arrays.files}


def _shape(value: Any) -> Any:
    """How a value is put together from its leaves, for JSON."""
    if is_dataclass(value):
        return {
            "kind": type(value).__name__,
            "of": {field.name: _shape(getattr(value, field.name)) for field in fields(value)},
        }
    if isinstance(value, tuple):
        return [_shape(each) for each in value]
    if sparse.issparse(value):
        return {"csr": list(value.shape)}
    return {"number": value} if isinstance(value, int | float) else None


def _built(shape: Any, name: str, held: Mapping[str, Any]) -> Any:
    if shape is None:
        return held[name]
    if isinstance(shape, list):
        return tuple(_built(each, f"{name}.{place}", held) for place, each in enumerate(shape))
    if "kind" in shape:
        parts = shape["of"].items()
        return _KINDS[shape["kind"]](
            **{part: _built(each, f"{name}.{part}", held) for part, each in parts}
        )
    if "csr" in shape:
        offsets, columns, values = (held[f"{name}.{part}"] for part in _CSR)
        return sparse.csr_array((values, columns, offsets), tuple(shape["csr"]))
    return shape["number"]


class _Counted:
    """Writes on, and knows size and SHA-256. It has no ``seek``, so that what was written stays so."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._digest, self._bytes = file, hashlib.sha256(), 0

    def write(self, data: Any) -> int:
        self._digest.update(data)
        self._bytes += memoryview(data).nbytes
        self._file.write(data)
        return memoryview(data).nbytes

    def flush(self) -> None:
        """The file is flushed when it is closed."""

    def read(self, *_: Any) -> bytes:
        """NumPy takes for a file what has this."""
        raise NotImplementedError

    def figures(self) -> dict[str, Any]:
        return {"bytes": self._bytes, "sha256": self._digest.hexdigest()}


def _copied(files: AbstractFileSystem, path: str, copy: IO[bytes]) -> dict[str, Any] | None:
    counted = _Counted(copy)
    try:
        with files.open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                counted.write(chunk)
    except FileNotFoundError:
        return None
    return counted.figures()
