"""The `feira` command. Each module of ``MODULES`` registers one group of commands."""

from __future__ import annotations

import importlib
import sys

import typer
from rich.text import Text

from feira.settings import SettingsError
from feira_local.cli.output import error_console
from feira_local.stack.errors import StackError

MODULES = (
    "feira_local.cli.stack",
    "feira_local.cli.doctor",
    "feira_local.cli.jars",
    "feira_local.cli.demo",
    "feira_local.cli.runs",
    "feira_local.cli.data",
    "feira_local.cli.contracts",
    "feira_local.cli.lint_assets",
)

app = typer.Typer(
    name="feira",
    help="Feira on this machine: its services, its data, its runs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,  # they would show secrets
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _module in MODULES:
    importlib.import_module(_module).register(app)


def main() -> None:
    """Runs the command; what a person can act on comes without a stack trace, exit code 1."""
    try:
        app()
    except (StackError, SettingsError) as error:
        # Log lines and paths may hold what rich would take for markup.
        message = Text("feira: ", style="bold red").append(str(error), style="not bold default")
        error_console.print(message, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
