"""The steps of the sales pipeline on the lake: what the DAG's tasks and the spark-submit jobs run.

Each step reads immutable inputs and replaces what it wrote before, so it may be killed anywhere and
run again.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from feira.core.contracts import contract
from feira.core.errors import PermanentError, Remedy
from feira.core.landing.manifest import Manifest, Validation, passes_gate
from feira.core.landing.store import LandingError, LandingStore
from feira.sales.line_kinds import line_kinds
from feira.sales.published import PUBLISHED
from feira_spark.core.publish import staged_changes
from feira_spark.core.session import CATALOG, planned_for
from feira_spark.core.tables import (
    STAGING,
    drop_staged,
    metadata_uri,
    require_tables,
    write_staged,
)
from feira_spark.core.validate import validated_landing
from feira_spark.sales.transform import extract_lines

QUARANTINE = f"{CATALOG}.sales.quarantine"
# In a staging table only broken lines keep their text. To ask for `broken_rules` instead would make
# Iceberg read row by row: it reads no column in batches beside a nested one.
BROKEN = "raw IS NOT NULL"
VALID = "raw IS NULL"


class GateError(PermanentError, RuntimeError):
    """Too many lines of a landing are invalid; quarantine is written, and nothing after it."""


def validate_landing(spark: SparkSession, store: LandingStore, manifest: Manifest) -> Validation:
    """Validates a landing whole and records what it found beside it.

    Writes the lines with their broken rules to a staging table, the broken ones to
    ``sales.quarantine`` (in the place of the landing's own and, when it passes the gate, of every
    older landing's; not when a newer one is current already), and last ``validation.json``. Raises
    ContractError before any write where a table is not as its contract declares it. It does not
    raise for a landing that fails the gate: see ``require_passed``.
    """
    written = (PUBLISHED.extracts, PUBLISHED.table, "sales.quarantine")
    require_tables(spark, [contract(table) for table in written])
    with planned_for(spark, manifest.total):
        return _validated(spark, store, manifest)


def _validated(spark: SparkSession, store: LandingStore, manifest: Manifest) -> Validation:
    landing = contract("sales.landing")
    staged = _stage(spark, store, manifest)
    pages, counts = _counted(staged)
    total = sum(page["lines"] for page in pages)
    if total != manifest.total:
        raise LandingError(
            f"sales {manifest.extract_day}: the landing's pages hold {total} lines, its manifest "
            f"says {manifest.total}. The files were changed; refetch the day."
        )
    valid = total - sum(row["lines"] for row in counts)
    broken: dict[str, int] = {}
    for row in counts:
        for rule in row["broken_rules"]:
            broken[rule] = broken.get(rule, 0) + row["lines"]
    limit = landing.max_invalid_percent if landing.max_invalid_percent is not None else 100.0
    validation = Validation(
        dataset=manifest.dataset,
        extract_day=manifest.extract_day,
        version=manifest.version,
        contract_version=landing.version,
        total=total,
        valid=valid,
        broken=dict(sorted(broken.items())),
        max_invalid_percent=limit,
        passed=passes_gate(total, total - valid, limit),
    )
    current = store.current(manifest.extract_day)
    # An older run that is cleared comes back to a landing whose lines are no longer of interest.
    if current is None or current[0].version <= manifest.version:
        first_ids = {page["page"]: page["first_id"] for page in pages}
        _replace_quarantine(spark, staged, manifest, first_ids, passed=validation.passed)
    store.put_validation(validation)
    return validation


def require_passed(validation: Validation) -> None:
    """Raises GateError, naming each rule and its count, unless the landing passed the gate."""
    if not validation.passed:
        raise GateError(
            f"sales {validation.extract_day}: {validation.summary()}. "
            "Rows are in sales.quarantine; the day's earlier landing, if any, stays the current one. "
            "Have the source fixed."
        ).fixed_by(Remedy.REFETCH, ("sales", str(validation.extract_day)))


def transform_day(spark: SparkSession, store: LandingStore, day: date) -> tuple[Manifest, str]:
    """Replaces the day's rows in ``sales.order_lines`` with its current landing's valid lines.

    Returns that landing's manifest and the table's metadata URI. It is the current landing that
    counts, not the one that the run began with: a slow run cannot put an older one back.
    """
    current = store.current(day)
    if current is None:
        raise LandingError(
            f"sales {day}: no landing has passed the gate, so there is nothing to transform. Lines that "
            "broke a rule are in sales.quarantine; land the day, or validate its landing, first."
        )
    manifest, _ = current
    with planned_for(spark, manifest.total):
        return manifest, _replace_extract(spark, store, manifest)


def _replace_extract(spark: SparkSession, store: LandingStore, manifest: Manifest) -> str:
    day = manifest.extract_day
    staged = staging_table(day, manifest.version)
    if not spark.catalog.tableExists(staged):
        _stage(spark, store, manifest)
    valid = spark.table(staged).where(VALID)
    declared = contract(PUBLISHED.extracts)
    rows = extract_lines(
        valid.withColumn("landing_version", F.lit(manifest.version)), declared, line_kinds()
    )
    order_lines = f"{CATALOG}.{PUBLISHED.extracts}"
    # All rows are of one partition: distributed by it, one task would write them all.
    (
        rows.writeTo(order_lines)
        .option("distribution-mode", "none")
        .option("fanout-enabled", "true")
        .overwrite(F.col("extract_day") == F.lit(day))
    )
    return metadata_uri(spark, order_lines)


def drop_staging(spark: SparkSession, day: date) -> list[str]:
    """Drops what was staged for a day: validated lines and changes; returns the tables' names."""
    # An older release named a day's changes by the day alone.
    older = f"publish_{day}_".replace("-", "_")
    return drop_staged(spark, _staged_landings(day), staged_changes(PUBLISHED, day), older)


def staging_table(day: date, version: int) -> str:
    """The table that holds one landing's validated lines until its day is published."""
    return f"{STAGING}.{_staged_landings(day)}{version:04d}"


def _staged_landings(day: date) -> str:
    return f"sales_{day:%Y%m%d}_v"


def _stage(spark: SparkSession, store: LandingStore, manifest: Manifest) -> DataFrame:
    """Parses and checks the landing's lines in one pass, into its staging table."""
    checked = validated_landing(spark, store, manifest, contract("sales.landing"))
    table = staging_table(manifest.extract_day, manifest.version)
    # The text of valid lines is not needed again, nor are the fields that were typed.
    slim = checked.withColumn("raw", F.when(F.size("broken_rules") > 0, F.col("raw"))).drop(
        "unit_price", "created_at", "updated_at", "currency_quoted"
    )
    write_staged(slim, table)
    return spark.table(table)


def _counted(staged: DataFrame) -> tuple[list[Row], list[Row]]:
    """By one query: ``lines`` and ``first_id`` of each ``page``, and ``lines`` of each list of
    ``broken_rules``."""
    lines, none = F.count("*").alias("lines"), F.lit(None)
    pages = staged.groupBy("page").agg(lines, F.min("row_id").alias("first_id"))
    broken = staged.where(BROKEN).groupBy("broken_rules").agg(lines)
    found = (
        pages.withColumn("broken_rules", none.cast("array<string>"))
        .unionByName(
            broken.select(
                "*", none.cast("int").alias("page"), none.cast("bigint").alias("first_id")
            )
        )
        .collect()
    )
    return (
        [row for row in found if row["broken_rules"] is None],
        [row for row in found if row["broken_rules"] is not None],
    )


def _replace_quarantine(
    spark: SparkSession,
    staged: DataFrame,
    manifest: Manifest,
    first_ids: dict[int, int],
    *,
    passed: bool,
) -> None:
    day, version = manifest.extract_day, manifest.version
    of_landing = (F.col("extract_day") == F.lit(day)) & (
        F.col("landing_version") <= F.lit(version)
        if passed
        else F.col("landing_version") == F.lit(version)
    )
    places = T.StructType().add("page", T.IntegerType()).add("offset", T.LongType())
    offsets = [
        (page, before - first_ids[page])
        for page, before in _lines_before(manifest)
        if page in first_ids
    ]
    rows = (
        staged.where(BROKEN)
        .join(F.broadcast(spark.createDataFrame(offsets, places)), "page")
        .select(
            F.lit(day).cast("date").alias("extract_day"),
            F.lit(version).alias("landing_version"),
            (F.col("row_id") + F.col("offset")).alias("landing_order"),
            "raw",
            "broken_rules",
        )
    )
    rows.writeTo(QUARANTINE).overwrite(of_landing)


def _lines_before(manifest: Manifest) -> list[tuple[int, int]]:
    """Each page's number and the lines of the pages before it."""
    offsets, lines = [], 0
    for number, page in enumerate(manifest.files, start=1):
        offsets.append((number, lines))
        lines += page.rows or 0
    return offsets
