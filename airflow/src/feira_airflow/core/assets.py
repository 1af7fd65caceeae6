"""Assets as contracts name them. A pipeline declares its own; other pipelines take them from there.

All are partitioned by extract day (``2010-12-01``), and so is every listener: an event with a key never
reaches a plain listener, nor the other way round.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset

from feira.core.contracts.registry import asset_name


def announced(table: str, *, group: str, people_read: bool = False) -> Asset:
    """The asset of a table, as its contract names it.

    ``people_read`` says that it is complete without a listener: `feira lint-assets` then does not
    report that no DAG listens to it.
    """
    declared = asset_name(table)
    extra: dict[str, Any] = {"contract": declared.contract, "version": declared.version}
    return Asset(
        name=declared.asset,
        uri=f"feira://{declared.server}/{table.replace('.', '/')}",
        group=group,
        extra=extra | ({"lint_ignore": ["no-listener"]} if people_read else {}),
    )
