"""What a pipeline is: one declaration, ``feira_airflow/<pipeline>/pipeline.py``, found by its place.

Whatever lists pipelines asks ``pipelines()``: the pools, the pages of ``docs/dags/``, the tests of the
whole graph, the `feira` command. So a pipeline joins by new files alone.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from airflow.sdk import Asset

from feira.core.by_place import declarations


class PipelineError(ValueError):
    """A declaration is not usable; the message names it and what to change."""


@dataclass(frozen=True)
class Pool:
    """An Airflow pool: how many tasks of a kind run at once, and why that many.

    A task whose pool does not exist waits for ever, so a deployment imports all pools first; their
    document is ``feira pools``.
    """

    name: str
    slots: int
    description: str


@dataclass(frozen=True)
class Pipeline:
    """A pipeline: its DAGs, what they emit, and what they need beside the core's.

    :param name: its folder's name
    :param owner: whom its tasks belong to
    :param dags: ids of its DAGs; each is in ``airflow/dags/``
    :param emits: the assets that its tasks emit
    :param tables: those that it writes, by their contracts' names
    :param pools: pools of its own
    :param connections: ids of connections of its own, each with what it leads to
    :param producer: of a pipeline that starts a chain, the DAG that `feira run` gives a partition to
    """

    name: str
    owner: str
    dags: tuple[str, ...]
    emits: tuple[Asset, ...] = ()
    tables: tuple[str, ...] = ()
    pools: tuple[Pool, ...] = ()
    connections: tuple[tuple[str, str], ...] = ()
    producer: str | None = None


@functools.cache
def pipelines() -> tuple[Pipeline, ...]:
    """Every pipeline, by name.

    :raises PipelineError: where a declaration does not name its folder, or two declare one thing
    """
    import feira_airflow

    found = tuple(
        declarations(feira_airflow.__path__, "feira_airflow", "pipeline", Pipeline, PipelineError)
    )
    require_apart(found)
    return found


def require_apart(found: Sequence[Pipeline]) -> None:
    """Raises PipelineError where two pipelines declare the same DAG, asset, table, pool or connection."""
    from feira_airflow.core import pools

    seen: dict[tuple[str, str], str] = {("pool", pool.name): "the core" for pool in pools.CORE}
    for pipeline in found:
        things = [("DAG", dag_id) for dag_id in pipeline.dags]
        things += [("asset", asset.name) for asset in pipeline.emits]
        things += [("table", table) for table in pipeline.tables]
        things += [("pool", pool.name) for pool in pipeline.pools]
        things += [("connection", conn_id) for conn_id, _ in pipeline.connections]
        for kind, name in things:
            if other := seen.get((kind, name)):
                raise PipelineError(
                    f"{kind} {name} is declared by {other} and by {pipeline.name}; one of them owns it."
                )
            seen[kind, name] = pipeline.name


def dags_folder() -> Path:
    """Where the DAG files are."""
    from feira.core.settings import repository_root

    return repository_root() / "airflow" / "dags"
