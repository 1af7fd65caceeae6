"""Following a service that the supervisor owns: its log as it grows, and whether it stays."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from feira_local.stack.config import StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.lifecycle import Stack, is_done
from feira_local.stack.service import named
from feira_local.stack.state import busy
from feira_local.stack.supervisor import ProcessState, Supervisor, log_path

# A restart, or a crash that the supervisor answers with a start, is over sooner.
PATIENCE_SECONDS = 20.0
_TICK_SECONDS = 0.5
_FIRST_LINES, _FIRST_BYTES = 40, 16_384


def attach(
    config: StackConfig,
    name: str,
    show: Callable[[str], None],
    patience: float = PATIENCE_SECONDS,
) -> None:
    """Starts the service if it is stopped and hands each line of its log to ``show``; returns when a
    step is done. Whoever ends it leaves the service running.

    Raises StackError when the service has been down for ``patience`` seconds while no `feira up`,
    `down` or `restart` was at work.
    """
    stack = Stack.of(config)
    service = named(stack.services, name)
    # Not from its beginning: of a service that runs since yesterday the end matters.
    log = FollowedLog(log_path(config, name))
    while busy(config):
        time.sleep(_TICK_SECONDS)
    supervisor = stack.running_supervisor(name)
    state: ProcessState | None = supervisor.states()[name]
    if state is not None and not state.runs and not is_done(service, state):
        supervisor.start(name)
        state = supervisor.states()[name]
    down_since: float | None = None
    while True:
        if state is not None and state.runs:
            down_since = None
        elif service.kind != "service" and state is not None and state.state == "EXITED":
            _show_all(log, show, ended=True)
            if not is_done(service, state):
                raise StackError(f"{name} ended with {state.exit_status}.")
            return
        elif busy(config):
            down_since = None
        else:
            down_since = down_since or time.monotonic()
            if time.monotonic() - down_since >= patience:
                _show_all(log, show, ended=True)
                how, step = "stopped with the stack", "feira up"
                if state is not None:
                    how, step = state.state.lower(), f"feira restart {name}"
                raise StackError(
                    f"{name} is {how} and stays down ({patience:.0f} s); `{step}` starts it."
                )
        _show_all(log, show)
        time.sleep(_TICK_SECONDS)
        state = _state(config, name)


def _state(config: StackConfig, name: str) -> ProcessState | None:
    """None where the supervisor is gone, or stops."""
    supervisor = Supervisor(config)
    try:
        return supervisor.states().get(name) if supervisor.pid is not None else None
    except StackError:
        return None


def _show_all(log: FollowedLog, show: Callable[[str], None], *, ended: bool = False) -> None:
    for line in log.lines(ended=ended):
        show(line)


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r")


class FollowedLog:
    """A log that grows, is moved aside when it is full, or is removed with its folder and made anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = self._opened()
        self._partial = b""
        self._first: list[str] = []
        if self._file is not None:
            size = path.stat().st_size
            self._file.seek(max(0, size - _FIRST_BYTES))
            found = self._whole_lines()
            # The first may be a line's end.
            self._first = (found if size <= _FIRST_BYTES else found[1:])[-_FIRST_LINES:]

    def lines(self, *, ended: bool = False) -> list[str]:
        """The whole lines that came since the last call; where the log has ended, its last one even without
        a line break."""
        # Asked first: what is read after it is all that the old file has.
        replaced = self._replaced()
        found, self._first = self._first + self._whole_lines(), []
        if replaced:
            found += self._rest()
            if self._file is not None:
                self._file.close()
            self._file = self._opened()
            found += self._whole_lines()
        return found + self._rest() if ended else found

    def _opened(self) -> IO[bytes] | None:
        try:
            return self.path.open("rb")
        except FileNotFoundError:
            return None

    def _whole_lines(self) -> list[str]:
        if self._file is None:
            return []
        *whole, self._partial = (self._partial + self._file.read()).split(b"\n")
        return [_text(line) for line in whole]

    def _rest(self) -> list[str]:
        """What follows the last whole line."""
        rest, self._partial = self._partial, b""
        return [_text(rest)] if rest else []

    def _replaced(self) -> bool:
        try:
            now = self.path.stat()
        except FileNotFoundError:
            return False
        if self._file is None:
            return True
        mine = os.fstat(self._file.fileno())
        return mine.st_ino != now.st_ino or now.st_size < self._file.tell()
