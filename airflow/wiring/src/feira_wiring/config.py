"""``[tool.feira-lint]`` of a pyproject.toml, found upward from the DAG folder."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
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
    known = {field.name.replace("_", "-") for field in fields(Config)}
    _only(file, _TABLE, table, known)
    return Config(
        fail_on=_choice(file, table),
        select=_names(file, _TABLE, table, "select"),
        ignore=_names(file, _TABLE, table, "ignore"),
        enable=_names(file, _TABLE, table, "enable"),
        baseline=file.parent / _text(file, _TABLE, table, "baseline")
        if "baseline" in table
        else None,
        timeout=_seconds(file, table, "timeout"),
        file_timeout=_seconds(file, table, "file-timeout"),
        assets=_patterns(file, table.get("assets", [])),
    )


def _tool(file: Path) -> dict[str, Any]:
    """What is below [tool] in a file."""
    try:
        tool = tomllib.loads(file.read_text(encoding="utf-8")).get("tool")
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigWrong(f"{file} cannot be read: {error}.") from None
    return tool if isinstance(tool, dict) else {}


def _patterns(file: Path, value: object) -> tuple[Pattern, ...]:
    where = f"{_TABLE}.assets"
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ConfigWrong(f"{file}: {where} is {value!r}; write tables, [[{where}]].")
    patterns = []
    for table in value:
        _only(file, where, table, {"match", "ignore", "reason"})
        for key in ("match", "ignore"):
            if key not in table:
                raise ConfigWrong(f"{file}: a table of {where} has no {key}.")
        patterns.append(
            Pattern(
                _text(file, where, table, "match"),
                _names(file, where, table, "ignore"),
                _text(file, where, table, "reason"),
            )
        )
    return tuple(patterns)


def _only(file: Path, where: str, table: Mapping[str, object], known: set[str]) -> None:
    if unknown := sorted(set(table) - known):
        raise ConfigWrong(
            f"{file}: [{where}] has no key {', '.join(unknown)}. "
            f"Its keys are {', '.join(sorted(known))}."
        )


def _names(file: Path, where: str, table: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ConfigWrong(f"{file}: {where}.{key} is {value!r}; write a list of rules.")
    return tuple(value)


def _text(file: Path, where: str, table: Mapping[str, object], key: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str) or (key != "reason" and not value):
        raise ConfigWrong(f"{file}: {where}.{key} is {value!r}; write a text.")
    return value


def _seconds(file: Path, table: Mapping[str, object], key: str) -> float | None:
    value = table.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 86_400:
        raise ConfigWrong(
            f"{file}: {_TABLE}.{key} is {value!r}; write seconds, over 0 and under 86400."
        )
    return float(value)


def _choice(file: Path, table: Mapping[str, object]) -> str:
    value = table.get("fail-on", "error")
    if value not in FAIL_ON:
        raise ConfigWrong(
            f"{file}: {_TABLE}.fail-on is {value!r}; write one of {', '.join(FAIL_ON)}."
        )
    return str(value)
