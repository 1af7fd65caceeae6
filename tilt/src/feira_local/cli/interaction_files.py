"""Files of interactions, as commands of recommendations take them: which column is what, and what was left out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from feira_local.cli.output import PlainTable, print_table, shortened
from feira_local.stack.errors import StackError

if TYPE_CHECKING:
    from feira.recommendations import reading

User = Annotated[str, typer.Option("--user", help="The column of users.")]
Item = Annotated[str, typer.Option("--item", help="The column of items.")]
Time = Annotated[
    str,
    typer.Option("--time", help="The column of times: ISO 8601, UTC unless they say otherwise."),
]
TimeUnit = Annotated[
    Literal["s", "ms", "us", "ns"] | None,
    typer.Option("--time-unit", help="The times are numbers since 1970 in this unit."),
]
Quantity = Annotated[
    str | None,
    typer.Option("--quantity", help="A column; lines where it is not above 0 do not count."),
]
Items = Annotated[
    str | None,
    typer.Option(
        "--items",
        help="A regular expression; lines whose item it does not match whole do not count.",
    ),
]
Delimiter = Annotated[str, typer.Option("--delimiter", help="Between a CSV's fields.")]


def columns(
    user: str,
    item: str,
    time: str,
    time_unit: Literal["s", "ms", "us", "ns"] | None,
    quantity: str | None,
    items: str | None,
    delimiter: str,
) -> reading.Columns:
    """Where the file has what; raises StackError where an option is of no use."""
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0':
        raise StackError(
            f"The delimiter {shortened(delimiter)!r} is none; it is one character, as , or ; or a tab."
        )
    expression = _expression(items) if items is not None else None

    from feira.recommendations.reading import Columns

    return Columns(user, item, time, quantity, time_unit, expression)


def read(file: Path, of: reading.Columns, delimiter: str) -> reading.Reading:
    from feira.recommendations.files import ColumnsError
    from feira.recommendations.reading import read_interactions

    try:
        return read_interactions(file, of, delimiter)
    except ColumnsError as error:
        raise StackError(
            f"{error} Name its columns with --user, --item, --time and --quantity, and what is between a CSV's "
            "fields with --delimiter."
        ) from error


def _expression(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise StackError(f"{shortened(text)!r} is no regular expression: {error}.") from error


def as_dict(found: reading.Reading) -> dict[str, Any]:
    return {
        "lines": found.lines,
        "left_out": [
            {"rule": it.rule, "lines": it.lines, "first": it.first} for it in found.left_out
        ],
        "duplicates": found.duplicates,
        "read_as_one": {"users": found.users_as_one, "items": found.items_as_one},
    }


def print_read(found: reading.Reading) -> None:
    table = PlainTable()
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    table.add_row("lines", f"{found.lines:,}", "")
    table.add_row("interactions", f"{len(found.interactions):,}", "")
    table.add_row("duplicates", f"{found.duplicates:,}", "of a user, item and day")
    for what, names in (("users", found.users_as_one), ("items", found.items_as_one)):
        if names:
            table.add_row("read_as_one", f"{names:,}", f"of {what}: 12345.0 and 12345, and such")
    for it in found.left_out:
        table.add_row(it.rule, f"{it.lines:,}", f"left out, first in {it.first}")
    print_table(table)
