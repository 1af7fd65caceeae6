"""The stack's processes: whose they are, what memory they take, and ending what is left.

The supervisor makes each service the leader of its own process group. The launcher records that
leader with its start time before it becomes the service, so that whatever a service leaves behind
is found by its group, even after the supervisor itself was killed, and never by its name.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import psutil

from feira_local.stack.errors import StackError

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Leader:
    """A process that a launcher became, and thereby the group of that number."""

    service: str
    pid: int
    started: float


def record_start(run: Path, service: str) -> None:
    """Records the calling process as the service's leader."""
    process = psutil.Process()
    entry = {
        "pid": process.pid,
        "started": process.create_time(),
        "boot": psutil.boot_time(),
        "boot_id": _boot_id(),
    }
    folder = run / "leaders"
    folder.mkdir(exist_ok=True)
    with (folder / service).open("a", encoding="ascii") as file:
        file.write(json.dumps(entry) + "\n")


def leaders(run: Path, service: str | None = None) -> list[Leader]:
    """The recorded leaders, of one service or of all, oldest first."""
    folder = run / "leaders"
    names = [service] if service else sorted(os.listdir(folder)) if folder.is_dir() else []
    found = []
    for name in names:
        path = folder / name
        if not path.is_file():
            continue
        for line in path.read_text(encoding="ascii", errors="replace").splitlines():
            # A launcher that was killed while it wrote leaves half a line.
            with suppress(ValueError, KeyError, TypeError):
                entry = json.loads(line)
                started = _started_in_this_boot(entry)
                if started is not None:
                    found.append(Leader(name, int(entry["pid"]), started))
    return found


def _started_in_this_boot(entry: Mapping[str, Any]) -> float | None:
    """A record's time of start, as the process has it now; None for one of before a reboot, whose number means
    nothing."""
    moved = psutil.boot_time() - float(entry["boot"])
    if entry.get("boot_id") is None:
        return float(entry["started"]) if abs(moved) < 60 else None
    # Linux counts from the boot: a clock that is set moves the times of both.
    return float(entry["started"]) + moved if entry["boot_id"] == _boot_id() else None


def _boot_id() -> str | None:
    """What Linux has anew with each boot; elsewhere the time of the boot has to do."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return None


def forget_leaders(run: Path) -> None:
    for path in (run / "leaders").glob("*"):
        path.unlink()


def group(leader: Leader, everyone: Iterable[psutil.Process] | None = None) -> list[psutil.Process]:
    """The living processes of a leader's group, and their descendants."""
    members: dict[int, psutil.Process] = {}
    for process in everyone if everyone is not None else psutil.process_iter():
        try:
            if os.getpgid(process.pid) != leader.pid:
                continue
            if process.pid == leader.pid and abs(process.create_time() - leader.started) > 1:
                return []  # the number was given to another process
            if process.create_time() < leader.started - 1:
                continue
            members[process.pid] = process
            for child in process.children(recursive=True):
                members[child.pid] = child
        except (psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            continue
    members.pop(os.getpid(), None)
    return list(members.values())


def members(run: Path, service: str | None = None) -> list[psutil.Process]:
    """Every living process of the recorded leaders, of one service or of all."""
    found = leaders(run, service)
    everyone = list(psutil.process_iter()) if found else []
    living = {process.pid: process for leader in found for process in group(leader, everyone)}
    return list(living.values())


def kill_leftovers(run: Path, service: str) -> None:
    """Kills what earlier processes of the service left behind when they were killed."""
    end(members(run, service), patience=0)
    (run / "leaders" / service).unlink(missing_ok=True)


def describe(process: psutil.Process) -> str:
    """The start of a process's command line; it is never a secret's place here."""
    try:
        return " ".join(process.cmdline())[:80] or process.name()
    except psutil.Error:
        return "gone"


def end(processes: Iterable[psutil.Process], *, patience: float) -> None:
    """Ends the processes: TERM, then KILL after ``patience`` seconds (at once when it is 0)."""
    alive = list(processes)
    if patience > 0:
        _signal(alive, signal.SIGTERM)
        _, alive = psutil.wait_procs(alive, timeout=patience)
    _signal(alive, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=5)


def raise_at_sigterm(error: type[BaseException] = SystemExit) -> None:
    """From here on SIGTERM ends the processes that the calling one has started, then raises ``error(143)`` in it.

    143 is a shell's code for it. Where an exception comes while `subprocess` starts a process, nobody has that
    process's number: it would go on beside what the exception lets be cleared up. A terminal's Ctrl-C reaches
    such a process by itself, and so is meant by this: of the process group, and not what was made to outlive it.
    """

    def ended(number: int, _frame: object) -> NoReturn:
        mine = os.getpgrp()
        end([each for each in psutil.Process().children() if _group_of(each) == mine], patience=5)
        raise error(128 + number)

    signal.signal(signal.SIGTERM, ended)


def _group_of(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)  # checks that the number still means this process
        except psutil.NoSuchProcess:
            continue


def memory(processes: Iterable[psutil.Process]) -> int:
    """Bytes that the processes take together: PSS, which counts shared pages once (USS on macOS)."""
    total = 0
    for process in processes:
        try:
            info = process.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        total += getattr(info, "pss", None) or info.uss
    return total


def port_variables(ports: Mapping[str, int]) -> dict[int, str]:
    """The environment variable that moves each of these ports, which are given by name."""
    return {port: f"FEIRA_PORT_{name.upper()}" for name, port in ports.items()}


def port_owner(port: int, host: str = "127.0.0.1") -> str | None:
    """Who holds the port, or None when it is free to bind: ``process 12 (its command)``."""
    with socket.socket() as probe:
        # As the services do: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise StackError(f"Port {port} cannot be used: {error.strerror}.") from error
        else:
            return None
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:  # macOS tells only root
        connections = []
    for connection in connections:
        if (
            connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port == port
            and connection.pid
        ):
            try:
                words = psutil.Process(connection.pid).cmdline()
            except psutil.Error:
                words = []
            return f"process {connection.pid} ({' '.join(words)[:160] or 'unknown'})"
    return "another user's process"


def wait_gone(pid: int, seconds: float) -> bool:
    """Whether the process is gone within ``seconds``."""
    deadline = time.monotonic() + seconds
    while psutil.pid_exists(pid):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
