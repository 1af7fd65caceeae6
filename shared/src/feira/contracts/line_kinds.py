"""The versioned list that says which stock codes are products, postage, fees and so on."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import yaml

from feira.contracts.registry import contracts_folder


@dataclass(frozen=True)
class LineKinds:
    """``exact`` maps codes to kinds; ``patterns`` are (regular expression over the whole code, kind)."""

    version: str
    exact: dict[str, str]
    patterns: tuple[tuple[str, str], ...]
    otherwise: str


@functools.cache
def line_kinds(path: Path | None = None) -> LineKinds:
    """The list of this checkout."""
    content = yaml.safe_load((path or contracts_folder() / "reference/line_kinds.yaml").read_text())
    return LineKinds(
        version=str(content["version"]),
        exact={str(code): str(kind) for code, kind in content["exact"].items()},
        patterns=tuple((str(p["pattern"]), str(p["kind"])) for p in content["patterns"]),
        otherwise=str(content["otherwise"]),
    )
