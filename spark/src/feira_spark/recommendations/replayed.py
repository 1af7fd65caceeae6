"""The impressions of a day beside the lists of a version, added up by groups of users for its estimate."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feira.recommendations.live.estimate import FOLDS, MOST_WEIGHT, PRIOR_IMPRESSIONS, SUMS
from feira.recommendations.serving.layout import EVERYONE
from feira_spark.recommendations.shown import each_slot_and_both

_PLACE = ["slot", "position"]


def replayed(impressions: DataFrame, lists: DataFrame, segments: DataFrame) -> DataFrame:
    """By ``slot`` (null: both) and ``bucket`` the columns of ``SUMS``, over the impressions at places for which the
    version has a product.

    ``lists`` are the version's rows, and ``segments`` (user_id, segment) as of its day. As in serving, a user
    without a list of its own in either slot has that of its segment, and else that for everyone; who has one in the
    other slot alone is offered nothing in this one.
    """
    placed = _placed(impressions, lists, segments)
    match = F.col("sku") == F.col("offered")
    weight = F.when(match, F.least(1 / F.col("probability"), F.lit(MOST_WEIGHT))).otherwise(
        F.lit(0.0)
    )
    clicked = F.col("clicked").cast("double")
    row = _with_expected(placed, impressions).select(
        "slot",
        "bucket",
        "user_id",
        F.lit(1).alias("impressions"),
        clicked.alias("clicked"),
        weight.alias("weight"),
        (weight * weight).alias("weight_squared"),
        (weight * clicked).alias("weighted_clicks"),
        F.col("expected"),
        (weight * F.col("expected")).alias("weighted_expected"),
    )
    sums = [F.sum(name).alias(name) for name in SUMS if name != "users"]
    keys = ["slot", "bucket", "user_id"]
    of_slot = row.groupBy(*keys).agg(*sums).withColumn("slot", each_slot_and_both())
    by_user = of_slot.groupBy(*keys).agg(*sums).withColumn("users", F.lit(1))
    return by_user.groupBy("slot", "bucket").agg(*(F.sum(name).alias(name) for name in SUMS))


def _placed(impressions: DataFrame, lists: DataFrame, segments: DataFrame) -> DataFrame:
    """The impressions with ``offered``, what the version has for user, slot and position."""
    offered, segment = (
        F.col("item").alias("offered"),
        F.coalesce("segment", F.lit("")).alias("segment"),
    )
    own = lists.where(F.col("user_id") != EVERYONE)
    shared = lists.where(F.col("user_id") == EVERYONE)
    # Lists are longer than what is shown.
    longest = impressions.agg(F.max("position")).collect()[0][0] or 0
    mine = own.where(F.col("position") <= longest).select("user_id", *_PLACE, offered)
    listed = shared.where("segment IS NOT NULL").select("segment").distinct()
    in_segment = segments.join(listed, "segment", "left_semi")
    others = (
        impressions.join(own.select("user_id").distinct(), "user_id", "left_anti")
        .join(in_segment, "user_id", "left")
        .withColumn("segment", segment)
        .join(shared.select(*_PLACE, segment, offered), [*_PLACE, "segment"])
        .drop("segment")
    )
    return impressions.join(mine, ["user_id", *_PLACE]).unionByName(others)


def _with_expected(placed: DataFrame, impressions: DataFrame) -> DataFrame:
    """With ``expected``, the share of clicks of the offered product at the slot's position among the users of
    other folds, drawn to that of the position as by ``PRIOR_IMPRESSIONS``; a fold is a fifth of the groups."""
    fold = (F.col("bucket") % FOLDS).alias("fold")
    counts = (F.count("*").alias("n"), F.count_if("clicked").alias("c"))
    by_item = impressions.groupBy(*_PLACE, "sku", fold).agg(*counts)
    by_place = impressions.groupBy(*_PLACE, fold).agg(*counts)
    of_item = _others(by_item, *_PLACE, "sku").withColumnRenamed("sku", "offered")
    of_place = _others(by_place, *_PLACE).select(
        *_PLACE,
        "fold",
        F.coalesce(F.col("c") / F.nullif("n", F.lit(0)), F.lit(0.0)).alias("prior"),
    )
    keyed = placed.withColumn("fold", F.col("bucket") % FOLDS)
    known = keyed.join(of_place, [*_PLACE, "fold"], "left").join(
        of_item, [*_PLACE, "offered", "fold"], "left"
    )
    n, c, prior = _or_none("n"), _or_none("c"), _or_none("prior")
    return known.withColumn("expected", (c + PRIOR_IMPRESSIONS * prior) / (n + PRIOR_IMPRESSIONS))


def _others(counted: DataFrame, *keys: str) -> DataFrame:
    """A row for each key and fold: what all other folds have counted."""
    folds = F.explode(F.sequence(F.lit(0), F.lit(FOLDS - 1))).alias("without")
    return (
        counted.select("*", folds)
        .groupBy(*keys, F.col("without").alias("fold"))
        .agg(
            F.coalesce(
                F.sum(F.when(F.col("fold") != F.col("without"), F.col("n"))), F.lit(0)
            ).alias("n"),
            F.coalesce(
                F.sum(F.when(F.col("fold") != F.col("without"), F.col("c"))), F.lit(0)
            ).alias("c"),
        )
    )


def _or_none(name: str) -> Column:
    return F.coalesce(F.col(name), F.lit(0))
