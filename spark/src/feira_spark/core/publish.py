"""Write, audit, publish: a day's changes go to a branch of the table, are audited there, and become main."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from feira.core.contracts import Column
from feira.core.published_table import PublishedTable
from feira.core.warehouse.fingerprint import MOST_DIGITS, row_hash
from feira_spark.core.branches import branch_of
from feira_spark.core.key_ranges import KeyedDays, days_to_read, keys_of_day, of_days
from feira_spark.core.session import CATALOG, planned_for
from feira_spark.core.tables import (
    STAGING,
    current_snapshot,
    named_for,
    pinned,
    quoted,
    rows_at,
    write_staged,
)

_LEFT = "_left"
# Spark's sum has ten digits more than its column.
_SUMMED_DIGITS = MOST_DIGITS - 10
# As ``publish_day`` names its branches, and as an older release did.
_BRANCH = re.compile(r"publish_\d{4}_\d\d_\d\d_\w+", re.ASCII)
ROWS_A_LINE = 3
"""To publish from so many rows is planned for few or many as to validate one line of a landing is."""


class AuditError(RuntimeError):
    """The branch is not what it must be; main stays as it was. The message names the figures."""


@dataclass(frozen=True)
class Published:
    """What publishing did to the table. ``metadata`` pins the snapshot; counts are rows."""

    metadata: str
    snapshot_id: int
    inserted: int
    updated: int
    deleted: int


def publish_day(spark: SparkSession, table: PublishedTable, day: date, attempt: str) -> Published:
    """Brings the table up to the day's current extract; readers see all of it or nothing.

    The branch is named by the day and by ``attempt``, any text, so that what an attempt that was killed
    has left cannot meet this one; the changes are staged in a table of the same name, for ``drop_staged``
    to drop. Without a change there is no new snapshot.

    :raises AuditError: when the audit of the branch fails
    :raises MovedError: where main has moved since the changes were computed: one caller at a time
    """
    branch = f"publish_{day}_{named_for(attempt)}".replace("-", "_")
    # Computed once and kept. In a table: a frame would be computed anew by each query.
    staged = f"{STAGING}.{table.table.replace('.', '_')}_{branch}"
    # Of one snapshot for all queries: main may move, and another run may replace a day's extract, between them.
    base = current_snapshot(spark, table.table)
    rows = rows_at(spark, table.table, base)
    extracts = rows_at(spark, table.extracts, current_snapshot(spark, table.extracts))
    days = days_to_read(spark, rows, extracts, table, day)
    held, shown = of_days(rows, table, days.published), of_days(extracts, table, days.extracts)
    with planned_for(spark, days.rows // ROWS_A_LINE):
        write_staged(changes(held, shown, table, day), staged)
        changed = spark.table(staged)
        counts, left = Counter[str](), set[date]()
        for action, from_day, count in changed.groupBy("action", _LEFT).count().collect():
            counts[action] += count
            left |= {from_day} - {None}
        if counts or base is None:
            with branch_of(spark, table.table, base, branch) as target:
                _write(target, table, changed, rows, sorted(left), base)
                _audit(target, table, changed, rows, days, counts)
    metadata, snapshot = pinned(spark, f"{CATALOG}.{table.table}")
    if snapshot is None:
        raise AuditError(
            f"{table.table} has no snapshot after publishing {day}; run the day again."
        )
    return Published(
        metadata=metadata,
        # Without a change the one that was compared: main may have been rolled back meanwhile.
        snapshot_id=snapshot if base is None or counts else base,
        inserted=counts["insert"],
        updated=counts["update"],
        deleted=counts["delete"],
    )


def staged_changes(table: PublishedTable, day: date) -> str:
    """How the names of the day's staged changes begin; other tables have other ones."""
    return f"{table.table.replace('.', '_')}_publish_{day}_".replace("-", "_")


def changes(
    published: DataFrame, extracts: DataFrame, table: PublishedTable, day: date
) -> DataFrame:
    """The rows that must change so that the table follows from the extracts, for the keys of one day.

    Looks at the keys of the published rows of that day and of the day's extract, and takes for each
    the winner among all extracts: the greatest version, of equal ones the later day's. Returns the
    table's columns, ``action``: ``insert``, ``update`` (the new row) or ``delete`` (the row that
    leaves), and ``_left``: the day of the row that is updated or deleted, as it was. A row that stays as
    it is does not appear.
    """
    columns, key = published.columns, list(table.key)
    keys = keys_of_day(published, extracts, table, day)
    newest = Window.partitionBy(*key).orderBy(F.col(table.version).desc(), F.col(table.day).desc())
    winners = (
        extracts.select(*columns)
        .join(keys, key, "left_semi")
        .withColumn("_rank", F.row_number().over(newest))
        .where("_rank = 1")
        .drop("_rank")
    )
    wanted = winners.select(F.struct(*columns).alias("new"))
    held = published.join(keys, key, "left_semi").select(F.struct(*columns).alias("old"))
    on = [F.col(f"new.{name}") == F.col(f"old.{name}") for name in key]
    action = (
        F.when(F.col("old").isNull(), F.lit("insert"))
        .when(F.col("new").isNull(), F.lit("delete"))
        .when(~F.col("new").eqNullSafe(F.col("old")), F.lit("update"))
    )
    return (
        wanted.join(held, on, "full_outer")
        .withColumn("action", action)
        .where("action is not null")
        .withColumn("row", F.coalesce("new", "old"))
        .select("row.*", "action", F.col(f"old.{table.day}").alias(_LEFT))
    )


def _write(
    target: str,
    table: PublishedTable,
    changed: DataFrame,
    rows: DataFrame,
    left: list[date],
    base: int | None,
) -> None:
    """Replaces the days that rows leave by the rows that stay in them, and adds those that are new or are
    changed: by a filter of literals, from ``rows``, which are those of ``base``."""
    columns = table.contract.column_names
    new = changed.where("action <> 'delete'").select(*columns)
    if not left:
        new.writeTo(target).append()
        return
    gone = changed.where("action <> 'insert'").select(*table.key)
    stay = of_days(rows, table, left).join(gone, list(table.key), "left_anti").select(*columns)
    (
        stay.unionByName(new)
        .writeTo(target)
        .option("isolation-level", "serializable")
        .option("validate-from-snapshot-id", str(base))
        .overwrite(F.col(table.day).isin(left))
    )


def _audit(
    target: str,
    table: PublishedTable,
    changed: DataFrame,
    rows: DataFrame,
    days: KeyedDays,
    counts: Counter[str],
) -> None:
    """Row count, uniqueness of the changed keys, nulls, values that the contract does not allow, and sums
    against the input: the measures', and those of every decimal, or of its hashes."""
    key, declared = list(table.key), table.contract
    written = rows.sparkSession.table(target)
    summed = {measure.name: measure.sql for measure in table.measures}
    for column in declared.columns:
        if column.type.startswith("decimal"):
            summed.setdefault(column.name, _total(column))
    sums = [F.expr(sql).alias(f"sum_{n}") for n, sql in enumerate(summed.values())]
    nulls = [
        F.sum(F.col(name).isNull().cast("int")).alias(f"null_{name}")
        for name in declared.required_columns
    ]
    allowed = {column.name: column.allowed for column in declared.columns if column.allowed}
    others = [
        F.count_if(~F.col(name).isin(*values)).alias(f"other_{name}")
        for name, values in allowed.items()
    ]
    number = F.count("*").alias("rows")
    # A changed row is on the branch where it was or where its extract is; anywhere else it is one too few.
    looked_at = of_days(written, table, days.either)
    touched = looked_at.join(changed.select(*key), key, "left_semi")
    branch_figures = touched.select(
        number, *sums, F.count_distinct(*key).alias("keys"), *nulls, *others
    )
    input_figures = changed.where("action <> 'delete'").select(number, *sums)
    # Iceberg answers these two from its metadata: no file is read.
    totals = written.select(F.count("*").alias("after")).crossJoin(
        rows.select(F.count("*").alias("before"))
    )
    # One query: each of its own would be planned and scheduled anew.
    row = (
        branch_figures.select(F.struct("*").alias("found"))
        .crossJoin(input_figures.select(F.struct("*").alias("input")))
        .crossJoin(totals)
        .collect()[0]
    )
    found, input_ = row["found"], row["input"]
    expected = row["before"] + counts["insert"] - counts["delete"]
    problems = []
    if row["after"] != expected:
        problems.append(
            f"{row['after']} rows where {row['before']} and the changes make {expected}"
        )
    if found["rows"] != found["keys"]:
        problems.append(f"{found['rows']} changed rows for {found['keys']} keys")
    compared = {"rows": "rows"} | {name: f"sum_{n}" for n, name in enumerate(summed)}
    problems += [
        f"{name} is {found[field]} on the branch and {input_[field]} in the input"
        for name, field in compared.items()
        if found[field] != input_[field]
    ]
    problems += [
        f"{found[f'null_{name}']} nulls in {name}"
        for name in declared.required_columns
        if found[f"null_{name}"]
    ]
    problems += [
        f"{found[f'other_{name}']} values of {name} that are none of {', '.join(values)}"
        for name, values in allowed.items()
        if found[f"other_{name}"]
    ]
    if problems:
        raise AuditError(
            f"{target}: {'; '.join(problems)}. main was not moved; "
            "the branch was dropped. Run the day again; if it repeats, it is a defect."
        )


def _total(column: Column) -> str:
    """SQL for the sum of a decimal; of its values' hashes where Spark may have no number for the sum."""
    wide = int(re.split(r"\D+", column.type)[1]) > _SUMMED_DIGITS
    return f"coalesce(sum({row_hash([column], 'spark') if wide else column.name}), 0)"


def sweep_branches(spark: SparkSession, table: PublishedTable) -> list[str]:
    """Drops the publishing branches that killed attempts have left; returns their names.

    To be called by the one publisher only, before it makes its own branch.
    """
    published = f"{CATALOG}.{table.table}"
    branches = spark.table(f"{published}.refs").where("type = 'BRANCH'").select("name")
    names = [row["name"] for row in branches.collect() if _BRANCH.fullmatch(row["name"])]
    for name in names:
        spark.sql(f"ALTER TABLE {published} DROP BRANCH IF EXISTS {quoted(name)}")
    return names
