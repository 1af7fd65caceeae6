"""Starts the shop simulator: ``python -m feira_local.shop``."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from fastapi import FastAPI

from feira_local.shop.app import create_app
from feira_local.shop.fx import FxRates
from feira_local.shop.generator import GeneratedSource, GeneratorSettings
from feira_local.shop.replay import ReplaySource
from feira_local.shop.source import DaySource, SourceError
from feira_local.shop.switches import ExtraFields, ExtraFieldSet
from feira_local.shop.taste import Taste

EXAMPLE = """
Examples:

  python -m feira_local.shop --lines-per-day 10000 --dirty-share 0.01

  python -m feira_local.shop --source replay --data data/online_retail

Then: curl 'http://127.0.0.1:18010/sales?date=2010-12-01&limit=5'
"""


class SourceKind(StrEnum):
    """Where the order lines come from."""

    generated = "generated"
    replay = "replay"


def main(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")
    ] = 18010,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    source: Annotated[
        SourceKind, typer.Option(help="Drawn from a seed, or real files.")
    ] = SourceKind.generated,
    data: Annotated[
        Path | None, typer.Option(help="Replay: the folder of YYYY-MM-DD.csv.gz files.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The seed of lines and exchange rates.")] = 7,
    clusters: Annotated[
        int, typer.Option(help="Generated: groups of products that are bought together.")
    ] = 40,
    lines_per_day: Annotated[
        int, typer.Option(help="Generated: order lines a day, on average.")
    ] = 10_000,
    dirty_share: Annotated[
        float, typer.Option(help="Generated: the share of lines that break a rule.")
    ] = 0.01,
    first_day: Annotated[
        dt.datetime,
        typer.Option(
            formats=["%Y-%m-%d"], help="Generated: the first day.", show_default="2010-12-01"
        ),
    ] = dt.datetime(2010, 12, 1),
    last_day: Annotated[
        dt.datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"], help="Generated: the last day; without it, yesterday in UTC."
        ),
    ] = None,
    state: Annotated[Path, typer.Option(help="The folder that keeps faults and overrides.")] = Path(
        ".feira/shop"
    ),
    channel: Annotated[
        bool, typer.Option("--channel", help="Lines also carry the field `channel`.")
    ] = False,
) -> None:
    """Serves the shop API: order lines by day, exchange rates, and faults on demand."""
    try:
        lines: DaySource
        if source is SourceKind.replay:
            lines = ReplaySource(_required(data))
        else:
            lines = GeneratedSource(
                GeneratorSettings(
                    taste=Taste(seed=seed, clusters=clusters),
                    first_day=first_day.date(),
                    last_day=last_day.date() if last_day else None,
                    lines_per_day=lines_per_day,
                    dirty_share=dirty_share,
                )
            )
        if channel:
            ExtraFields(state).put(ExtraFieldSet(fields=("channel",)))
        app: FastAPI = create_app(lines, FxRates(seed), state)
    except SourceError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    uvicorn.run(
        app,
        host=host,
        port=port,
        # An app that is made here cannot be shared out, as WEB_CONCURRENCY would have it.
        workers=1,
        access_log=False,
        # A hanging request must not keep the service from stopping.
        timeout_graceful_shutdown=2,
    )


def _required(data: Path | None) -> Path:
    if data is None:
        raise SourceError(
            "replay data: no folder is given. "
            "Give the folder of the Online Retail day files with --data."
        )
    return data


command = typer.Typer(add_completion=False, rich_markup_mode=None)
command.command(epilog=EXAMPLE)(main)

if __name__ == "__main__":
    command(prog_name="python -m feira_local.shop")
