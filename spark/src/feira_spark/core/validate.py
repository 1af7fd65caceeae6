"""Landed lines → typed lines, each with the list of rules it breaks, in one pass over the landing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from feira.core.contracts import Contract, ContractError
from feira.core.contracts.model import Lookup, RuleInput
from feira.core.contracts.rule_sql import named, translate
from feira.core.errors import Remedy
from feira.core.landing.manifest import Manifest
from feira.core.landing.store import DamagedLandingError, LandingStore
from feira_spark.core.row_rules import SHAPE_RULES, broken_rules, read_fields


def validated_landing(
    spark: SparkSession, store: LandingStore, manifest: Manifest, contract: Contract
) -> DataFrame:
    """A landing's lines as ``validated`` returns them, with what was landed beside them.

    Raises DamagedLandingError where a file is not as its manifest lists it, or is not there.
    """
    store.require_intact(manifest)
    day, folder = manifest.extract_day, store.folder(manifest.extract_day, manifest.version)
    columns: dict[str, set[str]] = {}
    for lookup in filter(None, (each.lookup for each in contract.rule_inputs)):
        names = (*lookup.equal.values(), lookup.value, lookup.newest)
        columns.setdefault(lookup.companion, set()).update(filter(None, names))
    if missing := columns.keys() - manifest.companions.keys():
        raise DamagedLandingError(
            f"{manifest.dataset} {day}: landing {manifest.version} holds no "
            f"{', '.join(sorted(missing))}, in which the rules of {contract.id} look values up."
        ).fixed_by(Remedy.REFETCH, (manifest.dataset, str(day)))
    # The folder is listed in one call; of hundreds of paths each would be asked for, in a job.
    lines = landed_lines(_text(spark, folder, "page-*.ndjson.gz"), contract, manifest.fields)
    beside = {
        name: _texts(_text(spark, f"{folder}/{manifest.companions[name].name}"), sorted(of))
        for name, of in columns.items()
    }
    return validated(lines, contract, beside, extract_day=day)


def landed_lines(pages: DataFrame, contract: Contract, landed_fields: list[str]) -> DataFrame:
    """Reads the landing's text, whose lines are as the API served them and may hold anything.

    ``pages`` is text (``value``) with ``_metadata.file_path``. Returns the contract's fields and
    ``shape_rules`` as ``row_rules.read_fields`` does, ``raw``, ``page`` (from the file's name) and
    ``row_id``, which grows within a page in the API's order.
    """
    # The id must be taken where the file is read: a gzip page is one split, so ids follow its lines.
    numbered = pages.select(
        F.col("value").alias("raw"),
        _page(F.col("_metadata.file_path")).alias("page"),
        F.monotonically_increasing_id().alias("row_id"),
    )
    return read_fields(numbered, contract, landed_fields)


def validated(
    lines: DataFrame, contract: Contract, beside: Mapping[str, DataFrame], *, extract_day: date
) -> DataFrame:
    """Adds what the rules need and what the rules say.

    ``lines`` as ``landed_lines`` returns them; ``beside`` are the documents by name that the inputs of
    the rules are looked up in, with the columns that they name, as texts or of their type. Returns the
    landed fields and ``raw``, ``page``, ``row_id``, ``extract_day``, the inputs of the contract's
    rules, and ``broken_rules`` (sorted; empty for a valid line). Raises ContractError for an input
    that is neither derived nor given.
    """
    frame = lines.withColumn("extract_day", F.lit(extract_day).cast("date"))
    there = {*contract.column_names, "extract_day"}
    types = contract.rule_names
    while wanted := [each for each in contract.rule_inputs if each.name not in there]:
        derived = {
            each.name: F.expr(translate(each.expression, types, "spark").text)
            for each in wanted
            if each.expression and named(each.expression) <= there
        }
        if derived:  # a select for each depth
            frame = frame.select("*", *[made.alias(name) for name, made in derived.items()])
            there.update(derived)
            continue
        ready = [
            (each, each.lookup)
            for each in wanted
            if each.lookup
            and each.lookup.companion in beside
            and {*each.lookup.equal, each.lookup.until or "extract_day"} <= there
        ]
        if not ready:
            names = ", ".join(each.name for each in wanted if each.expression is None)
            raise ContractError(
                f"{contract.id}: input {names} of the rules is neither derived nor given; given are "
                f"extract_day, and to look values up {', '.join(sorted(beside)) or 'no document'}."
            )
        # Of lookups of one row, such as a rate and its day, one is the first: one join brings all.
        first = ready[0][1]
        same = [(each, lookup) for each, lookup in ready if _row(lookup) == _row(first)]
        frame = _looked_up(frame, beside[first.companion], same, types)
        there.update(each.name for each, _ in same)
    return frame.withColumn("broken_rules", broken_rules(contract)).drop(SHAPE_RULES)


def _row(lookup: Lookup) -> tuple[object, ...]:
    """What says in which row a lookup finds its value."""
    return lookup.companion, lookup.equal, lookup.newest, lookup.until, lookup.days


def _looked_up(
    frame: DataFrame,
    document: DataFrame,
    lookups: list[tuple[RuleInput, Lookup]],
    types: Mapping[str, str],
) -> DataFrame:
    """Adds the inputs that lookups of one row find in a document, which every executor gets whole."""
    lookup = lookups[0][1]
    equal = {here: F.col(there).cast(types[here]) for here, there in lookup.equal.items()}
    keys = {f"_key_{n}": here for n, here in enumerate(equal)}
    rows = [made.alias(key) for key, made in zip(keys, equal.values(), strict=True)]
    if lookup.newest is None or lookup.until is None:
        found = document.select(*rows, *[F.lit(True).alias(each.name) for each, _ in lookups])
        return _joined(frame, found.distinct(), keys).withColumns(
            {each.name: F.coalesce(each.name, F.lit(False)) for each, _ in lookups}
        )
    values = {each.name: F.col(of.value or "").cast(each.type) for each, of in lookups}
    day = F.col(lookup.newest).cast("date")
    until = F.sequence("_newest", F.date_add("_newest", lookup.days), F.expr("interval 1 day"))
    dated = document.select(
        *rows, day.alias("_newest"), *[made.alias(name) for name, made in values.items()]
    ).withColumn("_until", F.explode(until))
    newest = [
        F.max_by(name, F.when(F.col(name).isNotNull(), F.col("_newest"))).alias(name)
        for name in values
    ]
    return _joined(
        frame, dated.groupBy(*keys, "_until").agg(*newest), keys | {"_until": lookup.until}
    )


def _joined(frame: DataFrame, found: DataFrame, keys: Mapping[str, str]) -> DataFrame:
    """The frame with what was found by keys, named there and here; null where nothing was."""
    equal = [F.col(there) == F.col(here) for there, here in keys.items()]
    return frame.join(F.broadcast(found), equal, "left").drop(*keys)


def _page(path: Column) -> Column:
    """``…/page-00012.ndjson.gz`` → 12; by cutting, as this is asked of every line."""
    return F.substring_index(F.substring_index(path, "/page-", -1), ".", 1).cast("int")


def _text(spark: SparkSession, uri: str, files: str = "*") -> DataFrame:
    # Without it, Spark ends a line at a carriage return too.
    reader = spark.read.format("text").option("lineSep", "\n")
    return reader.option("pathGlobFilter", files).load(uri)


def _texts(lines: DataFrame, columns: list[str]) -> DataFrame:
    """The values of JSON lines, as texts."""
    texts = T.StructType([T.StructField(name, T.StringType()) for name in columns])
    return lines.select(F.from_json("value", texts).alias("line")).select("line.*")
