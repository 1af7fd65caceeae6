"""Features of users and products as of a day, from sold lines and events of which none is after it.

Each is a count or an exact sum, or one quotient of such: how Spark divides the rows changes no bit of it.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from feira.sales.line_kinds import line_kinds
from feira_spark.recommendations.as_of import first_of
from feira_spark.sales.transform import line_kind

# Events of so many days are read; the names of columns say so too.
BROWSED_DAYS = 28
HALF_LIFE_DAYS = 14
# What the rate of all counts for beside one's own: as much as so many sessions.
PRIOR_SESSIONS = 20
# The source has no categories. The last word of an English product name is what the product is. Some letters
# have no single character with their marks, so marks are part of a word. Nothing is tried twice: a name of
# marks alone would take a square of its length.
_LAST_WORD = r"(\p{L}\p{M}*+\p{L}\p{M}*+\p{L}[\p{L}\p{M}]*+)[^\p{L}]*+\z"


def visits(events: DataFrame, day: date) -> DataFrame:
    """A row for each user, session and sku that was viewed, put into the cart or bought: how often.

    All rows of a user are in one partition. Those of an event's user and session are mostly one, so to count
    them before they are moved would be in vain, and nothing that is counted by user is moved again.
    """
    kind, lately = F.col("event_type"), F.col("event_day") >= _first(day, 7)
    viewed, key = kind == "view", ["user_id", "session_id", "sku"]
    return (
        events.where(kind.isin("view", "add_to_cart", "purchase"))
        .select(*key, kind, "event_day")
        .repartition("user_id")
        .groupBy(*key)
        .agg(
            F.count_if(viewed).alias("views_28d"),
            F.count_if(viewed & lately).alias("views_7d"),
            F.count_if(kind == "add_to_cart").alias("cart_adds_28d"),
            F.count_if(kind == "purchase").alias("purchases"),
        )
    )


def browsed_by_user(events: DataFrame, visited: DataFrame) -> DataFrame:
    """What each user of an event, whatever it is, has viewed, by its ``visits``: ``user_id``, ``views_28d``,
    ``views_7d``, ``sessions_7d``, ``sessions_28d`` and of these ``buying_sessions_28d``."""
    summed = (F.sum(name).alias(name) for name in ("views_28d", "views_7d", "purchases"))
    return _browsed(
        events,
        visited.groupBy("user_id", "session_id").agg(*summed),
        "user_id",
        F.sum("views_7d").alias("views_7d"),
        F.count_if(F.col("views_7d") > 0).alias("sessions_7d"),
    )


def browsed_by_item(events: DataFrame, visited: DataFrame) -> DataFrame:
    """How each product of an event, whatever it is, was viewed: ``sku``, ``views_28d``, ``cart_adds_28d``,
    ``sessions_28d`` and of these ``buying_sessions_28d``."""
    found = _browsed(events, visited, "sku", F.sum("cart_adds_28d").alias("cart_adds_28d"))
    # A kind is looked up by patterns: of each product once.
    return found.where(line_kind(line_kinds()) == "product")


def user_features(sold: DataFrame, browsed: DataFrame, day: date) -> DataFrame:
    """A row for each customer with a sold line and each user with an event; columns as in the contract.
    ``browsed`` is that by user, and is read twice."""
    ordered = F.col("order_date")
    in_28, in_90 = (ordered >= _first(day, days) for days in (28, 90))
    bought = (
        sold.where("user_id IS NOT NULL")
        .groupBy("user_id")
        .agg(
            F.sum("amount_usd").alias("lifetime_usd"),
            F.count_distinct("order_id").alias("orders"),
            F.date_diff(F.lit(day), F.max(ordered)).alias("days_since_order"),
            F.count_distinct(F.when(in_28, F.col("order_id"))).alias("orders_28d"),
            F.count_distinct(F.when(in_90, F.col("order_id"))).alias("orders_90d"),
            F.count_distinct(F.when(in_28, ordered)).alias("order_days_28d"),
            F.count_distinct(F.when(in_90, ordered)).alias("order_days_90d"),
        )
    )
    found = bought.join(browsed, "user_id", "full_outer")
    return _with_rate(found, browsed, "purchase_propensity", unknown="days_since_order")


def item_features(sold: DataFrame, browsed: DataFrame, day: date) -> DataFrame:
    """A row for each product that was sold or has an event; columns as in the contract. ``browsed`` is that by
    item, and is read twice."""
    word = F.regexp_extract(_composed("name"), _LAST_WORD, 1)
    products = sold.where("line_kind = 'product'")
    named = product_names(sold).select("sku", F.nullif(F.upper(word), F.lit("")).alias("category"))
    age = F.date_diff(F.lit(day), F.col("order_date"))
    # As a decimal, whose sum is the same in any order.
    worth = F.pow(F.lit(0.5), age / HALF_LIFE_DAYS).cast("decimal(38,18)")
    taken = (
        bought_on_days(sold)
        .groupBy("sku")
        .agg(
            F.sum(worth).cast("double").alias("popularity"),
            F.count_distinct("user_id").alias("buyers"),
        )
    )
    found = (
        products.select("sku")
        .distinct()
        .join(named, "sku", "left")
        .join(taken, "sku", "left")
        .join(browsed, "sku", "full_outer")
    )
    return _with_rate(found, browsed, "conversion", unknown="category")


def user_categories(sold: DataFrame, visited: DataFrame, items: DataFrame) -> DataFrame:
    """A row for each user and category bought or viewed; ``items`` has sku and category."""
    named = items.where("category IS NOT NULL").select("sku", "category")
    of = ["user_id", "category"]
    bought = bought_on_days(sold).join(named, "sku").groupBy(*of)
    viewed = visited.where("views_28d > 0").join(named, "sku").groupBy(*of)
    counted = (
        bought.agg(F.count("*").alias("purchases"))
        .join(viewed.agg(F.sum("views_28d").alias("views_28d")), of, "full_outer")
        .fillna(0, ["purchases", "views_28d"])
    )
    of_user = F.sum("purchases").over(Window.partitionBy("user_id"))
    share = F.coalesce(F.col("purchases") / F.nullif(of_user, F.lit(0)), F.lit(0))
    return counted.withColumn("share", share)


def bought_on_days(sold: DataFrame) -> DataFrame:
    """Interactions: the distinct triples of known user, product and day (user_id, sku, order_date)."""
    products = sold.where("line_kind = 'product' AND user_id IS NOT NULL")
    return products.select("user_id", "sku", "order_date").distinct()


def product_names(sold: DataFrame) -> DataFrame:
    """Of each product its newest sold description (sku, name); a line without one has none to say."""
    newest = F.struct("order_date", "order_id", "line_number")
    described = sold.where("line_kind = 'product' AND description IS NOT NULL")
    return described.groupBy("sku").agg(F.max_by("description", newest).alias("name"))


def _composed(name: str) -> Column:
    """A text in Unicode's normal form C, in which what reads the same is the same. Spark has ``normalize`` from
    4.4 on; until then it is called where Spark's collations have it, without a worker of Python."""
    return F.java_method(
        F.lit("com.ibm.icu.text.Normalizer"), F.lit("compose"), F.col(name), F.lit(False)
    )


def _browsed(events: DataFrame, visited: DataFrame, of: str, *more: Column) -> DataFrame:
    """By user or product of an event: views, sessions with a view, and those of them with a purchase. Most events
    are impressions, of which nothing is counted."""
    viewed = F.col("views_28d") > 0
    counted = visited.groupBy(of).agg(
        F.count_if(viewed).alias("sessions_28d"),
        F.count_if(viewed & (F.col("purchases") > 0)).alias("buying_sessions_28d"),
        F.sum("views_28d").alias("views_28d"),
        *more,
    )
    seen = events.select(of).where(F.col(of).isNotNull()).distinct()
    return seen.join(counted, of, "left").fillna(0)


def _with_rate(found: DataFrame, browsed: DataFrame, name: str, *, unknown: str) -> DataFrame:
    """What was not counted is 0, but for ``unknown``; and the share of sessions with a purchase.

    That is the mean of a beta distribution after the sessions, which before them was the share of all
    sessions, worth ``PRIOR_SESSIONS``: of one session with a purchase it makes no buyer in every session.
    """
    buying, sessions = F.col("buying_sessions_28d"), F.col("sessions_28d")
    of_all = browsed.agg((F.sum(buying) / F.nullif(F.sum(sessions), F.lit(0))).alias("of_all"))
    counts = [each for each in found.columns if each != unknown]
    rate = (buying + PRIOR_SESSIONS * F.col("of_all")) / (sessions + PRIOR_SESSIONS)
    return found.fillna(0, counts).crossJoin(F.broadcast(of_all)).withColumn(name, rate)


def _first(day: date, days: int) -> Column:
    """The first of so many days, this day the last."""
    return F.lit(first_of(day, days))
