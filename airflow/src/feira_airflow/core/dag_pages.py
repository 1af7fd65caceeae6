"""A page for each DAG, from the DAG itself: what starts it, what it emits, its tasks, its runbook.

`feira docs` writes them to ``docs/dags/``, and a test holds them to the DAGs. One page a DAG and no list
of them, so that a new pipeline brings new pages and changes none.
"""

from __future__ import annotations

import os
from typing import Any
from unittest import mock

from airflow.sdk import DAG, Asset, AssetAll

from feira_airflow.core.pipelines import Pipeline, PipelineError, dags_folder, pipelines


def pages() -> dict[str, str]:
    """Markdown by DAG id, of every DAG that a pipeline names.

    :raises PipelineError: for a DAG that is not in its file, and for one that no pipeline names
    """
    from airflow.dag_processing.dagbag import DagBag

    # As a deployment has them: with a clock.
    with mock.patch.dict(os.environ, FEIRA_CLOCK="on"):
        bag = DagBag(dag_folder=str(dags_folder()))
    if bag.import_errors:
        path, error = next(iter(bag.import_errors.items()))
        raise PipelineError(f"{path} does not import: {error.strip().splitlines()[-1]}")
    named = {dag_id: pipeline for pipeline in pipelines() for dag_id in pipeline.dags}
    if apart := sorted(named.keys() ^ bag.dags.keys()):
        raise PipelineError(
            f"{', '.join(apart)}: a DAG is in airflow/dags/ and named in its pipeline.py; one of the "
            "two is missing."
        )
    return {dag_id: page(named[dag_id], dag) for dag_id, dag in sorted(bag.dags.items())}


def page(pipeline: Pipeline, dag: DAG) -> str:
    """One DAG's page."""
    emits = {asset.name for task in dag.tasks for asset in _outlets(task)}
    facts = [
        ("pipeline", f"`{pipeline.name}`, owned by `{pipeline.owner}`"),
        ("started by", started_by(dag)),
        ("emits", ", ".join(f"`{name}`" for name in sorted(emits)) or "nothing"),
        ("runs at once", str(dag.max_active_runs)),
    ]
    rows = [
        f"| `{task.task_id}` | {', '.join(f'`{each}`' for each in sorted(task.upstream_task_ids))} "
        f"| {task.pool.replace('default_pool', '')} | {task.retries} | {_own_limit(task)} |"
        for task in dag.topological_sort()
    ]
    return "\n".join(
        [
            f"# {dag.dag_id}",
            "",
            f"Written by `feira docs` from [`{dag.dag_id}.py`](../../airflow/dags/{dag.dag_id}.py).",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in facts),
            "",
            "```mermaid",
            *graph(dag),
            "```",
            "",
            "| task | after | pool | retries | one at a time |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "## Runbook",
            (dag.doc_md or "").strip(),
            "",
        ]
    )


def started_by(dag: DAG) -> str:
    """What makes its runs, in words."""
    timetable = dag.timetable
    condition = getattr(timetable, "asset_condition", None)
    listens = [f"`{name}`" for name in sorted(_names(condition))]
    if len(listens) > 1 and isinstance(condition, AssetAll):
        return f"events of {' and '.join(listens)} together; no clock"
    if listens:
        return f"an event of {' or '.join(listens)}; no clock"
    if expression := getattr(timetable, "expression", None) or getattr(
        timetable, "_expression", None
    ):
        return f"the clock, `{expression}` in UTC, and by hand"
    return "hand alone"


def graph(dag: DAG) -> list[str]:
    """Its tasks and the assets at its ends, in Mermaid."""
    lines = ["flowchart LR"]
    for name in sorted(_names(getattr(dag.timetable, "asset_condition", None))):
        first = [task.task_id for task in dag.tasks if not task.upstream_task_ids]
        lines += [f"  {name}([{name}]) ==> {task_id}" for task_id in sorted(first)]
    for task in dag.topological_sort():
        lines += [f"  {task.task_id} --> {after}" for after in sorted(task.downstream_task_ids)]
        lines += [f"  {task.task_id} ==> {a.name}([{a.name}])" for a in _outlets(task)]
    return lines


def _outlets(task: Any) -> list[Asset]:
    return [outlet for outlet in task.outlets if isinstance(outlet, Asset)]


def _names(condition: Any) -> set[str]:
    """Of what a schedule names: an asset, an alias, or several of them with & and |."""
    if condition is None:
        return set()
    parts = getattr(condition, "objects", None)
    if parts is not None:
        return {name for part in parts for name in _names(part)}
    name = getattr(condition, "name", None)
    return {name} if name else set()


def _own_limit(task: Any) -> str:
    return "yes" if task.max_active_tis_per_dag == 1 else ""
