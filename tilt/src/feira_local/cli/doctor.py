"""`feira doctor`: what this machine lacks, and the next step for each."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer
from rich.text import Text

from feira_local.cli.output import AsJson, PlainTable, megabytes, print_json, print_table
from feira_local.stack import jars, postgres
from feira_local.stack.config import Monitoring, StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.java import install, java_command, java_version
from feira_local.stack.libraries import libraries
from feira_local.stack.lifecycle import Stack
from feira_local.stack.processes import port_owner, port_variables
from feira_local.stack.report import report
from feira_local.stack.spark import require_comet
from feira_local.stack.state import running_config

DISK_NEEDED = 3 * 2**30
MEMORY_NEEDED = 6 * 2**30


@dataclass(frozen=True)
class Finding:
    """One thing looked at; ``step`` says what to do when it is not ok."""

    what: str
    ok: bool
    found: str
    step: str = ""


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(as_json: AsJson = False) -> None:
    """Look at everything the stack needs; each failed line names the next step. Exit code 1 on any.

    Example: [bold]feira doctor[/]
    """
    config, findings = _settings()
    findings += [
        *_guarded("Python", _python),
        *_guarded("Java", _java),
        *_guarded("libraries", lambda: _libraries(config)),
        *_guarded("packages", _packages),
        *_guarded("jars", lambda: _jars(config)),
        *_guarded("state folder", lambda: _state_folder(config)),
        *_guarded("PostgreSQL binaries", lambda: _postgres(config)),
        *_guarded("disk", lambda: _disk(config)),
        *_guarded("memory", _memory),
        *_guarded("Tilt", _tilt),
        *_guarded("monitoring", _monitoring),
        *_guarded("stack", lambda: _stack(config)),
    ]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        table = PlainTable()
        for finding in findings:
            mark = Text("ok", style="green") if finding.ok else Text("fail", style="red")
            table.add_row(mark, finding.what, finding.found, "" if finding.ok else finding.step)
        print_table(table)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _guarded(what: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return look()
    except StackError as error:
        return [Finding(what, False, str(error), "see the message")]
    except OSError as error:
        found = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return [Finding(what, False, found, "is it this user's? FEIRA_HOME names another folder")]


def _settings() -> tuple[StackConfig, list[Finding]]:
    """Those of the stack that runs, else the environment's; a finding where there are some that cannot be read."""
    found: list[StackConfig] = []

    def read() -> list[Finding]:
        found.append(running_config())
        return []

    findings = _guarded("settings", read)
    return (found[0] if found else StackConfig.from_env()), findings


def _python() -> list[Finding]:
    here = ".".join(str(part) for part in sys.version_info[:3])
    ok = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return [Finding("Python", ok, here, "install Python 3.11, 3.12 or 3.13, then `make install`")]


def _java() -> list[Finding]:
    java = java_command()
    try:
        return [Finding("Java", True, f"{java_version(java)} ({java})")]
    except StackError as error:
        return [Finding("Java", False, str(error), install())]


def _libraries(config: StackConfig) -> list[Finding]:
    return [
        Finding(each.name, not each.missing, each.missing or f"for {each.needed_by}", each.step)
        for each in libraries(config)
    ]


def _packages() -> list[Finding]:
    findings = []
    for package in ("apache-airflow", "pyspark", "pyiceberg", "dbt-core", "supervisor"):
        try:
            findings.append(Finding(package, True, version(package)))
        except PackageNotFoundError:
            findings.append(Finding(package, False, "not installed", "`make install`"))
    return findings


def _jars(config: StackConfig) -> list[Finding]:
    wanted = jars.wanted_jars(config)
    bad = jars.missing_jars(wanted, config.jars, thorough=True)
    found = f"{len(wanted) - len(bad)} of {len(wanted)} match tilt/jars.lock"
    return [Finding("jars", not bad, found, "`feira jars fetch`")]


def _state_folder(config: StackConfig) -> list[Finding]:
    """Whether it can be written, or made; it is not tried."""
    home = config.home
    # Not `Path.exists`, which raises where a folder above is closed.
    nearest = next(each for each in (home, *home.parents) if os.path.lexists(each))
    ok = nearest.is_dir() and os.access(nearest, os.R_OK | os.W_OK | os.X_OK)
    found = str(home) if nearest == home else f"{home}, made by the first `feira up`"
    if not ok:
        why = "is not this user's to read and write" if nearest.is_dir() else "is no folder"
        found = f"{home}: {nearest} {why}"
    step = "set FEIRA_HOME to a folder that this user can write"
    return [Finding("state folder", ok, found, step)]


def _postgres(config: StackConfig) -> list[Finding]:
    binary = Path(postgres.binary("postgres"))
    findings = [
        Finding("PostgreSQL binaries", binary.is_file(), str(binary), "`make install`"),
    ]
    try:
        identity = postgres.server_identity()
    except StackError as error:
        return [*findings, Finding("PostgreSQL user", False, str(error), "`feira up`")]
    data = config.postgres / "data"
    if not data.exists():
        return [*findings, Finding("PostgreSQL data", True, "made by the first `feira up`")]
    wanted = identity[0] if identity else None
    owner = data.stat().st_uid
    ok = wanted is None or owner == wanted
    step = f"`chown -R {postgres.SERVER_USER} {data}`"
    return [*findings, Finding("PostgreSQL data", ok, f"{data}, owner {owner}", step)]


def _disk(config: StackConfig) -> list[Finding]:
    free = jars.free_space(config.home)
    step = f"free some, or set FEIRA_HOME to another disk (needed: {megabytes(DISK_NEEDED)})"
    return [Finding("disk", free >= DISK_NEEDED, f"{megabytes(free)} free", step)]


def _memory() -> list[Finding]:
    import psutil

    total = psutil.virtual_memory().total
    step = f"the stack needs a machine with {megabytes(MEMORY_NEEDED)} or more"
    return [Finding("memory", total >= MEMORY_NEEDED, f"{megabytes(total)} in all", step)]


def _tilt() -> list[Finding]:
    """Never a failure: nothing but the development loop needs it."""
    found = shutil.which("tilt")
    hint = "not found; only the loop needs it: https://docs.tilt.dev/install.html"
    return [Finding("Tilt", True, found or hint)]


def _monitoring() -> list[Finding]:
    """Never a failure: only who asks for rules and alerts needs them."""
    found = Monitoring.found(os.environ)
    hint = (
        "not found; only `feira up --monitoring` needs it, for rules and alerts: on Debian and Ubuntu "
        "`apt-get install prometheus prometheus-alertmanager` (then `systemctl disable --now` for both), "
        "or a folder that FEIRA_MONITORING_BIN names"
    )
    return [
        Finding("Prometheus", True, found.prometheus or hint),
        Finding("Alertmanager", True, found.alertmanager or hint),
    ]


def _stack(config: StackConfig) -> list[Finding]:
    stack = Stack.of(config)
    return [
        *_guarded("ports", lambda: _ports(stack)),
        *_guarded("services", lambda: _services(stack)),
    ]


def _ports(stack: Stack) -> list[Finding]:
    supervisor = stack.supervisor
    states = supervisor.states() if supervisor.pid is not None and supervisor.answers() else {}
    variables = port_variables(stack.config.ports.named())
    findings = []
    for service in stack.services:
        ours = service.name in states and states[service.name].runs
        for port in service.ports:
            owner = None if ours else port_owner(port)
            found = "ours" if ours else "free" if owner is None else f"held by {owner}"
            step = f"stop that program, or set {variables[port]}"
            findings.append(Finding(f"port {port} ({service.name})", owner is None, found, step))
    return findings


def _comet(stack: Stack) -> list[Finding]:
    require_comet(stack.config)
    return [Finding("Comet", True, "in Spark's plans")]


def _services(stack: Stack) -> list[Finding]:
    found = report(stack)
    if not found.running:
        return [Finding("services", True, "the stack is down; `feira up` starts it")]
    asked = stack.config.comet and any(it.works for it in found.services if it.name == "spark")
    return [
        *(
            Finding(
                item.name,
                item.works,
                f"{item.state} {item.note}".strip(),
                f"`feira logs {item.name}`",
            )
            for item in found.services
        ),
        *(_guarded("Comet", lambda: _comet(stack)) if asked else ()),
    ]
