"""`feira pools` and `feira docs`: what is made from the pipelines' declarations."""

from __future__ import annotations

import typer

from feira.core.settings import repository_root
from feira_local.cli.output import print_line
from feira_wiring.home import airflow_home


def register(app: typer.Typer) -> None:
    app.command()(pools)
    app.command()(docs)


def pools() -> None:
    """Print every pool as `airflow pools import` reads it, for a deployment of your own.

    Example: [bold]feira pools > pools.json && airflow pools import pools.json[/]
    """
    with airflow_home():
        from feira_airflow.core.pools import document

        typer.echo(document(), nl=False)


def docs() -> None:
    """Write docs/dags/ anew: a page for each DAG, with its graph, its limits and its runbook.

    Example: [bold]feira docs[/]
    """
    folder = repository_root() / "docs" / "dags"
    folder.mkdir(exist_ok=True)
    with airflow_home():
        from feira_airflow.core.dag_pages import pages

        written = pages()
    for dag_id, text in written.items():
        (folder / f"{dag_id}.md").write_text(text, encoding="utf-8")
        print_line(f"wrote docs/dags/{dag_id}.md")
    for path in folder.glob("*.md"):
        if path.stem not in written:
            path.unlink()
            print_line(f"removed docs/dags/{path.name}")
