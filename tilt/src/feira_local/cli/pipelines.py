"""What the pipelines declare, for every command; and `feira pools`, `docs` and `lint-assets`, which read it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from feira.core.settings import repository_root
from feira_local.cli.output import print_line, shortened, write_generated
from feira_local.stack.airflow_api import AirflowApi
from feira_local.stack.errors import StackError
from feira_local.stack.local_parts import local_parts
from feira_local.stack.own_connections import own_connections
from feira_local.stack.state import running_config
from feira_wiring import command
from feira_wiring.home import airflow_home

if TYPE_CHECKING:
    from feira_airflow.core.pipelines import Pipeline


# The linter reads its options itself: they are the same without the feira command.
_AS_GIVEN = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


def register(app: typer.Typer) -> None:
    app.command()(pools)
    app.command()(docs)
    app.command("lint-assets", context_settings=_AS_GIVEN)(lint_assets)


def declared() -> tuple[Pipeline, ...]:
    """Every pipeline, by name. The first call takes a second or two: a declaration is made of Airflow's words."""
    with airflow_home():
        from feira_airflow.core.pipelines import pipelines

        return pipelines()


def producer(name: str) -> str:
    """The DAG that starts the pipeline's chain; raises StackError where it has none."""
    found = {each.name: each.producer for each in declared() if each.producer}
    if name not in found:
        raise StackError(
            f"{shortened(name)!r} is no pipeline that starts a chain; there is {', '.join(found)}. What "
            "an asset sets off runs when its producer has."
        )
    return found[name]


def left_out(name: str) -> list[str]:
    """The parts that the running stack was started without and to which the pipeline's connections lead."""
    config = running_config()
    own = own_connections(config.home)
    needed = {
        conn_id for each in declared() if each.name == name for conn_id, _ in each.connections
    }
    return [
        part.name
        for part in local_parts()
        if part not in config.parts and needed & (part.connections(config).keys() - own.keys())
    ]


def states(api: AirflowApi) -> list[dict[str, Any]]:
    """Each pipeline with its DAGs and tables, of each asset the partition and the time (ISO 8601, UTC) of
    its last event, both None where there was none, and how many partitions wait for another asset."""
    waiting = api.waiting()
    return [
        {
            "pipeline": each.name,
            "dags": list(each.dags),
            "tables": list(each.tables),
            "assets": [{"asset": asset.name, **api.last_event(asset.name)} for asset in each.emits],
            "waiting": sum(len(waiting.get(dag_id, ())) for dag_id in each.dags),
        }
        for each in declared()
    ]


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
    with airflow_home():
        from feira_airflow.core.dag_pages import pages

        written = pages()
    for dag_id, text in written.items():
        write_generated(f"docs/dags/{dag_id}.md", text)
    for path in folder.glob("*.md"):
        if path.stem not in written:
            path.unlink()
            print_line(f"removed docs/dags/{path.name}")


def lint_assets(context: typer.Context) -> None:
    """Report assets, emitters and listeners that do not meet, in Feira's DAG folder or in others.

    Example: [bold]feira lint-assets airflow/dags --fail-on warning[/]
    """
    raise typer.Exit(command.main(context.args, "feira lint-assets", [_own_folder()]))


def _own_folder() -> Path:
    """Feira's DAG folder, from here if it lies below."""
    folder = repository_root() / "airflow" / "dags"
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
