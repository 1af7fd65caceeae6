"""Corrections that a day of the source is given afterwards, kept over restarts."""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, StrictInt, StrictStr, ValidationError

from feira_local.shop.source import Line
from feira_local.shop.state import StateFile

Key = tuple[Any, Any]


class LineKey(BaseModel):
    """The key of an order line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    order_id: StrictStr
    line_number: StrictInt


def _has_key(line: Line) -> Line:
    LineKey.model_validate({name: line.get(name) for name in LineKey.model_fields})
    return line


class Override(BaseModel):
    """What is different about a day. Lines may break any rule, but must carry their key.

    ``withdraw`` and ``replace`` go by key, where the day holds it (all its versions in the day);
    ``add`` goes to the end of the day; ``empty`` drops all lines of the source.
    """

    model_config = ConfigDict(extra="forbid")

    withdraw: list[LineKey] = []
    replace: list[Annotated[dict[str, Any], AfterValidator(_has_key)]] = []
    add: list[Annotated[dict[str, Any], AfterValidator(_has_key)]] = []
    empty: bool = False

    @property
    def withdrawn(self) -> set[Key]:
        """The keys to leave out."""
        return {(key.order_id, key.line_number) for key in self.withdraw}

    @property
    def replaced(self) -> dict[Key, Line]:
        """The lines to show instead, by key."""
        return {line_key(line): line for line in self.replace}


class Overrides:
    """Overrides by day."""

    def __init__(self, state_dir: Path) -> None:
        self._file = StateFile(state_dir / "overrides.json")
        self._lock = threading.Lock()
        try:
            self._by_day = {
                dt.date.fromisoformat(day): Override.model_validate(state)
                for day, state in self._file.read().items()
            }
        except (ValueError, ValidationError) as error:
            raise self._file.unreadable(f"no overrides by day ({error})") from error

    def get(self, day: dt.date) -> Override | None:
        """The day's override; each ``put`` makes a new object."""
        return self._by_day.get(day)

    def all(self) -> dict[str, Any]:
        """Every override by ISO date, as JSON values."""
        return {str(day): value.model_dump() for day, value in sorted(self._by_day.items())}

    def put(self, day: dt.date, override: Override) -> None:
        """Sets the day's override, in place of an earlier one."""
        with self._lock:
            self._save({**self._by_day, day: override})

    def delete(self, day: dt.date | None = None) -> None:
        """Drops one day's override, or all; none there is fine."""
        with self._lock:
            kept = {} if day is None else {d: o for d, o in self._by_day.items() if d != day}
            self._save(kept)

    def _save(self, by_day: dict[dt.date, Override]) -> None:
        self._file.write({str(day): value.model_dump() for day, value in by_day.items()})
        self._by_day = by_day


def line_key(line: Line) -> Key:
    """(order_id, line_number) as the line states them."""
    return line.get("order_id"), line.get("line_number")
