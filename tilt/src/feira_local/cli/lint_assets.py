"""`feira lint-assets`: what in a DAG folder silently never fires."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from feira.settings import repository_root
from feira_airflow.wiring.home import airflow_home
from feira_local.cli.output import AsJson, console, error_console

Folder = Annotated[
    Path | None, typer.Argument(help="A DAG folder or one DAG file; Feira's own if left out.")
]
Disabled = Annotated[
    list[str] | None,
    typer.Option("--disable", metavar="RULE", help="Leave a rule out; repeatable."),
]


def register(app: typer.Typer) -> None:
    app.command("lint-assets")(lint_assets)


def lint_assets(folder: Folder = None, as_json: AsJson = False, disable: Disabled = None) -> None:
    """Report assets, emitters and listeners that do not meet. Exit code 1 on any, 2 if unreadable.

    Example: [bold]feira lint-assets airflow/dags --disable merged-events[/]
    """
    with airflow_home():
        # Not before: it takes seconds, and importing airflow makes its home.
        from feira_airflow.wiring import rendering
        from feira_airflow.wiring.linting import lint
        from feira_airflow.wiring.loading import FolderUnreadable
        from feira_airflow.wiring.rules import NoSuchRule

        try:
            report = lint(folder or _own_folder(), disable or ())
        except (FolderUnreadable, NoSuchRule) as error:
            error_console.print(Text(f"feira: {error}"), soft_wrap=True)
            raise typer.Exit(2) from None
    if as_json:
        print(rendering.as_json(report))
    else:
        text = Text(rendering.as_text(report))
        text.highlight_regex(r"(?m)^error .*$", "bold red")
        text.highlight_regex(r"(?m)^warning .*$", "bold yellow")
        console.print(text, soft_wrap=True)
    if report.findings:
        raise typer.Exit(1)


def _own_folder() -> Path:
    """Feira's DAG folder, from here if it lies below."""
    folder = repository_root() / "airflow" / "dags"
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
