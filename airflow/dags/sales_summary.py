"""
### The sales marts

**Makes** the marts in the warehouse: month summary by status, daily revenue, product performance and
customer lifetime value; each a function of the whole fact. Emits `sales_summary[day]`.

**Triggered** by `sales_fact[day]` alone; it has no clock.

**When it fails** the message names the model or the test and the rows that break it. The marts'
tables are as the last good run left them, or newer. Mend the cause and clear the task.

**To run it again** clear it, or trigger it with the day as its partition key; it always builds from
the fact as it is now.
"""

from __future__ import annotations

from airflow.sdk import dag, task

from feira_airflow.assets import SALES_FACT, SALES_SUMMARY
from feira_airflow.defaults import default_args
from feira_airflow.partitions import on_day_of
from feira_airflow.summary import tasks


@dag(
    schedule=on_day_of(SALES_FACT),
    catchup=False,
    # The marts are rebuilt whole: two at once would only wait for each other.
    max_active_runs=1,
    default_args=default_args(owner="sales-data"),
    doc_md=__doc__,
    tags=["sales", "consumer"],
)
def sales_summary() -> None:
    task(outlets=[SALES_SUMMARY])(tasks.build_marts)()


sales_summary()
