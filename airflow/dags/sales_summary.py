"""
### The sales marts and the day's report

**Makes** the marts in the warehouse: month summary by status, daily revenue, product performance and
customer lifetime value; each a function of the whole fact, of which a build takes up what loads have
changed. Emits `sales_summary[day]`. Then reports
the day by mail and Slack, from the ledger and the fact, and corrects the reports of earlier days
whose figures have changed. The mail also has the chart of the newest day of recommendations that is
in the lake, if one of the last days is; nothing waits for it.

**Triggered** by `sales_fact[day]` alone; it has no clock.

**When it fails** read the last lines of the failed task:

* `build_marts`: the message names the model or the test and the rows that break it. The marts' tables
  are as the last good run left them, or newer. Fix the cause and clear the task.
* `check_day`: a figure of the day is out of bounds; the message names it and the limit. The event is
  out already: if the figures are wrong, fix the source and run the day with `--refetch`.
* `report`: nothing was sent, the marts are built and their event is out. Clear the task.
* `notify_mail`, `notify_slack`: the channel took nothing at seven tries. The data is
  complete, and nothing waits for this. What was not taken stays due: the next run sends it, or clear
  the task. Check the connections `smtp_default` and `slack_default`.

**To run it again** clear it, or trigger it with the day as its partition key; the marts are then those
of the fact as it is now, and it sends nothing while the figures are those that were reported.
"""

from __future__ import annotations

from airflow.sdk import dag, task

from feira_airflow.core import pools
from feira_airflow.core.connections import WAREHOUSE_READER
from feira_airflow.core.defaults import deadlines, default_args, notification_args
from feira_airflow.core.partitions import DAYS
from feira_airflow.sales.pipeline import FACT
from feira_airflow.summary import checks, tasks
from feira_airflow.summary.pipeline import MARTS, PIPELINE
from feira_provider.operators.partition_check import PartitionCheckOperator


@dag(
    schedule=DAYS.heard(FACT),
    catchup=False,
    # A run that waits for a mail server must not keep another day's marts waiting, not even in a
    # backfill of a year.
    max_active_runs=366,
    # A key that comes while a consumer is paused gets no run, and new DAGs begin paused by default.
    is_paused_upon_creation=False,
    default_args=default_args(PIPELINE.owner),
    deadline=deadlines(),
    doc_md=__doc__,
    tags=["sales", "consumer"],
)
def sales_summary() -> None:
    # Two builds at once would only wait for each other.
    marts = task(pool=pools.WAREHOUSE.name, outlets=[MARTS], max_active_tis_per_dag=1)(
        tasks.build_marts
    )()
    # It compares with what was reported last, so one at a time as well.
    report = task(pool=pools.WAREHOUSE.name, max_active_tis_per_dag=1)(tasks.report)()

    check = PartitionCheckOperator(
        task_id="check_day",
        conn_id=WAREHOUSE_READER,
        table="sales.fact",
        partition_column="extract_day",
        checks=[checks.ROWS, checks.REVENUE],
        pool=pools.WAREHOUSE.name,
        next_step="The event is out already; if the figures are wrong, fix the source and run the "
        "day with --refetch.",
    )

    marts >> report
    marts >> check
    # Side by side: each channel has its own tries and its own end.
    report >> task(**notification_args())(tasks.notify_mail)()
    report >> task(**notification_args())(tasks.notify_slack)()


sales_summary()
