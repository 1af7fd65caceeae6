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
    size, how many are needed, and the support. ``refused`` of the first two says why they are not to be told."""
    found: Rows = {}
    expected = _expected(shown)
    for slot in ("again", "new", ""):
        weights, clicks, logged, robust = [], Counter[bool](), 0, 0.0
        users, groups = set(), set()
        by_group: dict[int, list[float]] = defaultdict(list)
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
            robust += (must := expected(event.user_id, at.slot, at.position, has))
            by_group[_group(event.user_id)].append(0.0)
            if has == event.sku:
                groups.add(_group(event.user_id))
                weights.append((weight := min(1 / at.probability, 1000.0), clicked))
                robust += weight * (clicked - must)
                by_group[_group(event.user_id)][-1] = weight
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
        why = _refused(logged, len(groups), values, _ends([*by_group.values()]))
        for figure, value in values.items():
            found[slot, figure] = {
                "value": value,
                "impressions": logged,
                "users": len(users),
                "refused": why if figure in ("ctr_snips", "ctr_dr") else None,
            }
    return found


def _ends(groups: list[list[float]]) -> tuple[float, float]:
    """The 95 % interval of the mean of what is in groups, each left out once; of one group there is none."""
    if len(groups) < 2:
        return nan, nan
    number, total = sum(map(len, groups)), sum(map(sum, groups))
    without = [(total - sum(group)) / (number - len(group)) for group in groups]
    apart = sum((each - total / number) ** 2 for each in without)
    half = student.ppf(0.975, len(groups) - 1) * sqrt(apart * (len(groups) - 1) / len(groups))
    return total / number - half, total / number + half


def _refused(
    logged: int, groups: int, values: dict[str, float | None], ends: tuple[float, float]
) -> str | None:
    """Why there is no number: the first limit of docs/recommendations.md that is not kept. ``ends`` are those of the
    support."""
    support, needed = values["support"], values["effective_sample_size_needed"]
    if not logged or support is None:
        return "nothing_logged"
    if needed is None:
        return "no_clicks"
    if ends[1] < 0.8:
        return "no_support"
    if ends[0] > 1.25:
        return "doubtful_probabilities"
    if groups < 20:
        return "few_users"
    # What is 1 is so however its weights are added up.
    enough = 0.8 <= support <= 1.25 and ends[1] > 1 - 5e-7
    enough &= (values["effective_sample_size"] or 0.0) >= needed
    return None if enough else "small_sample"


def estimates_differ(made: Rows, held: pd.DataFrame) -> list[str]:
    """The rows of a version's estimates against those of ``estimated``: a number where there is one to be told, and
    none, with the reason, where there is not."""
    told = {key: row | {"value": None} if row["refused"] else row for key, row in made.items()}
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
