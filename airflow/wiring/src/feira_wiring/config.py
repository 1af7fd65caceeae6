"""``[tool.feira-lint]`` of a pyproject.toml, found upward from the DAG folder."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feira_wiring.suppression import Pattern

FAIL_ON = ("error", "warning", "note", "never")
_TABLE = "tool.feira-lint"


class ConfigWrong(Exception):
    """The configuration cannot be used; the message names the file and the key."""


@dataclass(frozen=True)
class Config:
    """What a project says; the command line says otherwise. ``baseline`` is relative to the file."""

    fail_on: str = "error"
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    enable: tuple[str, ...] = ()
    baseline: Path | None = None
    timeout: float | None = None
    file_timeout: float | None = None
    assets: tuple[Pattern, ...] = ()


def find(folder: Path) -> Path | None:
    """The nearest pyproject.toml with the table, from the folder upward."""
    start = folder.resolve()
    for each in (start, *start.parents):
        file = each / "pyproject.toml"
        if file.is_file() and "feira-lint" in _tool(file):
            return file
    return None


def read(file: Path) -> Config:
    """The table of a file. Raises ConfigWrong, also where the file has none."""
    table = _tool(file).get("feira-lint")
    if not isinstance(table, dict):
        raise ConfigWrong(f"{file}: there is no table [{_TABLE}].")
    values = _values(file, _TABLE, table, _KEYS)
    if "baseline" in values:
        values["baseline"] = file.parent / values["baseline"]
    where = f"{_TABLE}.assets"
    values["assets"] = tuple(
        Pattern(**_values(file, where, each, _PATTERN_KEYS, required=("match", "ignore")))
        for each in values.get("assets", ())
    )
    return Config(**values)


def _tool(file: Path) -> dict[str, Any]:
    """What is below [tool] in a file."""
    try:
        tool = tomllib.loads(file.read_text(encoding="utf-8")).get("tool")
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigWrong(f"{file} cannot be read: {error}.") from None
    return tool if isinstance(tool, dict) else {}


def _list_of(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(isinstance(each, kind) for each in value)


def _are_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 86_400


# Key → what its value must be, and how to say that.
_Keys = dict[str, tuple[Callable[[Any], bool], str]]
_RULES = (_list_of(str), "a list of rules")
_TEXT = (lambda value: isinstance(value, str) and value != "", "a text")
_SECONDS = (_are_seconds, "seconds, over 0 and under 86400")
_KEYS: _Keys = {
    "assets": (_list_of(dict), f"tables, [[{_TABLE}.assets]]"),
    "baseline": _TEXT,
    "enable": _RULES,
    "fail-on": (FAIL_ON.__contains__, f"one of {', '.join(FAIL_ON)}"),
    "file-timeout": _SECONDS,
    "ignore": _RULES,
    "select": _RULES,
    "timeout": _SECONDS,
}
_PATTERN_KEYS: _Keys = {
    "ignore": _RULES,
    "match": _TEXT,
    "reason": (lambda value: isinstance(value, str), "a text"),
}


def _values(
    file: Path, where: str, table: dict[str, Any], keys: _Keys, required: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The values of a table, by the names of Python."""
    if unknown := sorted(set(table) - set(keys)):
        raise ConfigWrong(
            f"{file}: [{where}] has no key {', '.join(unknown)}. Its keys are {', '.join(keys)}."
        )
    for key in required:
        if key not in table:
            raise ConfigWrong(f"{file}: a table of {where} has no {key}.")
    for key, value in table.items():
        is_right, form = keys[key]
        if not is_right(value):
            raise ConfigWrong(f"{file}: {where}.{key} is {value!r}; write {form}.")
    return {
        key.replace("-", "_"): tuple(value) if isinstance(value, list) else value
        for key, value in table.items()
    }
