"""OpenLineage events, whoever sent them, as one graph of datasets and one of columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from feira.core.lineage import Dataset, Source

_UNFINISHED = {"FAIL", "ABORT"}
# Of Spark's listener. From a plan that compares rows whole it reads that each column comes from all.
_FROM_PLANS = "integration/spark"


@dataclass(frozen=True)
class LineageGraph:
    """What each dataset and each column was made from, and which jobs wrote a dataset."""

    inputs: Mapping[Dataset, frozenset[Dataset]]
    columns: Mapping[Source, frozenset[Source]]
    jobs: Mapping[Dataset, frozenset[str]]

    @classmethod
    def of(cls, events: Iterable[Mapping[str, Any]]) -> LineageGraph:
        """The graph of all runs but those that failed: of each, what its events name taken together. What is said of
        a job without a run is taken too.

        What a task says of a column is taken before what Spark's listener reads from plans.
        """
        runs: dict[str | int, list[Mapping[str, Any]]] = defaultdict(list)
        for number, event in enumerate(events):
            if "job" in event:
                runs[event["run"]["runId"] if "run" in event else number].append(event)
        inputs: dict[Dataset, set[Dataset]] = defaultdict(set)
        said: dict[Source, set[Source]] = defaultdict(set)
        read_from_plans: dict[Source, set[Source]] = defaultdict(set)
        jobs: dict[Dataset, set[str]] = defaultdict(set)
        for run in runs.values():
            if any(event.get("eventType") in _UNFINISHED for event in run):
                continue
            read = {_dataset(each) for event in run for each in event.get("inputs") or []}
            for event in run:
                columns = read_from_plans if _FROM_PLANS in event.get("producer", "") else said
                for written in event.get("outputs") or []:
                    dataset = _dataset(written)
                    inputs[dataset] |= read - {dataset}
                    jobs[dataset].add(event["job"]["name"])
                    for column, sources in _columns(dataset, written):
                        columns[column] |= sources - {column}
        return cls(_frozen(inputs), _frozen({**read_from_plans, **said}), _frozen(jobs))

    def upstream(self, dataset: Dataset) -> set[Dataset]:
        """Every dataset that it was made from, through however many steps; itself is not among them."""
        return _reached(self.inputs, dataset) - {dataset}

    def sources(self, column: Source) -> set[Source]:
        """Every column that it comes from, through however many steps."""
        return _reached(self.columns, column) - {column}

    def origins(self, column: Source) -> set[Source]:
        """The columns at the far end: those that it comes from and that come from nothing known."""
        return {each for each in _reached(self.columns, column) if not self.columns.get(each)}


def _reached(graph: Mapping[Any, Iterable[Any]], start: Any) -> set[Any]:
    found, left = {start}, [start]
    while left:
        for each in graph.get(left.pop(), ()):
            if each not in found:
                found.add(each)
                left.append(each)
    return found


def _dataset(described: Mapping[str, Any]) -> Dataset:
    return Dataset(described["namespace"], described["name"])


def _columns(
    dataset: Dataset, written: Mapping[str, Any]
) -> Iterator[tuple[Source, frozenset[Source]]]:
    facet = (written.get("facets") or {}).get("columnLineage") or {}
    for name, field in (facet.get("fields") or {}).items():
        yield (
            Source(dataset, name),
            frozenset(Source(_dataset(each), each["field"]) for each in field["inputFields"]),
        )


def _frozen(sets: Mapping[Any, Iterable[Any]]) -> dict[Any, frozenset[Any]]:
    return {name: frozenset(each) for name, each in sets.items()}
