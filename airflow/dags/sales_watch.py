"""
### The watch over sales

**Makes** nothing. Fails when the day that ended has no load that was found equal to the lake, or has one
and no event: a day without an event is silent, since no run of its own can fail for it.

**Triggered** daily at 03:00 UTC, three hours after the day's end, which is the latency that the
contract of `sales.fact` promises. A watch over silence is the one thing that needs a clock of its
own. On a laptop it has none: trigger it with a `day`.

**When it fails** see whether `sales_etl` has a run of that day, and what it waits for. No run: is the
DAG paused, is the scheduler up? Start the day with `feira run sales --day D`. Where `check_event` has
failed the data is there, but nobody was notified: clear `emit` in the day's run.

**To run it again** trigger it with the day: `{"day": "2010-12-01"}`.
"""

from __future__ import annotations

from airflow.sdk import Param, dag

from feira_airflow.core import pools
from feira_airflow.core.connections import WAREHOUSE_READER
from feira_airflow.core.defaults import deadlines, default_args
from feira_airflow.core.partitions import daily_at
from feira_airflow.sales import checks
from feira_airflow.sales.pipeline import FACT, PIPELINE
from feira_provider.operators.asset_event_check import AssetEventCheckOperator
from feira_provider.operators.partition_check import PartitionCheckOperator

DAY = "{{ params.day or (dag_run.run_after - macros.timedelta(days=1)) | ds }}"


@dag(
    schedule=daily_at(hour=3),
    catchup=False,
    max_active_runs=1,
    default_args=default_args(PIPELINE.owner),
    deadline=deadlines(),
    doc_md=__doc__,
    tags=["sales", "watch"],
    params={
        "day": Param(
            default=None,
            type=["null", "string"],
            format="date",
            description="The extract day; without it, yesterday in UTC.",
        )
    },
)
def sales_watch() -> None:
    arrived = PartitionCheckOperator(
        task_id="check_arrival",
        conn_id=WAREHOUSE_READER,
        table="sales.load_ledger",
        partition_column="extract_day",
        partition=DAY,
        checks=[checks.ARRIVED],
        pool=pools.WAREHOUSE.name,
        next_step="No event of that day is out. See sales_etl's run of it, or start one: "
        "feira run sales --day D.",
    )
    announced = AssetEventCheckOperator(
        task_id="check_event",
        asset=FACT,
        partition=DAY,
        next_step="The day is loaded and agrees with the lake, but no event of it is out: clear "
        "the task emit in sales_etl's run of it.",
    )
    arrived >> announced


sales_watch()
