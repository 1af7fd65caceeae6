"""What every command prints with: tables for people, JSON for programs."""

from __future__ import annotations

import json
import math
import unicodedata
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

console = Console(highlight=False)
error_console = Console(stderr=True, highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def print_json(value: object) -> None:
    """Plain JSON on standard output, never wrapped or coloured."""
    print(json.dumps(_finite(value), indent=2, default=str, allow_nan=False))


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: they are texts."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def print_rows(rows: list[dict[str, Any]]) -> None:
    """Rows as a table where one fits the terminal, else each as a list of its columns.

    Without a terminal it is always a table, as wide as it needs to be.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(*names, box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*[_cell(row.get(name)) for name in names])
    width = Measurement.get(console, console.options.update(max_width=100_000), table).maximum
    if width <= console.width or not console.is_terminal:
        Console(width=max(width, console.width), highlight=False).print(table)
        return
    for number, row in enumerate(rows, start=1):
        console.print(Rule(f"row {number} of {len(rows)}", align="left", style="dim"))
        record = Table.grid(padding=(0, 2, 0, 0))
        for name in names:
            record.add_row(Text(name, style="bold"), _cell(row.get(name)))
        console.print(record)


def _cell(value: Any) -> Text:
    return Text("–", style="dim") if value is None else Text(printable(str(value)))


def printable(text: str) -> str:
    """A text from outside in which the terminal sees no command: escape sequences, line breaks and
    direction overrides are shown as their code points."""
    return "".join(
        character
        if not unicodedata.category(character).startswith(("C", "Zl", "Zp"))
        else repr(character)[1:-1]
        for character in text
    )


def shortened(text: str, longest: int = 80) -> str:
    """What a person typed, as an error message shows it."""
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"


def megabytes(size: float) -> str:
    return f"{size / 2**20:,.0f} MB"
