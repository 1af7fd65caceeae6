"""What every command prints with: tables for people, JSON for programs."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

console = Console(highlight=False)
error_console = Console(stderr=True, highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def print_json(value: object) -> None:
    """Plain JSON on standard output, never wrapped or coloured."""
    print(json.dumps(value, indent=2, default=str))


def megabytes(size: float) -> str:
    return f"{size / 2**20:,.0f} MB"
