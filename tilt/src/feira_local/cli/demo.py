"""`feira demo`: the stack, days through both chains, and what came of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feira_local.cli import stack as stack_commands
from feira_local.cli.output import print_line
from feira_local.cli.runs import parse_range, run_days
from feira_local.stack import lifecycle
from feira_local.stack.config import StackConfig
from feira_local.stack.errors import StackError


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    days: Annotated[
        str, typer.Option("--days", help="A day, or a range as A..B; closed days included.")
    ] = "2010-12-01",
    data: Annotated[
        Path | None,
        typer.Option("--data", help="A folder of Online Retail days to replay."),
    ] = None,
) -> None:
    """Start the stack, run days from the shop's API to the marts and to the recommendations, and show the
    chain as it happens.

    Without --data the shop simulator makes the sales from a seed. Ctrl-C stops everything.

    Example: [bold]feira demo --data ../shared/data/online_retail --days 2010-12-01..2010-12-23[/]
    """
    wanted = parse_range(days)
    if data is not None and not data.is_dir():
        raise StackError(f"{data} is no folder; --data takes one of gzip CSV files, one a day.")
    try:
        stack_commands.start({} if data is None else {"FEIRA_SHOP_DATA": str(data.resolve())})
        print_line("")
        run_days("sales", wanted, refetch=False, as_json=False, stays=False)
        print_line("The stack stays up: `make down` stops it, `feira status` shows it.")
    except KeyboardInterrupt:
        print_line("Stopping the stack. A run that is cut off continues when it is started again.")
        lifecycle.down(StackConfig.from_env())
        raise
