"""The independent check of the gate: what its figures of a version must be, by plain loops over interactions.

It shares no code with the platform: the split, the lists, the figures and the verdicts follow
docs/recommendations.md. Intervals are the platform's alone; what they say of a limit is not.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from itertools import combinations
from math import isclose, isnan, log2, nan, sqrt
from typing import Any, NamedTuple

from oracle_lists import (
    AGAIN,
    Floats,
    Interactions,
    Known,
    Scorer,
    beside_greatest,
    ease,
    greatest_of,
    item_item,
    own_frequency,
)
from oracle_lists import recent_popularity as popularity

TEN = 10
SLOTS = ("again", "new", "all")
# A ratio is unknown where of a thousand resamples of the users 25 have nothing right on the other side. Where so many
# users have something right those are one in a hundred at most, and 25 come once in twenty million times.
SURELY = 5
# Where it is so many, 25 always come.
NEVER = 0.1
LEAST_USERS = 100
PASSED, REFUSED, NOT_ENOUGH = "passed", "refused", "not_enough_to_tell"
# What a figure must reach, and with which of its ends.
ALONE: dict[tuple[str, str], tuple[float, str]] = {
    ("ndcg_to_popular", "again"): (2.0, "value"),
    ("ndcg_to_popular", "all"): (2.0, "value"),
    ("ndcg_to_popular", "new"): (1.3, "value"),
    ("ndcg_to_own_frequency", "again"): (0.95, "low"),
    ("ndcg_to_own_frequency", "all"): (0.95, "low"),
    # EASE is itself a single candidate, and beside item-item.
    ("ndcg_to_other_single", "new"): (1.0, "high"),
    ("coverage", "again"): (0.2, "value"),
    ("coverage", "new"): (0.2, "value"),
}
BESIDE_LIVE: dict[tuple[str, str], tuple[float, str]] = {
    ("ndcg_to_live", "again"): (0.97, "low"),
    ("ndcg_to_live", "new"): (0.97, "low"),
    ("ndcg_to_live", "all"): (0.97, "low"),
    ("novelty_to_live", "again"): (0.95, "value"),
    ("novelty_to_live", "new"): (0.95, "value"),
    ("diversity_to_live", "again"): (0.95, "value"),
    ("diversity_to_live", "new"): (0.95, "value"),
}
# With the days users only come, and so it is not asked of an older day than that of the version that is served.
USERS = {("users_to_live", "all"): (0.95, "value")}


NEW: dict[str, Callable[[Known, Mapping[str, Any]], Scorer]] = {
    "EASE": lambda known, method: ease(known, method)[0],
    "item-item": item_item,
}
# Of a version the items of each slot and user, best first.
Places = Mapping[tuple[str, str], list[str]]


class Figure(NamedTuple):
    """Its value, of how many users, and whether it has to have one: of few users it may be unknown."""

    value: float
    users: int
    certain: bool


def gate_differs(
    found: Interactions, as_of: dt.date, verdict: Mapping[str, Any], lists: Mapping[str, Places]
) -> list[str]:
    """A version's ``gate.json`` against the interactions as of its day: which days were held out, the ratios of
    NDCG@10 to recent popularity, to own frequency, to the best single candidate and to the method that was served,
    and coverage@10; against the lists of both versions, which are by version, its novelty, diversity and users; and
    what follows from the figures: the verdict of each, and the version's."""
    days = _held_out(found, as_of)
    cut = as_of - dt.timedelta(days=days - 1)
    if (verdict["cut"], verdict["days"]) != (str(cut), days):
        return [f"gate: {verdict['days']} days from {verdict['cut']}, must be {days} from {cut}"]
    must = figures(found, cut, verdict["method"], verdict["live_method"])
    held = {(row["figure"], row["slot"]): row for row in verdict["figures"]}
    asked = list(ALONE)
    if (live := verdict["live"]) is not None:
        must |= of_lists(found, as_of, lists[verdict["version"]], lists[live])
        asked += [key for key in BESIDE_LIVE if key[0] != "ndcg_to_live"]
        if verdict["live_method"] is not None:
            asked += [key for key in BESIDE_LIVE if key[0] == "ndcg_to_live"]
    problems = []
    for key in asked:
        row, right = held.get(key), must.get(key)
        if row is None:
            problems.append(f"gate: {' of '.join(key)} is not among its figures")
        elif not _same(row, right):
            told = {name: row[name] for name in ("value", "users")}
            problems.append(f"gate: {' of '.join(key)} is {told}, must be {right}")
    users = len({user for user, _, at in found if at <= as_of})
    row = held.get(("users_to_live", "all"), {"value": None})
    if row["value"] is not None:
        of_live = len({user for slot, user in lists[live] if slot in ("again", "new") and user})
        if row["users"] != of_live or not isclose(row["value"] * of_live, users):
            problems.append(
                f"gate: {row['value']} of {row['users']} users have a list, must be {users} ÷ {of_live}"
            )
    products = len({item for _, item, at in found if at < cut})
    return problems + verdicts_differ(verdict, products)


def verdicts_differ(verdict: Mapping[str, Any], products: int) -> list[str]:
    """Which figures there are, what each must reach, its verdict, and the version's, by the rules alone.

    ``products`` are those that were known before the days that are held out.
    """
    rules = ALONE
    if verdict["live"] is not None:
        older = verdict["as_of"] < verdict["live"][: len("2010-12-01")]
        rules = rules | BESIDE_LIVE | ({} if older else USERS)
    held = {(row["figure"], row["slot"]): row for row in verdict["figures"]}
    if held.keys() != rules.keys() or len(held) != len(verdict["figures"]):
        wrong = sorted(held.keys() ^ rules.keys())
        return [f"gate: its figures are not those of the rules, each once: {wrong}"]
    problems, must = [], {key: _verdict(row, *rules[key], products) for key, row in held.items()}
    for key, row in held.items():
        told = row["limit"], row["must"], row["verdict"]
        if told != (right := (*rules[key], must[key])):
            problems.append(f"gate: {' of '.join(key)} is judged {told}, must be {right}")
    whole = next((each for each in (REFUSED, NOT_ENOUGH) if each in must.values()), PASSED)
    if verdict["verdict"] != whole:
        problems.append(f"gate: the version is {verdict['verdict']}, must be {whole}")
    return problems


def _verdict(row: Mapping[str, Any], limit: float, by: str, products: int) -> str:
    if row["value"] is None or row["users"] < LEAST_USERS:
        return NOT_ENOUGH
    if row["figure"] == "coverage" and TEN * row["users"] < products:
        return NOT_ENOUGH
    if row["figure"] in ("coverage", "users_to_live"):
        return PASSED if row["value"] >= limit else REFUSED
    if row[by] >= limit:
        return PASSED
    return REFUSED if row["high"] < limit else NOT_ENOUGH


def _same(row: Mapping[str, Any], right: Figure | None) -> bool:
    if right is None:
        return row["value"] is None and row["users"] == 0
    if row["users"] != right.users:
        return False
    if row["value"] is None or isnan(right.value):
        return row["value"] is None and not right.certain
    return isclose(row["value"], right.value, rel_tol=1e-6)


def _held_out(found: Interactions, as_of: dt.date) -> int:
    """The last 28 days; of a younger shop at most half of them, and as many as have half of the interactions."""
    half = None
    for days in range(28, 0, -1):
        cut = as_of - dt.timedelta(days=days - 1)
        after = sum(at >= cut for _, _, at in found)
        if half is None or abs(2 * after - len(found)) < half[0]:
            half = abs(2 * after - len(found)), days
    assert half is not None
    first = min((at for _, _, at in found), default=as_of)
    return max(1, min(half[1], ((as_of - first).days + 1) // 2))


def figures(
    found: Interactions,
    cut: dt.date,
    method: Mapping[str, Any],
    live: Mapping[str, Any] | None = None,
) -> dict[tuple[str, str], Figure]:
    """By figure and slot; none where nobody is on both sides of the cut. ``live`` is the method that is served;
    without one it is this.

    :raises AssertionError: where the method is none that is computed here, or ties between neighbours decide
    """
    known = Known({each for each in found if each[2] < cut}, cut - dt.timedelta(days=1))
    taken: dict[str, set[str]] = {}
    for user, item, at in found:
        if at >= cut and user in known.user_at:
            taken.setdefault(user, set()).add(item)
    if not taken:
        return {}
    lists = _Lists(known, method)
    beside = None if live in (None, method) else _Lists(known, live or {})
    # EASE, and beside it the other candidate that gives reasons.
    other = _Lists(known, {**method, "new": {"name": "item-item", "neighbours": 100}})
    made: dict[tuple[str, str], Figure] = {}
    for slot in SLOTS:
        of_users = {user: _right(slot, items, lists.had(user)) for user, items in taken.items()}
        right = {user: of_users[user] for user in sorted(of_users) if of_users[user]}
        if not right:
            continue
        mine = _ndcgs(lists.mine, slot, right)
        for name, of in (("popular", lists.popular), ("own_frequency", lists.own)):
            made[f"ndcg_to_{name}", slot] = _ratio(mine, _ndcgs(of, slot, right))
        if slot == "new":
            single = _ndcgs(other.mine, slot, right)
            best = single if _mean(single) > _mean(mine) else mine
            made["ndcg_to_other_single", slot] = _ratio(mine, best)
        made["ndcg_to_live", slot] = (
            Figure(1.0, len(right), True)
            if beside is None
            else _ratio(mine, _ndcgs(beside.mine, slot, right))
        )
    for slot in ("again", "new"):
        offered = {item for user in known.users for item in lists.mine(user, slot)}
        share = len(offered) / len(known.items)
        made["coverage", slot] = Figure(share, len(known.users), True)
    return made


def of_lists(
    found: Interactions, as_of: dt.date, mine: Places, live: Places
) -> dict[tuple[str, str], Figure]:
    """Novelty and diversity of the first ten of one version's lists ÷ those of another's, by what is known on the
    day: of the users for whom both have a value."""
    known = Known({each for each in found if each[2] <= as_of}, as_of)
    users_of = _users_of(known)
    made = {}
    for slot in ("again", "new"):
        values: dict[str, list[list[float]]] = {"novelty": [], "diversity": []}
        for user in known.users:
            two = [
                [item for item in lists.get((slot, user), [])[:TEN] if item in users_of]
                for lists in (mine, live)
            ]
            for name, of in (("novelty", novelty), ("diversity", diversity)):
                both = [of(each, users_of, known) for each in two]
                if not any(map(isnan, both)):
                    values[name].append(both)
        for name, pairs in values.items():
            sides = [[pair[side] for pair in pairs] for side in (0, 1)]
            made[f"{name}_to_live", slot] = _ratio(*sides)
    return made


def _ndcgs(
    offered: Callable[[str, str], list[str]], slot: str, right: Mapping[str, set[str]]
) -> list[float]:
    return [_ndcg(offered(user, slot), items) for user, items in right.items()]


def _right(slot: str, items: set[str], had: set[str]) -> set[str]:
    return items & had if slot == "again" else items - had if slot == "new" else items


def _ratio(mine: list[float], others: list[float]) -> Figure:
    """Of the means over the users that have a value; a NaN is of a list that has none."""
    above, below = ([value for value in side if not isnan(value)] for side in (mine, others))
    if not above or not any(below):
        return Figure(nan, len(mine), False)
    right = sum(value > 0 for value in below)
    # A list beside itself is 1 in every resample that says anything.
    if mine is not others and (1 - right / len(below)) ** len(below) > NEVER:
        return Figure(nan, len(mine), False)
    return Figure(_mean(above) / _mean(below), len(mine), right >= SURELY)


def _users_of(known: Known) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for user in known.users:
        for item in known.had(user):
            found.setdefault(known.items[item], set()).add(user)
    return found


def novelty(offered: list[str], users_of: Mapping[str, set[str]], known: Known) -> float:
    """In bits: how rare the items of a list are, at the mean."""
    bits = [-log2(len(users_of[item]) / len(known.users)) for item in offered]
    return _mean(bits) if bits else nan


def diversity(offered: list[str], users_of: Mapping[str, set[str]], _: Known) -> float:
    """How unlike two items of a list are, at the mean: one minus the cosine of who had them."""
    had = [users_of[item] for item in offered]
    unlike = [1 - len(a & b) / sqrt(len(a) * len(b)) for a, b in combinations(had, 2)]
    return _mean(unlike) if unlike else nan


def _ndcg(offered: list[str], right: set[str]) -> float:
    gain = sum(1 / log2(place + 2) for place, item in enumerate(offered) if item in right)
    best = sum(1 / log2(place + 2) for place in range(min(len(right), TEN)))
    return gain / best


def _mean(values: Iterable[float]) -> float:
    found = [*values]
    return sum(found) / len(found)


class _Lists:
    """The first ten of a user: the method's, by recent popularity, and by own frequency."""

    def __init__(self, known: Known, method: Mapping[str, Any]) -> None:
        again, new = method["again"]["name"], method["new"]["name"]
        assert again in AGAIN and new in NEW, f"the lists of {again} and {new} are not made here"
        self.known = known
        # What was bought equally much, to nine decimals, is so however its days are added up.
        self.recent = beside_greatest(popularity(known, method["popular"]["half_life"]))
        self.by_slot: dict[str, Scorer] = {
            "again": AGAIN[again](known, method["again"]),
            "new": NEW[new](known, method["new"]),
        }
        self.frequency = own_frequency(known, {})
        users_of = (known.matrix(lambda _: 1.0) > 0).sum(axis=0)
        everything = range(len(known.items))
        order = sorted(everything, key=lambda it: (-users_of[it], known.items[it]))
        self.place = {item: place for place, item in enumerate(order)}

    def had(self, user: str) -> set[str]:
        return {self.known.items[item] for item in self.known.had(user)}

    def mine(self, user: str, slot: str) -> list[str]:
        if slot == "all":
            return [*self.mine(user, "again"), *self.mine(user, "new")][:TEN]
        least, most = self.by_slot[slot](user)
        allowed = self._allowed(user, slot)
        near = 1e-9 * greatest_of(most)
        assert all(most[it] - least[it] <= near for it in allowed), f"ties decide of {user}"
        beside = beside_greatest(least)
        scored = [it for it in allowed if beside[it] > 0]
        first = self._best(scored, beside)
        return first + self._best(set(allowed) - set(scored), self.recent)[: TEN - len(first)]

    def popular(self, user: str, slot: str) -> list[str]:
        # Also of what was had: a shop shows it that knows nobody's history.
        return self._best(self._allowed(user, "new" if slot == "new" else "all"), self.recent)

    def own(self, user: str, slot: str) -> list[str]:
        # It has nothing to offer of what was never had.
        return [] if slot == "new" else self._best(self.known.had(user), self.frequency(user)[0])

    def _allowed(self, user: str, slot: str) -> list[int]:
        had = self.known.had(user)
        items = range(len(self.known.items))
        return [it for it in items if slot == "all" or (it in had) == (slot == "again")]

    def _best(self, items: Iterable[int], scores: Floats) -> list[str]:
        order = sorted(items, key=lambda it: (-float(scores[it]), self.place[it]))
        return [self.known.items[it] for it in order[:TEN]]
