"""A day of user events, step by step, as the DAG's tasks and the tests run it.

The day's rows are a function of the messages between its offsets and of the ids that other days hold. A step
replaces what it wrote before, so it may be killed anywhere and run again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from feira.core.contracts import contract
from feira.user_events.codec import TABLE
from feira.user_events.offsets import (
    DAY_PROPERTY,
    OFFSETS_PROPERTY,
    TOPIC_ID_PROPERTY,
    DayOffsets,
)
from feira_spark.core.branches import branch_of
from feira_spark.core.session import CATALOG
from feira_spark.core.tables import (
    STAGING,
    current_snapshot,
    drop_staged,
    kept,
    metadata_uri,
    require_tables,
    rows_at,
    write_staged,
)
from feira_spark.user_events.messages import PLACE, in_day, judged, of_day, rows

log = logging.getLogger(__name__)

# An id counts once among so many days before and after: as long as Kafka keeps messages by default, and so as
# long as one is likely to be sent again.
ID_DAYS = 7
# More messages than these that are no rows are joined by a sort; fewer are sent to every task.
_FEW = 500_000
_EVENTS = f"{CATALOG}.{TABLE}"
# In the summary of an ingest's snapshot: the first and the last of the days that may lack rows by it.
_AGAIN_PROPERTY = "feira.again"
# One caller at a time, so that whoever comes next replaces what a killed one has left.
_BRANCH = "ingested"


class IngestError(RuntimeError):
    """The rows are not those that were judged to be events; the message names both figures. The table is as it
    was."""


@dataclass(frozen=True)
class Ingested:
    """A day that was replaced: ``user_events`` and ``dead_letters`` (None without any) are metadata URIs;
    the rest counts, ``late`` by day those of earlier days that came after their day was read.

    ``messages`` of the day are ``events`` (its rows), ``repeated`` (a message with the same id, of a lesser
    partition and offset, is the row), ``earlier`` (a day before holds the id) and ``dead``. ``again`` are the days to
    run again, in this order: they may lack rows for ids that a later day has lost to this one, or that this one held
    and holds no more. A day is among them at every run of this one until it was run itself.
    """

    user_events: str
    dead_letters: str | None
    messages: int
    events: int
    repeated: int
    earlier: int
    dead: int
    late: dict[str, int] = field(default_factory=dict)
    again: list[str] = field(default_factory=list)


def recorded(spark: SparkSession, day: date, snapshot: int | None = None) -> DayOffsets | None:
    """What the day's rows were read from; None for a day that was never ingested.

    :param snapshot: of the table's history the rows are as of this one; None: the current one
    """
    return next(iter(records(spark, day, day, snapshot)), None)


def records(
    spark: SparkSession, first: date, last: date, snapshot: int | None = None
) -> list[DayOffsets]:
    """As ``recorded``, of each of these days that was ingested."""
    require_tables(spark, [contract(TABLE)])
    runs = _runs(spark, first, last, snapshot).groupBy("day")
    newest = runs.agg(F.max_by("summary", "committed_at").alias("summary")).orderBy("day")
    read = []
    for day, summary in newest.collect():
        ((topic, ranges),) = json.loads(summary[OFFSETS_PROPERTY]).items()
        ends = {int(number): (start, end) for number, (start, end) in ranges.items()}
        topic_id = summary.get(TOPIC_ID_PROPERTY)
        read.append(DayOffsets.of(topic, date.fromisoformat(day), ends, topic_id))
    return read


def _runs(spark: SparkSession, first: date, last: date, snapshot: int | None = None) -> DataFrame:
    """The snapshots by which these days were ingested: ``day``, as text, and the columns of Iceberg's."""
    # Snapshots of a branch that never became main are there too.
    until = (
        ""
        if snapshot is None
        else (
            f"AND committed_at <= (SELECT committed_at FROM {_EVENTS}.snapshots WHERE snapshot_id = {snapshot})"
        )
    )
    return spark.sql(
        f"SELECT summary['{DAY_PROPERTY}'] AS day, snapshot_id, committed_at, summary FROM {_EVENTS}.snapshots "
        f"JOIN {_EVENTS}.history USING (snapshot_id) "
        f"WHERE is_current_ancestor AND summary['{DAY_PROPERTY}'] BETWEEN :first AND :last {until}",
        args={"first": first.isoformat(), "last": last.isoformat()},
    )


def stage_offsets(spark: SparkSession, offsets: DayOffsets) -> str:
    """Stages what is to be read for the day, of each partition of the topic a row (partition, starting, ending);
    returns the table's metadata URI."""
    ranges = [(number, *ends) for number, ends in offsets.ranges.items()]
    rows = spark.createDataFrame(ranges, "partition int, starting bigint, ending bigint")
    table = f"{_staged(date.fromisoformat(offsets.day))}offsets"
    write_staged(rows.coalesce(1), table)
    return metadata_uri(spark, table)


def has_rows(spark: SparkSession, day: date) -> bool:
    """Whether the table has rows of the day."""
    return not _ids_of_days(spark.table(_EVENTS), day, day).isEmpty()


def ingest(
    spark: SparkSession, messages: DataFrame, offsets: DayOffsets, late: Column | None = None
) -> Ingested:
    """Replaces the day's rows with its events, and notes offsets and topic in the snapshot's summary.

    ``messages`` are those between the offsets, with the columns of Kafka's source. They are read twice, to be
    judged and to be written: between offsets a log has the same messages each time, unless it is compacted. One
    row an event id: of several messages the least partition and offset, of several days the earliest; where a
    later day within ``ID_DAYS`` holds an id of this one, it leaves that day. One caller at a time.

    :param late: of a message the day before for which it came too late; those are counted, among ``messages`` that
        may begin before the offsets
    :raises IngestError: where the second reading had other messages than the first
    :raises MovedError: where the table's main has moved meanwhile
    """
    declared, day = contract(TABLE), date.fromisoformat(offsets.day)
    require_tables(spark, [declared])
    base = current_snapshot(spark, TABLE)
    held = rows_at(spark, TABLE, base)
    prefix, of_this_day = _staged(day), of_day(messages, day)
    taken = messages.where(in_day(day) if late is None else in_day(day) | late.isNotNull())
    write_staged(judged(taken, declared, day, late), f"{prefix}messages")
    everything = spark.table(f"{prefix}messages")
    too_late = everything.where("late IS NOT NULL").groupBy("late").count().orderBy("late")
    staged = everything.where("late IS NULL").withColumn("place", _order(*PLACE))
    dead = staged.where("reason IS NOT NULL")
    valid = staged.where("reason IS NULL").select("event_id", "place")
    topic_id = F.lit(offsets.topic_id).cast("string").alias("topic_id")
    write_staged(dead.select("topic", topic_id, *PLACE, "key", "value", "reason"), f"{prefix}dead")
    letters = spark.table(f"{prefix}dead").withColumn("place", _order(*PLACE))
    total, dead_letters = staged.count(), letters.count()
    with (
        _computed(_several(valid, total)) as (several, hashes),
        _computed(_left_out(held, valid, _few(several, hashes), day)) as (left_out, dropped),
    ):
        causes = left_out.groupBy("cause").count().collect()
        no_rows = left_out.select("place").unionByName(letters.select("place"))
        placed = of_this_day.withColumn("place", _order("partition", "offset"))
        events = _without(placed, no_rows, dropped + dead_letters)
        with branch_of(spark, TABLE, base, _BRANCH) as target:
            taken_in = _without(valid, left_out, dropped)
            robbed = _take_from_later_days(held, target, taken_in, day)
            again = _may_lack_rows(day, robbed, _loses_ids(held, taken_in, day))
            _replace(target, rows(events, declared, day), offsets, day, again)
            written = spark.table(target).where(F.col("event_day") == F.lit(day)).count()
            _require_written(written, total - dead_letters - dropped, day)
    counts = {row["cause"]: row["count"] for row in causes}
    result = Ingested(
        user_events=metadata_uri(spark, _EVENTS),
        dead_letters=metadata_uri(spark, f"{prefix}dead") if dead_letters else None,
        messages=total,
        events=total - dead_letters - dropped,
        repeated=counts.get("repeated", 0),
        earlier=counts.get("earlier", 0),
        dead=dead_letters,
        late={row["late"].isoformat(): row["count"] for row in too_late.collect()},
        again=_to_run_again(spark, day),
    )
    log.info("%s %s: %s", TABLE, day, result)
    return result


def _require_written(written: int, events: int, day: date) -> None:
    if written != events:
        raise IngestError(
            f"{TABLE} {day}: {written} rows were written of {events} events; messages have left the topic "
            "between the two readings, as by a compaction. The table is as it was. Run the day again; if it "
            "repeats, it is a defect."
        )


def drop_staging(spark: SparkSession, day: date) -> list[str]:
    """Drops what was staged for a day; returns the tables' names."""
    return drop_staged(spark, _staged(day).removeprefix(f"{STAGING}."))


@contextmanager
def _computed(found: DataFrame) -> Iterator[tuple[DataFrame, int]]:
    """The rows, kept inside ``with``, and how many they are."""
    with kept(found) as computed:
        yield computed, computed.count()


def _few(found: DataFrame, count: int) -> DataFrame:
    """The rows, of which there are so many, marked to be joined without a sort of what they are joined to."""
    return F.broadcast(found) if count <= _FEW else found


def _several(valid: DataFrame, total: int) -> DataFrame:
    """Hashes of the ids that may come several times, of no more events than the total: ``hash``."""
    # A hash is a third of an id.
    hashes = valid.select(F.xxhash64("event_id").alias("hash"))
    # Almost none comes twice, so to count them before the shuffle too is in vain; and a million fit in memory.
    spread = hashes.repartition(1 + total // 1_000_000, "hash")
    return spread.groupBy("hash").count().where("count > 1").select("hash")


def _left_out(events: DataFrame, valid: DataFrame, several: DataFrame, day: date) -> DataFrame:
    """Events that do not become rows: ``place``, and ``cause``, which is ``earlier`` or ``repeated``."""
    hashed = valid.withColumn("hash", F.xxhash64("event_id"))
    alike = hashed.join(several, "hash", "left_semi")
    first = alike.groupBy("event_id").agg(F.min("place").alias("first"))
    repeated = alike.join(first, "event_id").where("place > first")
    held = _ids_of_days(events, day - timedelta(days=ID_DAYS), day - timedelta(days=1))
    if held.isEmpty():
        return repeated.select("place", F.lit("repeated").alias("cause"))
    earlier = valid.join(held, "event_id", "left_semi").select(
        "place", F.lit("earlier").alias("cause")
    )
    within = repeated.join(held, "event_id", "left_anti")
    return earlier.unionByName(within.select("place", F.lit("repeated").alias("cause")))


def _without(messages: DataFrame, others: DataFrame, count: int) -> DataFrame:
    """The messages that are at none of these places, of which there are so many."""
    return messages.join(_few(others, count), "place", "left_anti")


def _order(partition: str, offset: str) -> Column:
    """Partition and offset as one number; no partition of Kafka comes near 2^48 messages."""
    return F.shiftleft(F.col(partition).cast("bigint"), 48) + F.col(offset)


def _ids_of_days(events: DataFrame, first: date, last: date) -> DataFrame:
    days = F.col("event_day").between(F.lit(first), F.lit(last))
    return events.where(days).select("event_id", "event_day")


def _take_from_later_days(
    events: DataFrame, target: str, rows: DataFrame, day: date
) -> date | None:
    """The last of the later days that have lost rows whose ids this one has; None where there is none."""
    first, last = day + timedelta(days=1), day + timedelta(days=ID_DAYS)
    later = _ids_of_days(events, first, last)
    if later.isEmpty():
        return None
    moved = f"{_staged(day)}moved"
    write_staged(later.join(rows, "event_id", "left_semi"), moved)
    spark = events.sparkSession
    count, robbed = spark.table(moved).agg(F.count("*"), F.max("event_day")).first() or (0, None)
    if not count:
        return None
    log.warning(
        "%s %s: %s rows of later days have an id of this one; they leave", TABLE, day, count
    )
    spark.sql(
        f"DELETE FROM {target} WHERE event_day BETWEEN DATE '{first}' AND DATE '{last}' "
        f"AND event_id IN (SELECT event_id FROM {moved})"
    )
    return robbed


def _loses_ids(events: DataFrame, rows: DataFrame, day: date) -> bool:
    """Whether the day held ids that are not among its rows now; where its rows were deleted, when it last had some."""
    spark, before = events.sparkSession, _ids_of_days(events, day, day)
    if before.isEmpty():
        last = _runs(spark, day, day).orderBy(F.desc("committed_at")).first()
        if last is None:
            return False
        before = _ids_of_days(rows_at(spark, TABLE, last["snapshot_id"]), day, day)
    return not before.join(rows, "event_id", "left_anti").isEmpty()


def _may_lack_rows(day: date, robbed: date | None, loses_ids: bool) -> tuple[date, date] | None:
    """The first and the last of the days that were kept from rows by an id that this run takes from where it was: the
    robbed days reach further than this one, and this one reaches where it holds the id no more."""
    if not loses_ids and robbed is None:
        return None
    reach = timedelta(days=ID_DAYS)
    return day + timedelta(days=1) + (not loses_ids) * reach, (robbed or day) + reach


def _to_run_again(spark: SparkSession, day: date) -> list[str]:
    """The ingested days that may lack rows by a run of this one, and were not run since. By the table alone: the try
    that has published it may have ended before it said so."""
    runs = _runs(spark, day, day + timedelta(days=2 * ID_DAYS))
    runs = runs.select("day", "committed_at", F.col("summary")[_AGAIN_PROPERTY].alias("again"))
    newest, lacking = {}, []
    for run in runs.orderBy("committed_at").collect():
        newest[run["day"]] = run["committed_at"]
        if run["day"] == day.isoformat() and run["again"] is not None:
            lacking.append((*run["again"].split("/"), run["committed_at"]))
    return [
        each
        for each, at in sorted(newest.items())
        if any(first <= each <= last and at < since for first, last, since in lacking)
    ]


def _replace(
    target: str, rows: DataFrame, offsets: DayOffsets, day: date, again: tuple[date, date] | None
) -> None:
    ranges = {str(number): list(ends) for number, ends in sorted(offsets.ranges.items())}
    noted = {DAY_PROPERTY: day.isoformat(), OFFSETS_PROPERTY: json.dumps({offsets.topic: ranges})}
    if offsets.topic_id is not None:
        noted[TOPIC_ID_PROPERTY] = offsets.topic_id
    if again is not None:
        noted[_AGAIN_PROPERTY] = "/".join(map(str, again))
    (
        rows.writeTo(target)
        # All rows are of one partition: distributed by it, one task would write them all.
        .option("distribution-mode", "none")
        .option("fanout-enabled", "true")
        .options(**{f"snapshot-property.{name}": text for name, text in noted.items()})
        .overwrite(F.col("event_day") == F.lit(day))
    )


def _staged(day: date) -> str:
    return f"{STAGING}.user_events_{day:%Y%m%d}_"
