"""What a service is: what runs, where, after what, and when it is healthy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from feira_local.stack.errors import StackError

if TYPE_CHECKING:
    from feira_local.stack.config import StackConfig
    from feira_local.stack.secrets import Secrets


@dataclass(frozen=True)
class HttpCheck:
    """Healthy when ``url`` answers with one of ``statuses``.

    With ``component``, the answer is Airflow's health report, in which that component must be
    healthy with a heartbeat younger than its process.
    """

    url: str
    statuses: tuple[int, ...] = (200,)
    component: str | None = None
    kind: Literal["http"] = "http"


@dataclass(frozen=True)
class TcpCheck:
    """Healthy when the port takes a connection."""

    host: str
    port: int
    kind: Literal["tcp"] = "tcp"


@dataclass(frozen=True)
class CommandCheck:
    """Healthy when the command ends with 0."""

    command: tuple[str, ...]
    kind: Literal["command"] = "command"


@dataclass(frozen=True)
class CompletionCheck:
    """For a step: done when its process ended with 0."""

    kind: Literal["completion"] = "completion"


Check = HttpCheck | TcpCheck | CommandCheck | CompletionCheck


@dataclass(frozen=True)
class Link:
    title: str
    url: str


@dataclass(frozen=True)
class Service:
    """One process that the stack runs.

    A ``service`` stays up, a ``step`` ends before what depends on it starts, and an ``afterwards``
    is started once everything is healthy and nobody waits for it.
    """

    name: str
    label: str
    description: str
    command: tuple[str, ...]
    cwd: Path
    health: Check
    kind: Literal["service", "step", "afterwards"] = "service"
    depends_on: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    private_env: Mapping[str, str] = field(default_factory=dict, repr=False)
    ports: tuple[int, ...] = ()
    links: tuple[Link, ...] = ()
    stop_signal: str = "TERM"
    # PostgreSQL's postmaster tells its children itself, and some take the same signal otherwise.
    stop_group: bool = True
    as_server_user: bool = False
    # What it reads when it starts and keeps: after a change there it is to be restarted. What a part does
    # not state is the part's folder; `()` is nothing.
    code: tuple[Path, ...] | None = None
    prepare: Callable[[StackConfig, Secrets], None] | None = field(default=None, repr=False)

    def as_json(self) -> dict[str, object]:
        """What another runner needs, without secrets: their names only."""
        check = {key: value for key, value in vars(self.health).items() if value is not None}
        return {
            "name": self.name,
            "kind": self.kind,
            "label": self.label,
            "description": self.description,
            # The launcher adds the private environment and prepares what the command reads.
            "command": list(launcher(self.name)),
            "runs": list(self.command),
            "cwd": str(self.cwd),
            "depends_on": list(self.depends_on),
            "env": dict(self.env),
            "private_env": sorted(self.private_env),
            "health": check,
            "ports": list(self.ports),
            "links": [vars(link) for link in self.links],
            "stop_signal": self.stop_signal,
            "code": [str(path) for path in self.code or ()],
        }


def launcher(name: str) -> tuple[str, ...]:
    """The command that a supervisor runs for a service: it carries no secret."""
    return (sys.executable, "-m", "feira_local.stack.launch", name)


def named(defined: Iterable[Service], name: str) -> Service:
    """The service of that name. Raises StackError with the names there are."""
    found = by_name(defined)
    if name not in found:
        raise StackError(f"There is no service {name!r}; there are {', '.join(found)}.")
    return found[name]


def by_name(defined: Iterable[Service]) -> dict[str, Service]:
    return {service.name: service for service in defined}
