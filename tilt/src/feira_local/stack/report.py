"""How the stack is now: each service's state, health, restarts and memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psutil

from feira_local.stack import health
from feira_local.stack.lifecycle import Stack
from feira_local.stack.processes import Leader, group, memory
from feira_local.stack.supervisor import ProcessState, events


@dataclass(frozen=True)
class ServiceReport:
    """One service; ``memory`` in bytes (PSS), ``state``: healthy, slow, starting, unhealthy, stopped or
    failed. One that is slow works."""

    name: str
    state: str
    note: str
    pid: int | None
    started: float | None
    restarts: int
    last_exit: str | None
    memory: int
    ports: tuple[int, ...]

    @property
    def works(self) -> bool:
        return self.state in health.WORKING


@dataclass(frozen=True)
class StackReport:
    running: bool
    services: tuple[ServiceReport, ...]
    supervisor_memory: int

    @property
    def healthy(self) -> bool:
        return self.running and all(service.works for service in self.services)

    @property
    def memory(self) -> int:
        """Bytes that the whole stack takes, the supervisor included."""
        return self.supervisor_memory + sum(service.memory for service in self.services)


def report(stack: Stack) -> StackReport:
    """Asks every service that stays up: a second, on a busy machine up to 20."""
    supervisor = stack.supervisor
    staying = [service for service in stack.services if service.kind == "service"]
    pid = supervisor.pid
    running = pid is not None and supervisor.answers()
    states = supervisor.states() if running else {}
    happened = events(stack.config, stack.services) if running else []
    everyone = list(psutil.process_iter()) if running else []

    def look(name: str) -> ServiceReport:
        service = next(item for item in staying if item.name == name)
        current = states.get(name)
        ends = [event for event in happened if event.service == name]
        last = f"{ends[-1].time} {ends[-1].how}" if ends else None
        if current is None or not current.runs:
            how = "failed" if current and current.state in ("FATAL", "BACKOFF") else "stopped"
            note = current.error if current else ""
            return ServiceReport(name, how, note, None, None, len(ends), last, 0, service.ports)
        found = health.ask(service, current.started)
        leader = Leader(name, current.pid, _created(current))
        return ServiceReport(
            name=name,
            state=found.state,
            note=found.note,
            pid=current.pid,
            started=current.started,
            restarts=len(ends),
            last_exit=last,
            memory=memory(group(leader, everyone)),
            ports=service.ports,
        )

    with ThreadPoolExecutor(len(staying)) as pool:
        found = tuple(pool.map(look, [service.name for service in staying]))
    own = memory([psutil.Process(pid)]) if running and pid else 0
    return StackReport(running=running, services=found, supervisor_memory=own)


def _created(current: ProcessState) -> float:
    try:
        return psutil.Process(current.pid).create_time()
    except psutil.NoSuchProcess:
        return current.started
