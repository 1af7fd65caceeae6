"""Which faults are on, kept over restarts."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from feira_local.shop.faults import FAULTS, AnswerFault, Asked, Fault, options
from feira_local.shop.state import StateFile

F = TypeVar("F", bound=Fault)


class FaultSwitches:
    """Switches by name; they can be flipped while requests are answered."""

    def __init__(self, state_dir: Path) -> None:
        self._file = StateFile(state_dir / "faults.json")
        self._lock = threading.Lock()
        try:
            self._on = {
                name: FAULTS[name].model_validate(state)
                for name, state in self._file.read().items()
            }
        except (KeyError, ValidationError) as error:
            raise self._file.unreadable(f"no known faults ({error})") from error

    def put(self, name: str, state: dict[str, Any]) -> dict[str, Any]:
        """Turns a fault on and returns its description.

        Raises KeyError on an unknown name, ValidationError on options that are not legal.
        """
        fault = FAULTS[name].model_validate(state)
        with self._lock:
            self._on[name] = fault
            self._save()
        return self.describe(name)

    def delete(self, name: str | None = None) -> None:
        """Turns one fault off, or all; off already is fine. Raises KeyError on an unknown name."""
        if name is not None and name not in FAULTS:
            raise KeyError(name)
        with self._lock:
            for gone in (name,) if name else tuple(self._on):
                self._on.pop(gone, None)
            self._save()

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
                if fault.count > 1:
                    self._on[name] = fault.model_copy(update={"count": fault.count - 1})
                else:
                    del self._on[name]
                self._save()
        return fault

    def _save(self) -> None:
        self._file.write({name: fault.model_dump(mode="json") for name, fault in self._on.items()})
