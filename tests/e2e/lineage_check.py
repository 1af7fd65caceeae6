"""What the stack's lineage must say after a day: one graph from the API to the report's CSV, the columns of fact
and marts as they are made, and in Spark's own events the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from feira.core.lineage import Dataset, Source
from feira.core.lineage_graph import LineageGraph
from lineage_expected import FACT_OF_THE_API, MARTS_OF_THE_FACT

LAND = "sales_etl.land"
# The tasks of sales whose statements Spark reports with whose they are.
SPARK_TASKS = {
    f"sales_etl.{name}" for name in ("validate", "transform", "publish", "load_warehouse")
}
_PARENT = "spark.feira.lineage.parent"
Event = Mapping[str, Any]


def lineage_problems(events: Iterable[Event], secrets: Iterable[str]) -> list[str]:
    """All that is wrong with the events of a stack that has run a day or more; none where it is right."""
    known = list(events)
    graph = LineageGraph.of(known)
    try:
        api = _the(graph, "sales", "http")
        fact = _the(graph, ".sales.fact", ("postgres", "redshift"))
        lake, extract = (_the(graph, f"tables/sales/{it}", "s3") for it in ("fact", "order_lines"))
    except LookupError as error:
        return [str(error)]
    return [
        *_unconnected(graph, api, fact),
        *_wrong_columns(graph, api, fact),
        *_unseen_by_spark(known, api, lake, extract),
        *_unjoined(known),
        *_told(known, secrets),
    ]


def _the(graph: LineageGraph, name: str, scheme: str | tuple[str, ...]) -> Dataset:
    every = {*graph.inputs, *(of for each in graph.inputs.values() for of in each)}
    found = [it for it in every if it.namespace.startswith(scheme) and it.name.endswith(name)]
    if len(found) != 1:
        raise LookupError(f"{len(found)} datasets of {scheme} end in {name}: {found}")
    return found[0]


def _unconnected(graph: LineageGraph, api: Dataset, fact: Dataset) -> Iterator[str]:
    if api not in graph.upstream(fact):
        yield f"{fact.name} is not connected with {api.name} of the API"
    reports = [it for it in graph.inputs if it.name.endswith(".csv")]
    if not reports:
        yield "no event names a report's CSV"
    for each in reports:
        if not {api, fact} <= graph.upstream(each):
            yield f"{each.name} is not connected with {fact.name} and {api.name} of the API"


def _wrong_columns(graph: LineageGraph, api: Dataset, fact: Dataset) -> Iterator[str]:
    for column, must in FACT_OF_THE_API.items():
        found = {
            f"{it.dataset.name}.{it.column}"
            for it in graph.origins(Source(fact, column))
            if it.dataset.namespace == api.namespace
        }
        if found != must:
            yield f"sales.fact.{column} begins in {sorted(found)}, and must in {sorted(must)}"
    database = fact.name.removesuffix(".sales.fact")
    for mart, columns in MARTS_OF_THE_FACT.items():
        for column, must in columns.items():
            of = Source(Dataset(fact.namespace, f"{database}.marts.{mart}"), column)
            if of not in graph.columns:
                yield f"no event names marts.{mart}.{column}"
                continue
            direct = {
                it.column if it.dataset == fact else f"{it.dataset.name}.{it.column}"
                for it in graph.columns[of]
            }
            if direct != must:
                yield f"marts.{mart}.{column} is made of {sorted(direct)}, and must of {sorted(must)}"


def _unseen_by_spark(
    events: list[Event], api: Dataset, fact: Dataset, extract: Dataset
) -> Iterator[str]:
    """What was landed, and what Spark saw of it alone: its plan says the same as the task, on a day that
    is appended. In a MERGE its listener sees no column of the source."""
    seen = LineageGraph.of(it for it in events if _of_spark(it) or it["job"]["name"] == LAND)
    if api not in seen.upstream(fact):
        yield f"in Spark's events {fact.name} is not connected with {api.name} of the API"
    for column in FACT_OF_THE_API:
        if Source(extract, column) not in seen.sources(Source(fact, column)):
            yield f"Spark did not see {fact.name}.{column} come from {extract.name}"


def _unjoined(events: list[Event]) -> Iterator[str]:
    tasks = {(it["job"]["name"], it["run"]["runId"]) for it in events if not _of_spark(it)}
    joined = set()
    for event in filter(_of_spark, events):
        facet = event["run"]["facets"].get("spark_properties", {})
        if parent := facet.get("properties", {}).get(_PARENT):
            _, job, run = parent.split("/")
            joined.add(job)
            if (job, run) not in tasks:
                yield f"a statement of Spark names {parent}, and no task of Airflow is that"
    if missing := SPARK_TASKS - joined:
        yield f"no statement of Spark names {', '.join(sorted(missing))}"


def _told(events: list[Event], secrets: Iterable[str]) -> Iterator[str]:
    text = str(events)
    for secret in secrets:
        if secret in text:
            yield f"a secret of {len(secret)} characters is in an event"
    for event in events:
        if {"sql", "sourceCode"} & (event["job"].get("facets") or {}).keys():
            yield f"an event of {event['job']['name']} holds a statement or code"


def _of_spark(event: Event) -> bool:
    return "integration/spark" in event["producer"]
