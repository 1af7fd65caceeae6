"""The independent check of what was live: plain loops over a day's events, and over a version's lists."""

from __future__ import annotations

import datetime as dt
import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import cache
from itertools import combinations, product
from math import ceil, log2, nan, sqrt
from typing import Any

import pandas as pd
from scipy.stats import t as student

from oracle_features import Event, Rows, features_differ

ESTIMATES = (
    "ctr_snips",
    "ctr_dr",
    "effective_sample_size",
    "effective_sample_size_needed",
    "support",
)
# 1 / probability of the least that the API states: of a hundred places of which a hundredth is swapped.
MOST_WEIGHT = 9900.0
Impression = tuple[Event, bool, bool]
"""An impression, whether it was clicked, and whether that click ended in a purchase."""


def impressions(events: Iterable[Event], day: dt.date) -> list[Impression]:
    """Those of the day. A purchase is that of the click that the user made of the product last."""
    of_day = [event for event in events if event.day == day]
    acts: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in of_day:
        if event.event_type in ("click", "purchase"):
            acts[event.user_id, event.sku].append(event)
    clicked, converted = set(), set()
    for (user, sku), done in acts.items():
        newest: Event | None = None
        for event in sorted(done, key=lambda it: (it.at, it.event_type == "purchase", it.event_id)):
            if event.event_type == "click":
                newest = event
                clicked.add((event.impression, user, sku))
            elif newest is not None:
                converted.add((newest.impression, user, sku))
    return [
        (event, key in clicked, key in converted)
        for event in of_day
        if event.event_type == "impression" and event.shown is not None
        for key in [(event.event_id, event.user_id, event.sku)]
    ]


def live_figures(shown: list[Impression], items: Rows, buyers: int) -> Rows:
    """By version, arm, position (0: all places), slot ('': both) and figure its value, and of how many
    impressions and users it is. ``items`` has ``buyers`` and ``category`` by product; ``buyers`` bought anything."""
    groups: dict[tuple[str, str, int, str], list[Impression]] = defaultdict(list)
    arms: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for one in shown:
        at = one[0].shown
        assert at is not None
        arms[at.list_version][one[0].user_id].add(at.arm)
        for key in product((at.list_version,), (at.arm,), (at.position, 0), (at.slot, "")):
            groups[key].append(one)
    found: Rows = {}

    def tell(key: tuple[Any, ...], value: float | None, of: list[Impression]) -> None:
        users = len({event.user_id for event, _, _ in of})
        found[key] = {"value": value, "impressions": len(of), "users": users}

    for key, of in groups.items():
        clicks = sum(clicked for _, clicked, _ in of)
        tell((*key, "ctr"), clicks / len(of), of)
        bought = sum(converted for _, _, converted in of)
        tell((*key, "conversion"), bought / clicks if clicks else None, of)
        if key[2] == 0:
            tell((*key, "novelty"), _novelty(of, items, buyers), of)
            tell((*key, "category_diversity"), _diversity(of, items), of)
    for version, by_user in arms.items():
        of = [one for one in shown if one[0].shown and one[0].shown.list_version == version]
        twice = sum(len(seen) > 1 for seen in by_user.values())
        tell((version, "", 0, "", "users_in_two_arms"), float(twice), of)
    return found


def _novelty(of: list[Impression], items: Rows, buyers: int) -> float | None:
    if not buyers:
        return None
    had = [max(items.get(event.sku, {}).get("buyers", 0), 1) for event, _, _ in of]
    return -sum(log2(each / buyers) for each in had) / len(had)


def _diversity(of: list[Impression], items: Rows) -> float | None:
    lists: dict[Any, set[str]] = defaultdict(set)
    for event, _, _ in of:
        assert event.shown is not None
        lists[event.user_id, event.session_id, event.shown.slot].add(event.sku)

    def differ(one: str, other: str) -> bool:
        first, second = (items.get(sku, {}).get("category") for sku in (one, other))
        return first is None or first != second

    shares = [
        sum(differ(*pair) for pair in pairs) / len(pairs)
        for skus in lists.values()
        if (pairs := [*combinations(sorted(skus), 2)])
    ]
    return sum(shares) / len(shares) if shares else None


def estimated(shown: list[Impression], offered: Callable[[str, str, int], str | None]) -> Rows:
    """By slot ('': both) and figure what the impressions say of another version, which has
    ``offered(user, slot, position)``: SNIPS and the doubly robust one, whatever they are worth, the effective sample
    size, how many are needed, and the support; with the ends of 95 % intervals, where there are any. ``refused`` of
    the first two says why they are not to be told."""
    found: Rows = {}
    expected = _expected(shown)
    for slot in ("again", "new", ""):
        weights, clicks, logged, robust = [], Counter[bool](), 0, 0.0
        users = set()
        # By group of users: impressions, weights, weighted clicks, and what the doubly robust one adds up.
        sums: dict[int, list[float]] = defaultdict(lambda: [0.0] * 4)
        for event, clicked, _ in shown:
            at = event.shown
            assert at is not None
            if slot not in ("", at.slot):
                continue
            has = offered(event.user_id, at.slot, at.position)
            if has is None:
                continue
            users.add(event.user_id)
            logged += 1
            clicks[clicked] += 1
            # What the version's product is expected to get, and what its clicks correct of that.
            must = expected(event.user_id, at.slot, at.position, has)
            weight = min(1 / at.probability, MOST_WEIGHT) if has == event.sku else 0.0
            if weight:
                weights.append((weight, clicked))
            corrected = must + weight * (clicked - must)
            robust += corrected
            of_group = sums[_group(event.user_id)]
            for column, each in enumerate((1.0, weight, weight * clicked, corrected)):
                of_group[column] += each
        total = sum(weight for weight, _ in weights)
        squared = sum(weight**2 for weight, _ in weights)
        rate = clicks[True] / logged if logged else 0.0
        values = {
            "ctr_snips": sum(weight for weight, hit in weights if hit) / total if total else None,
            # A click rate is in 0 to 1, where its correction is not.
            "ctr_dr": min(1.0, max(0.0, robust / logged)) if logged else None,
            "effective_sample_size": total**2 / squared if squared else 0.0,
            "effective_sample_size_needed": (
                float(ceil((1.96 / 0.5) ** 2 * (1 - rate) / rate)) if rate else None
            ),
            "support": total / logged if logged else None,
        }
        ends = _intervals([*sums.values()], values, len(users), rate)
        groups = sum(weight > 0 for _, weight, _, _ in sums.values())
        why = _refused(logged, groups, values, ends["support"])
        for figure, value in values.items():
            low, high = ends.get(figure, (None, None))
            found[slot, figure] = {
                "value": value,
                "low": low,
                "high": high,
                "impressions": logged,
                "users": len(users),
                "refused": why if figure in ("ctr_snips", "ctr_dr") else None,
            }
    return found


Ends = tuple[float, float] | tuple[None, None]


def _intervals(
    groups: list[list[float]], values: dict[str, float | None], users: int, rate: float
) -> dict[str, Ends]:
    """The 95 % intervals by figure. Each group of users is left out once, and those of the two estimates are never
    narrower than of as many independent impressions as the effective sample size.

    :param rate: the log's own CTR
    """
    found: dict[str, Ends] = dict.fromkeys(("support", "ctr_snips", "ctr_dr"), (None, None))
    effective = values["effective_sample_size"] or 0.0
    places, weights, clicked, robust = zip(*groups, strict=True) if groups else ((),) * 4
    if len(places) > 1:
        mean, error, t = _left_out(weights, places)
        found["support"] = max(0.0, mean - t * error), mean + t * error
    if len(places) > 1 and effective:
        mean, error, t = _left_out(robust, places)
        told = min(1.0, max(0.0, mean))
        error = max(error, sqrt(max(rate * (1 - rate), told * (1 - told)) / effective))
        ends = (min(1.0, max(0.0, mean + side * t * error)) for side in (-1, 1))
        found["ctr_dr"] = next(ends), next(ends)
    if sum(each > 0 for each in weights) > 1:
        mean, error, t = _left_out(clicked, weights)
        varies = mean * (1 - mean)
        trials = varies / error**2 if error and varies else users
        # Wilson's.
        part = t**2 / min(trials, effective)
        half = sqrt(part * varies + part**2 / 4)
        low, high = ((mean + part / 2 + side * half) / (1 + part) for side in (-1, 1))
        found["ctr_snips"] = max(0.0, low), min(1.0, high)
    return found


def _left_out(above: Iterable[float], below: Iterable[float]) -> tuple[float, float, float]:
    """The ratio of two sums over groups, its standard error with each left out once, and the 97.5 % point of
    Student's t of so many."""
    groups = [(one, other) for one, other in zip(above, below, strict=True) if other > 0]
    of_all, count = (sum(each) for each in zip(*groups, strict=True))
    without = [(of_all - one) / (count - other) for one, other in groups]
    apart = sum((each - of_all / count) ** 2 for each in without)
    error = sqrt(apart * (len(groups) - 1) / len(groups))
    return of_all / count, error, float(student.ppf(0.975, len(groups) - 1))


def _refused(
    logged: int, groups: int, values: dict[str, float | None], support_ends: Ends
) -> str | None:
    """Why there is no number: the first limit of docs/recommendations.md that is not kept."""
    support, needed = values["support"], values["effective_sample_size_needed"]
    # Of one group of users there is no interval.
    low, high = (nan if end is None else end for end in support_ends)
    if not logged or support is None:
        return "nothing_logged"
    if needed is None:
        return "no_clicks"
    if high < 0.8:
        return "no_support"
    if low > 1.25:
        return "doubtful_probabilities"
    if groups < 20:
        return "few_users"
    # What is 1 is so however its weights are added up.
    enough = 0.8 <= support <= 1.25 and high > 1 - 5e-7
    enough &= (values["effective_sample_size"] or 0.0) >= needed
    return None if enough else "small_sample"


def estimates_differ(made: Rows, held: pd.DataFrame) -> list[str]:
    """The rows of a version's estimates against those of ``estimated``: a number where there is one to be told, and
    none, with the reason, where there is not."""
    nothing = dict.fromkeys(("value", "low", "high"))
    told = {key: row | nothing if row["refused"] else row for key, row in made.items()}
    return features_differ("estimate", told, held, ["slot", "figure"])


def _expected(shown: list[Impression]) -> Callable[[str, str, int, str], float]:
    """The share of clicks of a product at a place among the users of other folds, drawn to that of the place as by
    50 impressions more; a fold is a fifth of the 200 groups of users."""
    impressions, clicks = Counter[tuple[Any, ...]](), Counter[tuple[Any, ...]]()
    for event, clicked, _ in shown:
        at = event.shown
        assert at is not None
        fold = _group(event.user_id) % 5
        for key in product((at.slot,), (at.position,), (event.sku, ""), (fold, -1)):
            impressions[key] += 1
            clicks[key] += clicked

    def expected(user: str, slot: str, position: int, sku: str) -> float:
        fold = _group(user) % 5

        def others(counted: Counter[tuple[Any, ...]], sku: str) -> int:
            place = (slot, position, sku)
            return counted[(*place, -1)] - counted[(*place, fold)]

        of_place = others(impressions, "")
        mean = others(clicks, "") / of_place if of_place else 0.0
        return (others(clicks, sku) + 50 * mean) / (others(impressions, sku) + 50)

    return expected


_PRIMES = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)
_WORD = 2**64


@cache
def _group(user: str) -> int:
    """The group of a user of 200: XXH64 of the id with the seed 42, as Spark's ``xxhash64``, taken as signed."""
    found = xxh64(user.encode(), 42)
    return (found - _WORD * (found >= _WORD // 2)) % 200


def xxh64(data: bytes, seed: int) -> int:
    """XXH64 by its specification (github.com/Cyan4973/xxHash, doc/xxhash_spec.md)."""
    one, two, three, four, five = _PRIMES

    def turned(value: int, bits: int) -> int:
        return (value << bits | value >> 64 - bits) % _WORD

    def mixed(lane: int, value: int) -> int:
        return turned((lane + value * two) % _WORD, 31) * one % _WORD

    size = len(data)
    if size >= 32:
        lanes = [seed + one + two, seed + two, seed, seed - one]
        while len(data) >= 32:
            values = struct.unpack_from("<4Q", data)
            lanes = [mixed(lane, value) for lane, value in zip(lanes, values, strict=True)]
            data = data[32:]
        bits = (1, 7, 12, 18)
        found = sum(turned(lane, by) for lane, by in zip(lanes, bits, strict=True)) % _WORD
        for lane in lanes:
            found = ((found ^ mixed(0, lane)) * one + four) % _WORD
    else:
        found = seed + five
    found = (found + size) % _WORD
    while len(data) >= 8:
        (value,) = struct.unpack_from("<Q", data)
        found = (turned(found ^ mixed(0, value), 27) * one + four) % _WORD
        data = data[8:]
    if len(data) >= 4:
        (value,) = struct.unpack_from("<I", data)
        found = (turned(found ^ value * one % _WORD, 23) * two + three) % _WORD
        data = data[4:]
    for byte in data:
        found = turned(found ^ byte * five % _WORD, 11) * one % _WORD
    found = (found ^ found >> 33) * two % _WORD
    found = (found ^ found >> 29) * three % _WORD
    return found ^ found >> 32
