"""
### User events, from Kafka to the lake

**Makes** the day's rows of `lake.web.user_events`, one for each event id, from the messages of the topic
`user_events` whose timestamp is in that UTC day, and emits `user_events[day]`. Messages that are no events
go to the topic `user_events.dead`, with the reason.

**Triggered** just after midnight UTC for the day that ended; on a laptop by
`feira run user_events --day 2010-12-01`. Every run needs a partition key, its day.

**When it fails** read the last lines of the failed task:

* `resolve_offsets`: the day is not over, Kafka does not answer, or it no longer holds the day whole. Nothing
  was read, and the table holds the day as it was. What retention has removed no run brings back: lengthen
  the topic's retention, and say in the table's history which day is missing. A message with a timestamp of the
  future it names, with what removes it.
* `ingest`: Spark, Kafka or the lake did not answer. Clear it. Where the topic was made anew since the offsets
  were resolved, another run has read more of the day, or the staged offsets are no longer there, clear
  `resolve_offsets`.
* `send_dead_letters`: Kafka did not store them. Clear it: it sends those that the topic does not hold.
* `drop_staging`: nothing waits for it. Clear it.
* `emit`: the day is in the table, and nobody was notified. Clear it.

**To run a day again** clear it, or `feira run user_events --day D`: the offsets are resolved anew, so that
messages which came late are taken in. Without any, the rows are the same. That there are some, a later day's
`ingest` says: `late` in its result, and a warning in its log with the day to run. A day that takes an id from
a later day changes that day's rows too, and emits its own event alone; the log says how many. What that later day
had kept from days after it may be theirs now: `again` in the result of `ingest`, and a warning in its log, name the
days to run again.
"""

from __future__ import annotations

from airflow.sdk import dag, task

from feira_airflow.core import pools
from feira_airflow.core.defaults import deadlines, default_args
from feira_airflow.core.partitions import DAYS
from feira_airflow.user_events import tasks
from feira_airflow.user_events.pipeline import EVENTS, PIPELINE


@dag(
    schedule=DAYS.produced(),
    catchup=False,
    # One writer: an id counts once over the days, and a dead letter is sent where none is yet.
    max_active_runs=1,
    default_args=default_args(PIPELINE.owner),
    deadline=deadlines(),
    doc_md=__doc__,
    tags=["events", "producer"],
)
def user_events() -> None:
    offsets = task(pool=pools.SPARK.name)(tasks.resolve_offsets)()
    ingested = task(pool=pools.SPARK.name)(tasks.ingest)(offsets)
    sent = task(tasks.send_dead_letters)(ingested)
    event = task(outlets=[EVENTS])(tasks.emit)(ingested)

    sent >> event
    sent >> task(pool=pools.SPARK.name)(tasks.drop_staging)()


user_events()
