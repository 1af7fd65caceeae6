"""What the warehouse needs of a published table: the difference of two snapshots, and figures to compare."""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import takewhile
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from feira.core.errors import PermanentError
from feira.core.lake import read_snapshot
from feira.core.published_table import PublishedTable
from feira.core.settings import LakeSettings
from feira.core.warehouse.apply import Difference
from feira.core.warehouse.fingerprint import figures_by_date, rows_by_key
from feira.core.warehouse.reconcile import Figures, Slice, figures_of
from feira_spark.core.session import CATALOG, planned_for
from feira_spark.core.tables import (
    STAGING,
    current_snapshot,
    drop_staged,
    metadata_uri,
    rows_at,
    view_at,
    write_staged,
)

log = logging.getLogger(__name__)

COMPARED_A_LINE = 2
"""To compare so many rows is planned for few or many as to validate one line of a landing is: for few, 180,000
took a quarter less of CPU, and 480,000 a third more."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UndoneError(PermanentError):
    """main does not come from the snapshot that a day was published as, or is none. The message names table,
    snapshot and main."""


@dataclass(frozen=True)
class StagedDifference:
    """The rows that differ, staged as an Iceberg table that ``metadata`` pins; see ``stage_difference``."""

    table: str
    metadata: str
    snapshot_id: int
    whole: bool
    rows: int


def difference_since(
    spark: SparkSession,
    table: PublishedTable,
    lake: LakeSettings,
    note: Callable[[str], object] = lambda table: None,
    published: int | None = None,
) -> Callable[[int | None], Difference | None]:
    """What ``load`` asks for: stages the difference since a snapshot, and reads it in batches. ``note`` is
    called with the name of each table that it is staged in. ``published`` is as ``stage_difference`` takes it."""

    def since(held: int | None) -> Difference | None:
        staged = stage_difference(spark, table, held, published)
        if staged is None:
            return None
        note(staged.table)
        read = partial(read_snapshot, lake, staged.metadata)
        return Difference(staged.snapshot_id, staged.whole, staged.rows, read)

    return since


def stage_difference(
    spark: SparkSession, table: PublishedTable, since: int | None, published: int | None = None
) -> StagedDifference | None:
    """Stages what changed in the table from snapshot ``since`` to main; None where that is nothing.

    The staged rows have the table's columns and ``change``: INSERT (the row now) or DELETE (the row
    then); a changed row is one of each. Where ``since`` is None, or was expired, or delete files lie between,
    the whole table is staged as INSERT. One caller a table at a time: what earlier ones have staged is dropped.
    Each has a table of its own, so that whoever drops it later drops no other's.

    :param published: a snapshot whose rows main must have, since they are to be announced
    :raises UndoneError: where main does not come from ``published``, or there is no main, though ``since`` was one
    """
    staged = f"{table.table.replace('.', '_')}_changes"
    drop_staged(spark, staged)
    main = current_snapshot(spark, table.table)
    asked_for = {since, published} - {None, main}
    made_of = _ancestors(spark, table.table, main) if asked_for else {}
    required = since if main is None and published is None else published
    if required not in (None, main, *made_of):
        raise UndoneError(
            f"{table.table} was published as snapshot {required}, and main is {main or 'no snapshot'}, which does not "
            "come from it: the table was rolled back or made anew, or that snapshot was expired. The warehouse was "
            "not changed, and no event was emitted."
        )
    if main is None or main == since:
        return None
    staging = f"{STAGING}.{staged}_{uuid.uuid4().hex}"
    whole = (
        since is None
        or since not in made_of
        or _has_delete_files(spark, table.table, made_of, since)
    )
    if whole:
        rows = rows_at(spark, table.table, main).withColumn("change", F.lit("INSERT"))
        # As a changelog comes by itself: the warehouse's index of the key grows at its end then.
        rows = rows.sortWithinPartitions(*table.key)
    else:
        rows = _changelog(spark, table.table, since, main)
    write_staged(rows.select(*table.contract.column_names, "change"), staging)
    return StagedDifference(
        table=staging,
        metadata=metadata_uri(spark, staging),
        snapshot_id=main,
        whole=whole,
        rows=spark.table(staging).count(),
    )


def _ancestors(spark: SparkSession, table: str, main: int | None) -> dict[int, Row]:
    """main and the snapshots that it was made of, back to where one was expired, the newest first; of each its
    operation and how many delete files it counts."""
    snapshots = spark.table(f"{CATALOG}.{table}.snapshots")
    deletes = F.col("summary")["total-delete-files"].alias("delete_files")
    rows = snapshots.select("snapshot_id", "parent_id", "operation", deletes).collect()
    parents = {row["snapshot_id"]: row for row in rows}
    found: dict[int, Row] = {}
    while main is not None and main in parents:
        found[main] = parents[main]
        main = parents[main]["parent_id"]
    return found


def _has_delete_files(spark: SparkSession, table: str, made_of: dict[int, Row], since: int) -> bool:
    """Whether a snapshot after ``since`` lists delete files, through which Iceberg reads no changelog: an engine
    that merges on read has deleted rows beside their files. A rewrite changes no row, and is not looked at."""
    newer = list(takewhile(lambda each: each != since, made_of))
    # What takes the last of them away counts none, and lists them once more.
    if all(made_of[each]["delete_files"] == "0" for each in (since, *newer)):
        return False
    changed = [each for each in newer if made_of[each]["operation"] != "replace"]
    manifests = spark.table(f"{CATALOG}.{table}.all_manifests")
    # As literals: Iceberg then reads the lists of those snapshots alone.
    of_deletes = F.col("reference_snapshot_id").isin(changed) & (F.col("content") == 1)
    if not changed or not manifests.where(of_deletes).take(1):
        return False
    log.warning(
        "%s has delete files since snapshot %s: the whole table is staged. Tables of the lake are to be written "
        "copy on write; rewrite the files with rewrite_data_files, or each load stages the whole table.",
        table,
        since,
    )
    return True


def _changelog(spark: SparkSession, table: str, since: int | None, main: int) -> DataFrame:
    # Net changes: a row that several publishes have rewritten appears as it was and as it is.
    view = f"{table.replace('.', '_')}_changelog"
    spark.sql(
        f"CALL {CATALOG}.system.create_changelog_view(table => '{table}', "
        f"changelog_view => '{view}', "
        f"options => map('start-snapshot-id', '{since}', 'end-snapshot-id', '{main}'), "
        "net_changes => true)"
    )
    return spark.table(view).withColumnRenamed("_change_type", "change")


def lake_figures(
    spark: SparkSession,
    table: PublishedTable,
    snapshot: int,
    day: date | None = None,
    dates: list[date] | None = None,
    rows: int | None = None,
) -> dict[Slice, Figures]:
    """Rows, fingerprint and sums by event date and extract day at a snapshot.

    Of the whole table, or with ``day`` of the event dates of that day's extract and of ``dates``. ``rows`` is
    how many these may be expected to be.
    """
    source = view_at(spark, table.table, snapshot)
    where = "TRUE"
    if day is not None:
        of_day = spark.sql(
            f"SELECT DISTINCT CAST({table.event_date} AS string) FROM {source} "
            f"WHERE {table.day} = DATE'{day.isoformat()}'"
        )
        # As literals: Iceberg skips files by them, and by no subquery.
        listed = {each.isoformat() for each in dates or ()} | {each for (each,) in of_day.collect()}
        if not listed:
            return {}
        literals = ", ".join(f"DATE'{each}'" for each in sorted(listed))
        where = f"{table.event_date} IN ({literals})"
    with planned_for(spark, sys.maxsize if rows is None else rows // COMPARED_A_LINE):
        return figures_of(spark.sql(figures_by_date(table, "spark", source, where)).collect())


def lake_rows(
    spark: SparkSession, table: PublishedTable, snapshot: int, of: Slice
) -> Iterator[tuple[Any, ...]]:
    """Key and hash of each row of one event date and extract day at a snapshot, as ``rows_by_key``
    orders them; one at a time. A time of the key is in UTC, as the warehouse's driver has it."""
    source = view_at(spark, table.table, snapshot)
    query = rows_by_key(table, "spark", source, *of)
    types = [table.contract.column(name).type for name in table.key]
    times = [place for place, type_ in enumerate(types, 1) if type_ == "timestamp"]
    return (_timed(row, times) for row in spark.sql(query).toLocalIterator())


def _timed(row: Row, times: list[int]) -> tuple[Any, ...]:
    """The row with times for the microseconds at those places."""
    values = list(row)
    for place in times:
        values[place] = _EPOCH + timedelta(microseconds=values[place])
    return tuple(values)
