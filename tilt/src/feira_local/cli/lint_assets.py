"""`feira lint-assets`: what in a DAG folder silently never fires."""

from __future__ import annotations

from pathlib import Path

import typer

from feira.core.settings import repository_root
from feira_wiring.command import main

# The linter reads its options itself: they are the same without the feira command.
_AS_GIVEN = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


def register(app: typer.Typer) -> None:
    app.command("lint-assets", context_settings=_AS_GIVEN)(lint_assets)


def lint_assets(context: typer.Context) -> None:
    """Report assets, emitters and listeners that do not meet, in Feira's DAG folder or in others.

    Example: [bold]feira lint-assets airflow/dags --fail-on warning[/]
    """
    raise typer.Exit(main(context.args, "feira lint-assets", [_own_folder()]))


def _own_folder() -> Path:
    """Feira's DAG folder, from here if it lies below."""
    folder = repository_root() / "airflow" / "dags"
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
