"""Every asset of the platform: who emits it, who consumes it. DAG files take assets from here only.

An asset is named in the contract of the table that it announces. All are partitioned by extract day
(``2010-12-01``), and so is every listener: an event with a key never reaches a plain listener, nor
the other way round.
"""

from __future__ import annotations

from airflow.sdk import Asset

from feira.contracts import ContractError, contract

KEY_FORMAT = "%Y-%m-%d"


def announced(table: str, *, terminal: bool = False) -> Asset:
    """The asset of a table, as its contract names it.

    ``terminal`` marks one that no DAG listens to; `feira lint-assets` holds marks against listeners.
    """
    declared = contract(table)
    if declared.asset is None:
        raise ContractError(f"{declared.id} names no asset; state the property feira.asset.")
    extra = {"contract": declared.id, "version": declared.version}
    return Asset(
        name=declared.asset,
        uri=f"feira://{declared.servers[-1]}/{table.replace('.', '/')}",
        group="sales",
        extra=extra | ({"terminal": True} if terminal else {}),
    )


# Emitted by sales_etl.emit, after lake and warehouse agree. Consumed by sales_summary.
SALES_FACT = announced("sales.fact")

# Emitted by sales_summary.build_marts, for all marts. Terminal: people read them.
SALES_SUMMARY = announced("marts.month_summary", terminal=True)

ALL = (SALES_FACT, SALES_SUMMARY)
