"""
### Recommendations, from sales and user events

**Makes** the features of users and products as of the day (`lake.recommendations.user_features`,
`item_features`, `user_categories`). Nothing after the day is in them, so a day that is run again later has
the same values. Then, as of the same day, a new version of the lists of what to offer to whom
(`lake.recommendations.lists`, and its row in `list_versions`), and emits `recommendation_lists[day]`. The
lists are published to Valkey and served from there, unless those of a later version are, or the gate does
not let them through: it judges their method on the last days, and beside the version that is served. Beside
that it measures how the lists that users were shown on the day did (`lake.recommendations.live_figures`, and
`reports/recommendations/<day>/live.html` in the lake; `history.html` beside the days has all of them).

**Triggered** by `sales_fact[day]` and `user_events[day]` together, in either order; it has no clock. A day
that has had one of the two waits, however long, and has no run: `feira run` says so, and with which command
the other comes; the run that brings it is followed to here. Where no user events come at all, pause this
DAG: Airflow looks at the 500 days that have waited longest, and with so many of them no other DAG that hears
a day would run.

**When it fails** read the last lines of the failed task:

* `features`: Spark or the lake did not answer. The tables hold what the last good run made; clear it.
* `interactions`, `lists`, `write_lists`: the same. A version that has no row in `list_versions` does not
  exist, and the ones before it stay. Cleared, a task goes on with the run's own version; `lists` makes nothing
  again that is finished. Where `lists` says that what was staged is no longer there, clear `interactions`; where
  `write_lists` does not find the lists as they were made, clear `lists`.
* `impressions`: the same. It stages what was shown on the day for `gate` and `measure`, neither of which
  waits for the other.
* `gate`, *is refused*: the message has each figure with its value and its limit. What is served stays, and
  no retry is made; cleared, it says the same. `feira recommendations gate VERSION` computes it once more.
  Change the method or find out what became of the data; the next run makes a new version. Where it says *A
  person may approve*, `feira recommendations approve VERSION --why TEXT` serves the lists all the same; clear the
  task then.
* `gate`, another error: Spark, the lake or Valkey did not answer. Clear it.
* `publish`: Valkey did not answer, or is full. What is served stays, whole. Clear it: it begins anew.
* `measure`: Spark or the lake did not answer. Gate and publishing go on without it; the day has no figures, or
  those of its run before. Clear it.
* `prune`: Valkey, the lake or Spark did not answer. Clear it, or leave it to the next run: until then old lists
  take room and nothing else. What is served, kept for a rollback, approved of or of the newest 28 days stays.
* `emit`: the lists are there, and nobody was notified. Clear it. Of lists that the gate refused, or that could
  not be published, there is no event.

**When it succeeds and publishes nothing** the gate found not enough to tell, as while there are few users or
few days; people are notified of which figures. What is served stays, and before the first version that is
nothing. `feira recommendations versions` shows what waits, `feira recommendations approve VERSION --why TEXT`
publishes it, and later versions of the same method then go through.

**To run it again** clear it, or trigger it with the day as its partition key. A day of which only sales or
only events were run again does not run by itself: it waits for the other.
"""

from __future__ import annotations

from airflow.sdk import dag, task

from feira_airflow.core import pools
from feira_airflow.core.defaults import deadlines, default_args
from feira_airflow.core.partitions import DAYS
from feira_airflow.recommendations import tasks
from feira_airflow.recommendations.notices import gate_notifiers
from feira_airflow.recommendations.pipeline import LISTS, PIPELINE
from feira_airflow.sales.pipeline import FACT
from feira_airflow.user_events.pipeline import EVENTS


@dag(
    schedule=DAYS.heard(FACT & EVENTS),
    catchup=False,
    # A run that is queued makes Airflow 3.3 answer 500 to whoever asks for its events, and those of sales
    # are asked for by `feira run sales`. So every run starts, and its tasks wait for one another.
    max_active_runs=366,
    is_paused_upon_creation=False,
    default_args=default_args(PIPELINE.owner),
    deadline=deadlines(),
    doc_md=__doc__,
    tags=["recommendations", "consumer"],
)
def recommendations() -> None:
    features = task(pool=pools.SPARK.name, max_active_tis_per_dag=1)(tasks.features)()
    staged = task(pool=pools.SPARK.name, max_active_tis_per_dag=1)(tasks.interactions)(features)
    made = task(max_active_tis_per_dag=1)(tasks.lists)(features, staged)
    listed = task(pool=pools.SPARK.name, max_active_tis_per_dag=1)(tasks.write_lists)(made)
    shown = task(pool=pools.SPARK.name, max_active_tis_per_dag=1)(tasks.impressions)(listed)
    verdict = task(
        pool=pools.SPARK.name, max_active_tis_per_dag=1, on_success_callback=gate_notifiers()
    )(tasks.gate)(listed, shown)
    published = task(max_active_tis_per_dag=1)(tasks.publish)(listed, verdict)
    measured = task(pool=pools.SPARK.name, max_active_tis_per_dag=1)(tasks.measure)(
        features, listed, shown
    )
    # Not after publish, which a refused version does not reach: then old ones would stay for ever.
    measured >> task(pool=pools.SPARK.name, max_active_tis_per_dag=1)(tasks.prune)()
    published >> task(outlets=[LISTS], max_active_tis_per_dag=1)(tasks.emit)(listed)


recommendations()
