"""Starting and stopping the stack: side by side where nothing depends, and idempotent both ways."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

import psutil

from feira_local.stack import health, log_lines, state
from feira_local.stack.config import StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.jars import missing_jars, wanted_jars
from feira_local.stack.libraries import require_libraries
from feira_local.stack.processes import (
    describe,
    end,
    forget_leaders,
    members,
    port_owner,
    port_variables,
    wait_gone,
)
from feira_local.stack.secrets import Secrets, known_secrets, load_secrets
from feira_local.stack.service import Service, by_name, named
from feira_local.stack.services import services
from feira_local.stack.supervisor import (
    STOP_SECONDS,
    ProcessState,
    Supervisor,
    events,
    log_path,
)

START_SECONDS = 240
# One crash at the start may be chance, such as a port that its last owner still closes.
CRASHES_ALLOWED = 2


@dataclass(frozen=True)
class Progress:
    """Where one service is on its way up; ``seconds`` since its start, until it was healthy."""

    name: str
    phase: str  # waiting, starting, healthy, done, failed
    seconds: float | None = None
    note: str = ""

    @property
    def settled(self) -> bool:
        return self.phase in ("healthy", "done")


@dataclass(frozen=True)
class Stack:
    """One stack's settings, secrets and services."""

    config: StackConfig
    secrets: Secrets
    services: tuple[Service, ...]

    @classmethod
    def of(cls, config: StackConfig) -> Stack:
        secrets = known_secrets(config.home)
        return cls(config, secrets, services(config, secrets))

    @property
    def supervisor(self) -> Supervisor:
        return Supervisor(self.config)

    def running_supervisor(self, name: str) -> Supervisor:
        """The supervisor that has the service. Raises StackError where it does not run, or was started
        before the service joined."""
        supervisor = self.supervisor
        if supervisor.pid is None:
            raise StackError(f"The stack in {self.config.home} does not run; `feira up` starts it.")
        self.require_joined(supervisor.states(), [name])
        return supervisor

    def require_joined(self, states: Iterable[str], names: Iterable[str]) -> None:
        """Raises StackError naming the services that joined after the supervisor was started."""
        if later := sorted(set(names) - set(states)):
            raise StackError(
                f"The stack in {self.config.home} was started without {', '.join(later)}; "
                "`feira down`, then `feira up` takes what is new in."
            )


def up(
    config: StackConfig, on_progress: Callable[[list[Progress]], None] = lambda _: None
) -> list[Progress]:
    """Starts what does not run yet and returns when every service is healthy.

    Raises StackError naming the service that failed, its last log lines and its log's path.
    """
    _require_user_name()
    require_libraries(config)
    with state.alone(config):
        config.make_folders()
        load_secrets(config.home)
        stack = Stack.of(config)
        if missing_jars(wanted_jars(config), config.jars, thorough=False):
            raise StackError("Jars are missing or damaged; `feira jars fetch` gets them.")
        supervisor = stack.supervisor
        if supervisor.pid is not None and supervisor.answers():
            _refuse_other_settings(config)
            states = supervisor.states()
            stack.require_joined(states, by_name(stack.services))
            check_ports(stack, states)
        else:
            _clear(config, supervisor)
            check_ports(stack, {})
            state.save(config)
            supervisor.launch(stack.services)
        return _bring_up(stack, supervisor, on_progress)


def _require_user_name() -> None:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        raise StackError(
            f"The user {os.geteuid()} has no name here (no line in /etc/passwd), and PostgreSQL and "
            "Spark ask for it. Nothing was started; start the stack as a user that has one."
        ) from None


def _refuse_other_settings(config: StackConfig) -> None:
    running = state.running_config()
    if replace(running, home=config.home) != config:
        raise StackError(
            f"The stack in {config.home} runs with other settings "
            f"({_difference(running, config)}). `feira down` first, then `feira up`."
        )


def _difference(running: StackConfig, wanted: StackConfig) -> str:
    parts = []
    for section, was in state.as_json(running).items():
        will = state.as_json(wanted)[section]
        assert isinstance(was, dict)
        assert isinstance(will, dict)
        parts += [
            f"{section[:-1] if section == 'ports' else section} {key}: {was[key]} → {will[key]}"
            for key in was
            if was[key] != will[key]
        ]
    return ", ".join(parts)


def check_ports(stack: Stack, states: dict[str, ProcessState]) -> None:
    """Raises StackError naming every port that another program holds, and that program."""
    taken = []
    variables = port_variables(stack.config.ports.named())
    for service in stack.services:
        if service.name in states and states[service.name].runs:
            continue
        for port in service.ports:
            owner = port_owner(port)
            if owner is not None:
                taken.append(
                    f"port {port} of {service.name} is held by {owner}; {variables[port]}=… moves it"
                )
    if taken:
        raise StackError(
            "Nothing was started: " + "; ".join(taken) + ". FEIRA_PORT_OFFSET=100 moves all ports."
        )


def _bring_up(
    stack: Stack, supervisor: Supervisor, on_progress: Callable[[list[Progress]], None]
) -> list[Progress]:
    awaited = [service for service in stack.services if service.kind != "afterwards"]
    startup = _Startup(stack, supervisor, awaited)
    deadline = time.monotonic() + START_SECONDS
    with ThreadPoolExecutor(len(awaited)) as pool:
        while not startup.finished:
            startup.advance(pool)
            on_progress(startup.progress())
            for item in startup.progress():
                if item.phase == "failed":
                    raise _failure(stack.config, item.name, item.note)
            if time.monotonic() > deadline:
                late = next(item for item in startup.progress() if item.phase == "starting")
                note = f"it is not healthy after {START_SECONDS} s ({late.note})"
                raise _failure(stack.config, late.name, note)
            time.sleep(0.1)
    for service in stack.services:
        if service.kind == "afterwards" and startup.started.keys() & set(service.depends_on):
            supervisor.start(service.name)
    return startup.progress()


class _Startup:
    """The services on their way up: starts each when what it needs is healthy, and asks each how it is."""

    def __init__(self, stack: Stack, supervisor: Supervisor, awaited: list[Service]) -> None:
        self.stack = stack
        self.supervisor = supervisor
        self.awaited = awaited
        self.began = time.time()
        self.started: dict[str, float] = {}
        self._now = {service.name: Progress(service.name, "waiting") for service in awaited}
        # A check may take seconds on a busy machine; no other service waits for its answer.
        self._asked: dict[str, Future[tuple[str, str]]] = {}

    @property
    def finished(self) -> bool:
        return all(item.settled for item in self._now.values())

    def progress(self) -> list[Progress]:
        return list(self._now.values())

    def advance(self, pool: ThreadPoolExecutor) -> None:
        states = self.supervisor.states()
        for service in self.awaited:
            name = service.name
            if self._now[name].phase == "waiting":
                if all(self._now[needed].settled for needed in service.depends_on):
                    self._start(service, states[name])
            elif self._now[name].phase == "starting":
                asked = self._asked.get(name)
                if asked is None or asked.done():
                    if asked is not None:
                        self._settle(service, *asked.result())
                    if self._now[name].phase == "starting":
                        self._asked[name] = pool.submit(_look, service, states[name])

    def _start(self, service: Service, current: ProcessState) -> None:
        if not current.runs and not is_done(service, current):
            self.supervisor.start(service.name)
            self.started[service.name] = time.time()
        self._now[service.name] = Progress(service.name, "starting", 0.0)

    def _settle(self, service: Service, phase: str, note: str) -> None:
        since = self.started.get(service.name)
        if phase == "starting":
            crashes = [
                event
                for event in events(self.stack.config, self.stack.services)
                # supervisord's log has whole seconds.
                if event.service == service.name
                and event.at.timestamp() >= int(since or self.began)
            ]
            if len(crashes) > CRASHES_ALLOWED:
                phase, note = "failed", f"it ended {len(crashes)} times, last by {crashes[-1].how}"
        seconds = time.time() - since if since else 0.0
        self._now[service.name] = Progress(service.name, phase, seconds, note)


def is_done(service: Service, current: ProcessState) -> bool:
    """Whether it is one that ends, and has ended well."""
    return (
        service.kind != "service"
        and current.state == "EXITED"
        and current.exit_status == 0
        and current.started > 0
    )


def _look(service: Service, current: ProcessState) -> tuple[str, str]:
    """The phase of a service that was started, and a note."""
    if service.kind == "step":
        if is_done(service, current):
            return "done", ""
        if current.state in ("EXITED", "FATAL", "BACKOFF"):
            return "failed", f"it ended with {current.exit_status} {current.error}".strip()
        return "starting", ""
    if current.state == "FATAL":
        return "failed", current.error or "it ended again and again"
    if not current.runs:
        return "starting", current.state.lower()
    found = health.ask(service, current.started)
    return ("healthy", "") if found.works else ("starting", found.note)


def _failure(config: StackConfig, name: str, note: str) -> StackError:
    path = log_path(config, name)
    end = "\n".join(f"  {line}" for line in log_lines.tail(path, 15) or ["(no log yet)"])
    return StackError(
        f"{name} did not start: {note}.\nThe end of {path}:\n{end}\n"
        "Fix the cause and repeat `feira up`; `feira down` stops the rest."
    )


def restart(config: StackConfig, name: str) -> None:
    """Stops one service and starts it, or runs a step again; returns when it is healthy, or done.

    Raises StackError naming what failed, as `up` does.
    """
    stack = Stack.of(config)
    service = named(stack.services, name)
    # First without the lock, for which a folder is made.
    stack.running_supervisor(name)
    with state.alone(config):
        supervisor = stack.running_supervisor(name)
        _stop_level(supervisor, [name], lambda _: None)
        supervisor.start(name)
        # What it depends on runs already, and what nobody waits for is waited for here.
        kind = "step" if service.kind == "afterwards" else service.kind
        only = replace(service, depends_on=(), kind=kind)
        _bring_up(replace(stack, services=(only,)), supervisor, lambda _: None)


def down(
    config: StackConfig, on_progress: Callable[[str], None] = lambda _: None
) -> dict[int, str]:
    """Stops everything, dependents first; returns the processes that had to be ended one by one.

    Works on whatever is there: a whole stack, half of one, or what a killed supervisor left; one whose secrets or
    connections cannot be read is stopped all at once.
    """
    if not config.run.is_dir():
        return {}
    with state.alone(config):
        supervisor = Supervisor(config)
        if supervisor.pid is not None and supervisor.answers():
            # The sources may name others than it was started with: a part has joined, or is gone.
            states = supervisor.states()
            known: list[Service] = []
            # They are for the order alone. What a file that cannot be read raises may be its reader's, as a hook's.
            with suppress(Exception):
                known = [each for each in Stack.of(config).services if each.name in states]
            _stop_level(supervisor, sorted(states.keys() - by_name(known)), on_progress)
            for level in _levels(known):
                _stop_level(supervisor, [service.name for service in level], on_progress)
        killed = _clear(config, supervisor)
        # Not by a start that clears up first: where that fails, they are the next one's.
        state.forget(config)
        return killed


def _levels(defined: Iterable[Service]) -> list[list[Service]]:
    """The services to stop together: first those that nothing depends on."""
    remaining = by_name(defined)
    levels = []
    while remaining:
        needed = {name for service in remaining.values() for name in service.depends_on}
        level = [service for name, service in remaining.items() if name not in needed]
        levels.append(level)
        for service in level:
            del remaining[service.name]
    return levels


def _stop_level(
    supervisor: Supervisor, names: list[str], on_progress: Callable[[str], None]
) -> None:
    states = supervisor.states()
    stopping = [
        name
        for name in names
        if states[name].state in ("STARTING", "RUNNING", "BACKOFF", "STOPPING")
    ]
    if not stopping:
        return
    on_progress(", ".join(stopping))
    for name in stopping:
        supervisor.stop(name)
    deadline = time.monotonic() + STOP_SECONDS + 5
    while time.monotonic() < deadline:
        states = supervisor.states()
        if not any(states[name].state in ("STARTING", "RUNNING", "STOPPING") for name in stopping):
            return
        time.sleep(0.1)


def _clear(config: StackConfig, supervisor: Supervisor) -> dict[int, str]:
    """Ends the supervisor and whatever is left of the services; returns the latter by number."""
    pid = supervisor.pid
    if pid is not None and not supervisor.answers():
        psutil.Process(pid).kill()
        wait_gone(pid, 5)
    # With descendants that left their group: only while their parents live are they to be found.
    before = members(config.run)
    supervisor.shutdown()
    left = {
        process.pid: process
        for process in (*before, *members(config.run))
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    }
    ended = {number: describe(process) for number, process in left.items()}
    end(left.values(), patience=5)
    forget_leaders(config.run)
    # In a folder outside that is another user's there is none of this stack.
    with suppress(OSError):
        config.socket.unlink()
    (config.run / "supervisord.pid").unlink(missing_ok=True)
    return ended
