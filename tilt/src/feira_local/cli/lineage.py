"""`feira lineage`: what the stack's datasets and their columns were made from, as the events say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from feira_local.cli.data import print_found
from feira_local.cli.output import AsJson, error_console, print_line, shortened
from feira_local.stack.errors import StackError
from feira_local.stack.lineage import events_file
from feira_local.stack.state import running_config

if TYPE_CHECKING:
    from feira.core.lineage import Dataset
    from feira.core.lineage_graph import LineageGraph


def register(app: typer.Typer) -> None:
    app.command()(lineage)


def lineage(
    dataset: Annotated[
        str | None,
        typer.Argument(help="A dataset, by how its name ends; its columns are listed then."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what each dataset was made from and by which jobs, or where each column of one begins.

    Example: [bold]feira lineage warehouse.sales.fact[/]
    """
    from feira.core.lineage_graph import LineageGraph

    graph = LineageGraph.of(events())
    rows = _datasets(graph) if dataset is None else _columns(graph, dataset)
    print_found(rows, as_json, empty="No event names a dataset that was written.")


def events() -> Iterator[dict[str, Any]]:
    """The events of the stack's file, in the order in which they came. Raises StackError where there is no file.

    A line that is no event is left out, and a warning says how many are; one that has no end yet is being written.
    """
    from feira.core.lineage_event import wrong_in

    file = events_file(running_config())
    if not file.is_file():
        raise StackError(
            f"{file} is missing: nothing has run, the stack was started with FEIRA_LINEAGE=off, or its "
            "connection lineage_default sends events elsewhere."
        )
    left_out: list[str] = []
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                event = orjson.loads(line)
                wrong = wrong_in(event)
            except orjson.JSONDecodeError as error:
                wrong = f"no JSON: {error}"
            if wrong is None:
                yield event
            else:
                left_out.append(f"line {number}: {shortened(wrong, 200)}")
    if left_out:
        print_line(
            f"{file}: {len(left_out):,} of its lines cannot be read as events and were left out. The first is "
            f"{left_out[0]}.",
            style="yellow",
            to=error_console,
        )


def _datasets(graph: LineageGraph) -> list[dict[str, Any]]:
    return [
        {
            "dataset": _listed(each),
            "from": sorted(map(_listed, graph.inputs[each])),
            "jobs": sorted(graph.jobs[each]),
        }
        for each in sorted(graph.inputs, key=lambda it: (it.namespace, it.name))
    ]


def _columns(graph: LineageGraph, name: str) -> list[dict[str, Any]]:
    found = [
        it
        for it in graph.columns
        if name
        and any(f"{it.dataset.namespace}{by}{it.dataset.name}".endswith(name) for by in "/.")
    ]
    if not found:
        raise StackError(
            f"No event names the columns of a dataset that ends in {shortened(name)!r}; `feira lineage` "
            "lists all datasets."
        )
    return [
        {
            "column": f"{_listed(each.dataset)}.{each.column}",
            "begins in": sorted(
                f"{_listed(of.dataset)}.{of.column}" for of in graph.origins(each) - {each}
            ),
        }
        for each in found
    ]


def _listed(dataset: Dataset) -> str:
    return f"{dataset.namespace}/{dataset.name}"
