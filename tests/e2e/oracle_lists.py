"""The independent check of the lists: NumPy and plain loops over interactions, and the published bytes.

It shares no code with the platform: scores follow the papers and docs/recommendations.md, bytes the layout
that is stated there.
"""

from __future__ import annotations

import datetime as dt
import json
import struct
from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

LENGTH = 100
NEAR = 1e-6
# Beside the user's greatest, which fades with all that it had; of that the platform keeps nine decimals.
NEAR_BESIDE = 1e-8

Interactions = set[tuple[str, str, dt.date]]
Floats = npt.NDArray[np.float64]
# The least and the greatest score that an item may have for the user: more than one where ties decide.
Bounds = tuple[Floats, Floats]
Scorer = Callable[[str], Bounds]
# Item, reason, and what that is of.
Offer = tuple[str, str, str | None]


class Known:
    """Interactions as of a day, with users and items numbered by name."""

    def __init__(self, found: Interactions, day: dt.date) -> None:
        self.users = sorted({user for user, _, _ in found})
        self.items = sorted({item for _, item, _ in found})
        self.user_at = {name: number for number, name in enumerate(self.users)}
        self.item_at = {name: number for number, name in enumerate(self.items)}
        self.days: dict[str, dict[dt.date, list[int]]] = defaultdict(lambda: defaultdict(list))
        for user, item, at in sorted(found):
            self.days[user][at].append(self.item_at[item])
        self.day = day

    def age(self, at: dt.date) -> int:
        """In days to the end of the day that the lists are of."""
        return (self.day - at).days + 1

    def had(self, user: str) -> set[int]:
        return {item for items in self.days[user].values() for item in items}

    def matrix(self, worth: Callable[[dt.date], float]) -> Floats:
        """Users by items: the sum of what their days are worth."""
        found = np.zeros((len(self.users), len(self.items)))
        for user, days in self.days.items():
            for at, items in days.items():
                for item in items:
                    found[self.user_at[user], item] += worth(at)
        return found


def recent_popularity(known: Known, half_life: float) -> Floats:
    worth = known.matrix(lambda at: 0.5 ** (known.age(at) / half_life))
    return np.asarray(worth.sum(axis=0))


def ease(known: Known, method: Mapping[str, Any]) -> tuple[Scorer, Floats, Floats]:
    """The scores of Steck's closed form, with what users had and the weights between items."""
    taken = known.matrix(lambda at: 0.5 ** (known.age(at) / method["half_life"]))
    inverse = np.linalg.inv(taken.T @ taken + method["regularisation"] * np.eye(len(known.items)))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    scores = taken @ weights

    def of(user: str) -> Bounds:
        row = scores[known.user_at[user]]
        return row, row

    return of, taken, weights


def own_frequency(known: Known, method: Mapping[str, Any]) -> Scorer:
    def of(user: str) -> Bounds:
        found = np.zeros(len(known.items))
        last: dict[int, dt.date] = {}
        for at, items in known.days[user].items():
            for item in items:
                found[item] += 1
                last[item] = max(at, last.get(item, at))
        for item, at in last.items():
            found[item] += 1 / (1 + known.age(at))
        return found, found

    return of


def tifu_knn(known: Known, method: Mapping[str, Any]) -> Scorer:
    """Hu et al.: users as means of their decayed baskets, and the mean of the nearest ones'."""
    habits = np.stack([_habit(known, user, method) for user in known.users])
    squares = (habits**2).sum(axis=1)
    count = min(method["neighbours"], len(known.users) - 1)

    def of(user: str) -> Bounds:
        at = known.user_at[user]
        own = habits[at]
        if not count:
            return method["own"] * own, method["own"] * own
        distance = squares - 2 * habits @ own
        distance[at] = np.inf
        limit = np.sort(distance)[count - 1]
        sure = habits[distance < limit - 1e-9]
        tied = np.sort(habits[np.abs(distance - limit) <= 1e-9], axis=0)
        room = count - len(sure)
        least = (sure.sum(axis=0) + tied[:room].sum(axis=0)) / count
        most = (sure.sum(axis=0) + tied[len(tied) - room :].sum(axis=0)) / count
        share = method["own"]
        return share * own + (1 - share) * least, share * own + (1 - share) * most

    return of


def _habit(known: Known, user: str, method: Mapping[str, Any]) -> Floats:
    """Baskets in groups of equal size, the newest first; a group's mean decays, and so do the groups."""
    baskets = [known.days[user][at] for at in sorted(known.days[user], reverse=True)]
    size = -(-len(baskets) // method["groups"])
    groups = [baskets[start : start + size] for start in range(0, len(baskets), size)]
    found = np.zeros(len(known.items))
    for number, group in enumerate(groups):
        for place, items in enumerate(group):
            worth = method["decay_by_group"] ** number * method["decay_within"] ** place
            found[items] += worth / (len(group) * len(groups))
    return found


def item_item(known: Known, method: Mapping[str, Any]) -> Scorer:
    """The sum of an item's cosines with what the user had."""
    seen = (known.matrix(lambda _: 1.0) > 0).astype(float)
    scores = seen @ _cosines(seen, method["neighbours"])

    def of(user: str) -> Bounds:
        row = scores[known.user_at[user]]
        return row, row

    return of


def _cosines(seen: Floats, neighbours: int) -> Floats:
    """Of each item the cosines with the most similar others; those equal to the last of them count too, the more
    popular first, up to three times as many in all."""
    lengths = np.sqrt(np.maximum((seen**2).sum(axis=0), 1))
    found = (seen.T @ seen) / np.outer(lengths, lengths)
    np.fill_diagonal(found, 0)
    for row in found:
        if neighbours < len(row):
            last = np.sort(row)[-neighbours]
            row[row < last - 1e-9] = 0
            equal = [it for it in range(len(row)) if abs(row[it] - last) <= 1e-9]
            equal.sort(key=lambda it: (-seen[:, it].sum(), it))
            row[equal[3 * neighbours - int((row > last + 1e-9).sum()) :]] = 0
    return np.asarray(found)


def beside_greatest(scores: Floats) -> Floats:
    """Scores beside the user's greatest, of whatever sign, to nine decimals: by these they are compared."""
    return np.asarray(np.round(scores / (greatest_of(scores) or 1), 9))


def greatest_of(scores: Floats) -> float:
    return float(np.abs(scores).max(initial=0))


AGAIN: Mapping[str, Callable[[Known, Mapping[str, Any]], Scorer]] = {
    "TIFU-KNN": tifu_knn,
    "own frequency": own_frequency,
}


def scores_differ(
    what: str, listed: list[tuple[str, float]], known: Known, bounds: Bounds, allowed: set[int]
) -> list[str]:
    """A candidate's part of a list: each score is the item's, they descend, and no better item is left out.

    ``listed`` are names of items with their scores, best first; ``allowed`` the items of the slot.
    """
    least, most = bounds
    near = NEAR_BESIDE * greatest_of(most)
    problems = []
    for name, score in listed:
        item = known.item_at[name]
        if not least[item] - near <= score <= most[item] + near:
            problems.append(f"{what}: {name} has {score}, must be {least[item]} to {most[item]}")
    values = [score for _, score in listed]
    if values != sorted(values, reverse=True):
        problems.append(f"{what}: its scores do not descend")
    left = sorted(allowed - {known.item_at[name] for name, _ in listed})
    worst = values[-1] if len(listed) == LENGTH else 0.0
    if left and (better := max(least[left])) > worst + near:
        problems.append(f"{what}: an item of {better} is left out, and the last has {worst}")
    return problems[:3]


def popular_differ(
    what: str, listed: list[tuple[str, float]], popular: Floats, known: Known
) -> list[str]:
    """The part of a list that goes on by recent popularity: each score is the item's, and they descend."""
    near = NEAR_BESIDE * greatest_of(popular)
    wrong = [
        f"{what}: {name} has {score}"
        for name, score in listed
        if abs(score - popular[known.item_at[name]]) > near
    ]
    values = [score for _, score in listed]
    return wrong[:2] + [f"{what}: its popularity does not descend"] * (
        any(later > value + near for value, later in pairwise(values))
    )


def reason_differs(
    what: str, item: int, reason: int, user: int, taken: Floats, weights: Floats
) -> list[str]:
    """The reason of an item is what adds most to its score."""
    had = np.flatnonzero(taken[user])
    near = NEAR_BESIDE * greatest_of(taken[user, had, np.newaxis] * weights[had])
    added = taken[user] * weights[:, item]
    if added[reason] < added.max() - near:
        return [f"{what}: its reason adds {added[reason]}, another {added.max()}"]
    return []


def both_lists(value: bytes, items: list[str]) -> tuple[list[Offer], list[Offer]]:
    """A user's lists in the slots again and new, from the value that has both.

    Three bytes state how many items are in either and how many others are reasons (255: no reasons are stored).
    All these follow, each as the number of an item, and then the reason of each in new; both end with a byte.
    """
    counts = list(value[:3])
    stored = counts[2] != 255
    if not stored:
        counts[2] = 0
    again, new, others = counts
    left = sum(byte << 8 * place for place, byte in enumerate(value[3:]))
    size = 8 * len(value[3:])

    def take(count: int, greatest: int) -> list[int]:
        nonlocal left, size
        base = 1
        while base <= greatest:
            base *= 2
        found = []
        for _ in range(count):
            left, number = divmod(left, base)
            found.append(number)
        used = count * (base.bit_length() - 1)
        left >>= -used % 8
        size -= used + -used % 8
        return found

    named = [items[it] for it in take(sum(counts), max(len(items) - 1, 1))]
    known, offered = named[: again + others], named[again + others :]
    reasons = take(new, len(known) + 2) if stored else [0] * new
    assert (left, size) == (0, 0), f"{value.hex()} is not two lists of {again} and {new} items"
    words = ["popular", "bought_before", "popular_in_category"]
    return (
        [(item, "bought_before", None) for item in named[:again]],
        [
            (item, words[why], None) if why < 3 else (item, "goes_with", known[why - 3])
            for item, why in zip(offered, reasons, strict=True)
        ],
    )


def published_lists(
    values: Mapping[bytes, bytes], version: str
) -> tuple[dict[tuple[str, str], list[Offer]], dict[str, str], dict[str, Any]]:
    """What Valkey has of a version, by all its keys: the lists by slot and user, those of segments by
    ``segment`` and name; the segments of users; and its ``meta`` with how many keys were ``counted``."""
    prefix = f"reco:{version}:"
    found = {key.decode().removeprefix(prefix): value for key, value in values.items()}
    items: list[str] = json.loads(found["items"])
    names: list[str] = json.loads(found["segments"])
    lists: dict[tuple[str, str], list[Offer]] = {}
    segments: dict[str, str] = {}
    for name, value in found.items():
        kind, _, of = name.partition(":")
        if kind == "segment":
            numbers = struct.unpack(f"<{len(value) // 4}I", value)
            offers: list[Offer] = [(items[it], "popular_in_category", None) for it in numbers]
            lists["segment", names[int(of)]] = offers
        elif kind == "user" and len(value) == 3:
            segments[of] = names[int.from_bytes(value, "little")]
        elif kind == "user":
            again, new = both_lists(value, items)
            lists |= {(slot, of): it for slot, it in (("again", again), ("new", new)) if it}
    meta: dict[str, Any] = json.loads(found["meta"])
    uncounted = ("items", "meta", "claim")
    counted = sum(name.partition(":")[0] not in uncounted for name in found)
    return lists, segments, meta | {"counted": counted}


def segments_of(
    categories: Mapping[tuple[str, str], Mapping[str, Any]],
    category_of: Mapping[str, str | None],
    known: Known,
) -> dict[str, str]:
    """Of each user without a list of its own the category that it viewed most; of equals the one of most
    purchases, then the first by name; none where the category has no list.

    ``categories`` has, by user and category, ``views_28d`` and ``purchases``.
    """
    viewed: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for (user, category), row in categories.items():
        if row["views_28d"] and user not in known.user_at:
            viewed[user].append((-row["views_28d"], -row["purchases"], category))
    listed = {category_of.get(item) for item in known.items}
    found = {user: min(of)[2] for user, of in viewed.items()}
    return {user: name for user, name in found.items() if name in listed}
