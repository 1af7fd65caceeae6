"""
### Sales, from the shop's API to the fact and the warehouse

**Makes** the fact rows of one extract day in the lake (`lake.sales.fact`) and the warehouse
(`sales.fact`), and emits the asset `sales_fact[day]` once the two agree.

**Triggered** just after midnight UTC for the day that ended; on a laptop by
`feira run sales --day 2010-12-01`. Every run needs a partition key, its day.

**When it fails** read the last lines of the failed task:

* `wait_for_api`, `land`: the API is down, or served what it did not announce. Nothing was written.
  When it is up again, clear the task.
* `validate`: too many lines break the contract; the message counts them by rule, and
  `feira show quarantine --day D` shows them. Fix the source, then run the day with `--refetch`.
* `transform`, *Validate the landing again*: the contract has changed since. Clear `validate`.
* `transform`, `drop_staging`: Spark or the lake did not answer. What readers see is as it was; clear it.
* `publish`: the audit refused the branch; readers still see the fact as it was.
* `load_warehouse`, *main … does not come from it*: the fact was rolled back, or made anew, since the day was
  published. Nothing was loaded. Run the day again.
* `load_warehouse`, `reconcile`: lake and warehouse differ. `feira verify` compares all of it. No
  event was emitted, so nothing downstream has used the day.
* `emit`: the day is loaded and agrees, and nobody was notified. Clear it.

**To run a day again** clear it, or `feira run sales --day D`: it reuses the day's landing and
changes nothing that is right already. `--refetch` asks the API anew.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, task

from feira_airflow.core import pools
from feira_airflow.core.defaults import deadlines, default_args
from feira_airflow.core.partitions import DAYS
from feira_airflow.sales import tasks
from feira_airflow.sales.pipeline import API_POOL, FACT, PIPELINE, SHOP_API
from feira_provider.sensors.http_available import HttpAvailableSensor


@dag(
    schedule=DAYS.produced(),
    catchup=False,
    max_active_runs=2,
    default_args=default_args(PIPELINE.owner),
    deadline=deadlines(),
    doc_md=__doc__,
    tags=["sales", "producer"],
    params={
        "refetch": Param(
            default=False,
            type="boolean",
            description="Ask the API again, although the day was landed before.",
        )
    },
)
def sales_etl() -> None:
    api_is_up = HttpAvailableSensor(
        task_id="wait_for_api",
        http_conn_id=SHOP_API,
        poke_interval=10,
        timeout=15 * 60,
        deferrable=True,
    )
    landing = task(pool=API_POOL.name)(tasks.land)()
    validation = task(pool=pools.SPARK.name)(tasks.validate)(landing)
    # One writer at a time: it is the day's current landing that is put in place.
    extract = task(pool=pools.SPARK.name, max_active_tis_per_dag=1)(tasks.transform)()
    # One writer: a publish whose base has moved meanwhile is refused, and computed anew by its retry.
    fact = task(pool=pools.SPARK.name, max_active_tis_per_dag=1)(tasks.publish)()
    loaded = task(pool=pools.WAREHOUSE.name, max_active_tis_per_dag=1)(tasks.load_warehouse)(
        extract, fact
    )
    agreed = task(pool=pools.SPARK.name)(tasks.reconcile)(loaded)
    event = task(outlets=[FACT])(tasks.emit)(agreed)

    api_is_up >> landing
    validation >> extract >> fact
    agreed >> event
    # Not beside reconcile: both would be Spark's work, and the event waits for that one.
    agreed >> task(pool=pools.SPARK.name)(tasks.drop_staging)(loaded)


sales_etl()
