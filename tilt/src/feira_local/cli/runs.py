"""`feira run` and `backfill`: days through the chain, shown as it happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.text import Text

from feira.core.partition_keys import DAY, PartitionKeyError, day_of
from feira_local.cli.day_report import DayReport, day_report, report_tables
from feira_local.cli.output import (
    AsJson,
    PlainTable,
    console,
    error_console,
    print_figures,
    print_json,
    print_line,
    printable,
    shortened,
)
from feira_local.cli.pipelines import declared, left_out, producer
from feira_local.stack.airflow_api import AirflowApi
from feira_local.stack.chains import Chain, join, refresh_all
from feira_local.stack.errors import StackError
from feira_local.stack.state import running_config

_MARKS = {
    "success": ("✔", "green"),
    "failed": ("✘", "red"),
    "running": ("●", "yellow"),
    "up_for_retry": ("↻", "yellow"),
    "deferred": ("…", "cyan"),
    "upstream_failed": ("·", "red"),
}
# As many days as sales_etl runs side by side.
_AT_ONCE = 2
_MAX_DAYS = 400


Name = Annotated[
    str, typer.Argument(metavar="PIPELINE", help="A pipeline that starts a chain, as sales.")
]


def register(app: typer.Typer) -> None:
    app.command(no_args_is_help=True)(run)
    app.command(no_args_is_help=True)(backfill)


def parse_day(text: str) -> date:
    """A day written as 2010-12-01, as the partition key is, and in no other of ISO 8601's ways."""
    try:
        return day_of(text)
    except PartitionKeyError as error:
        raise StackError(f"{shortened(text)!r} is not a day; write it as {DAY.example}.") from error


def parse_range(text: str) -> list[date]:
    """The days of a range such as 2010-12-01..2010-12-23, both ends included; one day is a range."""
    ends = text.split("..")
    if len(ends) > 2 or not all(ends):
        raise StackError(
            f"{shortened(text)!r} is not a range; write both ends, as 2010-12-01..2010-12-23."
        )
    first, last = parse_day(ends[0]), parse_day(ends[-1])
    days = (last - first).days + 1
    if not 1 <= days <= _MAX_DAYS:
        raise StackError(
            f"{text!r} has {days:,} days; a range has 1 to {_MAX_DAYS}, the earlier day first, as "
            "2010-12-01..2010-12-23."
        )
    return [first + timedelta(days=index) for index in range(days)]


def run(
    pipeline: Name,
    day: Annotated[str, typer.Option("--day", help="The extract day, in UTC.")],
    refetch: Annotated[
        bool, typer.Option("--refetch", help="Ask the API again, although the day was landed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run one day of a pipeline and of all that its events set off, and show what came of it.

    Example: [bold]feira run sales --day 2010-12-01[/]
    """
    run_days(pipeline, [parse_day(day)], refetch=refetch, as_json=as_json)


def backfill(
    pipeline: Name,
    days: Annotated[str, typer.Argument(metavar="A..B", help="First and last extract day.")],
    refetch: Annotated[
        bool, typer.Option("--refetch", help="Ask the API again for days that were landed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a range of days, two side by side, closed days included.

    Example: [bold]feira backfill sales 2010-12-01..2010-12-23[/]
    """
    run_days(pipeline, parse_range(days), refetch=refetch, as_json=as_json)


def run_days(
    pipeline: str, days: list[date], *, refetch: bool, as_json: bool, stays: bool = True
) -> None:
    """Runs the days, shows the chain, the figures and what still waits; exits with 1 when a day has failed.

    ``stays`` is whether the stack, and the runs in it, go on after a Ctrl-C.
    """
    wanted = Wanted(pipeline, producer(pipeline), refetch, stays)
    api = AirflowApi.local()
    chains = _watched(api, days, wanted, as_json=as_json)
    failed = [chain for chain in chains if not chain.succeeded]
    unsent = [chain for chain in chains if chain.succeeded and chain.failure]
    reports = [day_report(pipeline, chain.day) for chain in chains]
    if as_json:
        print_json([_as_json(c, r) for c, r in zip(chains, reports, strict=True)])
    else:
        _print_figures(pipeline, reports)
        print_line(f"  last run     {api.link(chains[-1].producer)}")
        for asset in chains[-1].graph.assets(chains[-1].producer.dag_id)[:1]:
            print_line(f"  asset graph  {api.asset_link(asset)}")
        print_line(f"  reports      {running_config().inbox_url}")
        for line in waiting_lines(chains):
            print_line(line)
    for chain in unsent:
        task, error = chain.failure or ("?", "")
        print_line(
            f"{chain.day}: the data is complete, but {task} failed; the next run sends what is due. "
            f"{error}",
            style="yellow",
            to=error_console,
        )
    for chain in failed:
        task, error = chain.failure or ("?", "see the run's log")
        print_line(f"{chain.day}: {task} failed. {error}", style="red", to=error_console)
        print_line(f"  log: {api.link(chain.last)}", to=error_console)
    if failed:
        raise typer.Exit(1)


def waiting_lines(chains: list[Chain]) -> list[str]:
    """A line for each DAG that days of the chains have not set off, with the assets that these days lack
    and the command that brings them."""
    waits: dict[tuple[str, tuple[str, ...]], list[date]] = {}
    for chain in chains:
        for waiting in chain.waits.items():
            waits.setdefault(waiting, []).append(chain.day)
    lines = []
    for (dag_id, missing), days in waits.items():
        span = f"{days[0]}..{days[-1]}" if len(days) > 1 else f"{days[0]}"
        graph = chains[-1].graph
        starts = {dag_id for asset in missing for dag_id in graph.origins(asset)}
        lines.append(
            f"{span}: {dag_id} waits for {' and '.join(missing)}. "
            + "; ".join(
                _how_it_comes(each.name, span) for each in declared() if each.producer in starts
            )
        )
    return lines


def _how_it_comes(pipeline: str, span: str) -> str:
    if parts := left_out(pipeline):
        return (
            f"The stack runs without {' and '.join(parts)}, which {pipeline} needs: pause the DAG, or start "
            "the stack with all its parts"
        )
    command = f"backfill {pipeline}" if ".." in span else f"run {pipeline} --day"
    return f"`feira {command} {span}` brings it"


@dataclass(frozen=True)
class Wanted:
    """What to run: the pipeline's producer; ``stays`` is whether runs go on after a Ctrl-C."""

    pipeline: str
    producer: str
    refetch: bool
    stays: bool


@dataclass
class _Left:
    """The days that run, and those that were not begun."""

    waiting: list[date]
    open: list[Chain] = field(default_factory=list)


def _watched(api: AirflowApi, days: list[date], wanted: Wanted, *, as_json: bool) -> list[Chain]:
    """Runs the days and shows how they do; after a Ctrl-C or an error, what goes on."""
    left = _Left([*days])
    try:
        if as_json:
            return _run(api, left, wanted, lambda _: None)
        if not console.is_terminal:
            shown: set[tuple[date, str, int]] = set()
            return _run(api, left, wanted, lambda found: _print_ended_tries(found, shown))
        with Live(console=console, refresh_per_second=8) as live:
            return _run(
                api, left, wanted, lambda found: live.update(chain_table(found, console.width))
            )
    except (KeyboardInterrupt, Exception):
        if wanted.stays:
            _print_what_goes_on(api, wanted, left)
        raise


def _run(
    api: AirflowApi, left: _Left, wanted: Wanted, show: Callable[[list[Chain]], None]
) -> list[Chain]:
    """Keeps the scheduler supplied with a few days more than run at once, and no more: a long range
    is not hundreds of queued runs that a Ctrl-C leaves behind."""
    done: list[Chain] = []
    while left.waiting or left.open:
        while left.waiting and len(left.open) < _AT_ONCE + 1:
            # It leaves the list once it is known to run: a Ctrl-C in between loses no day.
            day = left.waiting[0]
            left.open.append(join(api, wanted.producer, day, refetch=wanted.refetch))
            left.waiting.pop(0)
        refresh_all(api, left.open)
        show(done[-5:] + left.open)
        done += [chain for chain in left.open if chain.finished]
        left.open = [chain for chain in left.open if not chain.finished]
    return sorted(done, key=lambda chain: chain.day)


def _print_what_goes_on(api: AirflowApi, wanted: Wanted, left: _Left) -> None:
    for chain in left.open:
        print_line(
            f"{chain.day}: the run goes on. Follow it with `feira run {wanted.pipeline} --day "
            f"{chain.day}`, or mark it failed at {api.link(chain.last)}",
            to=error_console,
        )
    if left.waiting:
        days = f"{left.waiting[0]}..{left.waiting[-1]}"
        again = " --refetch" if wanted.refetch else ""
        print_line(
            f"Not begun: {days}; `feira backfill {wanted.pipeline} {days}{again}` runs them.",
            to=error_console,
        )


def _print_ended_tries(chains: list[Chain], shown: set[tuple[date, str, int]]) -> None:
    """Without a terminal: one line for each try of a task that ended."""
    for chain in chains:
        for run in chain.runs:
            for task in chain.states.get(run.dag_id, []):
                name = f"{run.dag_id}.{task.task_id}"
                key = (chain.day, name, task.try_number)
                if task.state in ("success", "failed", "up_for_retry") and key not in shown:
                    shown.add(key)
                    seconds = f" ({task.seconds:.1f} s)" if task.seconds else ""
                    print_line(f"{chain.day} {name} {task.state}{seconds}")


def chain_table(chains: list[Chain], width: int) -> PlainTable:
    """Each day's tasks with their states and seconds, for a terminal ``width`` columns wide."""
    table = PlainTable(padding=(0, 1, 0, 0))
    # Beside the tasks: the day and the whole chain's seconds.
    room = width - len("2010-12-01 ") - len(" 1800 s ")
    for chain in chains:
        lines = [Text()]
        for task in chain.tasks:
            mark, colour = _MARKS.get(task.state or "", ("·", "dim"))
            seconds = f" {task.seconds:.1f}s" if task.seconds and task.state == "success" else ""
            again = f" try {task.try_number}" if task.try_number > 1 else ""
            shown = Text(f"{mark} {printable(task.task_id)}{seconds}{again}", style=colour)
            # A mark, its task and its seconds stay on one line; rich would break between them.
            if lines[-1] and lines[-1].cell_len + 2 + shown.cell_len > room:
                lines.append(Text())
            lines[-1].append("  " if lines[-1] else "").append_text(shown)
        table.add_row(str(chain.day), Text("\n").join(lines), f"{chain.seconds:.0f} s")
    return table


def _print_figures(pipeline: str, reports: list[DayReport]) -> None:
    """What came of the days; of a pipeline that has neither landing nor ledger, where its rows are."""
    if any(each.table or each.landed is not None for each in reports):
        for table in report_tables(reports):
            print_figures(table)
        return
    for name in next(each.tables for each in declared() if each.name == pipeline):
        print_line(f"  {name}: feira show {name.partition('.')[2]} --day {reports[-1].day}")


def _as_json(chain: Chain, report: DayReport) -> dict[str, Any]:
    return {
        "day": chain.day,
        "succeeded": chain.succeeded,
        "run_id": chain.producer.run_id,
        "seconds": round(chain.seconds, 1),
        "tasks": {
            f"{run.dag_id}.{task.task_id}": task.state
            for run in chain.runs
            for task in chain.states.get(run.dag_id, [])
        },
        "failure": chain.failure,
        "waits": chain.waits,
        "report": asdict(report),
    }
