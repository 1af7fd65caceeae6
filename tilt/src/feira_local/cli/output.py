"""What every command prints with: tables for people, JSON for programs."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from feira.core.settings import repository_root

# What is printed holds paths, names and values from outside: no brackets are markup, no :cat: is a cat.
console = Console(highlight=False, markup=False, emoji=False)
error_console = Console(stderr=True, highlight=False, markup=False, emoji=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def print_json(value: object) -> None:
    """Plain JSON on standard output, never wrapped or coloured."""
    print(json.dumps(_plain(value), indent=2, default=str, allow_nan=False))


def _plain(value: Any) -> Any:
    """What JSON can hold: NaN and infinity are texts, a decimal is all its digits and bytes are hexadecimal,
    both as PostgreSQL writes them; a struct is an object."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"\\x{bytes(value).hex()}"
    if isinstance(value, tuple) and hasattr(value, "__fields__"):  # a Row of Spark
        value = dict(zip(unique_names(value.__fields__), value, strict=True))
    if isinstance(value, dict):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def unique_names(names: list[str]) -> list[str]:
    """Column names, of which the second ``a`` is ``a (2)``: no column hides another."""
    unique: list[str] = []
    for name in names:
        candidate, number = name, 1
        while candidate in unique or (number > 1 and candidate in names):
            number += 1
            candidate = f"{name} ({number})"
        unique.append(candidate)
    return unique


class PlainTable(Table):
    """A table in whose cells the terminal sees no command, and that cuts nothing off. Options are rich's."""

    def __init__(self, *headings: str, **options: Any) -> None:
        plain = {"box": None, "show_header": bool(headings), "padding": (0, 2, 0, 0)}
        super().__init__(*headings, **(plain | options))

    def add_row(self, *cells: RenderableType | None, **arguments: Any) -> None:
        """Adds a row; a cell with a style is a ``Text``, whose maker has made it printable."""
        shown = (Text(printable(cell)) if isinstance(cell, str) else cell for cell in cells)
        super().add_row(*shown, **arguments)
        for column in self.columns:
            column.overflow = "fold"  # a path or a line of JSON has no space to be wrapped at


def print_line(text: str, *, style: str = "", to: Console | None = None) -> None:
    """One line, however long, so that its paths and links can be copied; on standard output unless
    ``to`` is another console."""
    (to or console).print(Text(printable(text), style=style), soft_wrap=True)


@contextmanager
def step_bar(quiet: bool) -> Iterator[Callable[[str, float, float], None]]:
    """How far something is, on the terminal if there is one; gone when it is done. It is told the name of a step, how
    much came before it, and of how much."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=error_console,
        transient=True,
        disable=quiet or not error_console.is_terminal,
    ) as bar:
        task = bar.add_task("")
        yield lambda step, done, of: bar.update(task, description=step, completed=done, total=of)


def write_generated(path: str | Path, text: str) -> None:
    """Writes a generated file of the checkout, where it is not so already, and says which."""
    file = repository_root() / path
    if file.is_file() and file.read_text(encoding="utf-8") == text:
        print_line(f"unchanged {path}")
        return
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    print_line(f"wrote {path}")


def print_table(table: Table) -> None:
    """A table, on a terminal as wide as that, else as wide as it needs to be."""
    width = console.width if console.is_terminal else max(_width(table), console.width)
    _as_wide(width).print(table)


def print_figures(table: PlainTable) -> None:
    """A table where it fits the terminal, else each row as a list of its columns: a figure that is folded would be
    read as two. Without a terminal it is always a table, as wide as it needs to be."""
    if not console.is_terminal or _width(table) <= console.width:
        print_table(table)
        return
    if table.title:
        console.print(Text(str(table.title), style="italic"))
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    for number, row in enumerate(rows, start=1):
        console.print(Rule(f"row {number} of {len(rows)}", align="left", style="dim"))
        record = PlainTable()
        for column, cell in zip(table.columns, row, strict=True):
            record.add_row(Text(str(column.header), style="bold"), cell)
        console.print(record)
    if table.caption:
        console.print(Text(str(table.caption), style="dim italic"))


def _width(table: Table) -> int:
    return Measurement.get(console, console.options.update(max_width=10_000_000), table).maximum


def _as_wide(width: int) -> Console:
    if width == console.width:
        return console
    return Console(width=width, highlight=False, markup=False, emoji=False)


def print_rows(rows: list[dict[str, Any]]) -> None:
    """Rows as ``print_figures`` shows a table."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = PlainTable(*map(printable, names), box=box.SIMPLE_HEAD, padding=(0, 1))
    for row in rows:
        table.add_row(*[_cell(row.get(name)) for name in names])
    print_figures(table)


# A line that the shop served, for example, is shown whole up to here.
_LONGEST_CELL = 2000


def _cell(value: Any) -> Text:
    if value is None:
        return Text("–", style="dim")
    value = _plain(value)
    if isinstance(value, (bool, dict, list)):
        value = json.dumps(value, default=str, ensure_ascii=False)
    return Text(printable(shortened(str(value), _LONGEST_CELL)))


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
    """A text from outside, cut; how long it is stands after it."""
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"


def megabytes(size: float) -> str:
    return f"{size / 2**20:,.0f} MB"
