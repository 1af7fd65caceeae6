"""The steps of user_events as the DAG runs them: connections in, URIs, offsets and counts out."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from feira_airflow.core.connections import LAKE, lake_settings, spark_session
from feira_airflow.core.kafka import kafka_admin, kafka_config, kafka_consumer, kafka_producer
from feira_airflow.core.partitions import partition_day
from feira_airflow.core.permanent import permanent_errors_fail
from feira_airflow.core.xcom import fields_of

log = logging.getLogger(__name__)


@permanent_errors_fail()
def resolve_offsets() -> dict[str, Any]:
    """From which offset to which the day is read, staged: a topic may have thousands of partitions. Returns ``offsets``
    (metadata URI), whose topic they are, and how many messages are between them; fails where Kafka does not hold all
    of the day."""
    from feira.user_events.codec import TOPIC
    from feira.user_events.offsets import resolve
    from feira_spark.user_events.day import has_rows, recorded, stage_offsets

    day = partition_day()
    with spark_session() as spark:
        known, held = recorded(spark, day), has_rows(spark, day)
        with kafka_consumer() as consumer:
            offsets = resolve(consumer, kafka_admin(), TOPIC, day, known, held)
        uri = stage_offsets(spark, offsets)
    log.info("%s %s: %s messages between the offsets", TOPIC, day, offsets.messages)
    return {
        "topic": offsets.topic,
        "topic_id": offsets.topic_id,
        "offsets": uri,
        "messages": offsets.messages,
    }


@permanent_errors_fail()
def ingest(offsets: dict[str, Any]) -> dict[str, Any]:
    """Replaces the day's events; returns ``user_events`` and ``dead_letters`` (metadata URIs), and counts: ``late`` are
    by day the messages of earlier days that the table lacks, since they came after their day was read. ``again`` are
    the days to run again, since they may lack rows for ids that a later day has lost to this one, or it has itself."""
    from feira.core.lake import read_snapshot
    from feira.user_events.offsets import (
        DayOffsets,
        require_all_that_was_read,
        require_topic,
        watermarks,
    )
    from feira_spark.core.kafka import read_offsets
    from feira_spark.user_events.day import has_rows, ingest, recorded
    from feira_spark.user_events.late import late_day, read_to, starting

    topic, topic_id, uri = fields_of("resolve_offsets", offsets, "topic", "topic_id", "offsets")
    day = partition_day()
    given = DayOffsets.read(topic, day, read_snapshot(lake_settings(LAKE), uri), topic_id)
    # Since they were resolved days may have passed, and a try of this task failed, or another run read the day.
    require_topic(kafka_admin(), given)
    with spark_session() as spark:
        if has_rows(spark, day):
            require_all_that_was_read(given, recorded(spark, day))
        known = read_to(spark, given)
        with kafka_consumer() as consumer:
            lows = {each: watermarks(consumer, given.topic, each)[0] for each in given.ranges}
        begins = starting(given, known, lows)
        messages = read_offsets(spark, kafka_config(), begins, given.ending, given.topic)
        done = ingest(spark, messages, given, late_day(known))
    for late, count in done.late.items():
        log.warning(
            "%s: %s messages came after the day was read, and are not in the table. "
            "`feira run user_events --day %s` takes them in.",
            *(late, f"{count:,}", late),
        )
    for each in done.again:
        log.warning(
            "%s: the day may lack rows for ids that another day has lost to %s, or that this one held and "
            "holds no more. `feira run user_events --day %s` puts them in; run such days in their order.",
            *(each, given.day, each),
        )
    return asdict(done)


@permanent_errors_fail()
def send_dead_letters(ingested: dict[str, Any]) -> dict[str, Any]:
    """Sends the day's dead letters that are not in their topic yet; returns how many, and how many were."""
    from feira.core.lake import read_snapshot
    from feira.user_events.dead_letters import DeadLetter, Sent, send

    (dead_letters,) = fields_of("ingest", ingested, "dead_letters")
    if dead_letters is None:
        return asdict(Sent(0, 0))
    letters = (
        DeadLetter(
            row["topic"],
            row["kafka_partition"],
            row["kafka_offset"],
            row["key"],
            row["value"],
            row["reason"],
            row.get("topic_id"),
        )
        for batch in read_snapshot(lake_settings(LAKE), dead_letters)
        for row in batch.to_pylist()
    )
    with kafka_consumer() as consumer:
        return asdict(send(letters, kafka_producer(), consumer))


@permanent_errors_fail()
def drop_staging() -> dict[str, Any]:
    """Drops what was staged for the day, once its dead letters are sent; nothing waits for this."""
    from feira_spark.user_events.day import drop_staging

    with spark_session() as spark:
        return {"dropped": len(drop_staging(spark, partition_day()))}


@permanent_errors_fail()
def emit(ingested: dict[str, Any]) -> None:
    """Ends the run; its outlet is the event."""
    (events,) = fields_of("ingest", ingested, "events")
    log.info("user_events[%s]: %s events", partition_day(), events)
