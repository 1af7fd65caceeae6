"""The `feira` command. Each module of this folder that has ``register`` brings a group of commands."""

from __future__ import annotations

import errno
import importlib
import io
import os
import pkgutil
import sys

import typer
from rich.text import Text

from feira.core.errors import PermanentError
from feira_airflow.core.next_steps import with_next_step
from feira_local.cli.output import error_console, printable, shortened
from feira_local.stack.errors import StackError
from feira_local.stack.loopback import no_proxy
from feira_local.stack.processes import raise_at_sigterm

# In this order in the help. Any other module of this folder that has ``register`` comes after them: a
# pipeline brings its commands as a new file.
FIRST = (
    "stack",
    "clean",
    "doctor",
    "jars",
    "runs",
    "demo",
    "tables",
    "data",
    "loop",
    "contracts",
    "pipelines",
)

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

app = typer.Typer(
    name="feira",
    help="Feira on this machine: its services, its data, its runs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,  # they would show secrets
    context_settings={"help_option_names": ["-h", "--help"]},
)

try:
    for _name in dict.fromkeys([*FIRST, *sorted(it.name for it in pkgutil.iter_modules(__path__))]):
        _module = importlib.import_module(f"{__name__}.{_name}")
        if hasattr(_module, "register"):
            _module.register(app)
except KeyboardInterrupt:
    # The imports are most of what a short command takes: a Ctrl-C in them shows no stack trace either.
    sys.exit(130)


def main() -> None:
    """Runs the command; whatever goes wrong comes as one message without a stack trace, exit code 1."""
    for stream in (sys.stdout, sys.stderr):
        # A path or a value may hold what the terminal's encoding does not.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # The lake's clients, this command's own and those of what it starts, would ask a proxy for it.
    os.environ.update(no_proxy(os.environ))
    # To be ended is to be left as by Ctrl-C: `feira demo` takes its stack down.
    raise_at_sigterm(KeyboardInterrupt)
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get("FEIRA_DEBUG"):
            raise
        # Log lines and paths may hold what rich would take for markup, or a terminal for a command.
        message = Text("feira: ", style="bold red").append(
            _message(error), style="not bold default"
        )
        error_console.print(message, soft_wrap=True)
        sys.exit(1)


def _message(error: Exception) -> str:
    if isinstance(error, StackError):
        text = str(error)
    elif isinstance(error, PermanentError):
        text = with_next_step(error)
    elif isinstance(error, OSError) and error.filename is not None:
        text = (
            f"{error.filename}: {error.strerror}. Is it this user's, and is its disk writable? "
            "FEIRA_HOME names another folder for the stack's state."
        )
    elif isinstance(error, OSError) and error.errno in _FULL:
        text = f"{error.strerror}: the disk that the output, or the stack's state, goes to is full."
    else:
        first = (str(error).splitlines() or [""])[0]
        text = (
            f"{type(error).__name__}: {shortened(first, 300)}. This was not foreseen; "
            "FEIRA_DEBUG=1 shows where it came from."
        )
    return "\n".join(printable(line.expandtabs()) for line in text.splitlines())
