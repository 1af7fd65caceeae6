"""The independent check of re-ranked lists: a version's stored ranker, walked in plain Python over features that
are computed here.

It shares no code with the platform. Of the stored files it takes LightGBM's text and the factors of ALS, which is
learned from a random start; what the other candidates score is computed from the interactions.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from oracle_lists import (
    AGAIN,
    LENGTH,
    NEAR,
    Floats,
    Known,
    Scorer,
    beside_greatest,
    ease,
    greatest_of,
    item_item,
    recent_popularity,
)

# Scores are compared to nine decimals beside the user's greatest, and one that is 0 to nine says nothing.
DECIMALS = 9
# What other scores are divided by: a greatest one above this to as many decimals, a smaller one whole.
ROUNDED_ABOVE = 1e-3
# By slot the candidates whose union is re-ranked, in the order of the features; equal ones count once.
PARTS = {
    "again": ("habits", "own", "factors", "popular"),
    "new": ("strong", "similar", "factors", "popular"),
}

# Of a user what every item scores: None where ties decide.
Candidate = Callable[[str], Floats | None]


class Trees:
    """LightGBM's model from its text: a score is the sum of a leaf of each tree."""

    def __init__(self, text: str) -> None:
        blocks = text.split("\nend of trees")[0].split("\nTree=")[1:]
        self.trees = [_tree(block) for block in blocks]
        assert self.trees, "the model has no tree"

    def score(self, row: Sequence[float]) -> float:
        found = 0.0
        for tree in self.trees:
            node = 0 if len(tree["leaf_value"]) > 1 else -1
            while node >= 0:
                left = row[int(tree["split_feature"][node])] <= tree["threshold"][node]
                node = int(tree["left_child" if left else "right_child"][node])
            found += tree["leaf_value"][~node]
        return found


def _tree(block: str) -> dict[str, list[float]]:
    lines = [line.partition("=") for line in block.splitlines()]
    named = {name: [float(each) for each in value.split()] for name, sign, value in lines if sign}
    # Bit 0: the feature is a category; bits 2 and 3: some values are taken for missing.
    kinds = {int(each) & 0b1101 for each in named.get("decision_type", [])}
    assert kinds <= {0}, f"a tree decides by {kinds}, which is not walked here"
    return named


class Reranked:
    """A slot's union of candidates, in the order of the stored ranker.

    :param method: the slot's candidate as ``list_versions.candidates`` has it
    :param arrays: the arrays of the slot's stored model by name, and ``text`` LightGBM's
    """

    def __init__(
        self,
        slot: str,
        known: Known,
        method: Mapping[str, Any],
        arrays: Mapping[str, Any],
        text: str,
    ) -> None:
        self.slot, self.known, self.method = slot, known, method
        self.trees = Trees(text)
        self.seen = known.matrix(lambda _: 1.0) > 0
        self.users_of = self.seen.sum(axis=0)
        # The stored order of items: the more users first, then by name.
        order = sorted(
            range(len(known.items)), key=lambda it: (-self.users_of[it], known.items[it])
        )
        self.place = {item: place for place, item in enumerate(order)}
        self.oldest: dict[int, int] = {}
        for days in known.days.values():
            for at, items in days.items():
                for item in items:
                    self.oldest[item] = max(known.age(at), self.oldest.get(item, 0))
        parts = [method[name] for name in PARTS[slot]]
        parts = [part for number, part in enumerate(parts) if part not in parts[:number]]
        self.candidates = [self._of(part, arrays) for part in parts]
        self.recent = recent_popularity(known, method["popular"]["half_life"])

    def __call__(self, user: str) -> list[tuple[str, float]] | None:
        """Items and scores, best first; None where ties between neighbours decide."""
        at = self.known.user_at[user]
        scored, places = [], []
        for candidate in self.candidates:
            scores = candidate(user)
            if scores is None:
                return None
            beside = beside_greatest(scores)
            allowed = [
                item
                for item in range(len(self.known.items))
                if self.seen[at, item] == (self.slot == "again") and beside[item] > 0
            ]
            best = self._ordered(allowed, beside)[: self.method["of_each"]]
            greatest = float(scores[best[0]]) if best else 1.0
            if greatest > ROUNDED_ABOVE:
                greatest = round(greatest, DECIMALS)
            scored.append(np.maximum(scores, 0) / greatest)
            places.append({item: place for place, item in enumerate(best)})
        union = sorted({item for best in places for item in best})
        found = {}
        for item in union:
            row: list[float] = []
            for score, place in zip(scored, places, strict=True):
                row += [
                    round(float(score[item]), DECIMALS),
                    place.get(item, self.method["of_each"]),
                ]
            found[item] = 1 / (1 + math.exp(-self.trees.score(row + self._pair(user, item))))
        of_all = np.array([found.get(item, 0.0) for item in range(len(self.known.items))])
        order = self._ordered(union, beside_greatest(of_all))
        return [(self.known.items[it], found[it]) for it in order]

    def _ordered(self, items: list[int], beside: Floats) -> list[int]:
        return sorted(items, key=lambda it: (-beside[it], self.place[it]))

    def _pair(self, user: str, item: int) -> list[float]:
        """What is known of the item, of the user, and in the slot again of both."""
        own = {self.known.age(at): items for at, items in self.known.days[user].items()}
        row: list[float] = [
            round(float(self.recent[item] / max(self.recent)), DECIMALS),
            self.users_of[item] / len(self.known.users),
            self.oldest[item],
            len(self.known.had(user)),
            len(own),
            min(own),
        ]
        if self.slot == "again":
            had = [age for age, items in own.items() if item in items]
            row += [len(had), min(had), max(had)]
        return row

    def _of(self, described: Mapping[str, Any], arrays: Mapping[str, Any]) -> Candidate:
        name = described["name"]
        if name == "recent popularity":
            everywhere = recent_popularity(self.known, described["half_life"])
            return lambda user: everywhere
        if name == "ALS":
            (found,) = (
                each for each in arrays if each.endswith(".of_users") and ".scorers." in each
            )
            of_items = arrays[found.removesuffix("users") + "items"]
            scores = arrays[found] @ of_items[[self.place[it] for it in range(len(self.place))]].T
            return lambda user: np.asarray(scores[self.known.user_at[user]])
        if name == "EASE":
            return partial(_certain, ease(self.known, described)[0])
        scorer = item_item if name == "item-item" else AGAIN[name]
        return partial(_certain, scorer(self.known, described))


def _certain(bounds: Scorer, user: str) -> Floats | None:
    least, most = bounds(user)
    return least if np.allclose(least, most, atol=1e-12 * greatest_of(most)) else None


def stored(slot: str, read: Callable[[str], bytes]) -> tuple[dict[str, Any], str]:
    """The arrays and the ranker of a slot from a version's model files, which ``read`` reads by their names."""
    with np.load(io.BytesIO(read(f"{slot}.npz")), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}, read(f"{slot}.ranker.txt").decode()


def list_differs(
    what: str, listed: Sequence[tuple[str, float]], must: Sequence[tuple[str, float]]
) -> list[str]:
    """The part of a list that is re-ranked, names of items with scores, against what it must be."""
    length = min(len(must), LENGTH)
    problems = []
    if len(listed) < length:
        problems.append(f"{what}: {len(listed)} items, must be {length} at least")
    for place, (found, right) in enumerate(zip(listed, must[:length], strict=False), start=1):
        if found[0] != right[0] or abs(found[1] - right[1]) > NEAR:
            problems.append(f"{what}: place {place} is {found}, must be {right}")
    return problems[:3]
