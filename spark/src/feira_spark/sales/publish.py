"""Write, audit, publish: a day's changes go to a branch of the fact, are audited there, and become main."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feira.core.contracts import Contract, contract
from feira.core.warehouse.clauses import SOLD
from feira_spark.core.session import CATALOG
from feira_spark.sales.changes import changes
from feira_spark.sales.tables import STAGING, current_snapshot, metadata_uri
from feira_spark.sales.transform import KEY

FACT = f"{CATALOG}.sales.fact"
REVENUE = f"sum(CASE WHEN {SOLD} THEN amount_usd ELSE 0 END)"


class AuditError(RuntimeError):
    """The branch is not what it must be; main stays as it was. The message names the figures."""


@dataclass(frozen=True)
class Published:
    """What publishing did to the fact. ``metadata`` pins the snapshot; counts are rows."""

    metadata: str
    snapshot_id: int
    inserted: int
    updated: int
    deleted: int


def publish_day(spark: SparkSession, day: date, attempt: str) -> Published:
    """Brings the fact up to the day's current extract; readers see all of it or nothing.

    ``attempt`` names the branch beside the day, so that what an attempt that was killed has left
    cannot meet this one; the changes are staged in a table of the same name, for ``drop_staging``
    to drop. One caller at a time: a fast-forward is refused once main has moved on.
    Raises AuditError when the audit of the branch fails. Without a change there is no new snapshot.
    """
    branch = "publish_" + re.sub(r"[^A-Za-z0-9]+", "_", f"{day}_{attempt}").strip("_")
    changed = _staged_changes(spark, day, f"{STAGING}.{branch}")
    counts = {row["action"]: row["count"] for row in changed.groupBy("action").count().collect()}
    base = current_snapshot(spark, "sales.fact")
    if counts or base is None:
        _publish(spark, changed, counts, branch, contract("sales.fact"), base)
    snapshot = current_snapshot(spark, "sales.fact")
    if snapshot is None:
        raise AuditError(f"sales.fact has no snapshot after publishing {day}; run the day again.")
    return Published(
        metadata=metadata_uri(spark, FACT),
        snapshot_id=snapshot,
        inserted=counts.get("insert", 0),
        updated=counts.get("update", 0),
        deleted=counts.get("delete", 0),
    )


def _staged_changes(spark: SparkSession, day: date, table: str) -> DataFrame:
    """The day's changes, computed once and kept. In a table: Spark 4.1 cannot plan a MERGE from a
    temporary view."""
    found = changes(spark.table(FACT), spark.table(f"{CATALOG}.sales.order_lines"), day)
    found.writeTo(table).using("iceberg").tableProperty("format-version", "2").createOrReplace()
    return spark.table(table)


def _publish(
    spark: SparkSession,
    changed: DataFrame,
    counts: dict[str, int],
    branch: str,
    declared: Contract,
    base: int | None,
) -> None:
    spark.sql(f"ALTER TABLE {FACT} CREATE OR REPLACE BRANCH {branch}")
    try:
        _write(spark, changed, counts, branch, declared)
        _audit(spark, changed, counts, branch, declared, base)
        spark.sql(f"CALL {CATALOG}.system.fast_forward('sales.fact', 'main', '{branch}')")
    finally:
        spark.sql(f"ALTER TABLE {FACT} DROP BRANCH IF EXISTS {branch}")


def _write(
    spark: SparkSession,
    changed: DataFrame,
    counts: dict[str, int],
    branch: str,
    declared: Contract,
) -> None:
    target = f"{FACT}.branch_{branch}"
    names = declared.column_names
    if set(counts) <= {"insert"}:
        # Nothing to match: the changes were computed against this very main.
        changed.select(*names).writeTo(target).append()
        return
    assignments = ", ".join(f"t.{name} = s.{name}" for name in names)
    spark.sql(
        f"MERGE INTO {target} t USING {STAGING}.{branch} s "
        f"ON {' AND '.join(f't.{name} = s.{name}' for name in KEY)} "
        "WHEN MATCHED AND s.action = 'delete' THEN DELETE "
        f"WHEN MATCHED AND s.action = 'update' THEN UPDATE SET {assignments} "
        f"WHEN NOT MATCHED AND s.action = 'insert' THEN INSERT ({', '.join(names)}) "
        f"VALUES ({', '.join(f's.{name}' for name in names)})"
    )


def _audit(
    spark: SparkSession,
    changed: DataFrame,
    counts: dict[str, int],
    branch: str,
    declared: Contract,
    base: int | None,
) -> None:
    """Row count, uniqueness of the changed keys, nulls, and revenue against the input."""
    target = spark.table(f"{FACT}.branch_{branch}")
    sums = [
        F.count("*").alias("rows"),
        F.expr(f"coalesce({REVENUE}, 0)").alias("revenue"),
        F.coalesce(F.sum("amount"), F.lit(0)).alias("amount"),
    ]
    nulls = [
        F.sum(F.col(name).isNull().cast("int")).alias(f"null_{name}")
        for name in declared.required_columns
    ]
    touched = target.join(changed.select(*KEY), list(KEY), "left_semi")
    branch_figures = touched.select(*sums, F.count_distinct(*KEY).alias("keys"), *nulls)
    input_figures = changed.where("action <> 'delete'").select(*sums)
    totals = target.select(F.count("*").alias("after"))
    if base is not None:
        totals = totals.crossJoin(spark.table(FACT).select(F.count("*").alias("before")))
    # One query: each of its own would be planned and scheduled anew.
    row = (
        branch_figures.select(F.struct("*").alias("found"))
        .crossJoin(input_figures.select(F.struct("*").alias("input")))
        .crossJoin(totals)
        .collect()[0]
    )
    found, input_ = row["found"], row["input"]
    before = row["before"] if base is not None else 0
    expected = before + counts.get("insert", 0) - counts.get("delete", 0)
    problems = []
    if row["after"] != expected:
        problems.append(f"{row['after']} rows where {before} and the changes make {expected}")
    if found["rows"] != found["keys"]:
        problems.append(f"{found['rows']} changed rows for {found['keys']} keys")
    problems += [
        f"{name} is {found[name]} on the branch and {input_[name]} in the input"
        for name in ("rows", "revenue", "amount")
        if found[name] != input_[name]
    ]
    problems += [
        f"{found[f'null_{name}']} nulls in {name}"
        for name in declared.required_columns
        if found[f"null_{name}"]
    ]
    if problems:
        raise AuditError(
            f"sales.fact, branch {branch}: {'; '.join(problems)}. main was not moved; "
            "the branch was dropped. Run the day again; if it repeats, it is a defect."
        )


def sweep_branches(spark: SparkSession, keep: str = "main") -> list[str]:
    """Drops the publishing branches that killed attempts have left; returns their names.

    To be called by the one publisher only, before it makes its own branch.
    """
    names = [
        row["name"]
        for row in spark.sql(f"SELECT name FROM {FACT}.refs WHERE type = 'BRANCH'").collect()
        if row["name"] != keep and row["name"].startswith("publish_")
    ]
    for name in names:
        spark.sql(f"ALTER TABLE {FACT} DROP BRANCH IF EXISTS {name}")
    return names
