"""The supervisor: its rendered configuration, its process, and asking it over its socket.

supervisord keeps the services running. It starts none by itself: the order is `feira up`'s.
"""

from __future__ import annotations

import http.client
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from feira_local.stack.config import StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.processes import wait_gone
from feira_local.stack.secrets import write_private
from feira_local.stack.service import Service, launcher

STOP_SECONDS = 10


def render(config: StackConfig, defined: Iterable[Service]) -> str:
    """supervisord's configuration. It holds no secret: the launcher reads those itself."""
    sections = [
        "[unix_http_server]",
        f"file={_value(config.socket)}",
        "chmod=0700",
        "",
        "[supervisord]",
        f"logfile={_value(config.logs / 'supervisord.log')}",
        "logfile_maxbytes=2MB",
        "logfile_backups=2",
        "loglevel=info",
        f"pidfile={_value(config.run / 'supervisord.pid')}",
        f"childlogdir={_value(config.logs)}",
        f"directory={_value(config.home)}",
        "nodaemon=false",
        # supervisord warns of a root that is not asked for.
        *(["user=root"] if os.geteuid() == 0 else []),
        "",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
        "",
    ]
    for service in defined:
        stays = service.kind == "service"
        sections += [
            f"[program:{service.name}]",
            f"command={_value(shlex.join(launcher(service.name)))}",
            f"directory={_value(config.home)}",
            "autostart=false",
            f"autorestart={str(stays).lower()}",
            f"startsecs={1 if stays else 0}",
            f"startretries={6 if stays else 0}",
            f"stopsignal={service.stop_signal}",
            f"stopwaitsecs={STOP_SECONDS}",
            f"stopasgroup={str(service.stop_group).lower()}",
            "killasgroup=true",
            "redirect_stderr=true",
            # supervisord expands this one twice.
            f"stdout_logfile={_value(_value(log_path(config, service.name)))}",
            "stdout_logfile_maxbytes=10MB",
            "stdout_logfile_backups=2",
            "",
        ]
    return "\n".join(sections)


def log_path(config: StackConfig, service: str) -> Path:
    return config.logs / f"{service}.log"


def _value(value: object) -> str:
    """A value for supervisord, which expands ``%(name)s``."""
    return str(value).replace("%", "%%")


@dataclass(frozen=True)
class ProcessState:
    """What the supervisor says about one service."""

    name: str
    state: str
    pid: int
    started: float
    exit_status: int
    error: str

    @property
    def runs(self) -> bool:
        return self.state in ("STARTING", "RUNNING")


class Supervisor:
    """A supervisord of one stack, running or not."""

    def __init__(self, config: StackConfig) -> None:
        self.config = config

    @property
    def pid(self) -> int | None:
        """The number of the running supervisord, or None."""
        try:
            pid = int((self.config.run / "supervisord.pid").read_text())
            words = psutil.Process(pid).cmdline()
        except (OSError, ValueError, psutil.Error):
            return None
        # The number may be another program's by now.
        conf = str(self.config.run / "supervisord.conf")
        return pid if conf in words else None

    def call(self, method: str, *arguments: object) -> Any:
        """Calls ``supervisor.<method>``; StackError when nobody answers, Fault when it refuses."""
        transport = _UnixTransport(str(self.config.socket))
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except (OSError, http.client.HTTPException) as error:
            raise StackError(
                f"The supervisor does not answer ({error}). Its log is "
                f"{self.config.logs / 'supervisord.log'}; `feira down` clears up."
            ) from None
        finally:
            transport.close()

    def answers(self) -> bool:
        try:
            self.call("getState")
        except StackError:
            return False
        return True

    def launch(self, defined: Iterable[Service]) -> None:
        """Starts supervisord in the background and waits until it answers."""
        conf = self.config.run / "supervisord.conf"
        write_private(conf, render(self.config, defined))
        self.config.socket.unlink(missing_ok=True)
        ended = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(conf)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            # Inherited by every service: supervisord's own setting takes no quotes.
            # By its zone supervisord stamps its log.
            env={**os.environ, "FEIRA_HOME": str(self.config.home), "TZ": "UTC"},
        )
        if ended.returncode != 0:
            raise StackError(f"supervisord did not start: {(ended.stderr or ended.stdout).strip()}")
        deadline = time.monotonic() + 30
        while not self.answers():
            if time.monotonic() > deadline:
                raise StackError(
                    f"supervisord does not answer; see {self.config.logs / 'supervisord.log'}."
                )
            time.sleep(0.05)

    def states(self) -> dict[str, ProcessState]:
        return {
            info["name"]: ProcessState(
                name=info["name"],
                state=info["statename"],
                pid=info["pid"],
                started=float(info["start"]),
                exit_status=info["exitstatus"],
                error=info["spawnerr"],
            )
            for info in self.call("getAllProcessInfo")
        }

    def start(self, name: str) -> None:
        """Starts the service, once what is being stopped of it has ended: until then supervisord does nothing and says
        nothing of it."""
        deadline = time.monotonic() + STOP_SECONDS + 5
        while self.states()[name].state == "STOPPING" and time.monotonic() < deadline:
            time.sleep(0.05)
        try:
            self.call("startProcess", name, False)
        except xmlrpc.client.Fault as fault:
            if "ALREADY_STARTED" not in fault.faultString:
                raise StackError(f"{name} cannot be started: {fault.faultString}") from None

    def stop(self, name: str) -> None:
        try:
            self.call("stopProcess", name, False)
        except xmlrpc.client.Fault as fault:
            if "NOT_RUNNING" not in fault.faultString:
                raise StackError(f"{name} cannot be stopped: {fault.faultString}") from None

    def shutdown(self) -> None:
        """Ends supervisord; the services should be stopped already."""
        pid = self.pid
        if pid is None:
            return
        with suppress(StackError, xmlrpc.client.Fault):
            self.call("shutdown")
        if not wait_gone(pid, STOP_SECONDS + 5):
            psutil.Process(pid).kill()
            wait_gone(pid, 5)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _UnixConnection(self._path)


@dataclass(frozen=True)
class Event:
    """A service that ended although nobody stopped it; shown in UTC, as the services' own logs are."""

    at: datetime
    service: str
    how: str

    def __str__(self) -> str:
        return f"{self.time} {self.service} ended: {self.how}"

    @property
    def time(self) -> str:
        return f"{self.at:%H:%M:%S} UTC"


_ENDED = re.compile(
    r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+ \w+ exited: ([\w-]+) \((.*?); (not )?expected\)"
)
_BORN = re.compile(r"supervisord started with pid (\d+)")


def events(config: StackConfig, defined: Iterable[Service]) -> list[Event]:
    """The services that ended by themselves since supervisord started, oldest first.

    supervisord's own log is the source: it names the signal, which its interface does not.
    """
    stay = {service.name for service in defined if service.kind == "service"}
    found: list[Event] = []
    in_utc = True
    logfile = config.logs / "supervisord.log"
    for path in (logfile.with_name("supervisord.log.1"), logfile):
        if not path.is_file():
            continue
        for line in path.read_text(errors="replace").splitlines():
            if born := _BORN.search(line):
                found.clear()
                in_utc = _stamps_in_utc(int(born[1]))
            matched = _ENDED.match(line)
            if matched and matched[2] in stay:
                at = datetime.fromisoformat(matched[1])
                at = at.replace(tzinfo=UTC) if in_utc else at.astimezone(UTC)
                found.append(Event(at, matched[2], matched[3]))
    return found


def _stamps_in_utc(pid: int) -> bool:
    """Whether that supervisord's log is in UTC. One that an older version started stamps it in the zone of the
    shell it was started in, for which this one's is taken."""
    try:
        process = psutil.Process(pid)
        return (
            process.environ().get("TZ") == "UTC"
            or "supervisor.supervisord" not in process.cmdline()
        )
    except psutil.Error:
        return True
