"""`feira up`, `down`, `login`, `status`, `logs`, `services` and `env`."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from feira_local.cli.jars import ensure_jars
from feira_local.cli.output import (
    AsJson,
    PlainTable,
    error_console,
    megabytes,
    print_json,
    print_line,
    print_table,
    printable,
    shortened,
)
from feira_local.cli.pipelines import states
from feira_local.stack import access, airflow, lifecycle, log_lines
from feira_local.stack.airflow_api import AirflowApi
from feira_local.stack.config import SparkOn, StackConfig, WarehouseOn
from feira_local.stack.errors import StackError
from feira_local.stack.lifecycle import Progress, Stack
from feira_local.stack.report import StackReport, report
from feira_local.stack.service import by_name
from feira_local.stack.state import running_config
from feira_local.stack.supervisor import events, log_path

_COLOURS = {
    "healthy": "green",
    "done": "green",
    "starting": "yellow",
    "slow": "yellow",
    "waiting": "dim",
    "unhealthy": "yellow",
    "failed": "red",
    "stopped": "dim",
}


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(down)
    app.command()(login)
    app.command()(status)
    app.command()(logs)
    app.command("services")(list_services)
    app.command()(env)


def up(
    without: Annotated[
        str | None,
        typer.Option(
            "--without", help="Parts that are not needed, as [bold]kafka[/]: it saves their memory."
        ),
    ] = None,
    monitoring: Annotated[
        bool,
        typer.Option("--monitoring", help="Watch it: figures for Prometheus, alerts in the inbox."),
    ] = False,
    spark: Annotated[
        SparkOn | None,
        typer.Option(
            "--spark", help="Where Spark works: in its server, or on a master with two workers."
        ),
    ] = None,
    warehouse: Annotated[
        WarehouseOn | None,
        typer.Option(
            "--warehouse", help="What the warehouse is: PostgreSQL, or what stands for Redshift."
        ),
    ] = None,
    comet: Annotated[
        bool,
        typer.Option("--comet", help="Have Spark's work done by DataFusion Comet where it can."),
    ] = False,
    foreground: Annotated[
        bool,
        typer.Option("--foreground", help="Stay, say what happens, and stop it all on Ctrl-C."),
    ] = False,
    as_is: Annotated[
        bool,
        typer.Option("--as-is", help="With the settings of the stack that runs, if one does."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start the stack, or what of it does not run; returns when everything is healthy.

    Example: [bold]feira up[/]   a second one beside it: [bold]FEIRA_HOME=~/other
    FEIRA_PORT_OFFSET=100 feira up[/]
    """
    config = _asked_for(
        ({} if without is None else {"FEIRA_WITHOUT": without})
        | ({"FEIRA_MONITORING": "on"} if monitoring else {})
        | ({} if spark is None else {"FEIRA_SPARK": spark})
        | ({} if warehouse is None else {"FEIRA_WAREHOUSE_ON": warehouse})
        | ({"FEIRA_COMET": "on"} if comet else {}),
        as_is,
    )
    if not foreground:
        start(config, as_json)
        return
    try:
        _attend(start(config, as_json))
    except KeyboardInterrupt:
        # What of it was started, where it is not up yet.
        lifecycle.down(config)
        print_line("Stopped.")


def _asked_for(settings: Mapping[str, str], as_is: bool) -> StackConfig:
    """The stack by the environment and these settings.

    ``as_is`` is for who looks at a stack, however it was started; raises StackError where settings come with it.
    """
    if as_is and settings:
        raise StackError(
            f"--as-is keeps the settings of the stack that runs, and {', '.join(settings)} is asked for too; "
            "leave one of them out."
        )
    return running_config() if as_is else StackConfig.from_env(os.environ | settings)


def start(config: StackConfig, as_json: bool = False) -> Stack:
    """Starts the stack, shows how it goes, and prints its links."""
    began = time.monotonic()
    ensure_jars(config, thorough=False, quiet=as_json)
    if as_json or not error_console.is_terminal:
        shown: set[str] = set()
        progress = lifecycle.up(
            config, lambda items: None if as_json else _print_settled(items, shown)
        )
    else:
        with Live(console=error_console, refresh_per_second=8, transient=True) as live:
            progress = lifecycle.up(config, lambda items: live.update(_progress_table(items)))
    stack = Stack.of(config)
    seconds = time.monotonic() - began
    if as_json:
        print_json(
            {
                "seconds": round(seconds, 1),
                "services": {item.name: item.seconds for item in progress},
                "links": _links(stack),
            }
        )
    else:
        print_line(f"The stack is up ({seconds:.0f} s).", style="green")
        for title, url in _links(stack).items():
            print_line(f"  {title:<20} {url}")
        # What a program keeps, as Tilt does its page, holds no password.
        words = "`feira login` prints it"
        if sys.stdout.isatty():
            words = " / ".join(access.airflow_login())
        print_line(f"  {'Airflow login':<20} {words}")
    return stack


def _print_settled(items: list[Progress], shown: set[str]) -> None:
    """Without a terminal: one line for each service that settled."""
    for item in items:
        if item.settled and item.name not in shown:
            shown.add(item.name)
            when = f"after {item.seconds:.1f} s" if item.seconds else "already"
            print_line(f"{item.name} {item.phase} {when}", to=error_console)


def _progress_table(items: list[Progress]) -> Table:
    table = PlainTable()
    for item in items:
        table.add_row(
            item.name,
            Text(item.phase, style=_COLOURS[item.phase]),
            f"{item.seconds:.0f} s" if item.seconds is not None else "",
            Text(printable(item.note) if item.phase == "starting" else "", style="dim"),
        )
    return table


def _links(stack: Stack) -> dict[str, str]:
    return {link.title: link.url for service in stack.services for link in service.links}


def _attend(stack: Stack) -> None:
    """Prints what ends and comes back, until Ctrl-C."""
    print_line("Ctrl-C stops the stack.")
    seen = len(events(stack.config, stack.services))
    while True:
        if stack.supervisor.pid is None:
            raise StackError("The supervisor is gone; `feira down` clears up, `feira up` starts.")
        happened = events(stack.config, stack.services)
        for event in happened[seen:]:
            print_line(f"{event}; it is started again", style="yellow")
        seen = len(happened)
        time.sleep(1)


def down(as_json: AsJson = False) -> None:
    """Stop everything of this stack; its data stays.

    Example: [bold]feira down[/]
    """
    config = running_config()
    if as_json or not error_console.is_terminal:
        killed = lifecycle.down(config)
    else:
        with error_console.status("Stopping") as spinner:
            killed = lifecycle.down(config, lambda names: spinner.update(f"Stopping {names}"))
    if as_json:
        print_json({"stopped": True, "ended_one_by_one": killed})
        return
    print_line(f"Stopped. The data stays in {config.home}.")
    for pid, command in killed.items():
        print_line(f"Process {pid} had outlived its service and was ended: {command}")


def login(
    user: Annotated[str, typer.Argument(help="admin, operator or viewer.")] = airflow.ADMIN,
    as_json: AsJson = False,
) -> None:
    """Print a user's name and password for Airflow's web interface. A viewer reads; an operator also runs,
    clears and pauses; an admin may do everything.

    Example: [bold]feira login operator[/]
    """
    name, password = access.airflow_login(user)
    url = running_config().airflow_url
    if as_json:
        print_json({"user": name, "password": password, "url": url})
        return
    print_line(f"{name} / {password}   at {url}")


def status(as_json: AsJson = False) -> None:
    """Health, restarts, memory, ports and links of every service; each pipeline's last events and its
    tables. Exit code 1 unless all services work.

    A service that is slow works: on a busy machine an answer takes seconds.

    Example: [bold]feira status[/]
    """
    stack = Stack.of(running_config())
    found = report(stack)
    answers = any(service.name == "airflow-api" and service.works for service in found.services)
    pipelines: list[dict[str, Any]] = []
    unknown = None
    if not as_json:
        _print_status(stack, found)
    if answers:
        # Airflow answers without its database, but not this; and a pipeline may be in the making.
        try:
            pipelines = states(AirflowApi.local(patient=False))
        except Exception as error:
            unknown = _cause(error)
    if as_json:
        print_json(
            {
                "running": found.running,
                "healthy": found.healthy,
                "home": stack.config.home,
                "services": [vars(service) for service in found.services],
                "supervisor_memory": found.supervisor_memory,
                "memory": found.memory,
                "links": _links(stack),
                "pipelines": pipelines,
                "pipelines_error": unknown,
            }
        )
    else:
        _print_pipelines(pipelines)
        if unknown:
            print_line(f"The pipelines' state is not known: {unknown}", style="yellow")
    if not found.healthy:
        raise typer.Exit(1)


def _cause(error: Exception) -> str:
    """An error in one line."""
    first = shortened((str(error).splitlines() or [""])[0], 300)
    return first if isinstance(error, StackError) else f"{type(error).__name__}: {first}"


def _print_status(stack: Stack, found: StackReport) -> None:
    if not found.running:
        print_line(f"The stack in {stack.config.home} does not run; `feira up` starts it.")
        return
    table = PlainTable("service", "state", "restarts", "last exit", "memory", "port")
    for column in table.columns[-2:]:
        column.justify = "right"
    for item in found.services:
        state = Text(item.state, style=_COLOURS[item.state])
        if item.note:
            state.append(f" ({printable(item.note)})", style="dim")
        table.add_row(
            item.name,
            state,
            str(item.restarts),
            item.last_exit or "",
            megabytes(item.memory) if item.memory else "",
            ", ".join(str(port) for port in item.ports),
        )
    table.add_row("supervisor", "", "", "", megabytes(found.supervisor_memory), "")
    table.add_row(Text("total", style="bold"), "", "", "", megabytes(found.memory), "")
    print_table(table)
    for title, url in _links(stack).items():
        print_line(f"{title:<20} {url}")


def _print_pipelines(pipelines: list[dict[str, Any]]) -> None:
    table = PlainTable("pipeline", "asset", "last event", "waiting", "tables")
    for each in pipelines:
        name, tables = each["pipeline"], ", ".join(each["tables"])
        waiting = str(each["waiting"] or "")
        for asset in each["assets"] or [{"asset": "none", "partition": None, "at": None}]:
            key = f"[{asset['partition']}]" if asset["partition"] else ""
            at = f"{asset['at'][:16].replace('T', ' ')} UTC" if asset["at"] else "none yet"
            table.add_row(name, f"{asset['asset']}{key}", at, waiting, tables)
            name = waiting = tables = ""
    if pipelines:
        print_line("")
        print_table(table)


def logs(
    name: Annotated[str, typer.Argument(help="A service of `feira status`, or supervisord.")],
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what comes.")] = False,
    lines: Annotated[
        int, typer.Option("-n", "--lines", min=1, help="How many to begin with.")
    ] = 40,
    as_json: AsJson = False,
) -> None:
    """Print the end of a service's log. With -f and --json each line is an object of its own.

    Example: [bold]feira logs spark -n 100[/]   [bold]feira logs airflow-scheduler -f[/]
    """
    config = running_config()
    known = [*by_name(Stack.of(config).services), "supervisord"]
    if name not in known:
        raise StackError(f"There is no service {name!r}; there are {', '.join(known)}.")
    path = log_path(config, name)
    if not path.is_file():
        raise StackError(f"{name} has no log yet; it would be {path}.")
    if as_json and not follow:
        print_json({"service": name, "path": path, "lines": log_lines.tail(path, lines)})
        return
    for line in log_lines.follow(path, lines) if follow else log_lines.tail(path, lines):
        row = (
            json.dumps({"service": name, "line": line}) if as_json else printable(line.expandtabs())
        )
        print(row, flush=follow)


def list_services(as_json: AsJson = False) -> None:
    """The stack's services as they are defined: what runs, after what, and how its health is asked.

    Example: [bold]feira services --json[/]
    """
    defined = Stack.of(running_config()).services
    if as_json:
        print_json([service.as_json() for service in defined])
        return
    table = PlainTable("service", "kind", "after", "ports", "what")
    for service in defined:
        table.add_row(
            service.name,
            service.kind,
            ", ".join(service.depends_on),
            ", ".join(str(port) for port in service.ports),
            service.description,
        )
    print_table(table)


def env(as_json: AsJson = False) -> None:
    """Print what a shell needs to use the stack as its tasks do. The output holds passwords.

    Example: [bold]eval "$(feira env)"[/]
    """
    pairs = access.environment()
    if as_json:
        print(json.dumps(pairs, indent=2))
        return
    for name, value in pairs.items():
        # A connection's id may have what no shell takes in a name.
        if name.isascii() and name.isidentifier():
            print(f"export {name}={shlex.quote(value)}")
        else:
            error_console.print(f"{name} is left out: no variable of a shell can be named so.")
