"""Every asset of the platform: who emits it, who consumes it. DAG files take assets from here only.

All are partitioned by extract day (``2010-12-01``), and so is every listener: an event with a key
never reaches a plain listener, nor the other way round.
"""

from __future__ import annotations

from airflow.sdk import Asset

KEY_FORMAT = "%Y-%m-%d"

# Emitted by sales_etl.emit, after lake and warehouse agree. Consumed by sales_summary.
SALES_FACT = Asset(
    name="sales_fact",
    uri="feira://lake/sales/fact",
    extra={"contract": "feira.sales.fact"},
)

# Emitted by sales_summary.build_marts. Terminal: people and the day's report read the marts.
SALES_SUMMARY = Asset(
    name="sales_summary",
    uri="feira://warehouse/marts/sales_summary",
    extra={"terminal": True},
)

ALL = (SALES_FACT, SALES_SUMMARY)
