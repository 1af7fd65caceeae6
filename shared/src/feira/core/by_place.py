"""Declarations that are found by their place: a module of one name in the folders of a package."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from typing import Any, TypeVar

T = TypeVar("T")


def declarations(
    path: Sequence[str], package: str, module: str, kind: type[T], error: type[Exception]
) -> Iterator[T]:
    """What the folders of ``path`` declare, by their names: each ``<package>.<folder>.<module>`` that is
    there holds, under the module's name in capitals, a value of ``kind`` whose ``name`` is the folder's.

    :raises: an ``error`` that names the module which does not
    """
    for folder in sorted(found.name for found in pkgutil.iter_modules(path) if found.ispkg):
        # The folder's own package is not imported to look: that of a command loads all that it can do.
        within = PathFinder.find_spec(folder, path)
        if within is None or not PathFinder.find_spec(module, within.submodule_search_locations):
            continue
        name = f"{package}.{folder}.{module}"
        declared: Any = getattr(importlib.import_module(name), module.upper(), None)
        if not isinstance(declared, kind) or getattr(declared, "name", None) != folder:
            raise error(f"{name} must hold {module.upper()} = {kind.__name__}(name={folder!r}, …).")
        yield declared
