"""`feira recommendations live`: the page of a day on which lists were shown, or that of all days."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from feira_local.cli.list_versions import asked_list_store
from feira_local.cli.output import AsJson, print_json, print_line
from feira_local.cli.runs import parse_day
from feira_local.stack.errors import StackError


def live(
    day: Annotated[
        str | None, typer.Argument(help="The day; else the newest that was measured.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="The file to write; else one in this folder.")
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="The page of all days instead: CTR by day.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch the page of how the lists that users were shown on a day did, to open in a browser.

    Example: [bold]feira recommendations live 2010-12-01[/]   [bold]feira recommendations live --history[/]
    """
    wanted = parse_day(day) if day is not None else None
    if history and wanted is not None:
        raise StackError(f"--history is of all days; leave it out, or the day {wanted}.")

    from feira.recommendations.live.page import history_uri, measured_days, page_uri

    with asked_list_store() as store:
        days = measured_days(store.files, store.lake)
        if not days or (wanted or days[-1]) not in days:
            raise StackError(_not_measured(wanted, days))
        wanted = wanted or days[-1]
        uri = history_uri(store.lake) if history else page_uri(store.lake, wanted)
        try:
            content: bytes = store.files.cat_file(uri)
        except FileNotFoundError:
            raise StackError(f"There is no {uri} yet. {_CLEAR.format(wanted)}.") from None
    file = to or Path(f"recommendations-{'history' if history else wanted}.html")
    try:
        file.write_bytes(content)
    except OSError as error:
        raise StackError(
            f"{file} cannot be written: {error.strerror}. Name another with --to."
        ) from error
    if as_json:
        print_json({"day": None if history else str(wanted), "file": str(file)})
        return
    print_line(f"{'All days' if history else wanted}: {file.resolve().as_uri()}")


_CLEAR = "Where recommendations ran for {}, clear its task measure, which writes it"


def _not_measured(day: date | None, days: list[date]) -> str:
    if not days:
        return f"No day was measured yet. {_CLEAR.format(day or 'a day')}."
    return f"{day} was not measured; the newest is {days[-1]}. {_CLEAR.format(day)}."
