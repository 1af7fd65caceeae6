"""`feira recommendations`: which candidates are worth what, and which version of the lists is served."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from feira.core.errors import first_line
from feira_local.cli.output import (
    AsJson,
    PlainTable,
    print_json,
    print_line,
    print_table,
    progress_bar,
    shortened,
)
from feira_local.cli.runs import parse_day
from feira_local.stack import access, health
from feira_local.stack.errors import StackError
from feira_local.stack.lifecycle import Stack
from feira_local.stack.state import running_config

if TYPE_CHECKING:
    from valkey import Valkey

    from feira.recommendations import evaluation, reading
    from feira.recommendations.bootstrap import Figure
    from feira.recommendations.candidates import Candidate


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="What to offer to whom, and how good that is.")
    group.command("evaluate", no_args_is_help=True)(evaluate)
    group.command("versions")(versions)
    group.command("rollback")(rollback)
    app.add_typer(group, name="recommendations")


def evaluate(
    file: Annotated[
        Path, typer.Argument(help="A CSV (also gzip) or Parquet file, or a folder of them.")
    ],
    user: Annotated[str, typer.Option("--user", help="The column of users.")] = "user",
    item: Annotated[str, typer.Option("--item", help="The column of items.")] = "item",
    time: Annotated[
        str,
        typer.Option(
            "--time", help="The column of times: ISO 8601, UTC unless they say otherwise."
        ),
    ] = "time",
    time_unit: Annotated[
        Literal["s", "ms", "us", "ns"] | None,
        typer.Option("--time-unit", help="The times are numbers since 1970 in this unit."),
    ] = None,
    quantity: Annotated[
        str | None,
        typer.Option("--quantity", help="A column; lines where it is not above 0 do not count."),
    ] = None,
    items: Annotated[
        str | None,
        typer.Option(
            "--items",
            help="A regular expression; lines whose item it does not match whole do not count.",
        ),
    ] = None,
    delimiter: Annotated[str, typer.Option("--delimiter", help="Between a CSV's fields.")] = ",",
    cut: Annotated[
        str | None,
        typer.Option(
            "--cut", help="The first day to be foretold; else the last fifth of the days."
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", help="A candidate, once or more often; recent popularity always is one."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print how well each candidate foretells what users take after a day from what came before it.

    By slot: again (what the user had before), new (what it never had), all; with 95 % intervals.

    Example: [bold]feira recommendations evaluate sales.csv --user customer_id --item sku --time created_at[/]
    """
    first_foretold = parse_day(cut) if cut is not None else None
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0':
        raise StackError(
            f"The delimiter {shortened(delimiter)!r} is none; it is one character, as , or ; or a tab."
        )
    expression = _expression(items) if items is not None else None

    from feira.recommendations import evaluation, reading
    from feira.recommendations.history import default_cut

    chosen = _chosen(only)
    columns = reading.Columns(user, item, time, quantity, time_unit, expression)
    with _progress(as_json) as show:
        show("reading", 0, len(chosen))
        read = reading.read_interactions(file, columns, delimiter)
        found = evaluation.evaluate(
            read.interactions, first_foretold or default_cut(read.interactions), chosen, show
        )
    if as_json:
        print_json(_read_as_dict(read) | found.as_dict())
        return
    _print_read(read)
    _print_found(found)


def versions(as_json: AsJson = False) -> None:
    """Print the versions of the lists that are in Valkey, the newest first, and which is served.

    Example: [bold]feira recommendations versions[/]
    """
    from feira.recommendations import publish

    with _valkey() as client:
        found = publish.versions(client)
    if as_json:
        print_json(
            [
                {
                    "version": each.version,
                    "served": each.live,
                    "complete": each.meta is not None,
                    "published_at": each.meta and each.meta.published_at,
                    "lists": each.meta and each.meta.lists,
                    "checksum": each.meta and each.meta.checksum,
                }
                for each in found
            ]
        )
        return
    if not found:
        print_line("No version of the lists is in Valkey.")
        return
    table = PlainTable("version", "", "published", "lists", "checksum")
    table.columns[3].justify = "right"
    for each in found:
        meta = each.meta
        state = "served" if each.live else "" if meta else "incomplete"
        told = (meta.published_at, f"{meta.lists:,}", meta.checksum[:12]) if meta else ("", "", "")
        table.add_row(each.version, state, *told)
    print_table(table)


def rollback(
    version: Annotated[
        str | None,
        typer.Argument(help="One that is in Valkey; else the newest before the served one."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Serve another version of the lists, an older or a newer one; from the next answer on.

    Example: [bold]feira recommendations rollback[/]   [bold]feira recommendations rollback 2010-12-01-001[/]
    """
    from feira.core.lake import lake_files
    from feira.recommendations import publish
    from feira.recommendations.serving import baked

    with _valkey() as client:
        found = publish.rollback(client, version)
    lake = access.lake_settings()
    try:
        baked.bake_again(lake_files(lake, health.PATIENCE_SECONDS), lake.root, found.version)
        problem = None
    except Exception as error:
        # What is served is changed already; this is what answers where Valkey has nothing.
        problem = first_line(error)
    if as_json:
        print_json({"served": found.version, "file_error": problem})
        return
    print_line(f"{found.version} is served from now on.")
    if problem:
        print_line(
            f"The file for when Valkey is down is still the earlier one: {problem}.", style="yellow"
        )


@contextmanager
def _valkey() -> Iterator[Valkey]:
    """A client of the running stack's Valkey, or of that of ``connections.yaml``."""
    from feira.recommendations.serving.store import StoreError, connect
    from feira_local.stack.own_connections import own_connections
    from feira_local.valkey.local import CONNECTION, valkey_options

    config = running_config()
    if CONNECTION not in own_connections(config.home):
        Stack.of(config).running_supervisor("valkey")
    client = connect(valkey_options(config))
    try:
        yield client
    except StoreError as error:
        raise StackError(
            f"{error} `feira status` shows how it is; `feira up` starts it."
        ) from error
    finally:
        client.close()


def _expression(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise StackError(f"{shortened(text)!r} is no regular expression: {error}.") from error


def _chosen(only: list[str] | None) -> list[Candidate]:
    from feira.recommendations.candidates import BASELINE, CANDIDATES

    by_name = {each.name.lower(): each for each in CANDIDATES}
    for name in only or ():
        if name.lower() not in by_name:
            raise StackError(
                f"{shortened(name)!r} is no candidate; there is {', '.join(it.name for it in CANDIDATES)}."
            )
    wanted = {name.lower() for name in only or by_name} | {BASELINE.name}
    return [each for name, each in by_name.items() if name in wanted]


@contextmanager
def _progress(quiet: bool) -> Iterator[evaluation.Progress]:
    """Shows each step on the terminal, if there is one."""
    with progress_bar(quiet) as bar:
        task = bar.add_task("")
        yield lambda step, done, of: bar.update(task, description=step, completed=done, total=of)


def _read_as_dict(read: reading.Reading) -> dict[str, Any]:
    return {
        "lines": read.lines,
        "left_out": [
            {"rule": it.rule, "lines": it.lines, "first": it.first} for it in read.left_out
        ],
        "duplicates": read.duplicates,
    }


def _print_read(read: reading.Reading) -> None:
    table = PlainTable()
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    table.add_row("lines", f"{read.lines:,}", "")
    table.add_row("interactions", f"{len(read.interactions):,}", "")
    table.add_row("duplicates", f"{read.duplicates:,}", "of a user, item and day")
    for it in read.left_out:
        table.add_row(it.rule, f"{it.lines:,}", f"left out, first in {it.first}")
    print_table(table)


def _print_found(found: evaluation.Evaluation) -> None:
    from feira.recommendations.bootstrap import RESAMPLES

    print_line(
        f"Known: {found.first_day} to the day before {found.cut}, {found.interactions_before:,} "
        f"interactions, {found.users_before:,} users, {found.items_before:,} items."
    )
    drawn = found.users_evaluated < found.users_on_both_sides
    print_line(
        f"Foretold: {found.cut} to {found.last_day}, {found.interactions_after:,} interactions; "
        f"{found.users_on_both_sides:,} of the known users have some"
        + (f", of whom {found.users_evaluated:,} were drawn." if drawn else ".")
    )
    for slot in found.slots:
        print_line("")
        print_line(f"{slot.slot}: {slot.users:,} user{'s'[: slot.users != 1]}", style="bold")
        if slot.rows:
            print_table(_slot_table(slot))
    print_line("")
    print_line(
        f"Below each figure its 95 % interval, from the same {RESAMPLES:,} resamples of users for all. "
        f"× recent is NDCG beside that of {found.baseline}."
    )


def _slot_table(slot: evaluation.SlotTable) -> Table:
    """At most 80 wide, as most terminals are."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    table.add_column("candidate", max_width=10)
    for name in ("NDCG@10", "× recent", "recall@10", "hits@10", "coverage", "novelty", "diversity"):
        table.add_column(name)
    for row in slot.rows:
        table.add_row(
            row.candidate,
            _cell(row.ndcg, 3),
            _cell(row.ratio, 2),
            _cell(row.recall, 3),
            _cell(row.hit_rate, 3),
            f"{row.coverage:.3f}",
            _cell(row.novelty, 2),
            _cell(row.diversity, 3),
        )
    return table


def _cell(figure: Figure, digits: int) -> Text:
    if figure.value is None or figure.low is None or figure.high is None:
        return Text("–", style="dim")
    ends = "–".join(f"{it:.{digits}f}".removeprefix("0") for it in (figure.low, figure.high))
    return Text(f"{figure.value:.{digits}f}\n").append(ends, style="dim")
