"""The steps of the sales pipeline on the lake: what the DAG's tasks and the spark-submit jobs run.

Each step reads immutable inputs and replaces what it wrote before, so it may be killed anywhere and
run again.
"""

from __future__ import annotations

from datetime import date
from uuid import uuid4

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
    replace_rows,
    require_tables,
    stored,
    write_staged,
)
from feira_spark.core.validate import validated_landing
from feira_spark.sales.transform import extract_lines

_QUARANTINE = "sales.quarantine"
QUARANTINE = f"{CATALOG}.{_QUARANTINE}"
# In a staging table only broken lines keep their text. To ask for `broken_rules` instead would make
# Iceberg read row by row: it reads no column in batches beside a nested one.
BROKEN = "raw IS NOT NULL"
VALID = "raw IS NULL"
# Fields that were typed, and what only a rule asks for.
_NOT_STAGED = ("unit_price", "created_at", "updated_at", "currency_quoted")


class GateError(PermanentError, RuntimeError):
    """Too many lines of a landing are invalid; quarantine is written, and nothing after it."""


class OutdatedValidationError(PermanentError, LandingError):
    """A landing is no longer judged as its validation says, since its contract has changed."""


def validate_landing(spark: SparkSession, store: LandingStore, manifest: Manifest) -> Validation:
    """Validates a landing whole and records what it found beside it.

    Writes the lines with their broken rules to a staging table, the broken ones to
    ``sales.quarantine`` (in the place of the landing's own and, when it passes the gate, of every
    older landing's; not when a newer one is current already), and ``validation.json``. Then no landing that
    is older than the current one has rows in quarantine, whichever were validated at the same time. Raises
    ContractError before any write where a table is not as its contract declares it. It does not
    raise for a landing that fails the gate: see ``require_passed``.
    """
    written = (PUBLISHED.extracts, PUBLISHED.table, _QUARANTINE)
    require_tables(spark, [contract(table) for table in written])
    with planned_for(spark, manifest.total):
        return _validated(spark, store, manifest)


def _validated(spark: SparkSession, store: LandingStore, manifest: Manifest) -> Validation:
    name = _stage(spark, store, manifest)
    staged = spark.table(name)
    pages, counts = _counted(staged)
    validation = _judged(manifest, pages, counts).model_copy(update={"staged": name})
    current = store.current(manifest.extract_day)
    # An older run that is cleared comes back to a landing whose lines are no longer of interest.
    if current is None or current[0].version <= manifest.version:
        first_ids = {page["page"]: page["first_id"] for page in pages}
        _replace_quarantine(staged, manifest, first_ids, passed=validation.passed)
    store.put_validation(validation)
    _forget_older(spark, store, manifest.extract_day)
    return validation


def _judged(manifest: Manifest, pages: list[Row], counts: list[Row]) -> Validation:
    """What the counts of a landing say by its contract as it is now."""
    landing = contract("sales.landing")
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
    return Validation(
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

    :raises OutdatedValidationError: where its lines are to be judged anew, and are judged otherwise by now
    """
    current = store.current(day)
    if current is None:
        raise LandingError(
            f"sales {day}: no landing has passed the gate, so there is nothing to transform. Lines that "
            "broke a rule are in sales.quarantine; land the day, or validate its landing, first."
        )
    manifest, validation = current
    with planned_for(spark, manifest.total):
        staged = _as_validated(spark, store, manifest, validation)
        return manifest, _replace_extract(staged, manifest)


def _as_validated(
    spark: SparkSession, store: LandingStore, manifest: Manifest, validation: Validation
) -> DataFrame:
    """The landing's lines as they were staged when it was validated. Where they are gone, or a column of the
    contract is not among them, they are staged anew, and must be judged as they were then."""
    landing = contract("sales.landing")
    if validation.staged is not None:
        needed = {*landing.column_names, *(each.name for each in landing.rule_inputs)}
        held = stored(spark, validation.staged.removeprefix(f"{CATALOG}."))
        if held is not None and needed - {*_NOT_STAGED} <= held.types.keys():
            return spark.table(validation.staged)
    staged = spark.table(_stage(spark, store, manifest))
    found = _judged(manifest, *_counted(staged))
    if found != validation.model_copy(update={"staged": None}):
        day = str(manifest.extract_day)
        raise OutdatedValidationError(
            f"sales {day}: landing {manifest.version} was validated by contract {validation.contract_version} with "
            f"{validation.summary()}; by {found.contract_version} as it is now it has {found.summary()}. The day's "
            "extract stays as it was. Validate the landing again."
        ).fixed_by(Remedy.RUN, ("sales", day))
    return staged


def _replace_extract(staged: DataFrame, manifest: Manifest) -> str:
    day, spark = manifest.extract_day, staged.sparkSession
    valid = staged.where(VALID).withColumn("landing_version", F.lit(manifest.version))
    rows = extract_lines(valid, contract(PUBLISHED.extracts), line_kinds())
    order_lines = f"{CATALOG}.{PUBLISHED.extracts}"
    # All rows are of one partition: distributed by it, one task would write them all.
    (
        rows.writeTo(order_lines)
        .option("distribution-mode", "none")
        .option("fanout-enabled", "true")
        .overwrite(F.col("extract_day") == F.lit(day))
    )
    return metadata_uri(spark, order_lines)


def drop_staging(spark: SparkSession, day: date, loaded: str | None = None) -> list[str]:
    """Drops what was staged for a day: validated lines and changes, and the table that its load has read; returns
    the tables' names."""
    # An older release named a day's changes by the day alone.
    older = f"publish_{day}_".replace("-", "_")
    names = [_staged_landings(day), staged_changes(PUBLISHED, day), older]
    if loaded is not None:
        names.append(loaded.removeprefix(f"{STAGING}."))
    # To remove the files of a table is a query, of few rows.
    with planned_for(spark, 0):
        return drop_staged(spark, *names)


def _staged_landings(day: date) -> str:
    return f"sales_{day:%Y%m%d}_v"


def _stage(spark: SparkSession, store: LandingStore, manifest: Manifest) -> str:
    """Parses and checks the landing's lines in one pass, into a table of their own, whose name it returns: one
    that is killed, or at work beside another, leaves nothing that would be taken for what the other has judged."""
    checked = validated_landing(spark, store, manifest, contract("sales.landing"))
    prefix = f"{STAGING}.{_staged_landings(manifest.extract_day)}"
    table = f"{prefix}{manifest.version:04d}_{uuid4().hex}"
    # The text of valid lines is not needed again.
    broken = F.when(F.size("broken_rules") > 0, F.col("raw"))
    write_staged(checked.withColumn("raw", broken).drop(*_NOT_STAGED), table)
    return table


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
    staged: DataFrame, manifest: Manifest, first_ids: dict[int, int], *, passed: bool
) -> None:
    day, version, spark = manifest.extract_day, manifest.version, staged.sparkSession
    landing = F.col("landing_version")
    gone = landing <= F.lit(version) if passed else landing == F.lit(version)
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
            # Bytes that are no UTF-8 are none in Parquet's texts either, and readers fail on them.
            F.make_valid_utf8("raw").alias("raw"),
            "broken_rules",
        )
    )
    replace_rows(rows, _QUARANTINE, F.col("extract_day") == F.lit(day), gone)


def _forget_older(spark: SparkSession, store: LandingStore, day: date) -> None:
    """Removes from quarantine what landings older than the current one have there: a landing that was validated
    at the same time as a newer one, and had looked before that was current, may have come last."""
    current = store.current(day)
    if current is None or current[0].version == 1:
        return
    older = f"extract_day = DATE'{day}' AND landing_version < {current[0].version}"
    if not spark.table(QUARANTINE).where(older).isEmpty():
        spark.sql(f"DELETE FROM {QUARANTINE} WHERE {older}")


def _lines_before(manifest: Manifest) -> list[tuple[int, int]]:
    """Each page's number and the lines of the pages before it."""
    offsets, lines = [], 0
    for number, page in enumerate(manifest.files, start=1):
        offsets.append((number, lines))
        lines += page.rows or 0
    return offsets
