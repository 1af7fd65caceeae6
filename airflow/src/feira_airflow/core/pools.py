"""Airflow pools: what may run at once, whatever the DAG; the core's own, and all as one document."""

from __future__ import annotations

import json

from feira_airflow.core.pipelines import Pool, pipelines

SPARK = Pool(
    "spark",
    slots=2,
    description="Tasks whose work the Spark server does. A query takes every core there is, so a third "
    "would slow the other two and hold its memory meanwhile. load_warehouse, which Spark stages for, is "
    "in the warehouse pool and runs one at a time.",
)
WAREHOUSE = Pool(
    "warehouse",
    slots=2,
    description="Tasks whose work the warehouse does: a load, a build of the marts, a report. Loads "
    "queue on the ledger's lock and would only hold connections; builds of the marts wait for each other.",
)
CORE = (SPARK, WAREHOUSE)


def pools() -> tuple[Pool, ...]:
    """The core's pools, and those of each pipeline."""
    return (*CORE, *(pool for pipeline in pipelines() for pool in pipeline.pools))


def document() -> str:
    """All pools as ``airflow pools import`` reads them; deferred tasks take no slot."""
    listed = {
        pool.name: {
            "slots": pool.slots,
            "description": pool.description,
            "include_deferred": False,
        }
        for pool in pools()
    }
    return json.dumps(listed, indent=2) + "\n"
