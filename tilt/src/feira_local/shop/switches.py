"""What can be changed while the simulator runs, kept over restarts: faults, fields, overridden days."""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, StrictInt, StrictStr

from feira_local.shop.faults import FAULTS, AnswerFault, Asked, Fault, options
from feira_local.shop.source import Line, SourceError

T = TypeVar("T")
F = TypeVar("F", bound=Fault)


class StateFile:
    """A JSON object in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SourceError(
                f"state folder: {path.parent} cannot be made ({error.strerror}). "
                "Give another folder with --state."
            ) from error

    def read(self) -> dict[str, Any]:
        """The stored object, empty before the first write. Raises SourceError on anything else."""
        if not self.path.exists():
            return {}
        try:
            state = orjson.loads(self.path.read_bytes())
        except orjson.JSONDecodeError as error:
            raise self.unreadable(str(error)) from error
        if not isinstance(state, dict):
            raise self.unreadable("no JSON object")
        return state

    def parsed(self, parse: Callable[[dict[str, Any]], T], no: str) -> T:
        """The stored object as ``parse`` takes it; ``no`` says what it is not where that raises."""
        state = self.read()
        try:
            return parse(state)
        except (KeyError, ValueError) as error:
            raise self.unreadable(f"no {no} ({error})") from error

    def write(self, state: dict[str, Any]) -> None:
        """Replaces the file by rename, so a reader or a crash never sees half of it."""
        draft = self.path.with_suffix(".draft")
        draft.write_bytes(orjson.dumps(state, option=orjson.OPT_INDENT_2))
        os.replace(draft, self.path)

    def unreadable(self, reason: str) -> SourceError:
        """The error for content that this version cannot use."""
        return SourceError(
            f"state file {self.path}: {reason}. Delete it to start without its state."
        )


class FaultSwitches:
    """Switches by name; they can be flipped while requests are answered."""

    def __init__(self, state_dir: Path) -> None:
        self._file = StateFile(state_dir / "faults.json")
        self._lock = threading.Lock()
        self._on: dict[str, Fault] = self._file.parsed(
            lambda on: {name: FAULTS[name].model_validate(state) for name, state in on.items()},
            "known faults",
        )

    def put(self, name: str, state: dict[str, Any]) -> dict[str, Any]:
        """Turns a fault on and returns its description.

        Raises KeyError on an unknown name, ValidationError on options that are not legal, TypeError on
        a number that the state file cannot hold.
        """
        fault = FAULTS[name].model_validate(state)
        with self._lock:
            self._save({**self._on, name: fault})
        return self.describe(name)

    def delete(self, name: str | None = None) -> None:
        """Turns one fault off, or all; off already is fine. Raises KeyError on an unknown name."""
        if name is not None and name not in FAULTS:
            raise KeyError(name)
        with self._lock:
            self._save({each: on for each, on in self._on.items() if name and each != name})

    def describe(self, name: str) -> dict[str, Any]:
        """``name``, ``doc``, ``options``, ``on`` and ``state`` (null when off)."""
        fault = self._on.get(name)
        return {
            "name": name,
            "doc": (FAULTS[name].__doc__ or "").strip(),
            "options": options(FAULTS[name]),
            "on": fault is not None,
            "state": fault.model_dump(mode="json") if fault else None,
        }

    def active(self, name: str, kind: type[F], asked: Asked) -> F | None:
        """The fault, where it is on and meets the request; does not count."""
        fault = self._on.get(name)
        return fault if isinstance(fault, kind) and fault.meets(asked) else None

    def take(self, name: str, kind: type[F], asked: Asked) -> F | None:
        """As ``active``, and counts the request: a fault for N requests is off after the Nth."""
        if name not in self._on:
            return None
        with self._lock:
            fault = self.active(name, kind, asked)
            if isinstance(fault, AnswerFault) and fault.count is not None:
                left = fault.model_copy(update={"count": fault.count - 1})
                others = {each: on for each, on in self._on.items() if each != name}
                self._save({**others, name: left} if fault.count > 1 else others)
        return fault

    def _save(self, on: dict[str, Fault]) -> None:
        self._file.write({name: fault.model_dump(mode="json") for name, fault in on.items()})
        self._on = on


ExtraFieldName = Literal["channel"]


class ExtraFieldSet(BaseModel):
    """The fields that are on: ``channel`` is web, shop or app, the same in all of an order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fields: tuple[ExtraFieldName, ...] = ()


class ExtraFields:
    """Which additional fields the lines carry."""

    def __init__(self, state_dir: Path) -> None:
        self._file = StateFile(state_dir / "extra_fields.json")
        self._set = self._file.parsed(ExtraFieldSet.model_validate, "known fields")

    @property
    def on(self) -> tuple[ExtraFieldName, ...]:
        return self._set.fields

    def put(self, fields: ExtraFieldSet) -> None:
        self._file.write(fields.model_dump())
        self._set = fields


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
        self._by_day: dict[dt.date, Override] = self._file.parsed(
            lambda stored: {
                dt.date.fromisoformat(day): Override.model_validate(state)
                for day, state in stored.items()
            },
            "overrides by day",
        )

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
