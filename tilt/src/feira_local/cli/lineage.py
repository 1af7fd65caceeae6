"""`feira lineage`: what the stack's datasets and their columns were made from, as the events say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feira_local.cli.output import AsJson, print_json, print_rows, shortened
from feira_local.stack.errors import StackError
from feira_local.stack.lineage import events_file
from feira_local.stack.state import running_config

if TYPE_CHECKING:
    from feira.core.lineage_graph import LineageGraph


def register(app: typer.Typer) -> None:
    app.command()(lineage)


def lineage(
    dataset: Annotated[
        str | None,
        typer.Argument(help="A dataset, by how its name ends; then its columns are listed."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what each dataset was made from and by which jobs, or where each column of one begins.

    Example: [bold]feira lineage warehouse.sales.fact[/]
    """
    from feira.core.lineage_graph import LineageGraph

    graph = LineageGraph.of(events())
    rows = _datasets(graph) if dataset is None else _columns(graph, dataset)
    print_json(rows) if as_json else print_rows(rows)


def events() -> Iterator[dict[str, Any]]:
    """The events of the stack's file, in the order in which they came. Raises StackError where there are
    none, or a line is none."""
    file = events_file(running_config())
    if not file.is_file():
        raise StackError(
            f"{file} is missing: nothing has run, the stack was started with FEIRA_LINEAGE=off, or its "
            "connection lineage_default sends events elsewhere."
        )
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise StackError(f"{file}, line {number} is no event: {error}.") from None


def _datasets(graph: LineageGraph) -> list[dict[str, Any]]:
    return [
        {
            "dataset": f"{each.namespace}/{each.name}",
            "from": sorted(f"{of.namespace}/{of.name}" for of in graph.inputs[each]),
            "jobs": sorted(graph.jobs[each]),
        }
        for each in sorted(graph.inputs, key=lambda it: (it.namespace, it.name))
    ]


def _columns(graph: LineageGraph, name: str) -> list[dict[str, Any]]:
    found = [it for it in graph.columns if name and it.dataset.name.endswith(name)]
    if not found:
        raise StackError(
            f"No event names the columns of a dataset that ends in {shortened(name)!r}; `feira lineage` "
            "lists all datasets."
        )
    return [
        {
            "column": f"{each.dataset.name}.{each.column}",
            "begins in": sorted(
                f"{of.dataset.name}.{of.column}" for of in graph.origins(each) - {each}
            ),
        }
        for each in found
    ]
