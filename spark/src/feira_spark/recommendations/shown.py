"""What was shown on a day, added up by groups of users: what is collected is bounded, and names no user."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from feira.recommendations.live.figures import EVERY_POSITION, MEASURES
from feira.recommendations.live.intervals import GROUPS

# Versions and arms come from events: of more pairs than these, those with the most impressions are measured.
MOST_ARMS = 20
# As long as a list is; an impression at a greater position counts among all positions alone.
MOST_POSITIONS = 100
_ARM = ["list_version", "arm"]
# What is added up by user of so many events fits into memory.
_EVENTS_OF_A_PARTITION = 500_000
_BITS = 50


def shown(events: DataFrame) -> DataFrame:
    """A row for each impression of the events: ``clicked`` and ``converted`` are whether it was.

    A click counts for the impression that it names, if user and product are the same. It converts where the
    next thing that its user did with the product, of clicks and purchases, is a purchase; so a purchase is the
    newest click's alone. All rows of a user are in one partition: what is added up by user needs no other shuffle.
    """
    kind = F.col("event_type")
    of_users = 1 + events.count() // _EVENTS_OF_A_PARTITION
    of_product = Window.partitionBy("user_id", "sku").orderBy(
        "occurred_at", F.when(kind == "click", 0).otherwise(1), "event_id"
    )
    clicks = (
        events.where(kind.isin("click", "purchase"))
        .select("event_id", "user_id", "sku", "event_type", "occurred_at", "impression_id")
        .repartition(of_users, "user_id")
        .withColumn(
            "converted", F.coalesce(F.lead(kind).over(of_product) == "purchase", F.lit(False))
        )
        .where(kind == "click")
        .groupBy(F.col("impression_id").alias("event_id"), "user_id", "sku")
        .agg(F.bool_or("converted").alias("converted"))
        .withColumn("clicked", F.lit(True))
    )
    names = ("event_id", "user_id", "session_id", "slot", *_ARM, "position", "probability", "sku")
    return (
        events.where(kind == "impression")
        .select(*names)
        .repartition(of_users, "user_id")
        # Most impressions have no click: they need not be sorted to be told so.
        .join(clicks.hint("shuffle_hash"), ["event_id", "user_id", "sku"], "left")
        .drop("event_id")
        .withColumn("bucket", _bucket())
        .fillna(False, ["clicked", "converted"])
    )


def arms(impressions: DataFrame) -> DataFrame:
    """The versions and arms that are measured, with their impressions."""
    counted = impressions.groupBy(*_ARM).agg(F.count("*").alias("impressions"))
    return counted.orderBy(F.desc("impressions"), *_ARM).limit(MOST_ARMS)


def cells(impressions: DataFrame, items: DataFrame, buyers: int) -> DataFrame:
    """By version, arm, position, slot and group of users, the columns of ``MEASURES``; position 0 is all of them,
    and a slot that is null both.

    ``items`` has sku, category and buyers, as of the day; ``buyers`` are the users that bought anything. A
    product that nobody has bought counts as bought by one. Where it has no category, that is like no other.
    """
    known = impressions.join(
        items.select("sku", "category", F.col("buyers").alias("had")), "sku", "left"
    )
    had = F.greatest(F.coalesce(F.col("had"), F.lit(0)), F.lit(1))
    bits = -F.log2(had / F.lit(max(buyers, 1))) if buyers else F.lit(0.0)
    measured = F.when(F.col("position") <= MOST_POSITIONS, F.col("position"))
    counted = (
        known.groupBy(*_ARM, measured.alias("position"), "slot", "bucket")
        .agg(
            F.count("*").alias("impressions"),
            F.count_if("clicked").alias("clicked"),
            F.count_if("converted").alias("converted"),
            F.sum(bits).alias("information"),
            F.count(F.lit(1) if buyers else F.lit(None)).alias("informed"),
        )
        .withColumn("position", F.explode(F.array(F.lit(EVERY_POSITION), "position")))
        .where("position IS NOT NULL")
        .withColumn("slot", each_slot_and_both())
    )
    for more in (_users(impressions), _lists(known)):
        counted = counted.unionByName(more, allowMissingColumns=True)
    return counted.groupBy(*_ARM, "position", "slot", "bucket").agg(
        *(F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in MEASURES)
    )


def _users(impressions: DataFrame) -> DataFrame:
    """By version, arm, position, slot and group, as ``cells`` has them: ``users``, those that were shown anything."""
    position, group = F.col("position"), [*_ARM, "bucket"]
    # Of a user the positions are bits of a few numbers: there are fewer of these than of impressions.
    words = {
        first: F.bit_or(
            F.when(
                _within(first),
                F.call_function("shiftleft", F.lit(1).cast("bigint"), position - first),
            )
        )
        for first in range(1, MOST_POSITIONS + 1, _BITS)
    }
    keys = [*group, "user_id", "slot"]
    of_slot = impressions.groupBy(*keys).agg(
        F.least(F.max("position"), F.lit(MOST_POSITIONS)).alias("last"),
        *(word.alias(f"_{first}") for first, word in words.items()),
    )
    of_user = (
        of_slot.withColumn("slot", each_slot_and_both())
        .groupBy(*keys)
        .agg(
            F.max("last").alias("last"),
            *(F.bit_or(f"_{first}").alias(f"_{first}") for first in words),
        )
    )
    was_shown = F.coalesce(
        *(F.when(_within(first), F.getbit(f"_{first}", position - first)) for first in words)
    )
    return (
        of_user.withColumn("position", F.explode(F.sequence(F.lit(EVERY_POSITION), "last")))
        .where((position == EVERY_POSITION) | (was_shown == 1))
        .groupBy(*group, "position", "slot")
        .agg(F.count("*").alias("users"))
    )


def _within(first: int) -> Column:
    """Whether the position is one of those that are bits of the number of which this is the first."""
    return F.col("position").between(first, first + _BITS - 1)


def each_slot_and_both() -> Column:
    """A row for the slot of a row, and one whose slot is null."""
    return F.explode(F.array(F.lit(None).cast("string"), F.col("slot")))


def _lists(known: DataFrame) -> DataFrame:
    """By slot and group, of all positions: the shown lists of two products or more, and the sum of their shares of
    pairs that differ in category. A list is what a version showed in a slot of a session."""
    # Categories are of letters alone.
    category = F.coalesce("category", F.concat(F.lit(":"), F.col("sku"))).alias("category")
    listed = ["user_id", "session_id", "slot", *_ARM]
    products = known.select(*listed, "sku", category).distinct()
    alike = products.groupBy(*listed, "category").agg(F.count("*").alias("n"))
    n, pairs = F.sum("n"), F.sum(F.col("n") * (F.col("n") - 1))
    diverse = alike.groupBy(*listed).agg(
        n.alias("n"), (1 - pairs / F.nullif(n * (n - 1), F.lit(0))).alias("diverse")
    )
    return (
        diverse.where("n > 1")
        .groupBy(*_ARM, "slot", _bucket().alias("bucket"))
        .agg(F.sum("diverse").alias("diverse"), F.count("*").alias("lists"))
        .withColumn("slot", each_slot_and_both())
        .withColumn("position", F.lit(EVERY_POSITION))
    )


def _bucket() -> Column:
    """The group of a user."""
    return F.pmod(F.xxhash64("user_id"), F.lit(GROUPS)).cast("int")


def in_two_arms(impressions: DataFrame) -> DataFrame:
    """By version: its users, those of them that were shown it in more than one arm, and its impressions."""
    by_user = impressions.groupBy("list_version", "user_id").agg(
        F.count_distinct("arm").alias("arms"), F.count("*").alias("impressions")
    )
    return by_user.groupBy("list_version").agg(
        F.count("*").alias("users"),
        F.count_if(F.col("arms") > 1).alias("twice"),
        F.sum("impressions").alias("impressions"),
    )
